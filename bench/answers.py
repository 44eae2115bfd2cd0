"""Answers to the twelve scenes in two forms, and what they cost beside their narrative."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bench.recorded import scenes
from bench.tokenizer import count


@dataclass(frozen=True)
class Answers:
    """By scene, as whole texts."""

    texts: Mapping[str, str]
    asked: str
    """The quest, fight and place of a turn as the instructions ask for them."""

    def beside(self, text: str) -> int:
        """Tokens of an answer beside those of its narrative."""
        narrative = json.loads(text)["narrative"]
        return count(text) - count(json.dumps(narrative, ensure_ascii=False)[1:-1])

    def joined(self) -> str:
        """One turn with the quest, the fight and the place of three scenes, in the form of the first."""
        parts = {
            "quest_intent": "quest offered",
            "combat_intent": "fight begins",
            "poi_intent": "place found",
        }
        whole = json.loads(self.texts["quest offered"])
        for part, scene in parts.items():
            whole["intents"][part] = json.loads(self.texts[scene])["intents"][part]
        tight = '{"narrative":"' in self.texts["quest offered"]
        return json.dumps(whole, ensure_ascii=False, separators=(",", ":") if tight else None)


def recorded_answers() -> Answers:
    texts = {name: one.answer for name, one in scenes().items()}
    return Answers(texts, json.dumps(_SPELLED_OUT, ensure_ascii=False))


def present_answers() -> Answers:
    texts = {name: asyncio.run(one.present()) for name, one in scenes().items()}
    return Answers(texts, json.dumps(_BRIEF, ensure_ascii=False, separators=(",", ":")))


_SPELLED_OUT: Final = {
    "narrative": "",
    "intents": {
        "quest_intent": {
            "action": "offer",
            "quest_title": "The Drowned Bell",
            "quest_summary": "Find out who rings the bell beneath the lake, and silence it.",
            "quest_details": {
                "requirements": ["Cross the lake", "Follow the sound"],
                "rewards": {
                    "items": ["Ferryman's token"],
                    "currency": [{"name": "gold", "amount": 20}],
                    "experience": 100,
                },
            },
            "progress_update": None,
        },
        "combat_intent": {
            "action": "start",
            "enemies": [
                {
                    "name": "Marsh Wolf",
                    "description": "Lean and soaked, with yellow eyes.",
                    "threat": "medium",
                }
            ],
            "combat_notes": "It comes out of the reeds.",
        },
        "poi_intent": {
            "action": "create",
            "name": "The Ferry Landing",
            "description": "A rotten pier on a lake that is never quite still.",
            "reference_tags": ["lake", "ferry"],
        },
        "location_intent": {
            "action": "none",
            "location_id": None,
            "location_display_name": None,
            "minor_location": None,
        },
        "meta": {
            "player_mood": "curious",
            "pacing_hint": "normal",
            "user_is_wandering": False,
            "user_asked_for_guidance": False,
        },
    },
}
"""After the example in the prompts of commit 23d3aec."""

_BRIEF: Final = {
    "narrative": "",
    "intents": {
        "quest_intent": {
            "action": "offer",
            "quest_title": "The Drowned Bell",
            "quest_summary": "Find out who rings the bell beneath the lake, and silence it.",
            "quest_details": {"requirements": ["Cross the lake", "Follow the sound"]},
        },
        "combat_intent": {
            "action": "start",
            "enemies": [{"name": "Marsh Wolf", "threat": "medium"}],
        },
        "poi_intent": {
            "action": "create",
            "name": "The Ferry Landing",
            "description": "A rotten pier on a lake that is never quite still.",
        },
    },
}
"""The same turn after the present instructions: rewards only where somebody promised them, and nothing
that the narrative tells."""
