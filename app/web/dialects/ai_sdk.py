"""The UI message stream of Vercel's AI SDK, version 1 of the protocol (majors 5 to 7 of the SDK).

Fatal to its clients: a chunk type outside the protocol, a null in an optional field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from app.core.events import Entry
from app.web.dialects.dialect import Comment, Dialect, Message, Messages
from app.web.dialects.encoded import NARRATIVE, encoded, event_of, narrative_of, token_of, value_of

_RESULT: Final = ("intents", "subsystem_summary", "timing", "usage", "validation")
_DELTA: Final = b'{"type":"text-delta","id":%b,"delta":'
_HEADERS: Final = {"x-vercel-ai-ui-message-stream": "v1"}
Json = dict[str, Any]


class UIMessage(NamedTuple):
    """`field`: the field of the open text part; `part`: its id, as JSON; `delta`: how each piece of it
    begins."""

    turn: str
    started: bool = False
    field: str = ""
    part: bytes = b""
    delta: bytes = b""
    over: bool = False


class AiSdk:
    name = "ai-sdk"
    identity = False
    retry = True
    done = True
    ids = True
    headers: Mapping[str, str] = _HEADERS

    def begin(self, turn_id: str, parameters: Mapping[str, Any]) -> UIMessage:
        return UIMessage(turn_id)

    def fold(self, state: UIMessage, entry: Entry) -> tuple[UIMessage, Messages]:
        seq, kind, data = entry
        if kind == "token" and (said := self.token(state, data)) is not None:
            return state, (Message(said, seq),)
        if kind == "ping":
            return state, (Comment(b"ping"),)
        if state.over:
            return state, ()
        messages: list[bytes] = []
        if not state.started:
            metadata: Json = {"dm": {"turn_id": state.turn, "status": "running"}}
            messages = [_chunk("start", messageId=state.turn, messageMetadata=metadata)]
            state = state._replace(started=True)
        if kind == "token":
            state = _token(state, messages, data)
        else:
            state = _closed(state, messages)
            messages += _other(kind, event_of(data))
            state = state._replace(over=kind in _ENDS)
        return state, [
            Message(it, seq if k == len(messages) else 0) for k, it in enumerate(messages, 1)
        ]

    def token(self, state: UIMessage, data: bytes) -> bytes | None:
        if state.field == NARRATIVE and (text := narrative_of(data)):
            return b"%b%b}" % (state.delta, text)
        return None

    def ended(self, state: UIMessage) -> bool:
        return state.over

    def cut(self, state: UIMessage) -> None:
        """A clean end in mid-message is a success to these clients."""


_ENDS: Final = frozenset({"complete", "error", "cancelled", "gap"})


def _chunk(kind: str, **fields: Any) -> bytes:
    return encoded({"type": kind, **fields})


def _closed(state: UIMessage, messages: list[bytes]) -> UIMessage:
    """Without an open text part."""
    if not state.field:
        return state
    messages.append(b'{"type":"text-end","id":%b}' % state.part)
    return state._replace(field="", part=b"", delta=b"")


def _token(state: UIMessage, messages: list[bytes], data: bytes) -> UIMessage:
    content, field = token_of(data)
    if content == b'""':
        return state
    if state.field != field:
        state = _closed(state, messages)
        messages.append(_chunk("text-start", id=field))
        part = encoded(field)
        state = state._replace(field=field, part=part, delta=_DELTA % part)
    messages.append(b"%b%b}" % (state.delta, content))
    return state


def _other(kind: str, event: Json) -> list[bytes]:
    value = value_of(event)
    name = f"data-dm-{kind.replace('_', '-')}"
    match kind:
        case "complete":
            result = {key: value[key] for key in _RESULT if key in value}
            metadata: Json = {"dm": {"status": "complete", **result}}
            return [_chunk("finish", finishReason="stop", messageMetadata=metadata)]
        case "error":
            text = str(value.get("message") or value.get("error_type") or "The turn failed.")
            return [*_failed(name, kind, value), _chunk("error", errorText=text)]
        case "cancelled":
            return [*_failed(name, kind, value), _chunk("abort")]
        case "gap":
            return [_chunk("error", errorText="A part of this turn's events is no longer kept.")]
        case "metadata" if value.get("phase") == "retelling":
            name = "data-dm-retelling"  # it stays: text before it does not count
            return [_chunk(name, id=f"retelling-{event['timestamp']}", data=value)]
        case "write":
            return [_chunk(name, id=str(value.get("subsystem") or "write"), data=value)]
        case "field":
            return [_chunk(name, id=str(value.get("field")), data=value)]
        case "options" | "player_options" | "dice":
            return [_chunk(name, id=kind, data=value)]
        case _:
            return [_chunk(name, transient=True, data=value)]


def _failed(name: str, status: str, value: Json) -> list[bytes]:
    """The chunks that stay in the message of a turn that was not completed."""
    return [
        _chunk(name, id=status, data=value),
        _chunk("message-metadata", messageMetadata={"dm": {"status": status}}),
    ]


AI_SDK: Final[Dialect[UIMessage]] = AiSdk()
