"""What becomes of a turn whose process died, at each phase that the journal knows."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from app.core.events import LOST_END
from app.core.money import Amount, Spent
from app.core.stages import Stage
from app.turns.state import TurnState
from parts import DEADLINE, EVENTFUL, SETTLE, House, events, kinds, receipts

from fakes.model import NARRATIVE
from fakes.upstreams import FAILED, UNKNOWN
from journal import USER
from loops import in_virtual_time

ALL = ["quest", "combat", "poi", "narrative"]


async def recovered(crashed: House) -> House:
    """The next process, once it has taken over; all its turns run."""
    house = House(crashed.journal)
    await house.recovery.recover()
    return house


async def ended(house: House, turn: TurnState) -> TurnState:
    """The same turn in its new process, at its end."""
    again = house.executor.running[turn.turn_id]
    await again.wait_ended()
    return again


async def stopped_at_write(number: int, *, queue_limit: int = 0) -> tuple[House, TurnState]:
    """A process that died while its write `number` was under way."""
    house = House(text=EVENTFUL, queue_limit=queue_limit)
    gate = asyncio.Event()

    def stop(_: Any) -> None:
        if len(house.journey_log.sent) == number:
            house.journey_log.gate = gate

    house.journey_log.on_write = stop
    turn = await house.start(idempotency_key="k")
    await asyncio.sleep(1)
    assert house.journey_log.written == ALL[:number]
    await house.crash()
    return house, turn


async def stopped_generating(**fields: Any) -> tuple[House, TurnState]:
    """A process that died in the middle of a narrative."""
    house = House(queue_limit=3)
    house.model.gate = asyncio.Event()
    turn = await house.start(**fields)
    await asyncio.sleep(1)
    assert turn.stage is Stage.GENERATING
    return house, turn


# -- before validation ----------------------------------------------------------------------------


@in_virtual_time
async def test_a_turn_that_was_generating_ends_as_interrupted() -> None:
    crashed, turn = await stopped_generating(idempotency_key="k")
    await crashed.crash()
    house = await recovered(crashed)
    again = await ended(house, turn)
    ((seq, kind, _),) = again.writer.log.entries()
    assert (seq, kind) == (LOST_END, "error")
    (last,) = events(again)
    assert (last["error_type"], last["recoverable"]) == ("interrupted", True)
    assert house.model.calls == 0
    assert house.journey_log.sent == []


@in_virtual_time
async def test_interrupted_turn_releases_its_key_and_pays_its_reservation() -> None:
    crashed, turn = await stopped_generating(idempotency_key="k")
    (row,) = crashed.journal.turns.values()
    reserved = row.reserved
    await crashed.crash()
    house = await recovered(crashed)
    await ended(house, turn)
    assert await house.store.spent(USER) == Spent(reserved, Amount(0))
    assert isinstance(await house.admit(idempotency_key="k"), TurnState)


@in_virtual_time
async def test_a_cancel_that_was_taken_is_carried_out() -> None:
    crashed, turn = await stopped_generating()
    await crashed.store.begin_cancel(turn.turn_id)
    await crashed.crash()
    house = await recovered(crashed)
    again = await ended(house, turn)
    assert kinds(again) == ["cancelled"]
    assert await house.status(again) == "cancelled"


@in_virtual_time
async def test_queued_turns_run_in_their_order_after_a_crash() -> None:
    crashed, first = await stopped_generating()
    others = [await crashed.start(user_action=f"step {n}") for n in (1, 2)]
    await crashed.crash()
    house = await recovered(crashed)
    await ended(house, first)
    for turn in others:
        running = house.executor.running.get(turn.turn_id)
        if running is not None:
            await running.wait_ended()
    actions = [write.body["user_action"] for _, write in house.journey_log.sent if write.body]
    assert actions == ["step 1", "step 2"]
    assert [await house.status(turn) for turn in (first, *others)] == [
        "error",
        "complete",
        "complete",
    ]


# -- in the middle of the writes ------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@in_virtual_time
async def test_a_write_that_landed_before_the_crash_is_not_sent_again(number: int) -> None:
    crashed, turn = await stopped_at_write(number)
    house = await recovered(crashed)
    again = await ended(house, turn)
    assert house.journey_log.written == ALL[number:]
    assert house.journey_log.looked == [ALL[number - 1]]
    assert [(name, ok) for name, _, ok, _ in receipts(again)] == [(name, True) for name in ALL]


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@in_virtual_time
async def test_a_write_that_did_not_land_is_sent_once_it_cannot_any_more(number: int) -> None:
    crashed, turn = await stopped_at_write(number)
    sent_at, lost = crashed.journey_log.sent[-1]
    house = House(crashed.journal)
    house.journey_log.last_look[lost.subsystem] = "no"
    await house.recovery.recover()
    again = await ended(house, turn)
    assert house.journey_log.written == ALL[number - 1 :]
    at, write = house.journey_log.sent[0]
    assert write == lost
    assert at - sent_at >= SETTLE
    assert kinds(again).count("settling") == 1


@in_virtual_time
async def test_a_quest_that_another_one_replaced_is_skipped() -> None:
    crashed, turn = await stopped_at_write(1)
    house = House(crashed.journal)
    house.journey_log.last_look["quest"] = "other"
    await house.recovery.recover()
    again = await ended(house, turn)
    assert house.journey_log.written == ALL[1:]
    assert receipts(again)[0][:3] == ("quest", "skipped", False)


@in_virtual_time
async def test_a_recovered_turn_ends_as_it_would_have() -> None:
    crashed, turn = await stopped_at_write(3)
    house = await recovered(crashed)
    again = await ended(house, turn)
    whole = House(text=EVENTFUL)
    same = await whole.play()
    last, meant = events(again)[-1], events(same)[-1]
    for name in ("intents", "subsystem_summary", "usage", "validation"):
        assert last[name] == meant[name]
    stored = await house.store.turn(turn.turn_id)
    assert stored is not None
    assert stored.result is not None
    assert stored.result["narrative"] == NARRATIVE
    assert [seq for seq, _, _ in again.writer.log.entries()] == list(
        range(1, again.writer.log.end + 1)
    )


@in_virtual_time
async def test_a_recovered_turn_keeps_its_key_and_pays_once() -> None:
    crashed, turn = await stopped_at_write(2)
    house = await recovered(crashed)
    await ended(house, turn)
    assert await house.store.spent(USER) == Spent(Amount(50), Amount(0))
    assert {row.key for row in house.journal.turns.values()} == {"k"}
    assert (await house.store.progress(turn.request.character_id)).turns == 1


@in_virtual_time
async def test_a_second_crash_goes_on_from_where_the_first_recovery_came() -> None:
    crashed, turn = await stopped_at_write(1)
    second = House(crashed.journal)
    second.journey_log.results["poi"].append(UNKNOWN)
    second.journey_log.last_look["poi"] = "no"
    await second.recovery.recover()
    await asyncio.sleep(1)
    assert second.journey_log.written == ["combat", "poi"]
    await second.crash()
    third = await recovered(second)
    again = await ended(third, turn)
    assert third.journey_log.written == ["narrative"]
    assert [ok for _, _, ok, _ in receipts(again)] == [True] * 4


def failing(house: House) -> House:
    """Its journey-log has no narrative and answers 500 to every one."""
    house.journey_log.results["narrative"].extend([FAILED] * 100)
    house.journey_log.last_look["narrative"] = "no"
    return house


@in_virtual_time
async def test_answers_of_500_are_counted_anew_after_a_crash_until_the_same_deadline() -> None:
    """No count in the journal: each owner reads back before it sends, and the deadline is kept."""
    house = failing(House())
    turn = await house.start()
    await turn.wait_readable()
    sent: list[float] = []
    while await house.status(turn) != "complete":
        await asyncio.sleep(SETTLE * 1.2)  # long enough for one more send, too short for the next
        await house.crash()
        sent += [at for at, _ in house.journey_log.sent]
        house = failing(House(house.journal))
        await house.recovery.recover()
    assert len(sent) > 10
    assert all(later - at >= SETTLE for at, later in pairwise(sent))
    assert sent[-1] - sent[0] < DEADLINE
    assert await house.status(turn) == "complete"


@in_virtual_time
async def test_a_body_that_gets_500_is_refused_by_the_next_owner() -> None:
    house = failing(House())
    turn = await house.start()
    await turn.wait_readable()
    await asyncio.sleep(SETTLE / 2)
    await house.crash()
    house = failing(House(house.journal))
    await house.recovery.recover()
    again = await ended(house, turn)
    assert len(house.journey_log.sent) == 2
    assert receipts(again)[0][2:] == (False, "journey-log refused it (500)")


@in_virtual_time
async def test_a_running_turn_blocks_its_character_across_a_crash() -> None:
    crashed, turn = await stopped_at_write(4, queue_limit=1)
    house = House(crashed.journal, queue_limit=1)
    house.journey_log.last_look["narrative"] = "no"
    await house.recovery.recover()
    later = await house.start()
    assert later.stage is Stage.QUEUED
    await ended(house, turn)
    await later.wait_ended()
    assert await house.status(later) == "complete"


# -- nothing to do, and others --------------------------------------------------------------------


@in_virtual_time
async def test_turns_are_recovered_once() -> None:
    crashed, _ = await stopped_at_write(1)
    house = House(crashed.journal)
    assert await house.recovery.recover() == 1
    assert await house.recovery.recover() == 0


@in_virtual_time
async def test_turns_that_run_here_are_left_alone() -> None:
    house, turn = await stopped_generating()
    assert await house.recovery.recover() == 0
    assert house.executor.running[turn.turn_id] is turn


@in_virtual_time
async def test_a_turn_taken_from_its_owner_is_adopted_again_by_the_same_process() -> None:
    house = House(text=EVENTFUL)
    house.journey_log.gate = asyncio.Event()
    turn = await house.start()
    await asyncio.sleep(1)
    (row,) = house.journal.turns.values()
    row.owner, row.fence = "", row.fence + 1
    house.journey_log.gate = None
    assert await house.recovery.recover() == 1
    again = await ended(house, turn)
    assert again is not turn
    assert turn.writer.log.broken
    assert house.journey_log.written == ALL
    assert await house.status(again) == "complete"
