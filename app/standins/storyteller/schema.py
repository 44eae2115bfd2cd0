"""The schema of worlds, quests and actions; that of the phrases is in `phrases.py`."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from app.standins.storyteller.templates import (
    ArrivalTemplate,
    FoeTemplate,
    GiverTemplate,
    Line,
    Record,
    Some,
    SpotTemplate,
    Template,
)

# fmt: off
ActionKind = Literal[
    "help", "abandon", "attack", "flee", "accept", "refuse", "talk", "look", "take", "use", "rest",
    "leave", "move", "surrender", "inventory", "magic", "nonsense", "other",
]
# fmt: on


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return pattern


class Spot(Record):
    """A place to walk to. `name` is used inside sentences, with its article."""

    name: str
    lines: Some[Template]


class Person(Record):
    """`role` follows the name or stands alone; `look` completes “… is here, ”."""

    name: Line
    role: Line
    look: Line
    sayings: Some[Template]

    @property
    def short(self) -> str:
        """The name after the first mention."""
        first = self.name.split()[0]
        return self.name if first in ("Old", "Sister", "Brother", "the") else first


class Foe(Record):
    """`name` is singular without an article. `epithets` distinguish several of one kind."""

    name: Line
    epithets: Annotated[tuple[Line, ...], Field(min_length=3)]
    description: Line
    threat: Literal["low", "medium", "high"]
    arrivals: Some[ArrivalTemplate]
    strikes: Some[FoeTemplate]
    falters: Some[FoeTemplate]
    ends: Some[FoeTemplate]


class Find(Record):
    """A kind of place that can be discovered. `noun` is unique among all worlds."""

    noun: Line
    description: Line
    tags: Some[Line]


class Stage(Record):
    """One requirement of a quest. With `fight` the quest's foe appears there.

    `task` and `where` contain no choice, since the story recognises them by their text.
    """

    task: SpotTemplate
    where: SpotTemplate
    fight: bool = False
    narrative: GiverTemplate
    result: GiverTemplate


class QuestScript(Record):
    """`stages` follow each other; the last one is the finale.

    Without `giver` anybody in the world may offer it; without `foe` the world's first foe fights.
    """

    title: Line
    giver: Line | None = None
    foe: Line | None = None
    summary: GiverTemplate
    offer: GiverTemplate
    items: Some[Line]
    gold: Annotated[int, Field(ge=0)]
    experience: Annotated[int, Field(ge=0)]
    stages: Annotated[tuple[Stage, ...], Field(min_length=2)]


class World(Record):
    """`signs` are the words that identify this world in a location or in the player's wish."""

    name: Line
    signs: Line
    vistas: Some[Template]
    weather: Some[Line]
    trifles: Some[Line]
    spots: Annotated[tuple[Spot, ...], Field(min_length=3)]
    people: Annotated[tuple[Person, ...], Field(min_length=3)]
    foes: Some[Foe]
    finds: Some[Find]
    quests: Some[QuestScript]


class CommonQuests(Record):
    """Quests that can happen in any world."""

    quests: Some[QuestScript]


class Trait(Record):
    """The adjective in a discovered place's name. `of_stone`: it does not suit water."""

    adjective: Line
    description: Line
    of_stone: bool = False


class Traits(Record):
    traits: Some[Trait]


class Pattern(Record):
    """Regular expressions over the lower-case action; the first pattern that matches decides."""

    kind: ActionKind
    any: Some[Annotated[str, AfterValidator(_compiles)]]


class Weapon(Record):
    """`classes` are parts of class names, separated by spaces."""

    name: Line
    classes: Line


class Actions(Record):
    """How an action is recognised. All words are separated by spaces.

    `verbs` maps a kind to its verbs. An action of ASCII words without a verb and without any of
    `common_words` is nonsense. `casters` are parts of the names of classes that work magic.
    """

    common_words: Line
    casters: Line
    verbs: dict[ActionKind, Line]
    patterns: Some[Pattern]
    weapons: Some[Weapon]
