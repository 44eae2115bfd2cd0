"""The typed events of a turn and their one encoding.

An event is encoded once, when it is appended to the log, as one line of JSON. The JSON is ASCII only,
since U+2028 and its like break line readers. Every reader, live or replaying, sees the same bytes;
framing is the transport's.

No event is longer than `MAX_EVENT`: longer text becomes several tokens, and the texts of any other event
are cut, which `truncated: true` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from json.encoder import encode_basestring_ascii
from sys import intern
from typing import Any, TypeAlias, assert_never

from pydantic import BaseModel

from app.core.results import Subsystem, SubsystemSummary, Timing, Usage, Validation
from app.core.shortening import within
from app.core.stamps import stamp as stamp
from app.core.wire import (
    CancelledEvent,
    ChatResult,
    CompleteEvent,
    DraftEvent,
    ErrorEvent,
    FieldEvent,
    MetadataFields,
    OptionsEvent,
    Phase,
    PingEvent,
    PongEvent,
    PreviewEvent,
    SceneEvent,
    TextField,
    WriteEvent,
    refusal_fields,
)
from app.core.wire import TurnEvent as WireEvent
from app.errors import Upstream


@dataclass(frozen=True, slots=True)
class Metadata:
    phase: Phase
    tokens_streamed: int = 0
    fields: MetadataFields = field(default_factory=MetadataFields)


@dataclass(frozen=True, slots=True)
class Token:
    """`index` counts from 0: the number of the first delta of the field in `content`."""

    content: str
    index: int
    field: TextField = "narrative"


@dataclass(frozen=True, slots=True)
class Draft:
    """A token that has to be approved before players see it."""

    content: str
    index: int
    field: TextField = "narrative"


@dataclass(frozen=True, slots=True)
class Preview:
    intents: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FieldShown:
    name: str
    value: Any


@dataclass(frozen=True, slots=True)
class Options:
    player_options: Sequence[str]


@dataclass(frozen=True, slots=True)
class SceneShown:
    """The scene of a table. `dm_notes` are for its human dungeon master alone."""

    scene: Mapping[str, Any]
    dm_notes: str | None = None


@dataclass(frozen=True, slots=True)
class Write:
    subsystem: Subsystem
    action: str
    success: bool
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Complete:
    turn_id: str
    intents: Mapping[str, Any]
    subsystem_summary: SubsystemSummary
    timing: Timing
    usage: Usage
    validation: Validation
    chat: ChatResult | None = None
    content: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The `error` event. `committed` names the subsystems already written."""

    error_type: str
    message: str
    recoverable: bool
    phase: str
    partial_narrative: str | None = None
    committed: tuple[str, ...] = ()
    retry_after_seconds: float | None = None
    request_id: str | None = None
    upstream: Upstream | None = None


@dataclass(frozen=True, slots=True)
class Cancelled:
    phase: str
    partial_narrative: str


Shown = Options | SceneShown | FieldShown
"""What the turn of a table, or content, has beside its prose."""
TurnEvent = Metadata | Token | Draft | Preview | Shown | Write | Complete | Failed | Cancelled
Terminal = Complete | Failed | Cancelled
TERMINAL_TYPES = frozenset({"complete", "error", "cancelled"})

Entry: TypeAlias = tuple[int, str, bytes]
"""`(seq, type, data)`: an event as the log has it. `seq` counts from 1; 0 marks an event that is in no
log (`ping`, `gap`). `data` is the event's JSON, one line of ASCII.

A plain tuple: a NamedTuple takes five times as long to make, which is twice per token, and the garbage
collector never stops tracking it.
"""


def encode_entry(seq: int, event: TurnEvent, at: str) -> Entry:
    """`at`: the event's `timestamp`, see `stamp`."""
    if isinstance(event, Token):
        data = encode_token(event.content, event.index, at)
        return seq, "token", data if event.field == "narrative" else of_field(data, event.field)
    return _encoded(seq, _json(event, at))


def encode_token(content: str, index: int, at: str) -> bytes:
    """The data of a `Token` that nobody has to make for it: one C call for the text, the rest is
    fixed."""
    text = encode_basestring_ascii(content)
    return (
        f'{{"type":"token","timestamp":"{at}","content":{text},"index":{index},"field":"narrative"}}'
    ).encode("ascii")


def of_field(data: bytes, name: str) -> bytes:
    """The data of a token of the narrative as one of another text."""
    return data.removesuffix(b'"narrative"}') + f'"{name}"}}'.encode("ascii")


def ping(at: str) -> Entry:
    """The event that a reader gets after a silence."""
    return _encoded(0, PingEvent(type="ping", timestamp=at))


def pong(at: str) -> Entry:
    """The answer to a client's own heartbeat."""
    return _encoded(0, PongEvent(type="pong", timestamp=at))


def gap(first: int, last: int, at: str) -> Entry:
    """The event that a reader gets instead of the entries `first` to `last` that the log no longer has."""
    return _encoded(0, {"type": "gap", "timestamp": at, "from": first, "to": last})


def _encoded(seq: int, event: WireEvent) -> Entry:
    return seq, event["type"], within(event).encode("ascii")


_TYPE_START = len(b'{"type":"')


def type_of(data: bytes) -> str:
    """The type of an event from its encoding, in which it comes first."""
    return intern(data[_TYPE_START : data.index(b'"', _TYPE_START)].decode("ascii"))


def _json(event: Metadata | Draft | Preview | Shown | Write | Terminal, at: str) -> WireEvent:
    match event:
        case Metadata(phase, tokens, fields):
            return {
                "type": "metadata",
                "timestamp": at,
                "phase": phase,
                **fields,
                "tokens_streamed": tokens,
            }
        case Draft(content, index, name):
            return DraftEvent(type="draft", timestamp=at, content=content, index=index, field=name)
        case Preview(intents):
            return PreviewEvent(
                type="preview", timestamp=at, intents=_plain(intents), validated=False
            )
        case Options(choices):
            return OptionsEvent(type="player_options", timestamp=at, player_options=list(choices))
        case FieldShown(name, value):
            return FieldEvent(type="field", timestamp=at, field=name, value=value)
        case SceneShown(scene, dm_notes):
            return SceneEvent(type="scene", timestamp=at, scene=_plain(scene), dm_notes=dm_notes)
        case Write():
            return _written(event, at)
        case Complete():
            return _completed(event, at)
        case Failed():
            return _failed(event, at)
        case Cancelled(phase, partial):
            return CancelledEvent(
                type="cancelled", timestamp=at, phase=phase, partial_narrative=partial
            )
        case _:
            assert_never(event)


def _written(event: Write, at: str) -> WriteEvent:
    return WriteEvent(
        type="write",
        timestamp=at,
        subsystem=event.subsystem,
        action=event.action,
        success=event.success,
        error=event.error,
    )


def _completed(event: Complete, at: str) -> CompleteEvent:
    completed = CompleteEvent(
        type="complete",
        timestamp=at,
        turn_id=event.turn_id,
        intents=_plain(event.intents),
        subsystem_summary=_plain(event.subsystem_summary),
        timing=_plain(event.timing),
        usage=_plain(event.usage),
        validation=_plain(event.validation),
    )
    if event.chat is not None:
        completed["chat"] = event.chat
    if event.content is not None:
        completed["content"] = _plain(event.content)
    return completed


def _failed(event: Failed, at: str) -> ErrorEvent:
    failed = ErrorEvent(
        type="error",
        timestamp=at,
        error_type=event.error_type,
        message=event.message,
        recoverable=event.recoverable,
        phase=event.phase,
        committed=list(event.committed),
    )
    if event.partial_narrative is not None:
        failed["partial_narrative"] = event.partial_narrative
    if event.retry_after_seconds is not None:
        failed["retry_after_seconds"] = event.retry_after_seconds
    if event.request_id is not None:
        failed["request_id"] = event.request_id
    if event.upstream is not None:
        failed["upstream"] = refusal_fields(event.upstream)
    return failed


def _plain(value: BaseModel | Mapping[str, Any]) -> Any:
    return value.model_dump() if isinstance(value, BaseModel) else dict(value)


LOST_END = 1_000_000
"""Sequence number of the next event of a turn whose newest events were lost with their process: higher
than any that a client can have seen, so that every cursor finds it ahead. Where it happens again, the next
multiple of it."""
