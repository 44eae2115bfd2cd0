"""Recognising the world, the place and the person of a story in what the scene shows."""

import re

from app.core.intents import current_location
from app.core.prompt import Scene
from app.standins.storyteller.actions import ParsedAction
from app.standins.storyteller.chance import stable_choice
from app.standins.storyteller.library import Library
from app.standins.storyteller.player import MAX_NAME
from app.standins.storyteller.schema import Person, Spot, World
from app.standins.storyteller.text import cleaned, within

History = tuple[str, ...]
"""The narratives of earlier turns, oldest first."""


def find_world(library: Library, scene: Scene, action: ParsedAction, history: History) -> World:
    """By the quest, the place, earlier turns, the location and the wish; else by chance."""
    quest, minor = scene.context.quest, scene.progress.minor_location
    return (
        (library.world_of_quest(quest.name) if quest else None)
        or (library.world_of_place(minor) if minor else None)
        or _mentioned_world(library, history)
        or _wished_world(library, scene, action)
        or stable_choice(scene, "world", library.worlds)
    )


def find_spot(library: Library, scene: Scene, world: World, history: History) -> Spot:
    minor = scene.progress.minor_location
    if minor:
        known = next((spot for spot in world.spots if spot.name == minor), None)
        if known:
            return known
        name = within(cleaned(minor, MAX_NAME)) if library.world_of_place(minor) else "this place"
        return Spot(name=name, lines=library.phrases["scene.any_spot"])
    last = history[-1] if history else ""
    named = [spot for spot in world.spots if spot.name in last]
    return named[-1] if named else stable_choice(scene, "spot", world.spots)


def named_person(scene: Scene, world: World) -> Person | None:
    """The person that the player names by name or by role."""
    action = scene.user_action[:600].casefold()
    for person in world.people:
        if any(part.casefold() in action for part in _name_parts(person)):
            return person
    return None


def find_person(
    scene: Scene, world: World, spot: Spot, giver: Person | None, history: History
) -> Person:
    """Somebody the player names, somebody of the last turn, or whoever belongs here."""
    last = history[-1] if history else ""
    if named := named_person(scene, world):
        return named
    for person in world.people:
        if person.short in last and person != giver:
            return person
    return stable_choice(scene, f"person at {spot.name}", world.people)


def _mentioned_world(library: Library, history: History) -> World | None:
    for text in reversed(history):
        for world in library.worlds:
            if any(spot.name in text.replace("The ", "the ") for spot in world.spots):
                return world
    return None


def _wished_world(library: Library, scene: Scene, action: ParsedAction) -> World | None:
    past = scene.context.narrative.recent_turns
    wish = _words(action.text if scene.opening or not past else past[0].player_action)
    here = _words(current_location(scene.context, scene.progress).label)
    # The default start is called a nexus: a wish outweighs it, as it does any one word.
    weight = 1 if here & {"nexus", "origin"} else 3

    def score(world: World) -> int:
        signs = set(world.signs.split())
        return 2 * len(signs & wish) + weight * len(signs & here)

    best = max(library.worlds, key=score)
    return best if score(best) else None


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text[:2000].casefold()))


def _name_parts(person: Person) -> list[str]:
    plain = person.role.removeprefix("the ")
    return [*(part for part in person.name.split() if len(part) > 3 and part[0].isupper()), plain]
