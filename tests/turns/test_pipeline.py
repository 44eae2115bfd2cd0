"""The one path of a turn on fakes: its events, its failures, its cancels."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from app.core.money import Amount, Spent
from app.core.stages import Stage
from app.errors import CharacterNotFound, JourneyLogError, StoreUnavailable
from app.ports.model import FailureKind, ModelFailed
from app.ports.store import CancelVerdict
from parts import EVENTFUL, House, events, kinds, receipts

from fakes.model import NARRATIVE, QUEST_OFFER, outcome_text
from fakes.store.store import MemoryTurnStore
from fakes.upstreams import QUIET
from journal import USER
from loops import in_virtual_time


def narrative(house_events: list[dict[str, Any]]) -> str:
    return "".join(e["content"] for e in house_events if e["type"] == "token")


# -- to its end -----------------------------------------------------------------------------------


@in_virtual_time
async def test_a_turn_shows_its_phases_in_order() -> None:
    turn = await House().play()
    shown = [kind for kind in kinds(turn) if kind != "preview"]
    assert shown == [
        *("start", "context", "policy", "narrative", "validation", "writes"),
        *("write", "complete"),
    ]
    assert [seq for seq, _, _ in turn.writer.log.entries()] == list(
        range(1, turn.writer.log.end + 1)
    )


@in_virtual_time
async def test_written_narrative_is_the_streamed_one() -> None:
    house = House()
    turn = await house.play()
    ((_, write),) = house.journey_log.sent
    assert write.body is not None
    assert write.body["ai_response"] == narrative(events(turn)) == NARRATIVE


@in_virtual_time
async def test_a_stored_turn_has_the_entries_that_were_shown() -> None:
    house = House(text=EVENTFUL)
    turn = await house.play()
    assert await house.store.entries(turn.turn_id) == turn.writer.log.entries()
    stored = await house.store.turn(turn.turn_id, recording=True)
    assert stored is not None
    assert stored.result == turn.writer.view.result()
    assert stored.recording is not None
    assert "".join(text for read in stored.recording.reads for text in read) == EVENTFUL


@in_virtual_time
async def test_a_dry_run_writes_nothing_and_changes_nothing() -> None:
    house = House(text=EVENTFUL)
    turn = await house.play(dry_run=True)
    assert house.journey_log.sent == []
    assert receipts(turn) == []
    assert await house.status(turn) == "complete"
    summary = events(turn)[-1]["subsystem_summary"]
    assert summary["dry_run"] is True
    assert summary["quest_change"] == {"action": "offered", "success": None, "error": None}
    assert (await house.store.progress(turn.request.character_id)).turns == 0


@in_virtual_time
async def test_dead_character_gets_only_its_narrative_written() -> None:
    house = House(text=EVENTFUL, status="Dead")
    turn = await house.play()
    assert house.journey_log.written == ["narrative"]
    policy = next(e for e in events(turn) if e.get("phase") == "policy")
    assert policy["quest"] == {"eligible": False, "passed": False}
    assert policy["poi"] == {"eligible": False, "passed": False}


# -- failures -------------------------------------------------------------------------------------


async def failed(house: House, **fields: Any) -> dict[str, Any]:
    """The terminal event of a turn that fails; it can be asked for again with its key."""
    turn = await house.play(idempotency_key="k", **fields)
    last = events(turn)[-1]
    assert last["type"] == "error"
    assert await house.status(turn) == "error"
    assert house.journey_log.sent == []
    return last


async def key_is_free(house: House) -> bool:
    return all(row.key is None for row in house.journal.turns.values())


@pytest.mark.parametrize("error", [CharacterNotFound(), JourneyLogError()])
@in_virtual_time
async def test_a_turn_without_a_context_fails_unseen_and_releases_its_key(error: Any) -> None:
    house = House()
    house.journey_log.context_error = error
    turn = await house.play(idempotency_key="k")
    assert not turn.readable
    assert turn.error is error
    assert await key_is_free(house)
    assert house.model.calls == 0


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (FailureKind.REFUSED, "llm_error"),
        (FailureKind.UNUSABLE, "llm_response_error"),
        (FailureKind.TIMED_OUT, "llm_timeout"),
        (FailureKind.CIRCUIT_OPEN, "llm_unavailable"),
    ],
)
@in_virtual_time
async def test_a_model_that_fails_ends_the_turn(kind: FailureKind, error: str) -> None:
    house = House()
    house.model.failure = ModelFailed("no", kind)
    last = await failed(house)
    assert last["error_type"] == error
    assert await key_is_free(house) == last["recoverable"]


@pytest.mark.parametrize("text", ["no JSON", '{"narrative": 7}', QUIET[:-20]])
@in_virtual_time
async def test_an_answer_that_is_no_outcome_is_not_written(text: str) -> None:
    house = House(text=text)
    assert (await failed(house))["error_type"] == "llm_response_error"


@in_virtual_time
async def test_a_narrative_that_is_too_long_is_not_written() -> None:
    assert (await failed(House(text=outcome_text("x" * 33_000))))["error_type"] == (
        "llm_response_error"
    )


@in_virtual_time
async def test_an_unexpected_error_ends_the_turn_as_an_internal_one() -> None:
    house = House()
    house.journey_log.context_error = RuntimeError("secret")
    last = await failed(house)
    assert last["error_type"] == "internal_error"
    assert "secret" not in str(last)


@in_virtual_time
async def test_failed_turn_pays_its_usage() -> None:
    house = House(text='{"narrative": "It rings.", "intents": {')
    await failed(house)
    assert await house.store.spent(USER) == Spent(Amount(50), Amount(0))


class Unsteady(MemoryTurnStore):
    """Every other transaction of a running turn cannot be stored."""

    calls = 0

    def _check(self) -> None:
        self.calls += 1
        if self.calls % 2:
            raise StoreUnavailable

    async def validate(self, *arguments: Any) -> Any:
        self._check()
        return await super().validate(*arguments)

    async def step(self, *arguments: Any) -> Any:
        self._check()
        return await super().step(*arguments)

    async def finish(self, *arguments: Any) -> Any:
        self._check()
        return await super().finish(*arguments)


@in_virtual_time
async def test_a_turn_waits_for_a_store_that_cannot_be_used() -> None:
    house = House(text=EVENTFUL, store=Unsteady)
    turn = await house.play()
    assert house.journey_log.written == ["quest", "combat", "poi", "narrative"]
    assert await house.status(turn) == "complete"
    assert asyncio.get_running_loop().time() >= 0.5


# -- cancels --------------------------------------------------------------------------------------


async def generating(house: House) -> Any:
    """A turn in the middle of its narrative."""
    house.model.gate = asyncio.Event()
    turn = await house.start(idempotency_key="k")
    await turn.wait_readable()
    await asyncio.sleep(1)
    assert turn.stage is Stage.GENERATING
    return turn


@in_virtual_time
async def test_a_turn_is_cancelled_in_the_middle_of_its_narrative() -> None:
    house = House()
    turn = await generating(house)
    assert await house.cancel(turn) is CancelVerdict.CANCELLING
    last = events(turn)[-1]
    assert last["type"] == "cancelled"
    assert narrative(events(turn)) != ""
    assert await house.status(turn) == "cancelled"
    assert house.journey_log.sent == []
    assert not await key_is_free(house)


@in_virtual_time
async def test_cancels_at_once_all_find_the_turn_cancelled() -> None:
    house = House()
    turn = await generating(house)
    verdicts = await asyncio.gather(*(house.cancel(turn) for _ in range(3)))
    assert verdicts.count(CancelVerdict.CANCELLING) == 1
    assert kinds(turn).count("cancelled") == 1


@in_virtual_time
async def test_a_cancel_after_validation_comes_too_late() -> None:
    house = House()
    house.journey_log.gate = asyncio.Event()
    turn = await house.start()
    await asyncio.sleep(1)
    assert turn.stage is Stage.WRITING
    assert await house.cancel(turn) is CancelVerdict.TOO_LATE
    house.journey_log.gate.set()
    await turn.wait_ended()
    assert await house.status(turn) == "complete"


@in_virtual_time
async def test_a_cancel_that_the_journal_took_first_beats_the_validation() -> None:
    house = House()
    turn = await generating(house)
    assert await house.store.begin_cancel(turn.turn_id) is CancelVerdict.CANCELLING
    house.model.gate.set()  # type: ignore[union-attr]
    await turn.wait_ended()
    assert kinds(turn)[-1] == "cancelled"
    assert await house.status(turn) == "cancelled"
    assert house.journey_log.sent == []


@in_virtual_time
async def test_a_cancel_beats_a_failure_that_is_being_recorded() -> None:
    house = House(text="no JSON at all, and long enough to be cut in the middle")
    turn = await generating(house)
    await house.store.begin_cancel(turn.turn_id)
    house.model.gate.set()  # type: ignore[union-attr]
    await turn.wait_ended()
    assert kinds(turn)[-1] == "cancelled"


@in_virtual_time
async def test_a_queued_turn_is_cancelled_without_being_run() -> None:
    house = House(queue_limit=2)
    first = await generating(house)
    second, third = await house.start(), await house.start()
    assert await house.cancel(second) is CancelVerdict.CANCELLING
    house.model.gate.set()  # type: ignore[union-attr]
    for turn in (first, third):
        await turn.wait_ended()
    assert kinds(second) == ["queued", "cancelled"]
    assert await house.status(third) == "complete"
    assert house.model.calls == 2


@in_virtual_time
async def test_a_turn_whose_context_is_read_can_be_cancelled() -> None:
    house = House()
    house.journey_log.context_gate = asyncio.Event()
    turn = await house.start()
    await asyncio.sleep(1)
    assert turn.stage is Stage.PREPARING
    assert await house.cancel(turn) is CancelVerdict.CANCELLING
    assert kinds(turn)[-1] == "cancelled"
    assert house.model.calls == 0


@in_virtual_time
async def test_a_granted_quest_is_offered_though_the_model_left_it_out() -> None:
    house = House(text=outcome_text(poi={"action": "none"}))
    turn = await house.play()
    assert receipts(turn)[0][:3] == ("quest", "offered", True)
    assert house.journey_log.sent[0][1].body != QUEST_OFFER
