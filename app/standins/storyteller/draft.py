"""The outcome of a turn while it is being written."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from app.core.intents import current_location
from app.core.policy import PolicyDecision
from app.standins.storyteller.schema import Spot
from app.standins.storyteller.setting import Setting
from app.standins.storyteller.text import abridged

SHORT = 160
SHORTEST = 200

Intent = dict[str, Any]

USUAL: Intent = {
    "player_mood": "curious",
    "pacing_hint": "normal",
    "user_is_wandering": False,
    "user_asked_for_guidance": False,
}
"""The reading of a player that need not be told."""


@dataclass(slots=True)
class Draft:
    """Intents have the shape of `DungeonMasterOutcome`; an empty one means none.

    `spot` is where the character has gone this turn.
    """

    setting: Setting
    spot: Spot | None = None
    mood: str = USUAL["player_mood"]
    pacing: str = USUAL["pacing_hint"]
    wandering: bool = False
    guidance: bool = False
    paragraphs: list[str] = field(default_factory=list)
    quest: Intent = field(default_factory=dict)
    combat: Intent = field(default_factory=dict)
    poi: Intent = field(default_factory=dict)
    location: Intent = field(default_factory=dict)

    def say(self, phrase: str) -> None:
        """Add a paragraph from a table of phrases, `file.table`."""
        self.say_any(self.setting.phrase(phrase))

    def add(self, phrase: str) -> None:
        """Add to the last paragraph from a table of phrases, `file.table`."""
        self.add_any(self.setting.phrase(phrase))

    def say_any(self, templates: Sequence[str]) -> None:
        """Add a paragraph: one of the templates."""
        self.paragraphs.append(self.setting.narrator.say(templates))

    def add_any(self, templates: Sequence[str]) -> None:
        """Add one of the templates to the last paragraph."""
        text = self.setting.narrator.say(templates)
        if self.paragraphs:
            self.paragraphs[-1] += f" {text}"
        else:
            self.paragraphs.append(text)

    def echo(self) -> None:
        """Begin the turn with what the player does or says."""
        action = self.setting.action
        if action.kind == "nonsense":
            self.say("echo.nonsense")
        elif action.retold:
            self.setting.narrator.bind(retold=action.retold)
            self.say_any(("{retold}",))
        elif self.setting.bind_quote():
            self.say("echo.asked" if action.quote.endswith("?") else "echo.spoken")
        else:
            self.say("echo.wordless")

    def lengthen(self) -> None:
        """Describe the place when the turn is too short."""
        if sum(map(len, self.paragraphs)) < SHORT:
            self.say_any((self.spot or self.setting.spot).lines)
            self.add_any(self.setting.world.weather)

    def fill(self) -> None:
        """Bring the narrative to its least length with the weather."""
        while sum(map(len, self.paragraphs)) < SHORTEST:
            self.paragraphs[0] += f" {self.setting.narrator.say(self.setting.world.weather)}"

    def move_to(self, name: str) -> None:
        here = current_location(self.setting.scene.context, self.setting.scene.progress)
        self.location = {
            "action": "update_minor",
            "location_id": here.id or None,
            "location_display_name": here.display_name or None,
            "minor_location": name,
        }

    def document(self) -> dict[str, Any]:
        """The whole outcome, each field of it."""
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


_BEGINNINGS = {"offer": "quest_title", "start": "enemies", "create": "name"}
_QUEST = _none("quest_title", "quest_summary", "quest_details", "progress_update")
_COMBAT = _none("enemies", "combat_notes")
_POI = _none("name", "description", "reference_tags")
_LOCATION = _none("location_id", "location_display_name", "minor_location")


def shortest(document: dict[str, Any], decision: PolicyDecision) -> dict[str, Any]:
    """The same outcome without what a reader fills in or finds in the narrative.

    A `none` stays where policy has granted what the story did not use, or policy would fill it in.
    """
    granted = {"quest_intent": decision.quest.passed, "poi_intent": decision.poi.passed}
    intents = {}
    for name, intent in document["intents"].items():
        told = _told(name, intent, document["narrative"])
        if told not in ({}, {"action": "none"}) or granted.get(name):
            intents[name] = told
    return {**document, "intents": intents}


def _told(name: str, intent: Intent, narrative: str) -> Intent:
    """A part with what must be told of it; `{"create": NAME}` stands for an action and its field."""
    usual = USUAL if name == "meta" else {}
    found = {field: value for field, value in intent.items() if value != usual.get(field)}
    if named := _BEGINNINGS.get(action := found.get("action", "")):
        found.pop("combat_notes", None)  # where a fight begins is told
        found = {action: found.pop(named), **found}
        del found["action"]
    if details := found.pop("quest_details", None):
        found |= {"requirements": details["requirements"], "rewards": _listed(details["rewards"])}
    if "description" in found:
        found["description"] = abridged(found["description"], narrative)
    return found


def _listed(rewards: dict[str, Any]) -> list[str]:
    coins = [f"{row['amount']} {row['name']}" for row in rewards["currency"]]
    return [*rewards["items"], *coins, f"{rewards['experience']} experience"]
