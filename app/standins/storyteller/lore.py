"""What worlds are made of. The worlds themselves are in `worlds`; every text is a grammar rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Spot(NamedTuple):
    """A place one can walk to. `name` stands inside a sentence, with its article."""

    name: str
    lines: tuple[str, ...]


class Person(NamedTuple):
    """`role` follows a name or stands alone; `look` completes “… is here, ”."""

    name: str
    role: str
    look: str
    sayings: tuple[str, ...]

    @property
    def short(self) -> str:
        """What the story says after the first time."""
        first = self.name.split()[0]
        return self.name if first in ("Old", "Sister", "Brother", "the") else first


class Foe(NamedTuple):
    """`name` is singular and has no article; the rules call it {foe}, with its article.

    `epithets` tell several apart.
    """

    name: str
    epithets: tuple[str, ...]
    description: str
    threat: str
    arrivals: tuple[str, ...]
    strikes: tuple[str, ...]
    falters: tuple[str, ...]
    ends: tuple[str, ...]


class Find(NamedTuple):
    """What a discovered place is. `noun` names no place of another world."""

    noun: str
    text: str
    tags: tuple[str, ...]


class Stage(NamedTuple):
    """One requirement of a quest. With `fight` the foe of the quest shows itself there."""

    task: str
    where: str
    telling: str
    done: str
    fight: bool = False


class QuestTale(NamedTuple):
    """`stages` come one after the other; the telling of the last one is the finale.

    `giver` is a name, or None where anybody of the world may ask.
    """

    title: str
    giver: str | None
    foe: str | None
    summary: str
    offer: str
    stages: tuple[Stage, ...]
    items: tuple[str, ...]
    gold: int
    experience: int


@dataclass(frozen=True, slots=True)
class World:
    """`signs` are the words by which a location or a wish is recognised."""

    name: str
    signs: frozenset[str]
    vistas: tuple[str, ...]
    weather: tuple[str, ...]
    spots: tuple[Spot, ...]
    people: tuple[Person, ...]
    foes: tuple[Foe, ...]
    finds: tuple[Find, ...]
    trifles: tuple[str, ...]
    quests: tuple[QuestTale, ...]


class Air(NamedTuple):
    """What an adjective in a place's name promises; `of_stone`: it does not suit water."""

    adjective: str
    text: str
    of_stone: bool = False


AIRS = (
    Air("Whispering", "Stand close and it seems to speak, always one word short of sense."),
    Air("Hollow", "Knock anywhere and the sound comes back from much too far down.", of_stone=True),
    Air("Weeping", "Water beads on every side of it, even in dry weather.", of_stone=True),
    Air("Patient", "It has the look of a thing that has waited before and does not mind."),
    Air(
        "Crooked",
        "Nothing about it is straight, and the longer you look the worse it leans.",
        of_stone=True,
    ),
    Air("Forgotten", "Nobody has swept here, prayed here or stolen from here in a lifetime."),
    Air("Singing", "When the wind turns, a low note comes out of it and stays in the teeth."),
    Air(
        "Blackened",
        "An old fire has been at it, and nothing has grown on the soot since.",
        of_stone=True,
    ),
    Air("Sleeping", "Sounds are softer within ten paces of it, your own steps too."),
    Air(
        "Broken",
        "Someone took a hammer to it once, and seems to have lost heart halfway.",
        of_stone=True,
    ),
)
