"""The story so far as a table's lines hold it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from app.core.table_prompt import Spoken
from app.core.tables import ANSWERS, X_CARD, Line
from app.ports.tables import TableStore

OCCASION: Final = "occasion"
"""In the data of a line that a turn answers; the answer has its words, too."""
PAGE: Final = 60
FURTHER_PAGE: Final = 500
FURTHER_PAGES: Final = 10


def spoken(said: Sequence[Line]) -> list[Spoken]:
    """The story and what players said beside it. An action comes with the turn that answers it: one that
    still waits has not happened."""
    found: list[Spoken] = []
    for line in said:
        data = line.said.data or {}
        if OCCASION in data or line.said.message_type == "system" or line.said.recipient:
            continue
        found += [Spoken(player, action) for player, action in data.get(ANSWERS, ()) if action]
        found.append(Spoken(line.said.sender, line.said.content))
    return found


async def newest_lines(tables: TableStore, table_id: int, wanted: int) -> list[Line]:
    """The newest lines, oldest first, with at least `wanted` of the story where there are as many.

    Refused actions and notices are lines, too; however many there are, they displace no story.
    """
    said = await tables.lines(table_id, "", PAGE)
    size = PAGE
    for _ in range(FURTHER_PAGES):
        if len(said) < size or len(spoken(said)) >= wanted:
            break
        older = await tables.lines(table_id, "", FURTHER_PAGE, said[0].id)
        said, size = [*older, *said], len(said) + FURTHER_PAGE
    return said


def x_card_of(said: Sequence[Line]) -> int:
    """The line of the newest X card; 0 if a turn has moved on from it. A turn that was generated before the
    card was played, and counts only since, has not."""
    played = moved_on = 0
    for line in said:
        if (card := (line.said.data or {}).get(X_CARD)) and line.said.turn_id is None:
            played = line.id
        elif card:
            moved_on = card
    return played if played > moved_on else 0
