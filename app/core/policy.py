"""Which quests and places may happen, decided before the model is asked.

A roll is a pure function of (seed, character, turn number, what is rolled for): cancelling and
asking again cannot change it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from app.core.context import CharacterProgress, Context, Place

Probability = Annotated[float, Field(ge=0, le=1)]
CooldownTurns = Annotated[int, Field(ge=0, le=10_000)]


class PolicyConfig(BaseModel):
    """The six values that can be changed while the service runs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    quest_trigger_prob: Probability = 0.3
    quest_cooldown_turns: CooldownTurns = 5
    poi_trigger_prob: Probability = 0.2
    poi_cooldown_turns: CooldownTurns = 3
    memory_spark_probability: Probability = 0.2
    quest_poi_reference_probability: Probability = 0.1


@dataclass(frozen=True, slots=True)
class Roll:
    eligible: bool
    passed: bool


@dataclass(frozen=True, slots=True)
class PolicyDecision:
    quest: Roll
    poi: Roll
    reference: Place | None = None
    """The remembered place a new quest should lead to."""


NOTHING_GRANTED: Final = PolicyDecision(Roll(False, False), Roll(False, False))
"""For a turn without a character, whose world is not journey-log's."""


class PolicyEngine:
    """Rolls for one seed. `seed` is the setting RNG_SEED or one drawn once and kept in the store."""

    def __init__(self, seed: str) -> None:
        self._seed = seed

    def grants_spark(self, config: PolicyConfig, character_id: str, turn_number: int) -> bool:
        drawn = self._draw(character_id, turn_number, "spark")
        return drawn < config.memory_spark_probability

    def decide(
        self,
        config: PolicyConfig,
        context: Context,
        progress: CharacterProgress,
        sparks: Sequence[Place],
        now: float,
    ) -> PolicyDecision:
        """`now` is in epoch seconds. Nothing is granted to a Dead character."""
        character_id, number = context.character_id, progress.turns + 1

        def roll(eligible: bool, what: str, probability: float) -> Roll:
            drawn = eligible and self._draw(character_id, number, what) < probability
            return Roll(eligible, drawn)

        alive = not context.is_dead
        quest = roll(
            alive and _quest_eligible(config, context, progress, now),
            "quest",
            config.quest_trigger_prob,
        )
        poi = roll(
            alive and _cooled_down(progress.since_poi, config.poi_cooldown_turns),
            "poi",
            config.poi_trigger_prob,
        )
        reference = None
        if quest.passed and sparks:
            refers = self._draw(character_id, number, "reference")
            if refers < config.quest_poi_reference_probability:
                choice = self._draw(character_id, number, "choice")
                reference = sparks[int(choice * len(sparks))]
        return PolicyDecision(quest, poi, reference)

    def _draw(self, character_id: str, turn_number: int, what: str) -> float:
        """Uniform in [0, 1)."""
        key = f"{self._seed}:{character_id}:{turn_number}:{what}"
        return int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) / 2**32


def _quest_eligible(
    config: PolicyConfig, context: Context, progress: CharacterProgress, now: float
) -> bool:
    if context.quest is not None:
        return False
    last = progress.quest_completed_at or progress.quest_offered_at
    if last is not None:
        return now - last >= config.quest_cooldown_turns * 60
    return _cooled_down(progress.since_quest, config.quest_cooldown_turns)


def _cooled_down(turns_since: int | None, cooldown: int) -> bool:
    """A character that never had one is eligible at once."""
    return turns_since is None or turns_since >= cooldown
