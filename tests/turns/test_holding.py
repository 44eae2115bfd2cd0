"""Turns of `commit: manual` on fakes: awaiting their commit, retold, committed, also after a crash."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from app.core.access import Caller
from app.core.events import LOST_END
from app.core.limits import per_second
from app.core.money import Amount, Spent
from app.core.prompt import Scene
from app.core.stages import Stage
from app.errors import NotAwaitingCommit, RateLimitExceeded, TokenBudgetExceeded
from app.ports.model import FailureKind, ModelFailed, ModelRequest
from app.ports.store import CancelVerdict, Choice
from app.turns.holding import COMMIT_SECONDS
from app.turns.state import TurnState
from parts import EVENTFUL, House, events, kinds, rules

from fakes.model import NARRATIVE, outcome_text
from journal import USER
from loops import in_virtual_time

CALLER = Caller(USER, frozenset({"turns"}))
ANOTHER = outcome_text("The bell is silent.", quest={"action": "none"}, poi={"action": "none"})
FIRST = ["start", "context", "policy", "narrative", "preview", "validation", "awaiting_commit"]
AGAIN = ["retelling", "preview", "validation", "awaiting_commit"]


async def held(house: House, **fields: Any) -> TurnState:
    """A turn that awaits its commit."""
    turn = await house.start(commit="manual", **fields)
    assert await turn.wait_awaiting()
    return turn


async def retold(house: House, turn: TurnState, guidance: str = "", text: str = ANOTHER) -> None:
    house.model.text = text
    await house.choices.retell(turn.turn_id, CALLER, guidance)
    await asyncio.sleep(1)
    assert await turn.wait_awaiting()


async def committed(house: House, turn: TurnState) -> TurnState:
    await house.choices.commit(turn.turn_id, CALLER)
    await turn.wait_ended()
    return turn


async def adopted(crashed: House, turn: TurnState) -> tuple[House, TurnState]:
    """The same turn in the next process."""
    await crashed.crash()
    house = House(crashed.journal)
    await house.recovery.recover()
    return house, house.executor.running[turn.turn_id]


def folded(turn: TurnState) -> str:
    """The narrative as readers have it."""
    shown: list[str] = []
    for event in events(turn):
        if event.get("phase") == "retelling":
            shown = []
        elif event["type"] == "token":
            shown.append(event["content"])
    return "".join(shown)


def written(house: House) -> list[str]:
    return [
        w.body["ai_response"]
        for _, w in house.journey_log.sent
        if w.subsystem == "narrative" and w.body
    ]


# -- awaiting -------------------------------------------------------------------------------------


@in_virtual_time
async def test_nothing_is_written_before_the_commit() -> None:
    house = House(text=EVENTFUL)
    turn = await held(house)
    await asyncio.sleep(COMMIT_SECONDS - 1)
    assert kinds(turn) == FIRST
    assert house.journey_log.sent == []
    assert await house.status(turn) == "running"
    await committed(house, turn)
    assert kinds(turn)[len(FIRST) :] == ["writes", *["write"] * 4, "complete"]
    assert house.journey_log.written == ["quest", "combat", "poi", "narrative"]


@in_virtual_time
async def test_held_turn_shows_its_deadline() -> None:
    turn = await held(House())
    assert events(turn)[-1]["until"] == "2026-09-21T12:10:00.000Z"


@in_virtual_time
async def test_held_turn_is_cancelled_at_its_deadline() -> None:
    house = House()
    turn = await held(house)
    await asyncio.sleep(COMMIT_SECONDS + 1)
    assert kinds(turn) == [*FIRST, "cancelled"]
    assert await house.status(turn) == "cancelled"
    choice = await house.store.choice(turn.turn_id)
    assert choice is not None
    assert choice.kind == "expire"
    assert house.journey_log.sent == []
    assert isinstance(await house.start(), TurnState)


@in_virtual_time
async def test_held_turn_keeps_its_claim_until_it_is_cancelled() -> None:
    house = House(queue_limit=1)
    turn = await held(house)
    other = await house.start(user_action="I wait.")
    assert other.stage is Stage.QUEUED
    assert await house.cancel(turn) is CancelVerdict.CANCELLING
    await other.wait_ended()
    assert await house.status(other) == "complete"


@in_virtual_time
async def test_a_dry_run_awaits_its_commit_too() -> None:
    house = House(text=EVENTFUL)
    turn = await committed(house, await held(house, dry_run=True))
    assert kinds(turn) == [*FIRST, "complete"]
    assert house.journey_log.sent == []


@in_virtual_time
async def test_a_commit_may_be_repeated_and_cannot_be_cancelled() -> None:
    house = House()
    house.journey_log.gate = asyncio.Event()
    turn = await held(house)
    await house.choices.commit(turn.turn_id, CALLER)
    assert await house.cancel(turn) is CancelVerdict.TOO_LATE
    await house.choices.commit(turn.turn_id, CALLER)
    house.journey_log.gate.set()
    await committed(house, turn)
    assert written(house) == [NARRATIVE]


@in_virtual_time
async def test_veto_cancels_the_outcome_that_it_is_about_and_none_that_was_retold_since() -> None:
    house = House()
    turn = await held(house)
    first = await house.store.held(turn.turn_id)
    await retold(house, turn)
    second = await house.store.held(turn.turn_id)
    assert first is not None
    assert second is not None
    assert not await house.choices.veto(first)
    assert turn.stage is Stage.AWAITING
    assert await house.choices.veto(second)
    assert kinds(turn) == [*FIRST, *AGAIN, "cancelled"]
    assert not await house.choices.veto(second)
    assert await house.status(turn) == "cancelled"


@in_virtual_time
async def test_veto_that_another_process_has_taken_shows_nothing_of_the_outcome() -> None:
    house = House()
    turn = await held(house)
    turn.writer.drafts = True  # nobody but a moderator has seen it
    await house.store.choose(turn.turn_id, Choice("cancel"))
    await house.others._chosen(turn.turn_id)
    await turn.wait_ended()
    assert kinds(turn) == [*FIRST, "cancelled"]


@pytest.mark.parametrize("how", ["auto", "cancelled", "retelling"])
@in_virtual_time
async def test_turn_that_awaits_no_commit_refuses_choices(how: str) -> None:
    house = House()
    house.model.gate = asyncio.Event()
    turn = await house.start(commit="auto" if how == "auto" else "manual")
    if how != "auto":
        house.model.gate.set()
        await turn.wait_awaiting()
    if how == "cancelled":
        await house.cancel(turn)
    if how == "retelling":
        house.model.gate = asyncio.Event()
        await house.choices.retell(turn.turn_id, CALLER, "")
        await turn.wait_while(Stage.AWAITING)
    for wish in (
        house.choices.commit(turn.turn_id, CALLER),
        house.choices.retell(turn.turn_id, CALLER, ""),
    ):
        with pytest.raises(NotAwaitingCommit):
            await wish
    assert house.model.gate is not None
    house.model.gate.set()


# -- retold ---------------------------------------------------------------------------------------


@in_virtual_time
async def test_chosen_generation_is_written() -> None:
    house = House()
    turn = await held(house)
    await retold(house, turn, "quieter")
    assert kinds(turn) == [*FIRST, *AGAIN]
    assert folded(turn) == turn.narrative == "The bell is silent."
    await committed(house, turn)
    assert written(house) == ["The bell is silent."]
    stored = await house.store.turn(turn.turn_id)
    assert stored is not None
    assert stored.result is not None
    assert stored.result["narrative"] == "The bell is silent."
    assert [seq for seq, _, _ in turn.writer.log.entries()] == list(
        range(1, turn.writer.log.end + 1)
    )


@in_virtual_time
async def test_tokens_of_a_retelling_are_counted_from_the_start() -> None:
    house = House()
    turn = await held(house)
    await retold(house, turn)
    found = events(turn)
    again = next(k for k, event in enumerate(found) if event.get("phase") == "retelling")
    assert found[again]["tokens_streamed"] == 0
    assert next(event["index"] for event in found[again:] if event["type"] == "token") == 0


@in_virtual_time
async def test_prompt_of_a_retelling_holds_the_rejected_narrative_and_the_guidance() -> None:
    house = House()
    asked: list[ModelRequest] = []
    house.model.on_request = asked.append
    turn = await held(house)
    await retold(house, turn, "quieter")
    first, second = (request.prompt for request in asked)
    assert '"quieter"' not in first.messages[-1].content
    assert 'WISHED FOR\n"quieter"' in second.messages[-1].content
    assert NARRATIVE.split("\n")[0] in second.messages[-1].content
    scenes = first.hints, second.hints
    assert all(isinstance(scene, Scene) for scene in scenes)
    assert scenes[0] == replace(scenes[1], retelling=None)  # type: ignore[type-var]


@pytest.mark.parametrize("failure", ["unavailable", "no outcome"])
@in_virtual_time
async def test_failed_retelling_brings_back_the_earlier_outcome(failure: str) -> None:
    house = House(text=EVENTFUL)
    turn = await held(house)
    if failure == "unavailable":
        house.model.failure = ModelFailed("down", FailureKind.TRANSIENT)
    await retold(house, turn, text="no JSON")
    why = [event["error_type"] for event in events(turn) if "error_type" in event]
    assert why == ["llm_error" if failure == "unavailable" else "llm_response_error"]
    assert folded(turn) == turn.narrative == NARRATIVE
    await committed(house, turn)
    assert house.journey_log.written == ["quest", "combat", "poi", "narrative"]
    assert written(house) == [NARRATIVE]
    stored = await house.store.turn(turn.turn_id, recording=True)
    assert stored is not None
    assert stored.recording is not None
    assert "".join(text for read in stored.recording.reads for text in read) == EVENTFUL


@in_virtual_time
async def test_turn_can_be_cancelled_during_a_retelling() -> None:
    house = House()
    turn = await held(house)
    house.model.gate = asyncio.Event()
    await house.choices.retell(turn.turn_id, CALLER, "")
    await turn.wait_while(Stage.AWAITING)
    assert await house.cancel(turn) is CancelVerdict.CANCELLING
    assert kinds(turn)[-2:] == ["retelling", "cancelled"]


@in_virtual_time
async def test_every_generation_is_charged() -> None:
    house = House()
    turn = await held(house)
    await retold(house, turn)
    await retold(house, turn)
    await committed(house, turn)
    assert await house.store.spent(USER) == Spent(Amount(150), Amount(0))


@in_virtual_time
async def test_retelling_needs_budget_and_room_in_the_windows() -> None:
    house = House()
    turn = await held(house)
    (row,) = house.journal.turns.values()
    house.admission.rules = rules(budget=Amount(2 * row.reserved.tokens - 1))
    with pytest.raises(TokenBudgetExceeded):
        await house.choices.retell(turn.turn_id, CALLER, "")
    house.admission.rules = rules(character=per_second("character", 2))  # one place is the turn's
    await house.choices.retell(turn.turn_id, CALLER, "")
    assert await turn.wait_awaiting()
    with pytest.raises(RateLimitExceeded):
        await house.choices.retell(turn.turn_id, CALLER, "")


# -- after a crash --------------------------------------------------------------------------------


@in_virtual_time
async def test_held_turn_awaits_its_commit_in_the_next_process() -> None:
    crashed = House(text=EVENTFUL)
    turn = await held(crashed)
    await asyncio.sleep(60)
    house, again = await adopted(crashed, turn)
    assert again.writer.log.entries() == turn.writer.log.entries()
    assert (again.narrative, again.writer.view.phase) == (NARRATIVE, "awaiting_commit")
    await committed(house, again)
    assert house.journey_log.written == ["quest", "combat", "poi", "narrative"]
    stored = await house.store.turn(turn.turn_id, recording=True)
    assert stored is not None
    assert stored.recording is not None
    assert "".join(text for read in stored.recording.reads for text in read) == EVENTFUL
    assert house.model.calls == 0


@in_virtual_time
async def test_next_process_cancels_the_held_turn_at_its_deadline() -> None:
    crashed = House()
    turn = await held(crashed)
    await asyncio.sleep(60)
    house, again = await adopted(crashed, turn)
    await asyncio.sleep(COMMIT_SECONDS - 61)
    assert again.stage is Stage.AWAITING
    await asyncio.sleep(2)
    assert await house.status(again) == "cancelled"


@in_virtual_time
async def test_next_process_retells_with_what_policy_had_granted() -> None:
    crashed = House()
    turn = await held(crashed)
    house, again = await adopted(crashed, turn)
    asked: list[ModelRequest] = []
    house.model.on_request = asked.append
    await retold(house, again)
    (request,) = asked
    assert isinstance(request.prompt.hints, Scene)
    assert request.prompt.hints.decision == turn.decision
    await committed(house, again)
    assert written(house) == ["The bell is silent."]


@in_virtual_time
async def test_a_commit_that_was_accepted_is_carried_out_by_the_next_process() -> None:
    crashed = House()
    turn = await held(crashed)
    crashed.executor.running.clear()  # the process dies before it acts on the choice
    await crashed.choices.commit(turn.turn_id, CALLER)
    assert turn.task is not None
    turn.task.cancel()
    house, again = await adopted(crashed, turn)
    await again.wait_ended()
    assert written(house) == [NARRATIVE]
    assert await house.status(again) == "complete"


@pytest.mark.parametrize("times", [1, 2])
@in_virtual_time
async def test_retelling_that_died_with_its_process_leaves_the_earlier_outcome(times: int) -> None:
    house = House()
    turn = await held(house)
    (row,) = house.journal.turns.values()
    per_generation = row.reserved.tokens
    for number in range(1, times + 1):
        house.model.gate = asyncio.Event()
        await house.choices.retell(turn.turn_id, CALLER, "")
        await turn.wait_while(Stage.AWAITING)
        await asyncio.sleep(1)
        seen = turn.writer.log.entries()[-1][0]
        house, turn = await adopted(house, turn)
        assert await turn.wait_awaiting()
        fresh = turn.writer.log.entries(turn.writer.log.position_after(seen))
        assert (fresh[0][0], fresh[0][1]) == (number * LOST_END, "metadata")
    assert folded(turn) == turn.narrative == NARRATIVE
    await committed(house, turn)
    assert written(house) == [NARRATIVE]
    assert await house.store.spent(USER) == Spent(Amount(50 + times * per_generation), Amount(0))
