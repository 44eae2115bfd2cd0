"""What every `TurnStore` does with outcomes that await their commit."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from app.core.money import Amount, Spent
from app.core.tables import NewLine, Seat, Table, TableRules
from app.errors import TokenBudgetExceeded
from app.ports.store import CancelVerdict, Choice, Claim, Held, TurnStore, Verdict, Writing
from app.ports.tables import TableNews
from store_adapters import ADAPTERS, Stores, admitted, queued

from journal import NOON, USER, ending, entries, planned, record, recording
from loops import in_loop

COMMIT, RETELL = Choice("commit"), Choice("retell", "quieter \0 é")


@pytest.fixture(params=list(ADAPTERS))
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    return Stores(request.param, tmp_path)


async def hold(store: TurnStore, claim: Claim, first: int = 1) -> Verdict:
    plan = record(claim.turn_id, planned(first))
    return await store.hold(claim, plan, entries(first, 3), recording())


async def held(store: TurnStore, turn_id: str = "t1", **fields: Any) -> Claim:
    """A turn that awaits its commit."""
    claim = await admitted(store, turn_id, **fields)
    assert await hold(store, claim) is Verdict.STORED
    return claim


async def write(store: TurnStore, claim: Claim) -> Verdict:
    return await store.validate(claim, record("t1", planned(1)), entries(4), recording())


@in_loop
async def test_a_held_turn_is_running_and_its_events_are_kept(stores: Stores) -> None:
    async with stores.process() as store:
        await held(store)
        stored = await store.turn("t1", recording=True)
        assert stored is not None
        assert (stored.status, stored.recording) == ("running", recording())
        assert await store.entries("t1") == entries(1, 3)
        assert await store.choice("t1") is None


@in_loop
async def test_held_outcome_can_be_read_until_a_choice(stores: Stores) -> None:
    changes = {"narrative": "\\ \0 é \U0001f525", "player_options": ["a"]}
    approval = Choice("commit", changes=changes)
    async with stores.process() as store:
        claim = await admitted(store)
        assert await store.held("t1") is None
        await hold(store, claim)
        found = await store.held("t1")
        assert found is not None
        assert found.turn_id == "t1"
        assert await store.choose("t1", approval)
        assert await store.choice("t1") == approval
        assert await store.held("t1") is None


@in_loop
async def test_held_outcome_is_written_only_after_a_commit(stores: Stores) -> None:
    async with stores.process() as store:
        claim = await held(store)
        assert await write(store, claim) is Verdict.LOST
        assert await store.choose("t1", COMMIT)
        assert await store.choice("t1") == COMMIT
        assert await write(store, claim) is Verdict.STORED
        assert await store.finish(claim, ending()) is Verdict.STORED
        assert (await store.entries("t1") or [])[:4] == entries(1, 4)


@in_loop
async def test_one_of_many_choices_is_taken(stores: Stores) -> None:
    async with stores.process() as store:
        await held(store)
        wishes = [Choice("commit" if n % 2 else "retell") for n in range(10)]
        taken = await asyncio.gather(*(store.choose("t1", wish) for wish in wishes))
        assert sum(taken) == 1
        assert await store.choice("t1") == wishes[taken.index(True)]


@in_loop
async def test_retold_outcome_replaces_the_earlier_one(stores: Stores) -> None:
    async with stores.process() as store:
        claim = await held(store)
        assert await hold(store, claim, 4) is Verdict.LOST
        assert await store.choose("t1", RETELL)
        assert await store.choice("t1") == RETELL
        assert await hold(store, claim, 4) is Verdict.STORED
        assert await store.choose("t1", COMMIT)
        assert await store.entries("t1") == entries(1, 6)


@pytest.mark.parametrize("kind", ["commit", "retell", "cancel"])
@in_loop
async def test_choice_for_an_outcome_that_was_retold_since_is_none(
    stores: Stores, kind: Any
) -> None:
    narrative = 'She says: "telling":7, \0 and é.'
    async with stores.process() as store:
        claim = await held(store)
        assert not await store.choose("t1", Choice(kind, telling=2))
        assert await store.choose("t1", replace(RETELL, telling=1))
        retold = record("t1", planned(1), narrative=narrative, telling=2)
        await store.hold(claim, retold, entries(4), recording())
        found = await store.held("t1")
        assert found is not None
        assert found.telling == 2
        for telling in (1, 3, 7):
            assert not await store.choose("t1", Choice(kind, telling=telling))
        assert await store.held("t1") == found
        assert await store.choose("t1", Choice(kind, telling=2))


@pytest.mark.parametrize(
    ("choice", "verdict"),
    [
        (None, CancelVerdict.CANCELLING),
        (RETELL, CancelVerdict.CANCELLING),
        (COMMIT, CancelVerdict.TOO_LATE),
    ],
)
@in_loop
async def test_held_turn_can_be_cancelled_until_it_is_committed(
    stores: Stores, choice: Choice | None, verdict: CancelVerdict
) -> None:
    async with stores.process() as store:
        claim = await held(store)
        if choice is not None:
            assert await store.choose("t1", choice)
        assert await store.begin_cancel("t1") is verdict
        if verdict is CancelVerdict.CANCELLING:
            assert not await store.choose("t1", COMMIT)
            assert await hold(store, claim, 4) is Verdict.CANCELLED
            assert await store.finish(claim, ending("cancelled")) is Verdict.STORED


@pytest.mark.parametrize("kind", ["cancel", "expire"])
@in_loop
async def test_turn_whose_outcome_is_chosen_to_be_cancelled_ends_so(
    stores: Stores, kind: Any
) -> None:
    async with stores.process() as store:
        claim = await held(store)
        assert await store.choose("t1", Choice(kind))
        assert not await store.choose("t1", COMMIT)
        assert await store.begin_cancel("t1") is CancelVerdict.TOO_LATE
        assert await hold(store, claim, 4) is Verdict.CANCELLED
        assert await write(store, claim) is Verdict.CANCELLED
        assert await store.finish(claim, ending()) is Verdict.CANCELLED
        assert await store.finish(claim, ending("cancelled")) is Verdict.STORED
        found = await store.choice("t1")
        assert found is not None
        assert found.kind == kind


@pytest.mark.parametrize(
    ("phase", "stopped"),
    [
        ("streaming", True),
        ("awaiting", True),
        ("retelling", True),
        ("cancelling", False),
        ("committing", False),
        ("writing", False),
        ("done", False),
    ],
)
@in_loop
async def test_change_of_a_table_that_stops_its_turn_cancels_it_with_its_line(
    stores: Stores, phase: str, stopped: bool
) -> None:
    """Unless it is validated or cancelled already. The turn that waits for it goes on."""

    def news(*_: Table) -> TableNews:
        return TableNews(None, NewLine("DM", "X", "system"), NOON, stops=True)

    async with stores.process() as store:
        tables = [
            await store.tables.create(Seat("olga", "Olga"), name, "DM", TableRules(), NOON)
            for name in "ab"
        ]
        of: list[Any] = [
            {"kind": "table", "exclusive": table.key, "character_id": ""} for table in tables
        ]
        claim = await admitted(store, "t1", **of[0])
        await queued(store, "t2", **of[0])
        await admitted(store, "t3", **of[1])
        if phase in ("awaiting", "retelling", "committing", "writing"):
            await hold(store, claim)
        if phase in ("retelling", "committing", "writing"):
            assert await store.choose("t1", RETELL if phase == "retelling" else COMMIT)
        if phase == "writing":
            assert await write(store, claim) is Verdict.STORED
        if phase == "cancelling":
            await store.begin_cancel("t1")
        if phase == "done":
            await store.finish(claim, ending())
        found = await store.tables.change(tables[0].id, lambda known: known, news)
        assert found is not None
        assert found.stopped == ("t1" if stopped else None)
        lines = await store.tables.lines(tables[0].id, "olga", 9)
        assert [line.said.content for line in lines] == ["X"]
        ends = await store.finish(claim, ending("cancelled")) is Verdict.STORED
        assert ends is (stopped or phase == "cancelling")
        assert await store.begin_cancel("t3") is CancelVerdict.CANCELLING
        waits = await store.turn("t2")
        assert waits is not None
        assert waits.status == "queued"


@pytest.mark.parametrize("choice", [None, RETELL, COMMIT])
@in_loop
async def test_held_turn_can_fail_in_every_phase(stores: Stores, choice: Choice | None) -> None:
    async with stores.process() as store:
        claim = await held(store)
        if choice is not None:
            assert await store.choose("t1", choice)
        assert await store.finish(claim, ending("error")) is Verdict.STORED
        assert not await store.choose("t1", COMMIT)


@pytest.mark.parametrize("turn_id", ["t1", "t9"])
@in_loop
async def test_turn_that_is_not_held_takes_no_choice(stores: Stores, turn_id: str) -> None:
    async with stores.process() as store:
        await admitted(store)
        assert not await store.choose(turn_id, COMMIT)
        assert await store.choice(turn_id) is None


@in_loop
async def test_a_choice_sets_tokens_and_money_aside_within_the_budget(stores: Stores) -> None:
    async with stores.process() as store:
        claim = await held(store, reserved=40, reserved_micros=7)
        for budget in (Amount(79, 14), Amount(80, 13)):
            with pytest.raises(TokenBudgetExceeded):
                await store.choose("t1", RETELL, Amount(40, 7), budget)
        assert await store.choose("t1", RETELL, Amount(40, 7), Amount(80, 14))
        assert await store.spent(USER) == Spent(Amount(0), Amount(80, 14))
        await store.finish(claim, ending(spent=Amount(30, 3)))
        assert await store.spent(USER) == Spent(Amount(30, 3), Amount(0))


PHASES = [(None, "awaiting"), (RETELL, "retelling"), (COMMIT, "committing")]


@pytest.mark.parametrize(("choice", "phase"), PHASES)
@in_loop
async def test_the_next_process_finds_it_where_it_was(
    stores: Stores, choice: Choice | None, phase: str
) -> None:
    async with stores.process() as store:
        former = await held(store)
        if choice is not None:
            await store.choose("t1", choice)
    async with stores.process() as store:
        (orphan,) = await store.adopt()
        assert isinstance(orphan.phase, Held)
        assert orphan.phase == Held(orphan.phase.phase, record("t1", planned(1)))
        assert (orphan.phase.phase, orphan.entries) == (phase, entries(1, 3))
        assert await store.choice("t1") == choice
        assert await hold(store, former, 4) is Verdict.LOST
        if choice == COMMIT:
            assert await write(store, orphan.claim) is Verdict.STORED


@in_loop
async def test_once_it_is_written_it_is_found_as_such(stores: Stores) -> None:
    async with stores.process() as store:
        claim = await held(store)
        await store.choose("t1", COMMIT)
        await write(store, claim)
    async with stores.process() as store:
        (orphan,) = await store.adopt()
        assert isinstance(orphan.phase, Writing)
