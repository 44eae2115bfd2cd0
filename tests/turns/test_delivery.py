"""Writes on their way to a known fate, in virtual time: nothing is sent twice blindly."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any, TypeVar

import pytest
from app.core.stages import Stage
from app.core.writes import PlannedWrite
from app.errors import JourneyLogError
from app.ports.journey_log import WriteResult
from app.ports.store import Kept, Verdict
from app.turns.write_fate import DeliveryPolicy
from parts import DEADLINE, EVENTFUL, SETTLE, House, kinds, receipts

from fakes.store.store import MemoryTurnStore
from fakes.upstreams import CONFLICT, FAILED, NOT_SENT, REFUSED, UNKNOWN
from loops import in_virtual_time

T = TypeVar("T")
FRESH = DeliveryPolicy(settle=SETTLE).fresh
ALL = ["quest", "combat", "poi", "narrative"]
OFFERED = ("quest", "offered", True, None)


def now() -> float:
    return asyncio.get_running_loop().time()


@in_virtual_time
async def test_writes_are_sent_in_order_and_each_has_a_receipt() -> None:
    house = House(text=EVENTFUL)
    turn = await house.play()
    assert house.journey_log.written == ALL
    assert [(name, ok) for name, _, ok, _ in receipts(turn)] == [(name, True) for name in ALL]
    assert kinds(turn)[-2:] == ["write", "complete"]


@in_virtual_time
async def test_every_receipt_is_in_the_journal_before_the_next_write_is_sent() -> None:
    house = House(text=EVENTFUL)
    recorded: list[tuple[int, int]] = []

    def note(write: PlannedWrite) -> None:
        (row,) = house.journal.turns.values()
        written = sum(kind == "write" for _, kind, _ in row.entries)
        recorded.append((row.delivery.intent, written))

    house.journey_log.on_write = note
    await house.play()
    assert recorded == [(1, 0), (2, 1), (3, 2), (4, 3)]


@in_virtual_time
async def test_a_refused_write_does_not_stop_the_later_ones() -> None:
    house = House(text=EVENTFUL)
    house.journey_log.results["combat"].append(REFUSED)
    turn = await house.play()
    assert house.journey_log.written == ALL
    assert receipts(turn)[1] == ("combat", "started", False, REFUSED.error)
    assert receipts(turn)[3][2] is True
    assert await house.status(turn) == "complete"


# -- unknown --------------------------------------------------------------------------------------


@in_virtual_time
async def test_an_unknown_write_that_landed_is_not_sent_again() -> None:
    house = House(text=EVENTFUL)
    house.journey_log.results["quest"].append(UNKNOWN)
    house.journey_log.looks["quest"].extend(["no", "no", "yes"])
    turn = await house.play()
    assert house.journey_log.written == ALL
    assert receipts(turn)[0] == OFFERED
    assert kinds(turn).count("settling") == 1
    assert now() < SETTLE


@in_virtual_time
async def test_an_unknown_write_that_did_not_land_is_sent_again_once_it_cannot_any_more() -> None:
    house = House()
    house.journey_log.results["narrative"].append(UNKNOWN)
    house.journey_log.last_look["narrative"] = "no"
    turn = await house.play()
    (first, one), (second, other) = house.journey_log.sent
    assert second - first >= SETTLE
    assert one == other
    assert receipts(turn) == [("narrative", one.action, True, None)]


@in_virtual_time
async def test_every_send_settles_by_its_own_time() -> None:
    house = House()
    house.journey_log.results["narrative"].extend([UNKNOWN, UNKNOWN])
    house.journey_log.last_look["narrative"] = "no"
    sent_at: list[float] = []

    def note(write: PlannedWrite) -> None:
        (row,) = house.journal.turns.values()
        sent_at.append(row.delivery.sent_at - house.clock.now())

    house.journey_log.on_write = note
    await house.play()
    times = [at for at, _ in house.journey_log.sent]
    assert all(later - at >= SETTLE for at, later in pairwise(times))
    assert sent_at == [0.0, 0.0, 0.0]


class SlowToAnswer(MemoryTurnStore):
    """What it has stored at once is answered late, as behind a slow disk."""

    async def validate(self, *values: Any) -> Verdict:
        return await self._late(await super().validate(*values))

    async def step(self, *values: Any) -> Kept:
        return await self._late(await super().step(*values))

    async def _late(self, answer: T) -> T:
        await asyncio.sleep(2 * FRESH)
        return answer


@in_virtual_time
async def test_an_intent_that_was_answered_late_is_recorded_again_before_its_write_is_sent() -> (
    None
):
    house = House(text=EVENTFUL, store=SlowToAnswer)
    ages: list[float] = []

    def note(write: PlannedWrite) -> None:
        (row,) = house.journal.turns.values()
        ages.append(house.clock.now() - row.delivery.sent_at)

    house.journey_log.on_write = note
    await house.play()
    assert house.journey_log.written == ALL
    assert max(ages) <= FRESH


@in_virtual_time
async def test_an_unknown_quest_with_another_in_its_place_is_skipped() -> None:
    house = House(text=EVENTFUL)
    house.journey_log.results["quest"].append(UNKNOWN)
    house.journey_log.last_look["quest"] = "other"
    turn = await house.play()
    assert house.journey_log.written == ALL
    assert receipts(turn)[0] == ("quest", "skipped", False, "another quest took its place")
    assert now() >= SETTLE


@in_virtual_time
async def test_a_write_that_never_settles_fails_at_its_deadline() -> None:
    house = House(text=EVENTFUL)
    house.journey_log.results["quest"].append(UNKNOWN)
    house.journey_log.last_look["quest"] = JourneyLogError()
    turn = await house.play()
    assert house.journey_log.written == ALL
    assert receipts(turn)[0] == ("quest", "offered", False, "unknown")
    assert receipts(turn)[1][2] is True
    assert DEADLINE <= now() < DEADLINE + SETTLE


@in_virtual_time
async def test_a_write_that_keeps_getting_lost_is_given_up_at_its_deadline() -> None:
    house = House()
    house.journey_log.results["narrative"].extend([UNKNOWN] * 100)
    house.journey_log.last_look["narrative"] = "no"
    turn = await house.play()
    assert receipts(turn)[0][2:] == (False, "unknown")
    assert 10 < len(house.journey_log.sent) <= DEADLINE / SETTLE + 1


# -- answered with 500 ----------------------------------------------------------------------------

REFUSED_500 = (False, "journey-log refused it (500)")


@pytest.mark.parametrize("subsystem", ALL)
@in_virtual_time
async def test_a_body_that_gets_500_again_after_a_read_back_is_refused(subsystem: str) -> None:
    house = House(text=EVENTFUL)
    house.journey_log.results[subsystem].extend([FAILED] * 100)
    house.journey_log.last_look[subsystem] = "no"
    turn = await house.play()
    (receipt,) = [r for r in receipts(turn) if r[0] == subsystem]
    assert receipt[2:] == REFUSED_500
    assert [ok for _, _, ok, _ in receipts(turn)].count(True) == 3
    first, second = [at for at, write in house.journey_log.sent if write.subsystem == subsystem]
    assert second - first >= SETTLE
    assert 2 * SETTLE <= now() < 3 * SETTLE
    assert await house.status(turn) == "complete"


@in_virtual_time
async def test_a_body_that_gets_500_everywhere_holds_each_write_for_two_settle_times() -> None:
    house = House(text=EVENTFUL)
    for subsystem in ALL:
        house.journey_log.results[subsystem].extend([FAILED] * 100)
        house.journey_log.last_look[subsystem] = "no"
    turn = await house.play()
    assert [(ok, error) for _, _, ok, error in receipts(turn)] == [REFUSED_500] * 4
    assert now() < 9 * SETTLE


@pytest.mark.parametrize(
    "results",
    [[FAILED], [FAILED, UNKNOWN, FAILED], [FAILED, WriteResult("unknown", 503)] * 3],
    ids=["once", "with silence between", "with 503 between"],
)
@in_virtual_time
async def test_a_500_that_does_not_come_twice_in_a_row_is_sent_again(
    results: list[WriteResult],
) -> None:
    house = House()
    house.journey_log.results["narrative"].extend(results)
    house.journey_log.last_look["narrative"] = "no"
    turn = await house.play()
    assert receipts(turn)[0][2:] == (True, None)
    assert len(house.journey_log.sent) == len(results) + 1


@in_virtual_time
async def test_a_write_without_connection_between_two_500_does_not_count() -> None:
    house = House()
    house.journey_log.results["narrative"].extend([FAILED, NOT_SENT, FAILED])
    house.journey_log.last_look["narrative"] = "no"
    turn = await house.play()
    assert receipts(turn)[0][2:] == REFUSED_500
    assert len(house.journey_log.sent) == 3


@in_virtual_time
async def test_a_write_that_got_500_twice_and_landed_late_is_done() -> None:
    house = House()
    house.journey_log.results["narrative"].extend([FAILED] * 100)
    house.journey_log.last_look["narrative"] = "no"

    def lands(write: PlannedWrite) -> None:
        if len(house.journey_log.sent) == 2:
            house.journey_log.last_look["narrative"] = "yes"

    house.journey_log.on_write = lands
    turn = await house.play()
    assert receipts(turn)[0][2:] == (True, None)


@in_virtual_time
async def test_a_500_that_cannot_be_looked_at_is_unknown_at_the_deadline() -> None:
    house = House()
    house.journey_log.results["narrative"].extend([FAILED] * 100)
    house.journey_log.last_look["narrative"] = JourneyLogError()
    turn = await house.play()
    assert receipts(turn)[0][2:] == (False, "unknown")
    assert len(house.journey_log.sent) == 1
    assert now() >= DEADLINE


# -- a quest's conflict ---------------------------------------------------------------------------


@in_virtual_time
async def test_a_conflict_with_our_own_quest_means_it_landed() -> None:
    house = House(text=EVENTFUL)
    house.journey_log.results["quest"].append(CONFLICT)
    turn = await house.play()
    assert receipts(turn)[0] == OFFERED
    assert house.journey_log.written == ALL


@in_virtual_time
async def test_a_conflict_with_another_quest_is_skipped() -> None:
    house = House(text=EVENTFUL)
    house.journey_log.results["quest"].append(CONFLICT)
    house.journey_log.looks["quest"].extend([JourneyLogError(), "other"])
    turn = await house.play()
    assert receipts(turn)[0] == ("quest", "skipped", False, CONFLICT.error)
    assert house.journey_log.looked == ["quest", "quest"]


@in_virtual_time
async def test_a_conflict_that_cannot_be_looked_at_is_skipped_at_the_deadline() -> None:
    house = House(text=EVENTFUL)
    house.journey_log.results["quest"].append(CONFLICT)
    house.journey_log.last_look["quest"] = JourneyLogError()
    turn = await house.play()
    assert receipts(turn)[0] == ("quest", "skipped", False, CONFLICT.error)
    assert now() >= DEADLINE


@pytest.mark.parametrize("subsystem", ["combat", "poi", "narrative"])
@in_virtual_time
async def test_a_conflict_of_anything_else_is_a_refusal(subsystem: str) -> None:
    house = House(text=EVENTFUL)
    house.journey_log.results[subsystem].append(CONFLICT)
    turn = await house.play()
    (receipt,) = [r for r in receipts(turn) if r[0] == subsystem]
    assert receipt[2:] == (False, CONFLICT.error)
    assert house.journey_log.looked == []


# -- not sent -------------------------------------------------------------------------------------


@in_virtual_time
async def test_a_write_that_was_not_sent_is_tried_again_without_looking() -> None:
    house = House()
    house.journey_log.results["narrative"].extend([NOT_SENT] * 3)
    turn = await house.play()
    assert len(house.journey_log.sent) == 4
    assert house.journey_log.looked == []
    assert receipts(turn)[0][2] is True
    assert kinds(turn).count("settling") == 1


@in_virtual_time
async def test_a_write_that_cannot_be_sent_fails_at_its_deadline() -> None:
    house = House()
    house.journey_log.results["narrative"].extend([NOT_SENT] * 10_000)
    turn = await house.play()
    assert receipts(turn)[0][2:] == (False, NOT_SENT.error)
    assert now() >= DEADLINE
    assert await house.status(turn) == "complete"


@pytest.mark.parametrize("result", [UNKNOWN, NOT_SENT], ids=["unknown", "not sent"])
@in_virtual_time
async def test_a_deadline_is_one_writes_own(result: WriteResult) -> None:
    house = House(text=EVENTFUL)
    house.journey_log.results["quest"].extend([result] * 10_000)
    house.journey_log.last_look["quest"] = "no"
    turn = await house.play()
    assert [ok for _, _, ok, _ in receipts(turn)] == [False, True, True, True]


# -- what is left behind --------------------------------------------------------------------------


@in_virtual_time
async def test_progress_counts_actual_writes() -> None:
    house = House(text=EVENTFUL)
    house.journey_log.results["poi"].append(REFUSED)
    turn = await house.play()
    progress = await house.store.progress(turn.request.character_id)
    assert (progress.turns, progress.since_quest, progress.since_poi) == (1, 0, None)
    assert progress.marker == house.journey_log.sent[-1][1].marker
    assert not await house.store.knows_place(turn.request.character_id, "the humming vault")


@in_virtual_time
async def test_a_place_that_was_written_is_not_written_again() -> None:
    house = House(text=EVENTFUL)
    await house.play()
    assert (await house.play()).stage is Stage.ENDED
    assert house.journey_log.written.count("poi") == 1


@in_virtual_time
async def test_markers_grow_with_every_write_of_a_character() -> None:
    house = House(text=EVENTFUL)
    for _ in range(3):
        await house.play()
    markers = [write.marker for _, write in house.journey_log.sent]
    assert markers == sorted(set(markers))


# -- a turn that another owner took ---------------------------------------------------------------


@in_virtual_time
async def test_a_lost_turn_sends_nothing_more() -> None:
    house = House(text=EVENTFUL)
    house.journey_log.gate = asyncio.Event()
    turn = await house.start()
    await turn.wait_readable()
    await asyncio.sleep(1)
    assert house.journey_log.written == ["quest"]
    other = House(house.journal)
    assert len(await other.store.adopt()) == 1
    house.journey_log.gate.set()
    await turn.wait_ended()
    assert house.journey_log.written == ["quest"]
    assert (turn.writer.log.closed, turn.writer.log.broken) == (True, True)
    assert receipts(turn) == []
    assert house.executor.running == {}


@in_virtual_time
async def test_a_turn_that_is_lost_while_it_settles_is_not_sent_again() -> None:
    house = House()
    house.journey_log.results["narrative"].append(UNKNOWN)
    house.journey_log.last_look["narrative"] = "no"
    turn = await house.start()
    await turn.wait_readable()
    await asyncio.sleep(SETTLE / 2)
    await House(house.journal).store.adopt()
    await turn.wait_ended()
    assert len(house.journey_log.sent) == 1
    assert turn.writer.log.broken
