"""Contexts, progress records and decisions to plan a turn with."""

from __future__ import annotations

from typing import Any

from app.core.context import CharacterProgress, Combat, Combatant, CombatView, Context, Place, Quest
from app.core.policy import PolicyDecision, Roll

CHARACTER = "6f1c0b52-8a55-4f6e-9d6e-0c5f0c6f0a01"
NOW = 1_800_000_000.0
QUEST = Quest(name="The Ninth Bell", updated_at="2026-01-01T00:00:00.123456Z")
COMBAT = Combat(
    combat_id="c-1",
    started_at="2026-01-01T00:00:00Z",
    turn=4,
    enemies=[
        Combatant(
            enemy_id="e-1",
            name="Chain Warden",
            status="Wounded",
            weapon="chain",
            traits=["slow"],
            metadata={"threat": "high"},
        )
    ],
    player_conditions={"bleeding": 1},
)
PASSED, FAILED, INELIGIBLE = Roll(True, True), Roll(True, False), Roll(False, False)
GRANTED = PolicyDecision(PASSED, PASSED)
DENIED = PolicyDecision(FAILED, FAILED)


def seen(
    *,
    status: str = "Healthy",
    location: Any = None,
    quest: Quest | None = None,
    combat: Combat | None = None,
    turns: list[str] | None = None,
    places: list[Place] | None = None,
) -> Context:
    """What journey-log shows; `turns` are the times of past turns."""
    return Context.model_validate(
        {
            "character_id": CHARACTER,
            "player_state": {"status": status, "location": location},
            "quest": quest,
            "combat": CombatView(active=combat is not None, state=combat),
            "narrative": {"recent_turns": [{"timestamp": stamp} for stamp in turns or []]},
            "world": {"pois_sample": places or []},
        }
    )


def progress(**fields: Any) -> CharacterProgress:
    return CharacterProgress(**fields)
