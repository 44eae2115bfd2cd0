"""What every store does with the round of a table."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from app.core.rounds import NEVER, Round
from app.core.table_prompt import Deed
from app.core.tables import NewLine, Seat, TableRules
from store_adapters import ADAPTERS, Stores

from journal import NOON
from loops import in_loop


@pytest.fixture(params=ADAPTERS)
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    return Stores(request.param, tmp_path)


async def a_table(store: Any) -> int:
    seat = Seat("olga", "Olga", joined_at=NOON)
    table = await store.tables.create(seat, "The Anchor", "Ada", TableRules(), NOON)
    return int(table.id)


def acting(name: str, until: float | None = None) -> Any:
    """What adds a deed to a round; the text holds what a database may not like."""
    deed = Deed(user_id=name, player_name=name, action=f"{name}: \\ \0 é \U0001f525")
    return lambda known: known.begun(name, f"key of {name}", until).with_deed(deed)


@in_loop
async def test_a_round_outlives_its_process_with_the_lines_that_came_with_it(
    stores: Stores,
) -> None:
    said = NewLine("ann", "I knock.", "player", "ann")
    async with stores.process() as store:
        table = await a_table(store)
        assert await store.tables.round(table) == Round()
        assert await store.tables.rounds_due() == []
        made = await store.tables.change_round(table, acting("ann", 7.0), NOON, said)
        assert [deed.user_id for deed in made.deeds] == ["ann"]
    async with stores.process() as store:
        assert await store.tables.round(table) == made
        assert await store.tables.rounds_due() == [(table, 7.0)]
        assert [line.said for line in await store.tables.lines(table, "ann", 9)] == [said]


@in_loop
async def test_unchanged_round_publishes_nothing(stores: Stores) -> None:
    said = NewLine("ann", "I knock.", "player", "ann")
    async with stores.process() as store:
        table = await a_table(store)
        found = await store.tables.change_round(table, lambda _: None, NOON, said)
        assert found == Round()
        assert await store.tables.lines(table, "ann", 9) == []


@in_loop
async def test_deeds_at_once_are_all_kept(stores: Stores) -> None:
    names = [f"p{number}" for number in range(8)]
    async with stores.process() as store:
        table = await a_table(store)
        await asyncio.gather(
            *(store.tables.change_round(table, acting(name), NOON) for name in names)
        )
        found = await store.tables.round(table)
        assert sorted(deed.user_id for deed in found.deeds) == names
        assert await store.tables.rounds_due() == [(table, NEVER)]
        await store.tables.change_round(table, lambda known: known.next(), NOON)
        assert await store.tables.rounds_due() == []


@in_loop
async def test_a_round_goes_with_its_table(stores: Stores) -> None:
    async with stores.process() as store:
        table = await a_table(store)
        await store.tables.change_round(table, acting("ann"), NOON)
        await store.tables.delete(table)
        assert await store.tables.round(table) == Round()
        assert await store.tables.rounds_due() == []
