"""A turn as it is being told: its paragraphs and what they change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from app.core.intents import current_location
from app.standins.storyteller.lore import Spot
from app.standins.storyteller.setting import Setting

SHORT = 160
SHORTEST = 200

Intent = dict[str, Any]


@dataclass(slots=True)
class Draft:
    """Each intent is as in `DungeonMasterOutcome`; an empty one means none."""

    setting: Setting
    spot: Spot | None = None
    """Where the character has gone this turn."""
    mood: str = "curious"
    pacing: str = "normal"
    wandering: bool = False
    guidance: bool = False
    paragraphs: list[str] = field(default_factory=list)
    quest: Intent = field(default_factory=dict)
    combat: Intent = field(default_factory=dict)
    poi: Intent = field(default_factory=dict)
    location: Intent = field(default_factory=dict)

    def say(self, *rules: str) -> None:
        """Add a paragraph: one of the rules."""
        self.paragraphs.append(self.setting.voice.say(*rules))

    def add(self, *rules: str) -> None:
        """Add one of the rules to the last paragraph."""
        text = self.setting.voice.say(*rules)
        if self.paragraphs:
            self.paragraphs[-1] += f" {text}"
        else:
            self.paragraphs.append(text)

    def lengthen(self) -> None:
        """Add what there is to see, where a turn would be all too short."""
        if sum(map(len, self.paragraphs)) < SHORT:
            self.say(*(self.spot or self.setting.spot).lines)
            self.add(*self.setting.world.weather)

    def fill(self) -> None:
        """No turn is shorter than a few lines: where one is, the weather has something to add."""
        while sum(map(len, self.paragraphs)) < SHORTEST:
            self.paragraphs[0] += f" {self.setting.voice.say(*self.setting.world.weather)}"

    def move_to(self, name: str) -> None:
        here = current_location(self.setting.scene.context, self.setting.scene.progress)
        self.location = {
            "action": "update_minor",
            "location_id": here.id or None,
            "location_display_name": here.display_name or None,
            "minor_location": name,
        }

    def document(self) -> dict[str, Any]:
        """A whole outcome. Every intent says `none` aloud, or policy would fill it in."""
        return {
            "narrative": "\n\n".join(self.paragraphs),
            "intents": {
                "quest_intent": _QUEST | self.quest,
                "combat_intent": _COMBAT | self.combat,
                "poi_intent": _POI | self.poi,
                "location_intent": _LOCATION | self.location,
                "meta": {
                    "player_mood": self.mood,
                    "pacing_hint": self.pacing,
                    "user_is_wandering": self.wandering,
                    "user_asked_for_guidance": self.guidance,
                },
            },
        }


def _none(*fields: str) -> Intent:
    return {"action": "none", **dict.fromkeys(fields)}


_QUEST = _none("quest_title", "quest_summary", "quest_details", "progress_update")
_COMBAT = _none("enemies", "combat_notes")
_POI = _none("name", "description", "reference_tags")
_LOCATION = _none("location_id", "location_display_name", "minor_location")
