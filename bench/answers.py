"""Answers to the twelve scenes in two forms, and what they cost beside their narrative."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bench.recorded import scenes
from bench.tokenizer import count


@dataclass(frozen=True)
class Answers:
    """By scene, as whole texts."""

    texts: Mapping[str, str]
    asked: str
    strict: str
    """The quest, fight and place of a turn as the instructions ask for them: in the shortest form, and in
    the strict one."""

    def beside(self, text: str) -> int:
        """Tokens of an answer beside those of its narrative."""
        narrative = json.loads(text)["narrative"]
        return count(text) - count(json.dumps(narrative, ensure_ascii=False)[1:-1])

    def joined(self) -> str:
        """One turn with the story and the writes of three scenes: a quest, a fight and a place."""
        parts = {
            "quest_intent": "quest offered",
            "combat_intent": "fight begins",
            "poi_intent": "place found",
        }
        whole = json.loads(self.texts["quest offered"])
        scenes = {part: json.loads(self.texts[scene]) for part, scene in parts.items()}
        whole["narrative"] = "\n\n".join(scene["narrative"] for scene in scenes.values())
        whole["intents"] |= {part: scene["intents"][part] for part, scene in scenes.items()}
        tight = '{"narrative":"' in self.texts["quest offered"]
        return json.dumps(whole, ensure_ascii=False, separators=(",", ":") if tight else None)


def recorded_answers() -> Answers:
    texts = {name: one.answer for name, one in scenes().items()}
    spelled_out = json.dumps(_SPELLED_OUT, ensure_ascii=False)
    return Answers(texts, spelled_out, spelled_out)


def present_answers() -> Answers:
    texts = {name: one.short_answer for name, one in scenes().items()}
    return Answers(texts, _tight(_BRIEF), _tight(_BRIEF_STRICT))


def _tight(answer: Any) -> str:
    return json.dumps(answer, ensure_ascii=False, separators=(",", ":"))


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
            "offer": "The Drowned Bell",
            "quest_summary": "Find out who rings the bell beneath the lake, and silence it.",
            "requirements": ["Cross the lake", "Follow the sound"],
        },
        "combat_intent": {"start": [{"name": "Marsh Wolf", "threat": "medium"}]},
        "poi_intent": {
            "create": "The Ferry Landing",
            "description": "A rotten pier on a lake that is never quite still.",
        },
    },
}
"""The same turn after the present instructions: rewards only where somebody promised them, and nothing
that the narrative mentions."""
_BRIEF_STRICT: Final = {
    "narrative": "",
    "intents": {
        "quest_intent": {
            "action": "offer",
            "quest_title": "The Drowned Bell",
            "quest_summary": "Find out who rings the bell beneath the lake, and silence it.",
            "quest_details": {
                "requirements": ["Cross the lake", "Follow the sound"],
                "rewards": None,
            },
            "progress_update": "",
        },
        "combat_intent": {
            "action": "start",
            "enemies": [{"name": "Marsh Wolf", "description": "", "threat": "medium"}],
            "combat_notes": "",
        },
        "poi_intent": {
            "action": "create",
            "name": "The Ferry Landing",
            "description": "A rotten pier on a lake that is never quite still.",
            "reference_tags": [],
        },
        "location_intent": None,
        "meta": None,
    },
}
"""The same in the strict form, in which each field is there."""
