"""The setting of a turn before it is written. Nothing is stored between turns: earlier choices are
recognised in the scene."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.core.context import Place, Quest
from app.core.prompt import Scene
from app.core.table_prompt import TableScene
from app.standins.storyteller.actions import ParsedAction
from app.standins.storyteller.chance import stable_choice, turn_rng
from app.standins.storyteller.grammar import RECENT, Narrator
from app.standins.storyteller.library import Library
from app.standins.storyteller.player import MAX_NAME, player_slots
from app.standins.storyteller.recognition import (
    History,
    find_person,
    find_spot,
    find_world,
    named_person,
)
from app.standins.storyteller.schema import Foe, Person, QuestScript, Spot, Stage, World
from app.standins.storyteller.text import cleaned, quote_slots, uncapitalised, within

MAX_TASK = 120
REFERENCE = "Look for an answer at "


class ActiveQuest(NamedTuple):
    """`script` is None for a quest that is not from the data files.

    `stage` is the index of the requirement to meet next.
    """

    name: str
    script: QuestScript | None
    tasks: tuple[str, ...]
    stage: int
    giver: Person

    @property
    def is_last(self) -> bool:
        return self.stage >= len(self.tasks) - 1

    @property
    def task(self) -> str:
        return self.tasks[self.stage]


@dataclass(frozen=True, slots=True)
class Setting:
    """`places` is every discovered place whose name the scene shows."""

    library: Library
    scene: Scene
    narrator: Narrator
    action: ParsedAction
    world: World
    spot: Spot
    person: Person
    places: tuple[Place, ...]
    quest: ActiveQuest | None
    history: History

    def phrase(self, name: str) -> tuple[str, ...]:
        """The templates of a table of phrases, `file.table`."""
        return self.library.phrases[name]

    def other_spots(self) -> list[Spot]:
        return [spot for spot in self.world.spots if spot.name != self.spot.name]

    def has_met(self, person: Person) -> bool:
        name = re.compile(rf"\b{re.escape(person.short)}\b")
        return any(name.search(text) for text in self.history)

    def wounds(self, turns: int) -> int:
        """In how many of the latest turns the player was hurt, since the last healing."""
        found = 0
        for text in reversed(self.history[-turns:]):
            if any(line in text for line in self.phrase("scene.healed")):
                break
            found += any(line in text for line in self.phrase("combat.hurt"))
        return found

    @property
    def asks_somebody_else(self) -> bool:
        """Whether the player names a person whom the next stage of the quest does not name."""
        person = named_person(self.scene, self.world)
        return bool(person and self.quest and person.short not in self.quest.task)

    @property
    def is_wounded(self) -> bool:
        status = self.scene.context.player_state.status
        return status == "Wounded" or self.wounds(len(self.history)) > 0

    @property
    def casts_magic(self) -> bool:
        class_name = self.scene.context.player_state.identity.class_name.casefold()
        return any(part in class_name for part in self.library.actions.casters.split())

    def stage_of(self, quest: ActiveQuest) -> Stage | None:
        """The script's stage for the current requirement, if there is one."""
        stages = quest.script.stages if quest.script else ()
        return next((s for s in stages if self.narrator.expand(s.task) == quest.task), None)

    def foe_of(self, script: QuestScript | None) -> Foe | None:
        if script is None:
            return None
        named = next((foe for foe in self.world.foes if foe.name == script.foe), None)
        return named or self.world.foes[0]

    def bind_quote(self) -> bool:
        """Bind the player's words; False when there are none."""
        if self.action.quote:
            self.narrator.bind(**quote_slots(self.action.quote))
        return bool(self.action.quote)

    def bind_offer(self, script: QuestScript) -> Person:
        """Bind the placeholders of a quest that is about to be offered; its giver."""
        giver = _cast_giver(self.scene, self.world, script)
        self.narrator.bind(
            **_person_slots("giver", giver), **_two_spots(self.world, self.scene, script.title)
        )
        return giver


def read_setting(library: Library, scene: Scene, seed: str) -> Setting:
    """Everything that the turn is decided from. The same scene and seed give the same setting."""
    rng = turn_rng(scene, seed)
    action = library.parser.parse(scene.user_action)
    history = _history(scene)
    world = find_world(library, scene, action, history)
    spot = find_spot(library, scene, world, history)
    quest = _active_quest(library, scene, world)
    person = find_person(scene, world, spot, quest.giver if quest else None, history)
    places = tuple({p.name: p for p in [*scene.sparks, *scene.context.world.pois_sample]}.values())
    slots = player_slots(scene, library.actions.weapons) | _story_slots(spot, person, quest)
    narrator = Narrator(rng, slots, history)
    setting = Setting(library, scene, narrator, action, world, spot, person, places, quest, history)
    narrator.bind_series("weather", _fresh_weather(world, history))
    narrator.bind(
        other=narrator.pick(setting.other_spots()).name,
        **_two_spots(world, scene, quest.name if quest else ""),
    )
    return setting


def place_name(place: Place) -> str:
    """The name inside a sentence."""
    return within(cleaned(place.name, MAX_NAME)) or "a place without a name"


def _active_quest(library: Library, scene: Scene, world: World) -> ActiveQuest | None:
    quest = scene.context.quest
    if quest is None:
        return None
    script = next((s for s in library.quests_of(world) if s.title == quest.name), None)
    name = within(cleaned(quest.name, MAX_NAME)) or "what you have taken on"
    tasks = tuple(text for line in quest.requirements if (text := cleaned(line, MAX_TASK)))
    if not tasks:
        tasks = (f"Learn more about {name}", f"Bring {name} to its end")
    stage = min(len(scene.progress.quest_progress), len(tasks) - 1)
    return ActiveQuest(name, script, tasks, stage, _giver(scene, world, quest, name, script))


def _giver(
    scene: Scene, world: World, quest: Quest, name: str, script: QuestScript | None
) -> Person:
    for person in world.people:
        if person.name in quest.description:
            return person
    return _cast_giver(scene, world, script) if script else stable_choice(scene, name, world.people)


def _cast_giver(scene: Scene, world: World, script: QuestScript) -> Person:
    named = next((person for person in world.people if person.name == script.giver), None)
    return named or stable_choice(scene, script.title, world.people[:3])


def _history(scene: Scene) -> History:
    """At a table the history is in the lines of its dungeon master."""
    if isinstance(scene, TableScene):
        return tuple(line.text for line in scene.said if line.sender == scene.dm_name)
    return tuple(turn.gm_response for turn in scene.context.narrative.recent_turns)


def _fresh_weather(world: World, history: History) -> Sequence[str]:
    """Lines that were not said, else not lately."""
    for said in ("\n".join(history), "\n".join(history[-RECENT:])):
        if fresh := [line for line in world.weather if line not in said]:
            return fresh
    return world.weather


def _two_spots(world: World, scene: Scene, title: str) -> dict[str, str]:
    at = world.spots.index(stable_choice(scene, within(title), world.spots))
    spots = world.spots[at:] + world.spots[:at]
    return {"near": spots[0].name, "far": spots[2].name}


def _person_slots(slot: str, person: Person) -> dict[str, str]:
    return {
        slot: person.short,
        f"{slot}_full": person.name,
        f"{slot}_role": person.role,
        f"{slot}_look": person.look,
    }


def _story_slots(spot: Spot, person: Person, quest: ActiveQuest | None) -> dict[str, str]:
    slots = {"spot": spot.name} | _person_slots("npc", person)
    if quest:
        slots |= {"quest": quest.name, "task": uncapitalised(quest.task)}
        slots |= _person_slots("giver", quest.giver)
    return slots
