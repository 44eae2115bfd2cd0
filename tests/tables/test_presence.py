"""Who is connected to a table, over processes that share a journal and signals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from app.errors import StoreUnavailable
from app.tables.room import Attendant
from app.tables.rooms import Rooms

from fakes.signals import Linked
from fakes.store.journal import Journal
from fakes.store.store import MemoryTurnStore
from journal import NOON
from loops import in_loop

TABLE = 1
Heard = list[tuple[str, bool]]


class Failing:
    """Tables of a store that is sometimes unavailable."""

    def __init__(self, tables: Any) -> None:
        self.fails = False
        self._tables = tables

    async def meet(self, here: Mapping[int, Mapping[str, str]]) -> Any:
        if self.fails:
            raise StoreUnavailable
        return await self._tables.meet(here)

    async def elsewhere(self, table_id: int) -> Any:
        return await self._tables.elsewhere(table_id)


class Node:
    """One process."""

    def __init__(self, journal: Journal, processes: list[Linked]) -> None:
        self.store = MemoryTurnStore(lambda: NOON, journal)
        self.signals, self.tables = Linked(processes), Failing(self.store.tables)
        tables: Any = self.tables
        self.rooms = Rooms(tables, self.signals)
        self.presence = self.rooms.presence

    async def comes(self, user: str) -> Attendant:
        attendant = self.rooms.attend(TABLE, user, user.title())
        assert attendant.met is not None
        await attendant.met.wait()
        return attendant


class Nodes:
    def __init__(self, count: int = 2) -> None:
        journal, processes = Journal(), list[Linked]()
        self.every = [Node(journal, processes) for _ in range(count)]

    def __iter__(self) -> Any:
        return iter(self.every)

    async def settle(self, *, look: bool = False) -> None:
        """Until nobody has anything to do. `look`: each looks by itself first."""
        for node in self.every:
            if look:
                await node.presence.refresh()
        for node in (*self.every, *self.every):
            await node.presence.aclose()

    async def present(self) -> list[set[str]]:
        return [await node.presence.of(TABLE) for node in self.every]


def heard(attendant: Attendant) -> Heard:
    """Who has come (True) and gone since the last time."""
    events = [json.loads(data) for _, _, data in attendant.posts]
    attendant.posts.clear()
    return [(event["player_name"], event["present"]) for event in events]


@in_loop
async def test_members_hear_who_comes_and_goes_on_another_node() -> None:
    nodes = Nodes()
    here, there = nodes
    early = await there.comes("otto")
    olga = await here.comes("olga")
    await nodes.settle()
    assert (heard(olga), heard(early)) == ([], [("Olga", True)])
    mara = await there.comes("mara")
    await nodes.settle()
    assert [heard(one) for one in (olga, early, mara)] == [[("Mara", True)], [("Mara", True)], []]
    assert await nodes.present() == [{"olga", "otto", "mara"}] * 2
    mara.close()
    await nodes.settle()
    assert [heard(one) for one in (olga, early)] == [[("Mara", False)]] * 2
    assert await nodes.present() == [{"olga", "otto"}] * 2


@in_loop
async def test_user_with_connections_to_two_nodes_is_there_until_both_are_gone() -> None:
    nodes = Nodes(3)
    here, there, third = nodes
    olga, witness = await here.comes("olga"), await third.comes("otto")
    await nodes.settle()
    heard(olga)
    twice = [await node.comes("mara") for node in (here, there, there)]
    for number, one in enumerate(twice):
        await nodes.settle()
        one.close()
        await nodes.settle()
        gone = [("Mara", False)] if number == 2 else []
        came = [("Mara", True)] if number == 0 else []
        assert heard(olga) == heard(witness) == came + gone
        assert await nodes.present() == [{"olga", "otto"} | (set() if gone else {"mara"})] * 3


@in_loop
async def test_what_no_signal_has_said_is_found_at_the_next_look() -> None:
    nodes = Nodes()
    here, there = nodes
    olga = await here.comes("olga")
    there.signals.lost = True
    await there.comes("mara")
    await nodes.settle()
    assert heard(olga) == []
    await nodes.settle(look=True)
    assert heard(olga) == [("Mara", True)]
    await there.store.aclose()  # the process is gone, and has said nothing
    await here.presence.refresh()
    await here.presence.aclose()
    assert heard(olga) == [("Mara", False)]
    assert await here.presence.of(TABLE) == {"olga"}


@in_loop
async def test_what_an_unavailable_store_did_not_take_is_stored_later() -> None:
    nodes = Nodes()
    here, there = nodes
    olga = await here.comes("olga")
    for comes in (True, False):
        there.tables.fails = True
        if comes:
            mara = await there.comes("mara")
        else:
            mara.close()
        await nodes.settle()
        assert heard(olga) == []
        there.tables.fails = False
        await nodes.settle(look=True)
        assert heard(olga) == [("Mara", comes)]
