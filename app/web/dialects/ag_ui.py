"""AG-UI 1.0: runs, steps, text messages and custom events.

Fatal to its clients: a null in an optional field, a time that is no integer, anything behind the end of
a run, a run that ends with an open message or step, event types of one's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

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

PROTOCOL: Final = "1.0"
STEPS: Final = frozenset({"context", "policy", "narrative", "validation", "writes"})
_USAGE: Final = {
    "input_tokens": "inputTokens",
    "output_tokens": "outputTokens",
    "total_tokens": "totalTokens",
}
_CONTENT: Final = b'{"type":"TEXT_MESSAGE_CONTENT","messageId":%b,"delta":'
Json = dict[str, Any]


class Run(NamedTuple):
    """`message`: the open text message's id, as JSON; `field`: the field of its text. `held`: the beginning
    of the narrative that the client has, as far as it has not come yet. `generation`: counts from 1; shown
    text cannot be taken back, so that each generation is a message of its own. `content`: how each content
    of the open narrative begins, once nothing is held."""

    turn: str
    thread: str
    run: str
    version: str | None
    held: str = ""
    started: bool = False
    step: str | None = None
    field: str = ""
    message: bytes = b""
    content: bytes = b""
    over: bool = False
    generation: int = 1


class AgUi:
    name = "ag-ui"
    identity = False
    retry = True
    done = False
    ids = True
    headers: Mapping[str, str] = NO_HEADERS

    def begin(self, turn_id: str, parameters: Mapping[str, Any]) -> Run:
        """`parameters`: thread, run, protocol (the client's version) and character_id; `held`."""
        return Run(
            turn=turn_id,
            thread=parameters.get("thread") or parameters.get("character_id") or turn_id,
            run=parameters.get("run") or turn_id,
            version=parameters.get("protocol") or None,
            held=parameters.get("held") or "",
        )

    def fold(self, state: Run, entry: Entry) -> tuple[Run, Messages]:
        seq, kind, data = entry
        if kind == "token" and (said := self.token(state, data)) is not None:
            return state, (Message(said, seq),)
        if kind == "ping":
            return state, (Comment(b"ping"),)
        if state.over:
            return state, ()
        if kind == "token":
            state, messages = _token(*_begun(state, token_millis(data)), data)
        else:
            event = event_of(data)
            state, messages = _other(*_begun(state, millis_of(event)), kind, event)
        return state, _numbered(messages, seq)

    def token(self, state: Run, data: bytes) -> bytes | None:
        content = state.content
        if content and (text := narrative_of(data)):
            return b'%b%b,"timestamp":%d}' % (content, text, token_millis(data))
        return None

    def ended(self, state: Run) -> bool:
        return state.over

    def cut(self, state: Run) -> None:
        """A clean end in mid-message is a success to these clients."""


def _numbered(messages: list[bytes], seq: int) -> list[Message]:
    return [Message(data, seq if k == len(messages) else 0) for k, data in enumerate(messages, 1)]


def run_event(kind: str, at: int, **fields: Any) -> bytes:
    """`at`: milliseconds since 1970."""
    return encoded({"type": kind, **fields, "timestamp": at})


def _custom(kind: str, at: int, event: Json) -> bytes:
    return run_event("CUSTOM", at, name=f"dm.{kind}", value=value_of(event))


def _begun(state: Run, at: int) -> tuple[Run, list[bytes]]:
    if state.started:
        return state, []
    begun = run_started(state.thread, state.run, state.version, at)
    return state._replace(started=True), [begun]


def run_started(thread: str, run: str, version: str | None, at: int) -> bytes:
    """`version`: that of the client's protocol, where it has sent one."""
    ids: Json = {"threadId": thread, "runId": run}
    if version is not None:
        ids["protocolVersion"] = PROTOCOL
    return run_event("RUN_STARTED", at, **ids)


def _closed(state: Run, messages: list[bytes], at: int) -> Run:
    """Without an open text message."""
    if not state.field:
        return state
    messages.append(
        b'{"type":"TEXT_MESSAGE_END","messageId":%b,"timestamp":%d}' % (state.message, at)
    )
    return state._replace(field="", message=b"", content=b"")


def _token(state: Run, messages: list[bytes], data: bytes) -> tuple[Run, list[bytes]]:
    (content, field), at = token_of(data), token_millis(data)
    if content == b'""':
        return state, messages
    if state.field != field:
        state = _closed(state, messages, at)
        name = ":".join((state.turn, *_further(state, field)))
        messages.append(run_event("TEXT_MESSAGE_START", at, messageId=name, role="assistant"))
        state = state._replace(field=field, message=encoded(name))
    if state.held and field == NARRATIVE:
        text: str = msgspec.json.decode(content)
        content, held = encoded(text[len(state.held) :]), state.held[len(text) :]
        state = state._replace(held=held)
    begin = _CONTENT % state.message
    if content != b'""':
        messages.append(b'%b%b,"timestamp":%d}' % (begin, content, at))
    plain = field == NARRATIVE and not state.held
    return state._replace(content=begin if plain else b""), messages


def _further(state: Run, field: str) -> list[str]:
    """The parts of a text message's id that distinguish it from the first text message of its turn."""
    again = [f"telling-{state.generation}"] if state.generation > 1 else []
    return again if field == NARRATIVE else [*again, field]


def _other(state: Run, messages: list[bytes], kind: str, event: Json) -> tuple[Run, list[bytes]]:
    at = millis_of(event)
    state = _closed(state, messages, at)
    if kind == "gap":
        message = "A part of this turn's events is no longer kept."
        messages.append(run_event("RUN_ERROR", at, message=message, code="gap"))
        return state._replace(over=True), messages
    if kind in ("complete", "error", "cancelled"):
        state = _step(state, messages, None, at)
        messages += _ending(state, kind, event, at)
        return state._replace(over=True), messages
    if kind == "metadata" and event.get("phase") == "retelling":
        state = state._replace(generation=state.generation + 1, held="")
    if kind == "metadata" and event.get("phase") in STEPS:
        state = _step(state, messages, event["phase"], at)
    messages.append(_custom(kind, at, event))
    return state, messages


def _step(state: Run, messages: list[bytes], step: str | None, at: int) -> Run:
    """The run with another step begun, or none."""
    if state.step is not None:
        messages.append(run_event("STEP_FINISHED", at, stepName=state.step))
    if step is not None:
        messages.append(run_event("STEP_STARTED", at, stepName=step))
    return state._replace(step=step)


def _ending(state: Run, kind: str, event: Json, at: int) -> list[bytes]:
    ids = {"threadId": state.thread, "runId": state.run}
    if kind == "complete":
        return [run_event("RUN_FINISHED", at, **ids, result=event, **_usage(event))]
    custom = _custom(kind, at, event)
    if kind == "error":
        code = str(event.get("error_type") or "internal_error")
        message = str(event.get("message") or code)
        return [custom, run_event("RUN_ERROR", at, message=message, code=code)]
    if knows_outcomes(state.version):
        return [custom, run_event("RUN_FINISHED", at, **ids, outcome={"type": "cancelled"})]
    message = "The turn was cancelled."
    return [custom, run_event("RUN_ERROR", at, message=message, code="turn_cancelled")]


def _usage(event: Json) -> Json:
    """Only what is known."""
    usage: Any = event.get("usage")
    known: Json = dict(counts(usage, _USAGE))
    if known and usage.get("model"):
        known = {"model": usage["model"], **known}
    return {"usage": [known]} if known else {}


def knows_outcomes(version: str | None) -> bool:
    """Whether a client of this protocol version takes a run's `outcome`; older ones fail on it."""
    major = (version or "").partition(".")[0]
    return major.isdecimal() and len(major) < 10 and int(major) >= 1


AG_UI: Final[Dialect[Run]] = AgUi()
