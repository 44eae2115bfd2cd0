"""The dialect of an older table service's clients: `message`, `stream`, `stream_end`, `system`.

At a table, what concerns one client alone (`token_usage`, `error`) is posted to it in the dialect already.
Whoever reads a turn by itself is told of its input and of its failure by the turn's own events.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from app.core.events import TERMINAL_TYPES, Entry
from app.web.dialects.dialect import NO_HEADERS, Comment, Dialect, Message, Messages
from app.web.dialects.encoded import encoded, event_of

POSTED: Final = "posted"
"""The type of an entry whose data is a message of the dialect."""


class RpgState(NamedTuple):
    """`parts`: the narrative of the running turn, the newest first, each with those before it.
    `answered`: it answers a roll, and was shown before its end, since it awaits its commit. `alone`:
    it is read by itself, not as one of a table."""

    dm_name: str
    alone: bool = False
    rolled: bool = False
    answering: bool = False
    answered: bool = False
    parts: tuple[Any, str] | None = None

    @property
    def narrative(self) -> str:
        texts, rest = [], self.parts
        while rest is not None:
            rest, text = rest
            texts.append(text)
        return "".join(reversed(texts))


@lru_cache(maxsize=1024)
def _between_turns(dm_name: str, alone: bool, rolled: bool = False) -> RpgState:
    """With nothing said. One object for all readers of a table, whose steps are the same from here on."""
    return RpgState(dm_name, alone, rolled)


class Rpg:
    name = "rpg"
    identity = False
    retry = False
    done = False
    ids = True
    headers = NO_HEADERS

    def begin(self, turn_id: str, parameters: Mapping[str, Any]) -> RpgState:
        name = str(parameters.get("dm_name", "Dungeon Master"))
        return _between_turns(name, "character_id" in parameters)

    def fold(self, state: RpgState, entry: Entry) -> tuple[RpgState, Messages]:
        seq, kind, data = entry
        if kind == "token":
            return _token(state, event_of(data), seq)
        if kind == POSTED:
            return state, (Message(data),)
        if kind == "metadata":
            return _phase(state, event_of(data), seq)
        if kind == "message":
            return state, (Message(encoded(_said(event_of(data))), seq),)
        if kind in TERMINAL_TYPES:
            after = _between_turns(state.dm_name, state.alone)
            if state.alone and kind != "complete":
                return after, (_failed(kind, event_of(data), seq),)
            return after, _end(state, kind, seq)
        if kind == "ping" and state.alone:
            return state, (Comment(b"ping"),)
        if kind == "dice":
            return state, (_message({"type": "system", "content": _rolled(event_of(data))}, seq),)
        if kind == "room" and (event := event_of(data))["event"].startswith("dm_"):
            return state, (_message({"type": "system", "content": _seated(event)}, 0),)
        if kind == "presence" and not (event := event_of(data))["present"]:
            return state, (_message({"type": "system", "content": _gone(event)}, 0),)
        return state, ()

    def token(self, state: RpgState, data: bytes) -> None:
        """Each has to be folded."""

    def ended(self, state: RpgState) -> bool:
        return False

    def cut(self, state: RpgState) -> Messages:
        return ()


RPG: Final[Dialect[RpgState]] = Rpg()


_ASIDE: Final = {
    "approval": "The turn waits for the dungeon master's approval.",
    "awaiting_commit": "The turn counts once somebody commits it.",
    "retelling": "The turn is retold.",
}


def _message(value: dict[str, Any], seq: int) -> Message:
    return Message(encoded(value), seq)


def _rolled(event: dict[str, Any]) -> str:
    return f"{event['sender_name']} {event['content']}"


def _seated(event: dict[str, Any]) -> str:
    """`event`: dm_joined or dm_left."""
    done = str(event["event"]).removeprefix("dm_")
    return f"The human dungeon master has {done}."


def _gone(event: dict[str, Any]) -> str:
    return f"{event['player_name']} has disconnected."


def _phase(state: RpgState, event: dict[str, Any], seq: int) -> tuple[RpgState, Messages]:
    phase, after = event.get("phase"), _begun(state, event)
    if state.alone and phase == "start" and (words := event.get("user_action")):
        asked = {"sender_name": "Player", "content": words, "message_type": "player"}
        return after, (_message(_said(asked), seq),)
    seen = state.answered if state.rolled else state.parts is not None
    if phase not in _ASIDE or (phase == "retelling" and not seen):
        return after, ()
    said = _message({"type": "system", "content": _ASIDE[str(phase)]}, seq)
    if after.answered and not state.answered:
        return after, (_answer(state, 0), said)
    return after, (said,)


def _begun(state: RpgState, event: dict[str, Any]) -> RpgState:
    if event.get("phase") == "retelling":
        return state._replace(answering=False, answered=False, parts=None)
    if event.get("phase") == "awaiting_commit":
        return state._replace(answered=state.rolled)
    if event.get("phase") != "start":
        return state
    return _between_turns(state.dm_name, state.alone, event.get("occasion") == "roll")


def _token(state: RpgState, event: dict[str, Any], seq: int) -> tuple[RpgState, Messages]:
    text = str(event.get("content") or "")
    answering = event.get("field") == "player_response"
    if answering and not state.answering:
        text = f"\n\n{text}"
    after = state._replace(answering=answering, parts=(state.parts, text))
    if state.rolled:  # the answer to a roll is one message
        return after, ()
    stream = {"type": "stream", "sender": state.dm_name, "content": text}
    return after, (_message(stream, seq),)


def _said(event: dict[str, Any]) -> dict[str, Any]:
    kind, content = event["message_type"], event["content"]
    if "roll" in event:  # said by its player, however it is stored
        kind = "player"
    if kind == "system":
        return {"type": "system", "content": content}
    sender = event["sender_name"]
    return {"type": "message", "sender": sender, "content": content, "message_type": kind}


def _failed(kind: str, event: dict[str, Any], seq: int) -> Message:
    if kind == "cancelled":
        return _message({"type": "system", "content": "The turn was cancelled."}, seq)
    words = f"Error processing message: {event['message']}"
    return _message({"type": "error", "content": words}, seq)


def _end(state: RpgState, kind: str, seq: int) -> Messages:
    narrative = state.narrative
    if not narrative and kind != "complete":
        return ()
    if not state.rolled:
        end = {"type": "stream_end", "sender": state.dm_name, "full_content": narrative}
        return (_message(end, seq),)
    if kind != "complete" or state.answered:
        return ()
    return (_answer(state, seq),)


def _answer(state: RpgState, seq: int) -> Message:
    said = {"sender": state.dm_name, "content": state.narrative, "message_type": "dm"}
    return _message({"type": "message", **said}, seq)
