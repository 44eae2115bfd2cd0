"""A running turn's stage, and those who wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from app.adapters.event_log.memory import MemoryEventLog
from app.core.context import CharacterProgress
from app.core.stages import IllegalTransition, Stage
from app.eventlog.writer import LogWriter
from app.ports.clock import Clock
from app.ports.store import Claim, TurnRequest
from app.turns.state import TurnState

from waiting import parked


def a_turn() -> TurnState:
    writer, clock = LogWriter("t", MemoryEventLog().open("t"), Clock()), Clock()
    return TurnState(
        Claim("t", 1), TurnRequest("c", "go", "u", "r"), CharacterProgress(), writer, clock
    )


def passing(turn: TurnState, wait: Coroutine[Any, Any, None], *stages: Stage) -> list[Stage]:
    """The stages through which the waiter was still waiting, up to the one that let it go."""

    async def work() -> list[Stage]:
        waiter, seen = asyncio.create_task(wait), [turn.stage]
        await parked()
        for stage in stages:
            if waiter.done():
                break
            turn.advance(stage)
            seen.append(stage)
            await parked()
        assert waiter.done()
        return seen

    return asyncio.run(work())


def test_an_illegal_transition_raises_and_changes_nothing() -> None:
    turn = a_turn()
    with pytest.raises(IllegalTransition, match="from admitted to settling"):
        turn.advance(Stage.SETTLING)
    assert turn.stage is Stage.ADMITTED


def test_ending_twice_is_ending_once() -> None:
    turn = a_turn()
    turn.end()
    turn.end()
    assert turn.stage is Stage.ENDED


FROM_START = (Stage.PREPARING, Stage.GENERATING, Stage.VALIDATING, Stage.ENDED)


def test_a_turn_is_readable_once_its_context_was_read() -> None:
    turn = a_turn()
    seen = passing(turn, turn.wait_readable(), *FROM_START)
    assert seen[-1] is Stage.GENERATING
    assert turn.readable


def test_a_queued_turn_is_readable_and_stays_so() -> None:
    turn = a_turn()
    assert passing(turn, turn.wait_readable(), Stage.QUEUED)[-1] is Stage.QUEUED
    turn.advance(Stage.PREPARING)
    assert turn.readable


def test_waiting_for_a_readable_turn_ends_with_the_turn() -> None:
    turn = a_turn()
    assert passing(turn, turn.wait_readable(), Stage.PREPARING, Stage.ENDED)[-1] is Stage.ENDED
    assert not turn.readable


def test_the_end_is_waited_for_through_every_stage() -> None:
    turn = a_turn()
    assert passing(turn, turn.wait_ended(), *FROM_START)[-1] is Stage.ENDED


def test_a_queued_turn_is_left_waiting_until_it_is_promoted_or_cancelled() -> None:
    for after in (Stage.PREPARING, Stage.CANCELLING):
        turn = a_turn()
        turn.advance(Stage.QUEUED)
        assert passing(turn, turn.wait_while(Stage.QUEUED), after)[-1] is after


def test_a_waiter_that_gave_up_stops_nobody() -> None:
    async def work() -> None:
        turn = a_turn()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await turn.wait_ended()
        other = asyncio.create_task(turn.wait_ended())
        await parked()
        turn.end()
        await other

    asyncio.run(work())
