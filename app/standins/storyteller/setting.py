"""What the storyteller knows before it tells a turn. Nothing is remembered between turns: whatever
was said before is recognised again in the scene."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from app.core.context import Place
from app.core.intents import current_location
from app.core.prompt import Scene
from app.standins.storyteller.grammar import LATELY, Voice, cleaned, within
from app.standins.storyteller.lore import Foe, Person, QuestTale, Spot, Stage, World
from app.standins.storyteller.player import MAX_NAME, player_slots
from app.standins.storyteller.words import Reading, read_action
from app.standins.storyteller.worlds import (
    WORLDS,
    quests_of,
    world_of_place,
    world_of_quest,
)

MAX_TASK = 120
REFERENCE = "Look for an answer at "

_ANY_SPOT = (
    "It looks [smaller|older] than it did at first.",
    "You know your way about here by now, or would if it stood still.",
    "Somebody has been here since you last looked round.",
)

T = TypeVar("T")


class Errand(NamedTuple):
    """The quest as the story tells it. `tale` is None for a quest from elsewhere.

    `stage` is the requirement to meet next.
    """

    name: str
    tale: QuestTale | None
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
    """`told` are the responses of the turns before, oldest first; `places` every place whose name
    the scene shows."""

    scene: Scene
    voice: Voice
    reading: Reading
    world: World
    spot: Spot
    person: Person
    places: tuple[Place, ...]
    errand: Errand | None
    told: tuple[str, ...]

    def others(self) -> list[Spot]:
        return [spot for spot in self.world.spots if spot.name != self.spot.name]

    def has_met(self, person: Person) -> bool:
        name = re.compile(rf"\b{re.escape(person.short)}\b")
        return any(name.search(text) for text in self.told)

    def stage_of(self, errand: Errand) -> Stage | None:
        """The story's own telling of the requirement, if it has one."""
        stages = errand.tale.stages if errand.tale else ()
        return next((s for s in stages if self.voice.expand(s.task) == errand.task), None)

    def foe_of(self, tale: QuestTale | None) -> Foe | None:
        if tale is None:
            return None
        named = next((foe for foe in self.world.foes if foe.name == tale.foe), None)
        return named or self.world.foes[0]


def read_setting(scene: Scene, seed: str) -> Setting:
    progress, character = scene.progress, scene.context.character_id
    rng = random.Random(_digest(f"{seed}:{character}:{progress.turns}:{scene.user_action}"))
    reading = read_action(scene.user_action)
    told = tuple(turn.gm_response for turn in scene.context.narrative.recent_turns)
    world = _world(scene, reading, told)
    spot = _spot(scene, world, told)
    errand = _errand(scene, world)
    person = _person(scene, world, spot, errand, told)
    places = tuple({p.name: p for p in [*scene.sparks, *scene.context.world.pois_sample]}.values())
    voice = Voice(rng, player_slots(scene) | _story_slots(spot, person, errand), told)
    setting = Setting(scene, voice, reading, world, spot, person, places, errand, told)
    lately = "\n".join(told[-LATELY:])
    fresh = [line for line in world.weather if line not in lately]
    voice.bind(
        other=rng.choice(setting.others()).name,
        weather=rng.choice(fresh or world.weather),
        **_two_spots(world, scene, errand.name if errand else ""),
    )
    return setting


def place_name(place: Place) -> str:
    """As it stands inside a sentence."""
    return within(cleaned(place.name, MAX_NAME)) or "a place without a name"


def fixed_choice(scene: Scene, what: str, options: Sequence[T]) -> T:
    """The same choice for a character on every turn."""
    return options[_digest(f"{scene.context.character_id}:{what}") % len(options)]


def shuffled(scene: Scene, deck: list[T]) -> None:
    """Shuffle in place, the same way on every turn of a character."""
    random.Random(_digest(f"{scene.context.character_id}:deck")).shuffle(deck)


def cast_giver(scene: Scene, world: World, tale: QuestTale) -> Person:
    named = next((person for person in world.people if person.name == tale.giver), None)
    return named or fixed_choice(scene, tale.title, world.people[:3])


def bind_quest(setting: Setting, tale: QuestTale) -> Person:
    """Let the rules speak of a quest that is about to be offered; its giver."""
    giver = cast_giver(setting.scene, setting.world, tale)
    setting.voice.bind(
        giver=giver.short,
        giver_full=giver.name,
        giver_role=giver.role,
        giver_look=giver.look,
        **_two_spots(setting.world, setting.scene, tale.title),
    )
    return giver


def _digest(key: str) -> int:
    digest = hashlib.sha256(key.encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest, "big")


# -- the world --------------------------------------------------------------------------------------


def _world(scene: Scene, reading: Reading, told: tuple[str, ...]) -> World:
    """What was told before decides, then the location and the wish, then the character's luck."""
    quest, minor = scene.context.quest, scene.progress.minor_location
    return (
        (world_of_quest(quest.name) if quest else None)
        or (world_of_place(minor) if minor else None)
        or _mentioned_world(told)
        or _wished_world(scene, reading)
        or fixed_choice(scene, "world", WORLDS)
    )


def _mentioned_world(told: tuple[str, ...]) -> World | None:
    for text in reversed(told):
        for world in WORLDS:
            if any(spot.name in text.replace("The ", "the ") for spot in world.spots):
                return world
    return None


def _wished_world(scene: Scene, reading: Reading) -> World | None:
    past = scene.context.narrative.recent_turns
    wish = reading.text if scene.opening or not past else past[0].player_action
    here = _words(current_location(scene.context, scene.progress).label)

    def score(world: World) -> int:
        # The default start is called a nexus: a wish outweighs it, as it does any one word.
        weight = 1 if here & {"nexus", "origin"} else 3
        return 2 * len(world.signs & _words(wish)) + weight * len(world.signs & here)

    best = max(WORLDS, key=score)
    return best if score(best) else None


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text[:2000].casefold()))


def _spot(scene: Scene, world: World, told: tuple[str, ...]) -> Spot:
    minor = scene.progress.minor_location
    if minor:
        known = next((spot for spot in world.spots if spot.name == minor), None)
        if known:
            return known
        name = within(cleaned(minor, MAX_NAME))
        return Spot(name if world_of_place(minor) else "this place", _ANY_SPOT)
    last = told[-1] if told else ""
    named = [spot for spot in world.spots if spot.name in last]
    return named[-1] if named else fixed_choice(scene, "spot", world.spots)


def _person(
    scene: Scene, world: World, spot: Spot, errand: Errand | None, told: tuple[str, ...]
) -> Person:
    """Who is at hand: somebody the player names, somebody just met, or whoever belongs here."""
    action, last = scene.user_action[:600].casefold(), told[-1] if told else ""
    for person in world.people:
        if any(part.casefold() in action for part in _name_parts(person)):
            return person
    for person in world.people:
        if person.short in last and not (errand and errand.giver == person):
            return person
    return fixed_choice(scene, f"person at {spot.name}", world.people)


def _name_parts(person: Person) -> list[str]:
    plain = person.role.removeprefix("the ")
    return [*(part for part in person.name.split() if len(part) > 3 and part[0].isupper()), plain]


# -- the quest --------------------------------------------------------------------------------------


def _errand(scene: Scene, world: World) -> Errand | None:
    quest = scene.context.quest
    if quest is None:
        return None
    tale = next((tale for tale in quests_of(world) if tale.title == quest.name), None)
    name = within(cleaned(quest.name, MAX_NAME)) or "what you have taken on"
    tasks = tuple(text for line in quest.requirements if (text := cleaned(line, MAX_TASK)))
    if not tasks:
        tasks = (f"Learn more about {name}", f"Bring {name} to its end")
    stage = min(len(scene.progress.quest_progress), len(tasks) - 1)
    giver = next((p for p in world.people if p.name in quest.description), None)
    if giver is None:
        giver = cast_giver(scene, world, tale) if tale else fixed_choice(scene, name, world.people)
    return Errand(name, tale, tasks, stage, giver)


def _two_spots(world: World, scene: Scene, title: str) -> dict[str, str]:
    at = world.spots.index(fixed_choice(scene, within(title), world.spots))
    spots = world.spots[at:] + world.spots[:at]
    return {"near": spots[0].name, "far": spots[2].name}


def _story_slots(spot: Spot, person: Person, errand: Errand | None) -> dict[str, str]:
    slots = {
        "spot": spot.name,
        "npc": person.short,
        "npc_full": person.name,
        "npc_role": person.role,
        "npc_look": person.look,
    }
    if errand:
        slots |= {
            "quest": errand.name,
            "task": errand.task[:1].lower() + errand.task[1:],
            "giver": errand.giver.short,
            "giver_full": errand.giver.name,
            "giver_role": errand.giver.role,
            "giver_look": errand.giver.look,
        }
    return slots
