"""The lines of a table as events, and the positions of readers in its stream."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec

from app.core.encoding import dump
from app.core.events import Entry, stamp
from app.core.shortening import MAX_EVENT, pieces
from app.core.tables import Line

NO_TURN: Final = "-"
_EVENT_ID: Final = re.compile(r"(\d{1,15}):([\w-]{1,64}):(\d{1,15})", re.ASCII)
_HELD_BACK: Final = frozenset(("draft", "scene"))


class Batch(NamedTuple):
    """Entries behind each other. `prefix`: of the ids of those that have a number."""

    prefix: str
    entries: Sequence[Entry]


class Position:
    """The last line seen, the turn read last and the last of its events seen; `seq` moves with every
    token. `prefix`: an event id without its last part."""

    __slots__ = ("line", "prefix", "seq", "turn_id")

    def __init__(self, line: int = 0, turn_id: str = NO_TURN, seq: int = 0) -> None:
        self.move(line, turn_id, seq)

    def move(self, line: int, turn_id: str, seq: int) -> None:
        self.line = line
        self.turn_id = turn_id
        self.seq = seq
        self.prefix = f"{line}:{turn_id}"


def position_of(event_id: str) -> Position:
    """The start for what is no id of a table's stream. Parts of it come back in the ids that follow."""
    found = _EVENT_ID.fullmatch(event_id)
    return Position() if found is None else Position(int(found[1]), found[2], int(found[3]))


def line_entries(line: Line, seq: int) -> list[Entry]:
    """The event of a line; several, of which only the last one has the number, where its text is too long
    for one. Each of these has its `part` of so many `parts`."""
    event = _line_event(line)
    content = line.said.content
    data = dump(event)
    if len(data) <= MAX_EVENT:
        return [(seq, event["type"], data.encode("ascii"))]
    texts = pieces(content)
    parts = [
        {**event, "content": text, "part": part, "parts": len(texts)}
        for part, text in enumerate(texts, start=1)
    ]
    numbers = [*(0 for _ in parts[1:]), seq]
    return [
        (number, one["type"], dump(one).encode("ascii"))
        for number, one in zip(numbers, parts, strict=True)
    ]


def _line_event(line: Line) -> dict[str, Any]:
    said = line.said
    rolled = (said.data or {}).get("dice")
    if rolled is not None:
        about = {"id": line.id, "session_id": line.table_id, "sender_name": said.sender}
        head = {"type": "dice", "timestamp": stamp(line.created_at), **about}
        return {**head, "content": said.content, **rolled}
    event: dict[str, Any] = {
        "type": "message",
        "timestamp": stamp(line.created_at),
        "id": line.id,
        "session_id": line.table_id,
        "sender_name": said.sender,
        "content": said.content,
        "message_type": said.message_type,
        "private": said.recipient is not None,
    }
    roll = (said.data or {}).get("roll")
    return event if roll is None else {**event, "roll": roll}


def visible(entries: Sequence[Entry], *, moderates: bool) -> Sequence[Entry]:
    """The entries that one reader may see: drafts and notes are for moderators only."""
    if moderates:
        return entries
    for _, kind, _ in entries:
        if kind in _HELD_BACK:
            break
    else:
        return entries
    seen = [one for one in entries if one[1] != "draft"]
    return [_without_notes(one) if one[1] == "scene" else one for one in seen]


@lru_cache(maxsize=64)  # each reader of a table asks for the same one
def _without_notes(entry: Entry) -> Entry:
    seq, kind, data = entry
    event = msgspec.json.decode(data) | {"dm_notes": None}
    return seq, kind, dump(event).encode("ascii")
