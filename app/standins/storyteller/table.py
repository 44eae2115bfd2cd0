"""The parts of a table's turn beside its narrative."""

import random
from collections.abc import Mapping, Sequence
from typing import Any, Final

from app.core.table_prompt import TableScene
from app.standins.storyteller.library import library

CHOICES: Final = 3


def at_table(document: dict[str, Any], scene: TableScene, seed: str) -> dict[str, Any]:
    """The same outcome with an answer, options and the scene. The same scene and seed give the same."""
    rng = random.Random(f"{seed}:{document['narrative']}:{len(scene.said)}")
    phrases = library().phrases
    return {
        "narrative": document["narrative"],
        "player_response": rng.choice(_fresh(phrases["table.responses"], scene)),
        "player_options": rng.sample(phrases["table.options"], CHOICES),
        "scene": _scene(document, phrases, rng),
        "intents": document["intents"],
    }


def _fresh(phrases: Sequence[str], scene: TableScene) -> Sequence[str]:
    """Those that nobody has read lately, else all."""
    recent = "\n".join(line.text for line in scene.said)
    return [phrase for phrase in phrases if phrase not in recent] or phrases


def _scene(
    document: dict[str, Any], phrases: Mapping[str, tuple[str, ...]], rng: random.Random
) -> dict[str, Any]:
    moved = (document["intents"] or {}).get("location_intent") or {}
    return {
        "environmental_conditions": rng.choice(phrases["table.conditions"]),
        "immediate_threats": rng.choice(phrases["table.threats"]),
        "story_progression": rng.choice(phrases["table.progress"]),
        "scene_elements": {
            "npcs_present": [],
            "objects_of_interest": [],
            "current_location": moved.get("minor_location") or "",
        },
        "dm_notes": rng.choice(phrases["table.notes"]),
    }
