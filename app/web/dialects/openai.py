"""Chunks of OpenAI's Chat Completions.

Its clients take every frame but `error` for a chunk with `choices`; some break on `retry:` or on a
heartbeat beside `id:` lines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from app.core.events import Entry
from app.web.dialects.dialect import NO_HEADERS, Comment, Dialect, Message, Messages
from app.web.dialects.encoded import (
    NARRATIVE,
    counts,
    encoded,
    event_of,
    millis_of,
    narrative_of,
    token_millis,
    token_of,
    value_of,
)

USAGE: Final = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "total_tokens": "total_tokens",
}
RESULT: Final = ("turn_id", "intents", "subsystem_summary", "timing", "usage", "validation")
MODEL_PREFIX: Final = "dungeon-master/"
SEPARATOR: Final = "\n\n---\n\n"
"""Between two generations of a turn."""
ID_PREFIX: Final = "chatcmpl-"
_DELTA: Final = b'{"index":0,"delta":{"content":'
_TOKEN: Final = b'%b%b},"finish_reason":null}]}'
Json = dict[str, Any]


class Completion(NamedTuple):
    """`head`: every chunk's beginning, once the first event has come; `delta`: that of those with text,
    until the end. `note`: added to the narrative
    of a completed turn. `response`: the second text has begun."""

    turn: str
    model: str
    usage: bool
    events: bool
    note: str
    head: bytes = b""
    delta: bytes = b""
    response: bool = False
    over: bool = False


class OpenAi:
    """`ids`: messages carry the ids of the log, which only clients of our own understand."""

    name = "openai"
    identity = False
    retry = False
    done = True
    headers: Mapping[str, str] = NO_HEADERS

    def __init__(self, *, ids: bool) -> None:
        self.ids = ids

    def begin(self, turn_id: str, parameters: Mapping[str, Any]) -> Completion:
        """`parameters`: model, include_usage, dm_events, names_model and character_id."""
        return Completion(
            turn=turn_id,
            model=parameters.get("model") or f"{MODEL_PREFIX}{parameters.get('character_id', '')}",
            usage=bool(parameters.get("include_usage")),
            events=bool(parameters.get("dm_events")),
            note=note_of(parameters),
        )

    def fold(self, state: Completion, entry: Entry) -> tuple[Completion, Messages]:
        seq, kind, data = entry
        if kind == "token" and (said := self.token(state, data)) is not None:
            return state, (Message(said, seq if self.ids else 0),)
        if kind == "ping":
            return state, (Comment(b"ping"),)
        if state.over:
            return state, ()
        state, chunks = _folded(state, kind, data)
        last = len(chunks) if self.ids else 0
        return state, [Message(it, seq if k == last else 0) for k, it in enumerate(chunks, 1)]

    def token(self, state: Completion, data: bytes) -> bytes | None:
        delta = state.delta
        if delta and (text := narrative_of(data)):
            return _TOKEN % (delta, text)
        return None

    def ended(self, state: Completion) -> bool:
        return state.over

    def cut(self, state: Completion) -> list[Message]:
        """Some clients wait on after a reset, and some drop what they had shown."""
        message = "The stream was closed; the turn goes on. Send the same message again."
        return [] if state.over else [Message(error_frame(message, "overloaded", {}))]


def error_frame(message: str, kind: str, other: Json | None = None) -> bytes:
    """`other`: what a native event says beside message and type."""
    error: Json = {"message": message, "type": kind, "code": kind, "param": None}
    return encoded({"error": error if other is None else {**error, "dm": other}})


def chunk_head(completion_id: str, created: int, model: str) -> bytes:
    """Every chunk of a completion begins so, up to its one choice."""
    head = {
        "id": completion_id,
        "object": "chat.completion.chunk",
        "created": created,
        "model": model,
    }
    return encoded(head)[:-1] + b',"choices":['


def chunk(head: bytes, delta: Json, finish: str | None = None, **beside: Any) -> bytes:
    choice = encoded({"index": 0, "delta": delta, "finish_reason": finish})
    rest = encoded(beside)[1:-1]
    return head + choice + b"]" + (b"," + rest if rest else b"") + b"}"


def _folded(state: Completion, kind: str, data: bytes) -> tuple[Completion, list[bytes]]:
    event = {} if kind == "token" else event_of(data)
    at = token_millis(data) if kind == "token" else millis_of(event)
    chunks: list[bytes] = []
    if not state.head:
        head = chunk_head(f"{ID_PREFIX}{state.turn}", at // 1000, state.model)
        state = state._replace(head=head, delta=head + _DELTA)
        chunks.append(chunk(head, {"role": "assistant", "content": ""}))
    match kind:
        case "token":
            return _token(state, chunks, data)
        case "complete":
            chunks += _completed(state, event)
        case "error":
            text = str(event.pop("message", None) or "The turn failed.")
            name = str(event.pop("error_type", None) or "internal_error")
            chunks.append(error_frame(text, name, value_of(event)))
        case "cancelled":
            chunks.append(error_frame("The turn was cancelled.", "turn_cancelled", value_of(event)))
        case "gap":
            text = "A part of this turn's events is no longer kept."
            chunks.append(error_frame(text, "gap", value_of(event)))
        case _:
            if event.get("phase") == "retelling":  # shown text cannot be taken back
                state = state._replace(response=False)
                chunks.append(chunk(state.head, {"content": SEPARATOR}))
            if state.events:
                chunks.append(chunk(state.head, {}, dm={"event": event}))
            return state, chunks
    return state._replace(over=True, delta=b""), chunks


def _token(state: Completion, chunks: list[bytes], data: bytes) -> tuple[Completion, list[bytes]]:
    content, field = token_of(data)
    if content == b'""':
        return state, chunks
    if field != NARRATIVE and not state.response:
        state, content = state._replace(response=True), b'"\\n\\n' + content[1:]
    chunks.append(_TOKEN % (state.delta, content))
    return state, chunks


def _completed(state: Completion, event: Json) -> list[bytes]:
    chunks = [chunk(state.head, {"content": state.note})] if state.note else []
    result = {name: event[name] for name in RESULT if name in event}
    chunks.append(chunk(state.head, {}, "stop", dm={"status": "complete", **result}))
    if state.usage:
        chunks.append(usage_chunk(state.head, event.get("usage")))
    return chunks


def usage_chunk(head: bytes, usage: Any) -> bytes:
    """The chunk behind the last one, for those who ask for it."""
    return head + b'],"usage":' + encoded(usage_of(usage)) + b"}"


def note_of(parameters: Mapping[str, Any]) -> str:
    """The text behind the opening of a character that was made in a chat; empty otherwise."""
    if not parameters.get("names_model"):
        return ""
    return f"\n\n{play_on(parameters['character_id'])}"


def play_on(character_id: str) -> str:
    """The hint that names the model to play on with."""
    return f"To play on, choose the model `{MODEL_PREFIX}{character_id}`."


def created_at(entries: Sequence[Entry]) -> int:
    """Seconds since 1970 of a turn whose first entries these are."""
    return millis_of(event_of(entries[0][2])) // 1000 if entries else 0


def usage_of(usage: Any) -> dict[str, int]:
    """The three counts, which their clients require."""
    return {**dict.fromkeys(USAGE.values(), 0), **counts(usage, USAGE)}


OPENAI: Final[Dialect[Completion]] = OpenAi(ids=True)
OPENAI_PLAIN: Final[Dialect[Completion]] = OpenAi(ids=False)
"""For clients that are not ours."""
