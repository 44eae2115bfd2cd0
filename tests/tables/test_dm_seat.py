"""The one seat of a human dungeon master, over processes that share a journal and signals."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import pytest
from app.errors import StoreUnavailable
from app.tables.rooms import Rooms

from fakes.signals import Linked
from fakes.store.journal import Journal
from fakes.store.store import MemoryTurnStore
from journal import NOON
from loops import in_loop

TABLE = 1


class Failing:
    """Tables of a store that is sometimes unavailable, or lets others in before it answers."""

    def __init__(self, tables: Any) -> None:
        self.fails = False
        self._tables = tables

    async def lead(
        self, held: Collection[int], taken: Collection[int], left: Collection[int]
    ) -> Any:
        await asyncio.sleep(0)
        if self.fails:
            raise StoreUnavailable
        return await self._tables.lead(held, taken, left)


class Node:
    """One process. `gone`: names of those who were dismissed."""

    def __init__(self, journal: Journal, processes: list[Linked], gone: list[str]) -> None:
        self.store = MemoryTurnStore(lambda: NOON, journal)
        self.signals, self.tables = Linked(processes), Failing(self.store.tables)
        tables: Any = self.tables
        self.rooms = Rooms(tables, self.signals)
        self._gone = gone

    @property
    def seats(self) -> Any:
        return self.rooms.dm_seats

    def take(self, name: str, table: int = TABLE) -> Callable[[], None]:
        give_up: Callable[[], None] = self.seats.take(table, partial(self._gone.append, name))
        return give_up


class Nodes:
    def __init__(self, count: int = 2) -> None:
        journal, processes = Journal(), list[Linked]()
        self.gone: list[str] = []
        self.every = [Node(journal, processes, self.gone) for _ in range(count)]
        self._journal = journal

    def __iter__(self) -> Any:
        return iter(self.every)

    @property
    def leading(self) -> dict[int, str]:
        return self._journal.tables.leading

    async def settle(self, *, look: bool = False) -> None:
        """Until nobody has anything to do. `look`: each looks by itself first."""
        for node in self.every:
            if look:
                await node.seats.refresh()
        for node in (*self.every, *self.every):
            await node.seats.aclose()


@pytest.mark.parametrize("table", [TABLE, TABLE + 1])
@in_loop
async def test_who_takes_the_seat_last_has_it(table: int) -> None:
    nodes = Nodes()
    here, there = nodes
    here.take("first")
    await nodes.settle()
    there.take("second", table)
    await nodes.settle()
    assert nodes.gone == (["first"] if table == TABLE else [])
    here.take("third")
    await nodes.settle()
    assert nodes.gone == (["first", "second"] if table == TABLE else ["first"])


@pytest.mark.parametrize("late", [(False, False), (True, False), (False, True), (True, True)])
@in_loop
async def test_of_two_who_take_the_seat_at_the_same_moment_one_has_it(
    late: tuple[bool, bool],
) -> None:
    nodes = Nodes()
    for number, node in enumerate(nodes):
        node.signals.late = late[number]
        node.take(f"{number}")
    await nodes.settle()
    for node in nodes:
        node.signals.deliver()
    await nodes.settle()
    assert len(nodes.gone) == 1


@in_loop
async def test_what_no_signal_has_said_is_found_at_the_next_look() -> None:
    nodes = Nodes()
    here, there = nodes
    here.take("first")
    await nodes.settle()
    there.signals.lost = True
    there.take("second")
    await nodes.settle()
    assert nodes.gone == []  # two of them, until one hears
    await nodes.settle(look=True)
    assert nodes.gone == ["first"]
    await nodes.settle(look=True)
    assert nodes.gone == ["first"]


@in_loop
async def test_process_that_was_given_up_meanwhile_takes_nothing_back() -> None:
    nodes = Nodes()
    here, there = nodes
    here.take("first")
    await nodes.settle()
    await here.store.aclose()  # as others see it
    there.signals.lost = True
    give_up = there.take("second")
    await nodes.settle(look=True)
    assert nodes.gone == ["first"]
    give_up()
    await nodes.settle()
    assert nodes.leading == {}


@in_loop
async def test_seat_that_nobody_else_has_taken_is_kept_by_a_process_that_was_given_up() -> None:
    nodes = Nodes()
    here, there = nodes
    here.take("first")
    await nodes.settle()
    await here.store.aclose()
    await nodes.settle(look=True)
    assert (nodes.gone, len(nodes.leading)) == ([], 1)
    there.take("second")
    await nodes.settle()
    assert nodes.gone == ["first"]


@in_loop
async def test_who_was_dismissed_leaves_the_seat_to_its_holder() -> None:
    nodes = Nodes()
    here, there = nodes
    first = here.take("first")
    await nodes.settle()
    there.take("second")
    first()  # before it has heard
    witness = there.rooms.attend(TABLE, "mara", "Mara")
    await nodes.settle()
    assert nodes.gone == []  # the first one has left by itself
    assert len(nodes.leading) == 1
    assert "dm_left" not in str(list(witness.posts))
    witness.close()
    await nodes.settle()


@in_loop
async def test_what_an_unavailable_store_did_not_take_is_stored_later() -> None:
    nodes = Nodes()
    here, there = nodes
    there.take("first")
    await nodes.settle()
    here.tables.fails = True
    give_up = here.take("second")
    await nodes.settle(look=True)
    assert nodes.gone == []
    here.tables.fails = False
    await nodes.settle(look=True)
    assert nodes.gone == ["first"]
    here.tables.fails = True
    give_up()
    await nodes.settle()
    here.tables.fails = False
    await nodes.settle(look=True)
    assert nodes.leading == {}


@pytest.mark.parametrize("order", list(itertools.product("hta", repeat=4)))
@in_loop
async def test_however_seats_are_taken_and_signals_lost_one_is_left(order: tuple[str, ...]) -> None:
    """h: taken here; t: taken there; a: the last one who took it gives it up."""
    nodes = Nodes()
    here, there = nodes
    here.signals.lost = there.signals.lost = True
    leave: Callable[[], None] | None = None
    taken: list[str] = []
    for number, step in enumerate(order):
        if step == "a":
            if leave is not None:
                leave()
                leave = None
                taken.pop()
        else:
            leave = (here if step == "h" else there).take(f"{number}")
            taken.append(f"{number}")
        await nodes.settle()
    await nodes.settle(look=True)
    await nodes.settle(look=True)
    assert len(here.seats._held) + len(there.seats._held) <= 1
    if leave is not None:
        assert sorted(nodes.gone) == taken[:-1]
