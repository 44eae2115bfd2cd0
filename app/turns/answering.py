"""Steps of turns that answer without a story: content, and messages of conversations."""

from __future__ import annotations

from app.core.events import Complete, Metadata
from app.core.outcome import Intents
from app.core.results import SubsystemSummary, Validation
from app.core.stages import Stage
from app.turns.observe import AnswerReached, Observer
from app.turns.state import TurnState


async def begin_answer(turn: TurnState, observe: Observer) -> None:
    """Everything was read that it needs."""
    await turn.wait_durable()
    turn.writer.append(Metadata("context"))
    turn.advance(Stage.GENERATING)
    turn.writer.append(Metadata("narrative"))
    observe(AnswerReached(turn, "generation"))


def end_answer(turn: TurnState, observe: Observer) -> None:
    """All of it is there."""
    turn.advance(Stage.VALIDATING)
    observe(AnswerReached(turn, "validation"))


def answered(turn: TurnState) -> Complete:
    """The terminal event, without the answer itself. Nothing is written of it to journey-log."""
    return Complete(
        turn_id=turn.turn_id,
        intents=Intents().model_dump(),
        subsystem_summary=SubsystemSummary(),
        timing=turn.timing(),
        usage=turn.usage,
        validation=Validation(),
    )
