"""The data files, loaded and checked.

In a text that spans lines a line break is a space and an empty line starts a new paragraph.
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from app.standins.storyteller import toml_lines
from app.standins.storyteller.actions import ActionParser
from app.standins.storyteller.phrases import MODELS, Phrases
from app.standins.storyteller.schema import (
    Actions,
    CommonQuests,
    Foe,
    QuestScript,
    Trait,
    Traits,
    World,
)
from app.standins.storyteller.templates import Record

R = TypeVar("R", bound=Record)

# The tables of a world whose records are recognised by a key.
_IDS = {"spots": "name", "people": "name", "foes": "name", "finds": "noun", "quests": "title"}

DATA = Path(__file__).parent / "data"


class DataError(Exception):
    """Mistakes in the data files, one per line: `file:line: key: what is wrong`."""


@dataclass(frozen=True, slots=True)
class Library:
    """Everything that the data files contain."""

    worlds: tuple[World, ...]
    common_quests: tuple[QuestScript, ...]
    traits: tuple[Trait, ...]
    actions: Actions
    parser: ActionParser
    phrases: Phrases

    def quests_of(self, world: World) -> tuple[QuestScript, ...]:
        return world.quests + self.common_quests

    def world_of_quest(self, title: str) -> World | None:
        return next((w for w in self.worlds if any(q.title == title for q in w.quests)), None)

    def world_of_place(self, name: str) -> World | None:
        """The world of a spot, of a quest stage, or of a discovered place whatever its trait."""
        low = name.casefold()
        for world in self.worlds:
            names = [spot.name for spot in world.spots]
            names += [stage.where for quest in world.quests for stage in quest.stages]
            if low in map(str.casefold, names):
                return world
            if any(low.endswith(find.noun.casefold()) for find in world.finds):
                return world
        return None

    def foe_named(self, name: str) -> Foe | None:
        """The foe whose name is the end of `name`."""
        low = name.casefold()
        foes = (foe for world in self.worlds for foe in world.foes)
        return next((foe for foe in foes if low.endswith(foe.name.casefold())), None)


@cache
def library() -> Library:
    """The library that is shipped, loaded on first use."""
    return load(DATA)


def load(folder: Path) -> Library:
    """Load all files below `folder`; worlds are ordered by file name. Raises DataError."""
    files = [_File(path) for path in sorted((folder / "worlds").glob("*.toml"))]
    worlds = tuple(file.read(World) for file in files)
    _check_names(files, worlds)
    actions = _File(folder / "actions.toml").read(Actions)
    return Library(
        worlds=worlds,
        common_quests=_File(folder / "quests.toml").read(CommonQuests).quests,
        traits=_File(folder / "traits.toml").read(Traits).traits,
        actions=actions,
        parser=ActionParser(actions),
        phrases=_phrases(folder / "phrases"),
    )


def _phrases(folder: Path) -> Phrases:
    return {
        f"{name}.{table}": templates
        for name, model in MODELS.items()
        for table, templates in _File(folder / f"{name}.toml").read(model)
    }


class _File:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._text = path.read_text("utf-8")

    def read(self, model: type[R]) -> R:
        try:
            return model.model_validate(_folded(tomllib.loads(self._text)))
        except tomllib.TOMLDecodeError as error:
            raise DataError(f"{self._path}:{self._syntax_line(error)}: {error}") from None
        except ValidationError as invalid:
            mistakes = (
                self.mistake(error["loc"], _message(dict(error))) for error in invalid.errors()
            )
            raise DataError("\n".join(mistakes)) from None

    def mistake(self, key: toml_lines.Path, message: str) -> str:
        return f"{self.place(key)}: {'.'.join(map(str, key))}: {message}"

    def place(self, key: toml_lines.Path) -> str:
        return f"{self._path}:{toml_lines.line_of(self._text, key)}"

    def _syntax_line(self, error: tomllib.TOMLDecodeError) -> str:
        found = re.search(r"at line (\d+)", str(error))
        return str(found[1] if found else self._text.count("\n") + 1)


def _folded(value: Any) -> Any:
    """Lists become tuples, and the lines of a text its paragraphs."""
    if isinstance(value, dict):
        return {key: _folded(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_folded(item) for item in value)
    if isinstance(value, str):
        return "\n\n".join(" ".join(text.split()) for text in re.split(r"\n\s*\n", value.strip()))
    return value


def _message(error: dict[str, Any]) -> str:
    known = {
        "missing": "the key is missing",
        "extra_forbidden": "unknown key",
        "tuple_type": "a list is expected",
    }
    return known.get(error["type"], str(error["msg"]).removeprefix("Value error, "))


def _check_names(files: list[_File], worlds: tuple[World, ...]) -> None:
    """Names are unique among all worlds, and a quest's giver and foe exist in its world."""
    mistakes: list[str] = []
    first: dict[tuple[str, str], tuple[_File, toml_lines.Path]] = {}
    for file, world in zip(files, worlds, strict=True):
        for kind, name, key in _names(world):
            earlier, there = first.setdefault((kind, name.casefold()), (file, key))
            if (earlier, there) != (file, key):
                mistakes.append(file.mistake(key, f"“{name}” is already in {earlier.place(there)}"))
        mistakes += [file.mistake(key, message) for key, message in _unknown_names(world)]
    if mistakes:
        raise DataError("\n".join(mistakes))


def _names(world: World) -> Iterator[tuple[str, str, toml_lines.Path]]:
    yield "name", world.name, ("name",)
    for table, key in _IDS.items():
        for at, record in enumerate(getattr(world, table)):
            yield table, getattr(record, key), (table, at, key)


def _unknown_names(world: World) -> Iterator[tuple[toml_lines.Path, str]]:
    people = {person.name for person in world.people}
    foes = {foe.name for foe in world.foes}
    for at, quest in enumerate(world.quests):
        if quest.giver not in people:
            yield ("quests", at, "giver"), f"nobody in this world is called “{quest.giver}”"
        if quest.foe not in foes:
            yield ("quests", at, "foe"), f"no foe of this world is called “{quest.foe}”"
