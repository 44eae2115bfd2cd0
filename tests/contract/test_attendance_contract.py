"""What every store must do about connections to tables: processes know of each other's."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from store_adapters import Stores

from loops import in_loop

ODD = "Él\0 \\ise"
HERE = {1: {"olga": "Olga", "mara": ODD}, 2: {"olga": "Olga"}, 3: {}}


@pytest.fixture(params=["memory", "postgres"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    return Stores(request.param, tmp_path)


@in_loop
async def test_each_process_knows_who_is_connected_to_the_others(stores: Stores) -> None:
    async with AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(stores.process()) for _ in range(2)]
        for store in (one, other):
            await store.adopt()  # as at the start of a service
        for _ in range(2):  # said again it is the same
            await one.tables.meet(HERE)
        assert dict(await other.tables.elsewhere(1)) == HERE[1]
        assert dict(await other.tables.elsewhere(3)) == {}
        assert dict(await one.tables.elsewhere(1)) == {}
        found = await other.tables.meet({1: {"mara": ODD}, 2: {}})
        assert {at: dict(names) for at, names in found.items()} == {1: HERE[1], 2: HERE[2]}
        assert dict(await one.tables.elsewhere(1)) == {"mara": ODD}
        await one.tables.meet({1: {"otto": "Otto"}})
        assert dict(await other.tables.elsewhere(1)) == {"otto": "Otto"}
        assert dict(await other.tables.elsewhere(2)) == HERE[2]


@in_loop
async def test_process_that_ends_leaves_nobody_connected(stores: Stores) -> None:
    async with stores.process() as one:
        async with stores.process() as other:
            await other.adopt()
            await other.tables.meet(HERE)
            assert dict(await one.tables.elsewhere(1)) == HERE[1]
        assert dict(await one.tables.elsewhere(1)) == {}


@in_loop
async def test_dungeon_master_of_a_table_is_connected_to_the_process_that_says_so_last(
    stores: Stores,
) -> None:
    async with AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(stores.process()) for _ in range(2)]
        for store in (one, other):
            await store.adopt()
        for _ in range(2):  # said again it is the same
            assert not await one.tables.lead({1, 2, 3}, {1, 2}, set())
        assert set(await other.tables.lead({1, 3, 4}, set(), set())) == {1, 3}
        assert not await other.tables.lead({1}, {1}, set())
        assert set(await one.tables.lead({1, 2}, set(), set())) == {1}
        assert set(await one.tables.lead(set(), set(), {1, 2})) == {1}  # not one's own to leave
        assert not await other.tables.lead({1, 2}, set(), set())
        assert set(await one.tables.lead({1, 2}, set(), set())) == {1, 2}


@in_loop
async def test_process_that_ends_leaves_the_seats_of_its_dungeon_masters(stores: Stores) -> None:
    async with stores.process() as one:
        async with stores.process() as other:
            await other.adopt()
            await one.adopt()
            await other.tables.lead({1}, {1}, set())
            assert set(await one.tables.lead({1}, set(), set())) == {1}
        assert not await one.tables.lead({1}, set(), set())


@in_loop
async def test_seats_that_are_taken_at_once_in_any_order_are_all_taken(stores: Stores) -> None:
    tables = range(1, 9)
    async with AsyncExitStack() as stack:
        every = [await stack.enter_async_context(stores.process()) for _ in range(2)]
        for store in every:
            await store.adopt()
        for _ in range(6):
            orders = list(tables), list(reversed(tables))
            await asyncio.gather(
                *(s.tables.lead(o, o, ()) for s, o in zip(every, orders, strict=True))
            )
            held = [set(await store.tables.lead(tables, (), ())) for store in every]
            assert held[0] | held[1] == set(tables)
            assert not held[0] & held[1]


@in_loop
async def test_store_of_one_process_knows_nobody_elsewhere(tmp_path: Path) -> None:
    async with Stores("sqlite", tmp_path).process() as store:
        assert not any((await store.tables.meet(HERE)).values())
        assert not await store.tables.elsewhere(1)
        assert not await store.tables.lead({1}, {1}, {2})
