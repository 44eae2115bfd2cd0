"""The typed events of a turn and their one encoding.

A *frame* is an event as the log keeps it and SSE sends it: `id: {turn_id}:{seq}`, `data: {json}`,
an empty line. The JSON inside is ASCII only, since U+2028 and its like break line readers. Other
transports take `payload(frame)`; so every reader, live or replaying, sees the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii
from typing import Any, Literal, assert_never

from app.core.encoding import dump
from app.core.results import SubsystemSummary, Timing, Usage, Validation

Phase = Literal[
    "queued", "start", "context", "policy", "narrative", "validation", "writes", "settling"
]


@dataclass(frozen=True, slots=True)
class Metadata:
    phase: Phase
    tokens_streamed: int = 0
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Token:
    """`index` counts from 0: the number of the first narrative delta in `content`."""

    content: str
    index: int


@dataclass(frozen=True, slots=True)
class Preview:
    intents: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Write:
    subsystem: str
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


@dataclass(frozen=True, slots=True)
class Cancelled:
    phase: str
    partial_narrative: str


TurnEvent = Metadata | Token | Preview | Write | Complete | Failed | Cancelled
Terminal = Complete | Failed | Cancelled
TERMINAL_TYPES = frozenset({"complete", "error", "cancelled"})

DONE = b"data: [DONE]\n\n"
_SEPARATOR = b"\n\n"


_latest: tuple[int, str, int, str] = (-1, "", -1, "")  # of `stamp`: millisecond, text; second, text


def stamp(now: float) -> str:
    """`now` (epoch seconds) in ISO 8601 with milliseconds.

    Thousands of events have the second in common with the one before them, and many the millisecond.
    """
    global _latest
    millis = int(now * 1000)
    known, text, second, prefix = _latest
    if millis == known:
        return text
    if millis // 1000 != second:
        second = millis // 1000
        prefix = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    text = f"{prefix}.{millis % 1000:03d}Z"
    _latest = (millis, text, second, prefix)
    return text


def encode_json(event: TurnEvent, at: str) -> str:
    """One JSON object on one line, ASCII only."""
    if isinstance(event, Token):
        return payload(token_frame("", 0, event.content, event.index, at)).decode()
    kind, fields = _fields(event)
    return dump({"type": kind, "timestamp": at, **fields})


def _fields(event: Metadata | Preview | Write | Terminal) -> tuple[str, dict[str, Any]]:
    match event:
        case Metadata(phase, tokens, fields):
            return "metadata", {"phase": phase, **fields, "tokens_streamed": tokens}
        case Preview(intents):
            return "preview", {"intents": dict(intents), "validated": False}
        case Write(subsystem, action, success, error):
            return "write", {
                "subsystem": subsystem,
                "action": action,
                "success": success,
                "error": error,
            }
        case Complete():
            return "complete", {
                "turn_id": event.turn_id,
                "intents": dict(event.intents),
                "subsystem_summary": event.subsystem_summary.model_dump(),
                "timing": event.timing.model_dump(),
                "usage": event.usage.model_dump(),
                "validation": event.validation.model_dump(),
            }
        case Failed():
            return "error", _failed(event)
        case Cancelled(phase, partial):
            return "cancelled", {"phase": phase, "partial_narrative": partial}
        case _:
            assert_never(event)


def _failed(event: Failed) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "error_type": event.error_type,
        "message": event.message,
        "recoverable": event.recoverable,
        "phase": event.phase,
        "committed": list(event.committed),
    }
    optional = {
        "partial_narrative": event.partial_narrative,
        "retry_after_seconds": event.retry_after_seconds,
        "request_id": event.request_id,
    }
    return fields | {name: value for name, value in optional.items() if value is not None}


def encode_frame(turn_id: str, seq: int, event: TurnEvent, at: str) -> bytes:
    return f"id: {turn_id}:{seq}\ndata: {encode_json(event, at)}\n\n".encode("ascii")


def token_frame(turn_id: str, seq: int, content: str, index: int, at: str) -> bytes:
    """`encode_frame` of a `Token` that nobody has to make for it: one C call for the text, the rest
    is fixed."""
    return (
        f'id: {turn_id}:{seq}\ndata: {{"type":"token","timestamp":"{at}","content":'
        f'{encode_basestring_ascii(content)},"index":{index},"field":"narrative"}}\n\n'
    ).encode("ascii")


def payload(frame: bytes) -> bytes:
    """The JSON of a frame."""
    return frame[frame.index(b"data: ") + 6 : -2]


LOST_END = 1_000_000
"""Sequence number of the terminal event of a turn whose events were lost with their process: higher
than any that a client can have seen, so that every cursor finds it ahead."""


def seq_of(frame: bytes) -> int:
    return int(frame[frame.index(b":", 4) + 1 : frame.index(b"\n")])


def index_after(frames: Sequence[bytes], after: int) -> int:
    """Index of the first frame numbered above `after`; a number that was never given means 0."""
    if after <= 0 or not frames:
        return 0
    last = seq_of(frames[-1])
    if after > last:
        return 0
    if last == len(frames):
        return after
    return next((k for k, frame in enumerate(frames) if seq_of(frame) > after), len(frames))


def join_frames(frames: list[bytes]) -> bytes:
    return b"".join(frames)


def split_frames(blob: bytes) -> list[bytes]:
    """Undo `join_frames`: JSON on one line cannot hold the empty line that ends a frame."""
    return [part + _SEPARATOR for part in blob.split(_SEPARATOR)[:-1]]


def ping_frame(at: str) -> bytes:
    return f'data: {{"type":"ping","timestamp":"{at}"}}\n\n'.encode("ascii")


def gap_frame(first: int, last: int, at: str) -> bytes:
    gap = dump({"type": "gap", "timestamp": at, "from": first, "to": last})
    return f"data: {gap}\n\n".encode("ascii")


def cursor_of(event_id: str, turn_id: str) -> int:
    """The sequence number in an event id; 0, the start, for a malformed or foreign one."""
    owner, _, seq = event_id.rpartition(":")
    return int(seq) if owner == turn_id and seq.isascii() and seq.isdigit() and len(seq) < 10 else 0
