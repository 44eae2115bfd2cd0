"""What every store must do about connections to tables: processes know of each other's."""

from __future__ import annotations

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
async def test_store_of_one_process_knows_nobody_elsewhere(tmp_path: Path) -> None:
    async with Stores("sqlite", tmp_path).process() as store:
        assert not any((await store.tables.meet(HERE)).values())
        assert not await store.tables.elsewhere(1)
