"""The worlds the storyteller knows, and how to tell which one a story is in."""

from __future__ import annotations

from app.standins.storyteller.lore import Foe, QuestTale, World
from app.standins.storyteller.worlds.anywhere import QUESTS
from app.standins.storyteller.worlds.coast import COAST
from app.standins.storyteller.worlds.crossing import CROSSING
from app.standins.storyteller.worlds.deep import DEEP
from app.standins.storyteller.worlds.heights import HEIGHTS
from app.standins.storyteller.worlds.wood import WOOD

WORLDS: tuple[World, ...] = (CROSSING, WOOD, COAST, DEEP, HEIGHTS)


def quests_of(world: World) -> tuple[QuestTale, ...]:
    return world.quests + QUESTS


def world_of_quest(title: str) -> World | None:
    return next((w for w in WORLDS for quest in w.quests if quest.title == title), None)


def world_of_place(name: str) -> World | None:
    """The world of a spot, of a quest’s scene, or of a discovered place, whatever its adjective."""
    low = name.casefold()
    for world in WORLDS:
        scenes = [stage.where for quest in world.quests for stage in quest.stages]
        if any(low == place.casefold() for place in [spot.name for spot in world.spots] + scenes):
            return world
        if any(low.endswith(find.noun.casefold()) for find in world.finds):
            return world
    return None


def foe_named(name: str) -> Foe | None:
    """The foe that a combatant’s name ends with."""
    low = name.casefold()
    return next(
        (foe for world in WORLDS for foe in world.foes if low.endswith(foe.name.casefold())), None
    )
