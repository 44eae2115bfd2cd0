"""One small call for the intents, where the narrative is whole and they are missing or broken.

The narrative that players have read is kept as it is. Where the call fails, too, so is the story: nothing
in the world changes then.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import structlog

from app.core.outcome import Intents
from app.core.prompt import Scene
from app.core.repair import intents_prompt, read_intents
from app.core.results import Usage
from app.core.text import has_visible
from app.errors import LLMError, LLMResponseError, LLMTimeout, LLMUnavailable, Overloaded
from app.generation.consumer import TextConsumer
from app.generation.request import GenerationLimits, GenerationRequest, Purpose
from app.generation.service import GenerationService
from app.ports.model import FailureKind
from app.turns.state import TurnState

log = structlog.get_logger(__name__)

MAX_TOKENS: Final = 1_500
SECONDS: Final = 60.0


class HiddenAnswer(TextConsumer):
    """Keeps the answer and books what it costs; nothing is shown."""

    def __init__(self, turn: TurnState) -> None:
        super().__init__()
        self._turn = turn

    def read(self, deltas: list[str], text: str, now: float) -> str:
        super().read(deltas, text, now)
        return ""

    def finish(self, text: str, *, cut: FailureKind | None) -> str | None:
        return "" if has_visible(text) else None

    def spend(self, usage: Usage) -> None:
        self._turn.pay(usage)


async def intents_alone(
    generation: GenerationService, turn: TurnState, scene: Scene, limits: GenerationLimits
) -> Intents | None:
    """Ask the model for the intents alone; None where it fails. `limits`: those of the turn."""
    request = GenerationRequest(
        intents_prompt(scene, turn.narrative),
        Purpose.REPAIR,
        turn.request.user_id,
        turn.meta,
        replace(
            limits,
            streaming=False,
            max_retries=0,
            seconds=min(limits.seconds, SECONDS),
            max_output_tokens=MAX_TOKENS,
        ),
    )
    turn.repair = ""
    try:
        turn.repair = (await generation.generate(request, HiddenAnswer(turn))).text
    except (LLMError, LLMResponseError, LLMTimeout, LLMUnavailable, Overloaded) as error:
        log.warning("repair_failed", turn_id=turn.turn_id, error_type=error.type)
    return read_intents(turn.repair)
