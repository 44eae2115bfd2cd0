"""A late reader is greeted with the lines that are not in the stream: every line comes once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from app.adapters.event_log.memory import MemoryEventLog
from app.core.access import Caller
from app.core.tables import NewLine, Seat, TableRules
from app.ports.signals import NoSignals
from app.tables.events import Position
from app.tables.feed import TableFeed
from app.tables.news import Sources, TableNews
from app.tables.rooms import Rooms
from app.turns.open_turn import OpenTurn

from fakes.store.store import MemoryTurnStore
from journal import HASH, NOON, ending, turn_request
from loops import in_loop

MARA = Caller("mara", frozenset({"tables"}))
STORY = NewLine("Ada", "The bell answers.", "dm", turn_id="t1")


class Between:
    """A store at which `happens` once, right behind the first call of `method`."""

    def __init__(self, tables: Any, method: str, happens: Callable[[], Awaitable[None]]) -> None:
        self._tables = tables
        self._method = method
        self._happens = happens

    def __getattr__(self, name: str) -> Any:
        if name != self._method:
            return getattr(self._tables, name)

        async def call(*arguments: Any) -> Any:
            found = await getattr(self._tables, name)(*arguments)
            self._method = ""
            await self._happens()
            return found

        return call


class Turns:
    """Those of the store, once they have ended."""

    def __init__(self, store: MemoryTurnStore) -> None:
        self._store = store

    async def open(self, turn_id: str, caller: Caller) -> OpenTurn:
        found = await self._store.entries(turn_id) or []
        return OpenTurn(turn_id, "", MemoryEventLog().sealed(turn_id, found), None)


@pytest.mark.parametrize("method", ["lines", "turns", "find"])
@in_loop
async def test_turn_that_ends_while_somebody_joins_is_shown_once(method: str) -> None:
    store = MemoryTurnStore(lambda: NOON)
    table = await store.tables.create(Seat("mara", "Mara"), "The Anchor", "Ada", TableRules(), NOON)
    request = turn_request(kind="table", exclusive=table.key, character_id="")
    admitted: Any = await store.admit("t1", request, HASH)
    await store.tables.say(table.id, NewLine("Mara", "I knock.", "player", "mara"), NOON)

    async def ends() -> None:
        await store.finish(admitted.claim, ending(lines=[STORY]))

    tables: Any = Between(store.tables, method, ends)
    turns: Any = Turns(store)
    rooms = Rooms(store.tables, NoSignals())
    attendant = rooms.attend(table.id, "mara", "Mara")
    sources = Sources(turns, tables, TableNews(tables))
    feed = TableFeed(sources, attendant, table, MARA, Position(), past=False)
    await feed.begin()
    greeted = await store.tables.lines(table.id, "mara", 20, feed.first_line)
    rooms.said(table.id)
    contents = [line.said.content for line in greeted]
    async for _, entries in feed:
        kinds = [kind for number, kind, _ in entries if number]
        contents += ["The bell answers." for kind in kinds if kind in ("message", "metadata")]
        if any(kind == "presence" for _, kind, _ in entries):
            break
        attendant.post((0, "presence", b"{}"))
    assert contents == ["I knock.", "The bell answers."]
