"""The changes at a table, looked up once for all its readers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Final, NamedTuple

from app.core.tables import Line, Seat, Table
from app.loop import urgent
from app.ports.tables import TableStore, TableTurn
from app.turns.service import TurnService

MAX_LINES: Final = 256  # at a time


class News(NamedTuple):
    """`table`: None where it was deleted. `seats`: of those who are there, by user."""

    table: Table | None
    seats: Mapping[str, Seat]
    lines: Sequence[Line]
    turns: Sequence[TableTurn]


class TableNews:
    """Readers that stand at the same place share one look-up for each change."""

    def __init__(self, tables: TableStore) -> None:
        self._tables = tables
        self._running: dict[tuple[int, int, int, str | None], asyncio.Task[News]] = {}

    async def since(self, table_id: int, changes: int, line_id: int, turn_id: str | None) -> News:
        """Lines behind that one and turns behind that one. `changes`: how many there were by now; a look-up
        that began before the latest of them may miss it, and is not shared. Raises as the store does."""
        key = table_id, changes, line_id, turn_id
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.create_task(
                self._read(table_id, line_id, turn_id), name="table-news", context=urgent()
            )
            task.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(task)  # one reader that leaves takes nothing from the others

    def _forget(self, key: tuple[int, int, int, str | None], done: asyncio.Task[News]) -> None:
        del self._running[key]
        if not done.cancelled():
            done.exception()  # its readers have it, if there are any left

    async def _read(self, table_id: int, line_id: int, turn_id: str | None) -> News:
        """Lines before turns: whichever turn began before a line is then known, too. And once more behind a
        new turn, up to the line behind which it began: it was stored before it, perhaps since."""
        table = await self._tables.find(table_id)
        if table is None:
            return News(None, {}, (), ())
        seats = {seat.user_id: seat for seat in await self._tables.seats(table_id)}
        lines = await self._tables.lines_since(table_id, line_id, MAX_LINES)
        turns = await self._tables.turns(table_id, turn_id)
        latest = lines[-1].id if lines else line_id
        reach = max((turn.behind or 0 for turn in turns), default=0)
        if latest < reach and len(lines) < MAX_LINES:
            since = await self._tables.lines_since(table_id, latest, MAX_LINES - len(lines))
            lines = [*lines, *takewhile(lambda line: line.id <= reach, since)]
        return News(table, seats, lines, turns)


class Sources(NamedTuple):
    """Where feeds read."""

    turns: TurnService
    tables: TableStore
    news: TableNews
