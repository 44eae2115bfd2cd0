"""What every store must do about a table's budget: reserve in the claim, settle in the end."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from app.core.money import NOTHING, Amount, Spent
from app.core.tables import Seat, Table, TableRules
from app.errors import TokenBudgetExceeded
from app.ports.store import Admitted, Choice, Queued, TurnRequest
from store_adapters import ADAPTERS, Stores, admitted

from journal import HASH, NOON, ending, entries, record, recording, turn_request
from loops import in_loop

OWNER = Seat("olga", "Olga", joined_at=NOON)
BUDGETS = [Amount(100), Amount(micros=50), Amount(100, 1_000), Amount(1_000, 50)]
"""Of reservations of 30 tokens and 15 micro-dollars, each has room for four."""
ROOM = 4
PROCESSES = [("sqlite", 1), ("memory", 2), ("postgres", 2)]


@pytest.fixture(params=ADAPTERS)
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    return Stores(request.param, tmp_path)


async def a_table(store: Any) -> Table:
    table = await store.tables.create(OWNER, "The Anchor", "Dungeon Master", TableRules(), NOON)
    assert isinstance(table, Table)
    return table


def asked(table: Table, budget: Amount, **fields: Any) -> TurnRequest:
    usual = {"kind": "table", "exclusive": table.key, "character_id": "", "reserved": 30}
    shared = {"shared_tokens": budget.tokens, "shared_micros": budget.micros}
    return turn_request(**usual, **shared, reserved_micros=15, **fields)


async def held(store: Any, request: TurnRequest) -> Any:
    """A turn that awaits its commit."""
    found = await store.admit("held", request, HASH, 32)
    await store.hold(found.claim, record("held"), entries(1), recording())
    return found.claim


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
@pytest.mark.parametrize("processes", PROCESSES, ids=str)
@in_loop
async def test_as_many_turns_and_retellings_at_once_are_taken_as_have_room(
    processes: tuple[str, int], tmp_path: Path, budget: Amount
) -> None:
    adapter, number = processes
    stores = Stores(adapter, tmp_path)
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(stores.process()) for _ in range(number)]
        table = await a_table(opened[0])
        await held(opened[0], asked(table, budget))

        def admits(n: int) -> Any:
            return opened[n % number].admit(
                f"t{n}", asked(table, budget, user_id=f"u{n}"), HASH, 32
            )

        def retells(n: int) -> Any:
            again = Amount(30, 15), NOTHING, budget
            return opened[n % number].choose("held", Choice("retell"), *again)

        def asks(n: int) -> Any:
            tables = opened[n % number].tables
            return tables.reserve(table.id, f"r{n}", Amount(30, 15), budget)

        calls = [one(n) for n in range(6) for one in (asks, admits, retells)]
        found = await asyncio.gather(*calls, return_exceptions=True)
        taken = sum(isinstance(one, Queued) or one is True or one is None for one in found)
        refused = sum(isinstance(one, TokenBudgetExceeded) for one in found)
        assert taken == ROOM - 1  # beside the one that awaits its commit
        assert refused + found.count(False) == len(calls) - taken
        assert (await opened[0].tables.spent(table.id)).reserved == Amount(30 * ROOM, 15 * ROOM)


@in_loop
async def test_end_of_a_turn_makes_room_for_what_it_did_not_use(stores: Stores) -> None:
    async with stores.process() as store:
        table = await a_table(store)
        request = asked(table, Amount(60))
        running = await admitted_as(store, "t1", request)
        assert isinstance(await store.admit("t2", request, HASH, 32), Queued)
        with pytest.raises(TokenBudgetExceeded, match="The session has used its 60 tokens"):
            await store.admit("t3", request, HASH, 32)
        assert await store.turn("t3") is None
        await store.finish(running, ending(spent=Amount(29, 1)))
        assert isinstance(await store.admit("t3", request, HASH, 32), Queued)
        with pytest.raises(TokenBudgetExceeded):
            await store.admit("t4", request, HASH, 32)
        assert await store.tables.spent(table.id) == Spent(Amount(29, 1), Amount(60, 30))


@in_loop
async def test_repeated_key_is_no_question_of_the_budget(stores: Stores) -> None:
    async with stores.process() as store:
        table = await a_table(store)
        request = asked(table, Amount(30), idempotency_key="k")
        await admitted_as(store, "t1", request)
        assert (await store.admit("t2", request, HASH, 32)).turn_id == "t1"
        other = replace(request, idempotency_key="other")
        with pytest.raises(TokenBudgetExceeded):
            await store.admit("t2", other, HASH, 32)
        assert await store.find_by_key(request.user_id, "other", HASH) is None


@in_loop
async def test_budgets_of_tables_are_apart(stores: Stores) -> None:
    async with stores.process() as store:
        for number, table in enumerate([await a_table(store), await a_table(store)]):
            await admitted_as(store, f"t{number}", asked(table, Amount(30)))
        await admitted(store, "mine", reserved=1_000)


@in_loop
async def test_what_a_dead_process_had_set_aside_is_so_until_its_turns_end(stores: Stores) -> None:
    async with stores.process() as store:
        table = await a_table(store)
        request = asked(table, Amount(60))
        await admitted_as(store, "t1", request)
        await store.admit("t2", request, HASH, 32)
    async with stores.process() as store:
        first, _ = [one.claim for one in await store.adopt()]
        with pytest.raises(TokenBudgetExceeded):
            await store.admit("t3", request, HASH, 32)
        await store.finish(first, ending("error", spent=None))
        assert await store.tables.spent(table.id) == Spent(Amount(30, 15), Amount(30, 15))
        with pytest.raises(TokenBudgetExceeded):
            await store.admit("t3", request, HASH, 32)


@in_loop
async def test_what_is_used_beside_turns_is_set_aside_and_settled(stores: Stores) -> None:
    async with stores.process() as store:
        table, budget = await a_table(store), Amount(60, 60)
        for name in "ab":
            await store.tables.reserve(table.id, name, Amount(30, 15), budget)
        with pytest.raises(TokenBudgetExceeded, match="The session has used its 60 tokens"):
            await store.tables.reserve(table.id, "c", Amount(30, 15), budget)
        with pytest.raises(TokenBudgetExceeded):
            await store.admit("t1", asked(table, budget), HASH, 32)
        await store.tables.settle("a", Amount(29, 2))
        assert await store.tables.spent(table.id) == Spent(Amount(29, 2), Amount(30, 15))
        await admitted_as(store, "t1", asked(table, budget))
        with pytest.raises(TokenBudgetExceeded):
            await store.tables.reserve(table.id, "c", Amount(30, 15), budget)
        await store.adopt()  # takes nothing away from the living
        assert await store.tables.spent(table.id) == Spent(Amount(29, 2), Amount(60, 30))
        await store.tables.delete(table.id)
        await store.tables.settle("b", Amount(30))
        assert await store.cost_of(table.key) == 0


@in_loop
async def test_what_a_dead_process_had_set_aside_beside_turns_is_charged(stores: Stores) -> None:
    async with stores.process() as store:
        table, budget = await a_table(store), Amount(31)
        await store.tables.reserve(table.id, "a", Amount(30, 15), budget)
    async with stores.process() as store:
        await store.adopt()
        assert await store.tables.spent(table.id) == Spent(Amount(30, 15))
        await store.tables.settle("a", Amount(7, 7))
        await store.tables.reserve(table.id, "b", Amount(30, 15), budget)
        await store.adopt()
        assert await store.tables.spent(table.id) == Spent(Amount(30, 15), Amount(30, 15))


async def admitted_as(store: Any, turn_id: str, request: TurnRequest) -> Any:
    found = await store.admit(turn_id, request, HASH, 32)
    assert isinstance(found, Admitted)
    await found.durable
    return found.claim
