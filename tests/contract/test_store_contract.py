"""What every `TurnStore` does. An adapter joins by one line in `store_adapters`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from app.adapters.store.retention import WEEK, Retention
from app.core.context import CharacterProgress
from app.core.money import NOTHING, Amount, DaySpent, Spent
from app.errors import IdempotencyKeyReused, TokenBudgetExceeded
from app.ports.store import (
    Admitted,
    Attached,
    Busy,
    CancelVerdict,
    Claim,
    DeliveryProgress,
    Queued,
    TurnRequest,
    TurnStore,
    Verdict,
    Writing,
)
from store_adapters import ADAPTERS, Stores, admitted, queued

from journal import (
    CHARACTER,
    HASH,
    NOON,
    OTHER_HASH,
    USER,
    ending,
    entries,
    planned,
    record,
    recording,
    turn_request,
)
from loops import in_loop

DAY = 86_400.0


@pytest.fixture(params=list(ADAPTERS))
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    return Stores(request.param, tmp_path)


async def validated(store: TurnStore, turn_id: str = "t1", writes: int = 1) -> Claim:
    """A turn in the middle of its writes."""
    claim = await admitted(store, turn_id)
    plan = record(turn_id, *(planned(number) for number in range(1, writes + 1)))
    verdict = await store.validate(claim, plan, entries(1, 3), recording())
    assert verdict is Verdict.STORED
    return claim


# -- admission ------------------------------------------------------------------------------------


@in_loop
async def test_an_admitted_turn_is_running_and_readable(stores: Stores) -> None:
    async with stores.process() as store:
        claim = await admitted(store, user_action="é \U0001f525", traceparent="trace")
        stored = await store.turn("t1")
    assert claim == Claim("t1", 1)
    assert stored is not None
    assert (stored.status, stored.user_id, stored.character_id) == ("running", USER, CHARACTER)
    assert (stored.created_at, stored.finished_at, stored.result) == (NOON, None, None)
    assert stored.request["user_action"] == "é \U0001f525"
    assert stored.request["traceparent"] == "trace"


@in_loop
async def test_an_unknown_turn_is_none(stores: Stores) -> None:
    async with stores.process() as store:
        assert await store.turn("t9") is None
        assert await store.entries("t9") is None


@in_loop
async def test_one_turn_at_a_time_has_an_exclusive_key(stores: Stores) -> None:
    async with stores.process() as store:
        await admitted(store)
        assert await store.admit("t2", turn_request(), HASH) == Busy("t1")
        assert isinstance(await store.admit("t3", turn_request(user_id="ben"), HASH), Admitted)
        assert isinstance(await store.admit("t4", turn_request(character_id="c2"), HASH), Admitted)
        assert await store.turn("t2") is None


@in_loop
async def test_an_exclusive_key_need_not_be_a_character(stores: Stores) -> None:
    async with stores.process() as store:
        await admitted(store, exclusive="table:1")
        other = turn_request(character_id="c2", user_id="ben", exclusive="table:1")
        assert await store.admit("t2", other, HASH) == Busy("t1")
        await admitted(store, "t3", character_id="c3")


@in_loop
async def test_a_character_plays_at_one_place_at_a_time(stores: Stores) -> None:
    async with stores.process() as store:
        tables = [turn_request(kind="table", exclusive=f"table:{n}") for n in (1, 2)]
        alone, others = turn_request(), turn_request(kind="table", exclusive="table:1", user_id="b")
        claim = await admitted(store, "t1", kind="table", exclusive="table:1")
        assert await store.admit("t2", alone, HASH, 9) == Busy(None)
        assert await store.admit("t3", tables[1], HASH, 9) == Busy(None)
        assert isinstance(await store.admit("t4", others, HASH, 9), Queued)
        assert isinstance(await store.admit("t5", tables[0], HASH, 9), Queued)
        await store.finish(claim, ending())
        assert await store.admit("t6", alone, HASH, 9) == Busy(None)
        await store.promote("table:1")
        for turn_id in ("t4", "t5"):
            assert await store.begin_cancel(turn_id) is CancelVerdict.CANCELLING
            await store.finish(Claim(turn_id, 1), ending("cancelled"))
        claim = await admitted(store, "t7")
        assert await store.admit("t8", tables[0], HASH, 9) == Busy(None)
        assert isinstance(await store.admit("t9", others, HASH, 9), Admitted)
        await store.finish(claim, ending())
        assert isinstance(await store.admit("t10", tables[1], HASH, 9), Admitted)


@in_loop
async def test_a_character_that_goes_to_two_places_at_once_gets_to_one(stores: Stores) -> None:
    places = [{}, *({"kind": "table", "exclusive": f"table:{n}"} for n in range(9))]
    async with stores.process() as store:
        found = await asyncio.gather(
            *(store.admit(f"t{n}", turn_request(**it), HASH, 9) for n, it in enumerate(places))
        )
    assert sum(isinstance(one, Admitted) for one in found) == 1
    assert found.count(Busy(None)) == 9


@in_loop
async def test_one_of_many_at_once_gets_the_exclusive_key(stores: Stores) -> None:
    async with stores.process() as store:
        found = await asyncio.gather(
            *(store.admit(f"t{n}", turn_request(), HASH) for n in range(20))
        )
    assert sum(isinstance(one, Admitted) for one in found) == 1
    assert sum(isinstance(one, Busy) for one in found) == 19


@in_loop
async def test_progress_comes_with_the_claim(stores: Stores) -> None:
    async with stores.process() as store:
        claim = await admitted(store)
        progress = CharacterProgress(turns=7, marker=12)
        await store.finish(claim, ending(progress=progress))
        found = await store.admit("t2", turn_request(), HASH)
        assert isinstance(found, Admitted)
        assert found.progress == progress == await store.progress(CHARACTER)
        assert await store.progress("c2") == CharacterProgress()


# -- idempotency keys -----------------------------------------------------------------------------


@in_loop
async def test_a_key_attaches_the_same_request_to_its_turn(stores: Stores) -> None:
    async with stores.process() as store:
        claim = await admitted(store, idempotency_key="k")
        again = turn_request(idempotency_key="k")
        assert await store.admit("t2", again, HASH) == Attached("t1")
        assert await store.find_by_key(USER, "k", HASH) == "t1"
        await store.finish(claim, ending())
        assert await store.admit("t3", again, HASH) == Attached("t1")


@in_loop
async def test_a_key_with_another_body_is_refused(stores: Stores) -> None:
    async with stores.process() as store:
        await admitted(store, idempotency_key="k")
        with pytest.raises(IdempotencyKeyReused):
            await store.find_by_key(USER, "k", OTHER_HASH)
        with pytest.raises(IdempotencyKeyReused):
            await store.admit("t2", turn_request(idempotency_key="k"), OTHER_HASH)


@in_loop
async def test_keys_belong_to_their_user(stores: Stores) -> None:
    async with stores.process() as store:
        await admitted(store, idempotency_key="k")
        assert await store.find_by_key("ben", "k", OTHER_HASH) is None
        await admitted(store, "t2", user_id="ben", idempotency_key="k")
        assert await store.find_by_key(USER, "unknown", HASH) is None


@in_loop
async def test_a_key_is_free_again_after_a_day(stores: Stores) -> None:
    async with stores.process() as store:
        await store.finish(await admitted(store, idempotency_key="k"), ending())
        stores.clock.now += DAY - 1
        assert await store.find_by_key(USER, "k", HASH) == "t1"
        stores.clock.now += 1
        assert await store.find_by_key(USER, "k", OTHER_HASH) is None
        found = await store.admit("t2", turn_request(idempotency_key="k"), OTHER_HASH)
        assert isinstance(found, Admitted)
        await found.durable
        assert await store.find_by_key(USER, "k", OTHER_HASH) == "t2"


@in_loop
async def test_an_ending_may_release_the_key(stores: Stores) -> None:
    async with stores.process() as store:
        claim = await admitted(store, idempotency_key="k")
        await store.finish(claim, ending("error", release_key=True))
        assert await store.find_by_key(USER, "k", HASH) is None
        await admitted(store, "t2", idempotency_key="k")


@in_loop
async def test_a_busy_answer_binds_no_key(stores: Stores) -> None:
    async with stores.process() as store:
        await admitted(store)
        assert await store.admit("t2", turn_request(idempotency_key="k"), HASH) == Busy("t1")
        assert await store.find_by_key(USER, "k", HASH) is None


@in_loop
async def test_copies_sent_at_once_become_one_turn(stores: Stores) -> None:
    async with stores.process() as store:
        copy = turn_request(idempotency_key="k")
        found = await asyncio.gather(*(store.admit(f"t{n}", copy, HASH) for n in range(10)))
        first = [one for one in found if isinstance(one, Admitted)]
        assert len(first) == 1
        rest = [one for one in found if one is not first[0]]
        assert rest == [Attached(first[0].claim.turn_id)] * 9


# -- the queue ------------------------------------------------------------------------------------


@in_loop
async def test_the_queue_has_positions_and_a_limit(stores: Stores) -> None:
    async with stores.process() as store:
        await admitted(store)
        found = [await store.admit(f"t{n}", turn_request(), HASH, 2) for n in (2, 3, 4)]
        assert found == [Queued(Claim("t2", 1), 1), Queued(Claim("t3", 1), 2), Busy("t1")]
        stored = await store.turn("t2")
        assert stored is not None
        assert stored.status == "queued"


@in_loop
async def test_a_free_key_goes_to_whoever_waits_longest(stores: Stores) -> None:
    async with stores.process() as store:
        first = await admitted(store)
        key = turn_request().exclusive_key
        claims = [await queued(store, f"t{n}") for n in (2, 3, 4)]
        assert await store.promote(key) is None
        await store.finish(first, ending())
        for number, claim in enumerate(claims, start=2):
            assert await store.promote(key) == f"t{number}"
            assert await store.promote(key) is None
            stored = await store.turn(f"t{number}")
            assert stored is not None
            assert stored.status == "running"
            assert await store.finish(claim, ending()) is Verdict.STORED
        assert await store.promote(key) is None


@in_loop
async def test_nobody_overtakes_a_queue(stores: Stores) -> None:
    async with stores.process() as store:
        first = await admitted(store)
        await queued(store, "t2")
        await store.finish(first, ending())
        assert await store.admit("t3", turn_request(), HASH) == Busy(None)
        assert await store.admit("t3", turn_request(), HASH, 5) == Queued(Claim("t3", 1), 2)


@in_loop
async def test_a_queued_turn_that_is_cancelled_leaves_the_queue(stores: Stores) -> None:
    async with stores.process() as store:
        first = await admitted(store)
        second = await queued(store, "t2")
        await queued(store, "t3")
        assert await store.begin_cancel("t2") is CancelVerdict.CANCELLING
        assert await store.finish(second, ending("cancelled")) is Verdict.STORED
        await store.finish(first, ending())
        assert await store.promote(turn_request().exclusive_key) == "t3"


# -- budgets --------------------------------------------------------------------------------------


@in_loop
async def test_a_reservation_counts_until_the_turn_ends(stores: Stores) -> None:
    async with stores.process() as store:
        claim = await admitted(store, reserved=100)
        assert await store.spent(USER) == Spent(Amount(0), Amount(100))
        await store.finish(claim, ending(spent=Amount(30)))
        assert await store.spent(USER) == Spent(Amount(30), Amount(0))
        assert await store.spent("ben") == Spent(Amount(0), Amount(0))


@in_loop
async def test_what_was_used_is_kept_by_the_day(stores: Stores) -> None:
    async with stores.process() as store:
        today = int(stores.clock.now // DAY)
        for ago, amount in (
            (40, Amount(1, 1)),
            (2, Amount(20, 2)),
            (0, Amount(3)),
            (0, Amount(4, 5)),
        ):
            stores.clock.now = (today - ago + 0.5) * DAY
            await store.spend(USER, amount)
        await store.spend("ben", Amount(9))
        newest = DaySpent(today, Amount(7, 5))
        assert await store.spent_by_day(USER, 1) == [newest]
        assert await store.spent_by_day(USER, 2) == [newest]
        assert await store.spent_by_day(USER, 3) == [newest, DaySpent(today - 2, Amount(20, 2))]
        assert len(await store.spent_by_day(USER, 366)) == 3
        assert await store.spent_by_day("eve", 366) == []


@in_loop
async def test_unknown_usage_is_charged_as_reserved(stores: Stores) -> None:
    async with stores.process() as store:
        await store.finish(await admitted(store, reserved=100), ending("error", spent=None))
        assert await store.spent(USER) == Spent(Amount(100), Amount(0))


@in_loop
async def test_budget_refuses_an_amount_that_would_exceed_it(stores: Stores) -> None:
    async with stores.process() as store:
        claim = await admitted(store, reserved=60)
        more = turn_request(character_id="c2", reserved=50, idempotency_key="k")
        with pytest.raises(TokenBudgetExceeded) as soon:
            await store.admit("t2", more, HASH, budget=Amount(100))
        assert soon.value.retry_after == 1
        assert await store.turn("t2") is None
        assert await store.find_by_key(USER, "k", HASH) is None
        await store.finish(claim, ending(spent=Amount(60)))
        with pytest.raises(TokenBudgetExceeded) as tomorrow:
            await store.admit("t2", more, HASH, budget=Amount(100))
        assert tomorrow.value.retry_after == DAY / 2
        stores.clock.now += DAY / 2
        assert isinstance(await store.admit("t2", more, HASH, budget=Amount(100)), Admitted)


OF_TABLE = {"kind": "table", "exclusive": "table:7"}
ACCOUNTS = [
    ({}, {"character:c1:mara"}),
    (OF_TABLE, {"character:c1:mara", "table:7"}),
    (OF_TABLE | {"character_id": ""}, {"table:7"}),
    ({"kind": "chat", "character_id": "chat:c1"}, set()),
    ({"kind": "content", "character_id": "content:c1"}, set()),
]


@pytest.mark.parametrize("spent", [Amount(30, 9), None], ids=["known", "unknown"])
@pytest.mark.parametrize(("fields", "accounts"), ACCOUNTS)
@in_loop
async def test_money_is_reserved_then_charged_to_the_user_the_character_and_the_table(
    stores: Stores, fields: dict[str, Any], accounts: set[str], spent: Amount | None
) -> None:
    every = {"character:c1:mara", "table:7", "character:chat:c1:mara", "character:content:c1:mara"}
    async with stores.process() as store:
        fields = {"character_id": "c1", "user_id": "mara"} | fields
        claim = await admitted(store, reserved=100, reserved_micros=20, **fields)
        assert await store.spent("mara") == Spent(NOTHING, Amount(100, 20))
        for _ in range(2):  # the second one is lost, and charges nothing
            await store.finish(claim, ending("complete", spent=spent))
        charged = spent or Amount(100, 20)
        assert await store.spent("mara") == Spent(charged)
        costs = {account: await store.cost_of(account) for account in every}
        assert costs == {one: charged.micros if one in accounts else 0 for one in every}
        await store.spend("mara", Amount(5, 6), "table:7")
        assert await store.spent("mara") == Spent(charged + Amount(5, 6))
        assert await store.cost_of("table:7") == costs["table:7"] + 6


@in_loop
async def test_budget_of_money_refuses_an_amount_that_would_exceed_it(stores: Stores) -> None:
    async with stores.process() as store:
        claim = await admitted(store, reserved=60, reserved_micros=60)
        more = turn_request(character_id="c2", reserved=50, reserved_micros=50)
        budget = Amount(micros=100)
        with pytest.raises(TokenBudgetExceeded, match=r"\$0\.00006 are set aside"):
            await store.admit("t2", more, HASH, budget=budget)
        await store.finish(claim, ending(spent=Amount(60, 50)))
        assert isinstance(await store.admit("t2", more, HASH, budget=budget), Admitted)
        third = turn_request(character_id="c3", reserved=1, reserved_micros=1)
        with pytest.raises(TokenBudgetExceeded):
            await store.admit("t3", third, HASH, budget=budget)
        assert isinstance(await store.admit("t4", third, HASH, budget=Amount(1_000, 101)), Admitted)


@in_loop
async def test_reservations_at_once_never_exceed_the_budget(stores: Stores) -> None:
    async with stores.process() as store:
        asked = [turn_request(character_id=f"c{n}", reserved=30) for n in range(10)]
        calls = (store.admit(f"t{n}", one, HASH, budget=Amount(100)) for n, one in enumerate(asked))
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert sum(isinstance(one, Admitted) for one in found) == 3
        assert sum(isinstance(one, TokenBudgetExceeded) for one in found) == 7
        assert await store.spent(USER) == Spent(Amount(0), Amount(90))


# -- the journal ----------------------------------------------------------------------------------


@in_loop
async def test_a_turn_runs_through_its_phases_and_keeps_its_entries(stores: Stores) -> None:
    async with stores.process() as store:
        claim = await validated(store, writes=2)
        assert await store.note(claim, entries(4)) is Verdict.STORED
        assert await store.step(claim, 1, entries(5)) is Verdict.STORED
        last = ending(entries=entries(6, 2), result={"narrative": "é", "list": (1, 2)})
        assert await store.finish(claim, last) is Verdict.STORED
        stored = await store.turn("t1", recording=True)
        assert await store.entries("t1") == entries(1, 7)
    assert stored is not None
    assert (stored.status, stored.finished_at) == ("complete", NOON)
    assert stored.result == {"narrative": "é", "list": [1, 2]}
    assert stored.recording == recording()


@in_loop
async def test_many_large_entries_come_back_unchanged(stores: Stores) -> None:
    async with stores.process() as store:
        claim = await admitted(store)
        many = entries(1, 3_000, phase='é\U0001f525\\" \n')
        await store.note(claim, many)
        await store.finish(claim, ending("error", entries=entries(1_000_000)))
        assert await store.entries("t1") == [*many, *entries(1_000_000)]


@in_loop
async def test_writes_step_one_at_a_time(stores: Stores) -> None:
    async with stores.process() as store:
        claim = await validated(store, writes=3)
        assert await store.step(claim, 2, entries(4)) is Verdict.LOST
        assert await store.step(claim, 1, entries(4)) is Verdict.STORED
        assert await store.step(claim, 1, entries(5)) is Verdict.LOST
        assert await store.resend(claim, 1) is Verdict.LOST
        assert await store.resend(claim, 2) is Verdict.STORED
        assert await store.entries("t1") == entries(1, 4)


@in_loop
async def test_nothing_is_written_before_validation(stores: Stores) -> None:
    async with stores.process() as store:
        claim = await admitted(store)
        assert await store.step(claim, 1, entries(1)) is Verdict.LOST
        assert await store.resend(claim, 1) is Verdict.LOST
        assert await store.entries("t1") is None


@in_loop
async def test_a_turn_ends_once(stores: Stores) -> None:
    async with stores.process() as store:
        claim = await admitted(store, reserved=10)
        assert await store.finish(claim, ending(spent=Amount(4))) is Verdict.STORED
        assert await store.finish(claim, ending("error", spent=Amount(4))) is Verdict.LOST
        verdict = await store.validate(claim, record("t1"), entries(1), recording())
        assert verdict is Verdict.LOST
        assert await store.spent(USER) == Spent(Amount(4), Amount(0))
        stored = await store.turn("t1")
    assert stored is not None
    assert stored.status == "complete"


@in_loop
async def test_a_stranger_to_the_claim_can_do_nothing(stores: Stores) -> None:
    async with stores.process() as store:
        await validated(store)
        stale = Claim("t1", 2)
        unknown = Claim("t9", 1)
        for claim in (stale, unknown):
            assert await store.note(claim, entries(4)) is Verdict.LOST
            assert await store.step(claim, 1, entries(4)) is Verdict.LOST
            assert await store.resend(claim, 1) is Verdict.LOST
            assert await store.finish(claim, ending()) is Verdict.LOST
        assert await store.entries("t1") == entries(1, 3)


@in_loop
async def test_places_are_known_once_their_turn_has_ended(stores: Stores) -> None:
    async with stores.process() as store:
        claim = await validated(store)
        assert not await store.knows_place(CHARACTER, "vault")
        await store.finish(claim, ending(progress=CharacterProgress(), place="vault"))
        assert await store.knows_place(CHARACTER, "vault")
        assert not await store.knows_place("c2", "vault")


# -- cancelling -----------------------------------------------------------------------------------


@in_loop
async def test_a_cancel_before_validation_wins(stores: Stores) -> None:
    async with stores.process() as store:
        claim = await admitted(store)
        assert await store.begin_cancel("t1") is CancelVerdict.CANCELLING
        verdict = await store.validate(claim, record("t1"), entries(1), recording())
        assert verdict is Verdict.CANCELLED
        assert await store.finish(claim, ending("error")) is Verdict.CANCELLED
        assert await store.entries("t1") is None
        assert await store.finish(claim, ending("cancelled")) is Verdict.STORED


@in_loop
async def test_a_cancel_after_validation_is_too_late(stores: Stores) -> None:
    async with stores.process() as store:
        claim = await validated(store)
        assert await store.begin_cancel("t1") is CancelVerdict.TOO_LATE
        assert await store.finish(claim, ending("cancelled")) is Verdict.LOST
        assert await store.finish(claim, ending()) is Verdict.STORED


@in_loop
async def test_a_turn_is_cancelled_once_and_only_while_it_is_open(stores: Stores) -> None:
    async with stores.process() as store:
        claim = await admitted(store)
        assert await store.begin_cancel("t9") is CancelVerdict.TOO_LATE
        assert await store.begin_cancel("t1") is CancelVerdict.CANCELLING
        assert await store.begin_cancel("t1") is CancelVerdict.TOO_LATE
        await store.finish(claim, ending("cancelled"))
        assert await store.begin_cancel("t1") is CancelVerdict.TOO_LATE


@in_loop
async def test_one_of_a_simultaneous_cancel_and_validation_wins(stores: Stores) -> None:
    async with stores.process() as store:
        claim = await admitted(store)
        cancel, stored = await asyncio.gather(
            store.begin_cancel("t1"),
            store.validate(claim, record("t1"), entries(1), recording()),
        )
    assert (cancel, stored) in (
        (CancelVerdict.CANCELLING, Verdict.CANCELLED),
        (CancelVerdict.TOO_LATE, Verdict.STORED),
    )


@in_loop
async def test_a_cancelling_turn_keeps_its_exclusive_key(stores: Stores) -> None:
    async with stores.process() as store:
        claim = await admitted(store)
        await store.begin_cancel("t1")
        assert await store.admit("t2", turn_request(), HASH) == Busy("t1")
        await store.finish(claim, ending("cancelled"))
        await admitted(store, "t2")


# -- other owners ---------------------------------------------------------------------------------


@in_loop
async def test_process_adopts_the_open_turns_of_another(stores: Stores) -> None:
    async with stores.process() as store:
        await admitted(store, idempotency_key="k", reserved=5)
        await queued(store, "t2")
        await admitted(store, "t3", character_id="c3")
        await store.begin_cancel("t3")
        await store.finish(await admitted(store, "t4", character_id="c4"), ending())
        assert await store.adopt() == []
    async with stores.process() as store:
        orphans = await store.adopt()
        assert [(o.claim, o.phase) for o in orphans] == [
            (Claim("t1", 2), "streaming"),
            (Claim("t2", 2), "queued"),
            (Claim("t3", 2), "cancelling"),
        ]
        assert orphans[0].request == turn_request(idempotency_key="k", reserved=5)
        assert orphans[0].created_at == NOON
        assert await store.adopt() == []
        assert await store.spent(USER) == Spent(Amount(0), Amount(5))
        assert await store.admit("t5", turn_request(), HASH) == Busy("t1")


@in_loop
async def test_an_adopted_turn_brings_its_plan_and_how_far_it_came(stores: Stores) -> None:
    async with stores.process() as store:
        claim = await validated(store, writes=3)
        stores.clock.now += 2
        await store.step(claim, 1, entries(4))
        stores.clock.now += 3
        await store.resend(claim, 2)
    async with stores.process() as store:
        (orphan,) = await store.adopt()
    plan = record("t1", planned(1), planned(2), planned(3))
    assert orphan.phase == Writing(plan, DeliveryProgress(1, 2, NOON + 5, NOON + 2))
    assert orphan.entries == entries(1, 4)


@in_loop
async def test_the_first_write_is_under_way_once_a_turn_is_validated(stores: Stores) -> None:
    async with stores.process() as store:
        await validated(store)
    async with stores.process() as store:
        (orphan,) = await store.adopt()
    assert isinstance(orphan.phase, Writing)
    assert orphan.phase.delivery == DeliveryProgress(0, 1, NOON, NOON)


@in_loop
async def test_a_former_owner_can_do_nothing_more(stores: Stores) -> None:
    async with stores.process() as store:
        former = await validated(store)
    async with stores.process() as store:
        (orphan,) = await store.adopt()
        assert await store.note(former, entries(4)) is Verdict.LOST
        assert await store.step(former, 1, entries(4)) is Verdict.LOST
        assert await store.finish(former, ending()) is Verdict.LOST
        assert await store.finish(orphan.claim, ending()) is Verdict.STORED


@in_loop
async def test_everything_that_was_stored_outlives_a_restart(stores: Stores) -> None:
    async with stores.process() as store:
        claim = await validated(store)
        progress = CharacterProgress(turns=5)
        await store.finish(claim, ending(progress=progress, place="vault", spent=Amount(9)))
    async with stores.process() as store:
        assert await store.entries("t1") == [*entries(1, 3), *entries(9)]
        assert await store.progress(CHARACTER) == progress
        assert await store.knows_place(CHARACTER, "vault")
        assert await store.spent(USER) == Spent(Amount(9), Amount(0))


# -- looking back ---------------------------------------------------------------------------------


@in_loop
async def test_recent_turns_come_newest_first(stores: Stores) -> None:
    async with stores.process() as store:
        for number in range(4):
            stores.clock.now += number % 2
            await store.finish(await admitted(store, f"t{number}"), ending())
        await admitted(store, "other", character_id="c2")
        found = await store.recent_turns(CHARACTER, 3)
        assert [turn.turn_id for turn in found] == ["t3", "t2", "t1"]
        assert await store.recent_turns("nobody", 3) == []


@in_loop
async def test_recent_turns_bring_their_recordings(stores: Stores) -> None:
    async with stores.process() as store:
        await validated(store)
        (found,) = await store.recent_turns(CHARACTER, 1)
        bare = await store.turn("t1")
    assert found.recording == recording()
    assert bare is not None
    assert bare.recording is None


@in_loop
async def test_recent_starts_come_oldest_first(stores: Stores) -> None:
    async with stores.process() as store:
        asked: list[tuple[TurnRequest, float]] = []
        for number in range(3):
            stores.clock.now += 10
            await admitted(store, f"t{number}", character_id=f"c{number}")
            asked.append((turn_request(character_id=f"c{number}"), stores.clock.now))
    async with stores.process() as store:
        assert store.recent_starts(NOON) == asked
        assert store.recent_starts(NOON + 10) == asked[1:]
        assert store.recent_starts(NOON + 30) == []


# -- retention ------------------------------------------------------------------------------------


@in_loop
async def test_recordings_go_before_entries_and_entries_before_turns(stores: Stores) -> None:
    keep = Retention(events_ttl=100, recordings_ttl=10)
    async with stores.process(keep) as store:
        await store.finish(await validated(store), ending())
        assert await store.expire(NOON + 10) == 0
        (found,) = await store.recent_turns(CHARACTER, 1)
        assert found.recording is not None
        assert await store.expire(NOON + 11) == 0
        (found,) = await store.recent_turns(CHARACTER, 1)
        assert found.recording is None
        assert await store.entries("t1") is not None
        assert await store.expire(NOON + 101) == 0
        assert await store.entries("t1") is None
        assert await store.turn("t1") is not None
        assert await store.expire(NOON + 101 + WEEK) == 1
        assert await store.turn("t1") is None


@in_loop
async def test_the_oldest_recordings_go_when_there_are_too_many(stores: Stores) -> None:
    async with stores.process(Retention(recordings_limit=2)) as store:
        for number in range(4):
            await store.finish(await validated(store, f"t{number}"), ending())
            stores.clock.now += 1
        assert await store.expire(stores.clock.now) == 0
        kept = [t.turn_id for t in await store.recent_turns(CHARACTER, 9) if t.recording]
    assert kept == ["t3", "t2"]


@in_loop
async def test_open_turns_never_expire(stores: Stores) -> None:
    keep = Retention(events_ttl=1, recordings_ttl=1, recordings_limit=0, max_bytes=1)
    async with stores.process(keep) as store:
        await validated(store)
        await queued(store, "t2")
        assert await store.expire(NOON + 100 * WEEK) == 0
        found = await store.turn("t1", recording=True)
        assert found is not None
        assert found.recording is not None
        assert await store.entries("t1") == entries(1, 3)


@in_loop
async def test_store_over_its_size_drops_the_oldest_ended_turns(stores: Stores) -> None:
    async with stores.process(Retention(max_bytes=1)) as store:
        await store.finish(await admitted(store), ending())
        await admitted(store, "t2")
        assert await store.expire(NOON + 1) == 1
        assert await store.turn("t1") is None
        assert await store.turn("t2") is not None


@in_loop
async def test_an_open_store_is_available(stores: Stores) -> None:
    async with stores.process() as store:
        assert await store.available()
        assert store.waiting == 0
