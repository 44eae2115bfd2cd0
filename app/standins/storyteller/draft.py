"""The outcome of a turn while it is being written."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from app.core.intents import current_location
from app.core.policy import PolicyDecision
from app.standins.storyteller.schema import Spot
from app.standins.storyteller.setting import Setting
from app.standins.storyteller.text import abridged, uncapitalised

SHORT = 160
SHORTEST = 200

NEEDED: Final = frozenset(
    (
        "echo.nonsense",
        "combat.hurt",
        "combat.losing",
        "combat.beaten",
        "combat.surrendered",
        "combat.mercy",
        "combat.flight",
        "combat.refuge",
        "combat.finishing",
        "quest.meeting",
        "quest.meeting_again",
        "quest.setting_out",
        "quest.refused",
        "quest.given_up",
        "quest.lost",
        "quest.next",
        "quest.rewards",
        "quest.plain_rewards",
        "quest.plain_stages",
        "quest.plain_finales",
        "quest.back_to_reference",
        "quest.led_back",
        "place.found",
        "scene.met",
        "scene.met_again",
        "scene.carried",
        "scene.nothing_carried",
        "scene.healed",
        "scene.introduction",
        "scene.first_choice",
        "scene.options",
        "scene.quest_options",
        "combat.advice",
        "scene.elegies",
        "scene.ghostly",
        "scene.last_words",
        "scene.moved",
        "scene.arrived",
    )
)
"""Tables without which a turn would not say what happens, even where it repeats something."""

Intent = dict[str, Any]

USUAL: Intent = {
    "player_mood": "curious",
    "pacing_hint": "normal",
    "user_is_wandering": False,
    "user_asked_for_guidance": False,
}
"""The usual reading of a player, which is left out."""


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
        """Add a paragraph from a table of phrases, `file.table`, unless it would only repeat something."""
        self._say(phrase, anew=True)

    def add(self, phrase: str) -> None:
        """As `say`, to the last paragraph."""
        self._say(phrase, anew=False)

    def say_any(self, templates: Sequence[str]) -> None:
        """Add a paragraph: one of the templates."""
        self._append(self.setting.narrator.say(templates), anew=True)

    def add_any(self, templates: Sequence[str], *, needed: bool = True) -> None:
        """Add one of the templates to the last paragraph; only if it is new, unless `needed`."""
        narrator = self.setting.narrator
        self._append(narrator.say(templates) if needed else narrator.offer(templates), anew=False)

    def _say(self, phrase: str, *, anew: bool) -> None:
        templates, narrator = self.setting.phrase(phrase), self.setting.narrator
        says = narrator.say if phrase in NEEDED else narrator.offer
        self._append(says(templates), anew=anew)

    def _append(self, text: str, *, anew: bool) -> None:
        if text and (anew or not self.paragraphs):
            self.paragraphs.append(text)
        elif text:
            self.paragraphs[-1] += f" {text}"

    def echo(self) -> None:
        """Begin the turn with what the player does or says."""
        action = self.setting.action
        if action.kind == "nonsense":
            self.say("echo.nonsense")
        elif action.retold:
            self._retell(action.retold)
        elif self.setting.bind_quote():
            self.say("echo.asked" if action.quote.endswith("?") else "echo.spoken")
        else:
            self.say("echo.wordless")

    def _retell(self, retold: str) -> None:
        """Players repeat themselves more often than a story should."""
        narrator = self.setting.narrator
        narrator.bind(retold=retold, retold_again=uncapitalised(retold))
        again = ("{retold}", *self.setting.phrase("echo.again"))
        self.add_any(again[:1] if not narrator.was_said(retold) else again[1:], needed=False)

    def lengthen(self) -> None:
        """Describe the place when the turn is too short."""
        if sum(map(len, self.paragraphs)) < SHORT:
            self.say_any(self._surroundings())
            self.add_any(self.setting.world.weather)

    def fill(self) -> None:
        """Bring the narrative to its least length, in two paragraphs or more."""
        narrator, world = self.setting.narrator, self.setting.world
        while sum(map(len, self.paragraphs)) < SHORTEST or len(self.paragraphs) < 2:
            text = narrator.offer(self._surroundings()) or narrator.say(world.weather)
            self._append(text, anew=len(self.paragraphs) < 2)

    def _surroundings(self) -> tuple[str, ...]:
        """The lines about the surroundings: here, and where the world goes on."""
        here = self.spot or self.setting.spot
        narrator, phrase = self.setting.narrator, self.setting.phrase
        found = tuple(line for line in here.lines if not narrator.was_said(narrator.expand(line)))
        return found or (*here.lines, *phrase("scene.any_spot"), *phrase("scene.further"))

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
        declared = _declared(name, intent, document["narrative"])
        if declared not in ({}, {"action": "none"}) or granted.get(name):
            intents[name] = declared
    return {**document, "intents": intents}


def _declared(name: str, intent: Intent, narrative: str) -> Intent:
    """A part, with the needed fields only; `{"create": NAME}` stands for an action and its field."""
    usual = USUAL if name == "meta" else {}
    found = {field: value for field, value in intent.items() if value != usual.get(field)}
    if named := _BEGINNINGS.get(action := found.get("action", "")):
        found.pop("combat_notes", None)  # the narrative says where a fight begins
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
