"""A character from the first words of a chat."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from app.core.text import has_visible

MAX_FIELD: Final = 64
FIELDS: Final = ("name", "race", "class")
_LABELLED: Final = re.compile(r"(?im)^\W*(name|race|class|adventure)\W*[:=]\s*(.+?)\s*$")


class Sheet(NamedTuple):
    """`wish`: how the story is to begin. `complete_at`: place of the message that filled the last
    field; None while one is missing."""

    name: str = ""
    race: str = ""
    class_name: str = ""
    wish: str = ""
    complete_at: int | None = None

    @property
    def missing(self) -> list[str]:
        return [name for name, value in zip(FIELDS, self[:3], strict=True) if not value]


def sheet_from(messages: Sequence[str]) -> Sheet:
    """From what the player said, oldest first: `name, race, class, adventure` in one line or more, or
    lines such as `Race: elf`. Later messages fill what is missing."""
    known: dict[str, str] = {}
    for place, text in enumerate(messages):
        _fill(known, text)
        if all(name in known for name in FIELDS):
            return _sheet(known, place)
    return _sheet(known, None)


def _sheet(known: dict[str, str], complete_at: int | None) -> Sheet:
    name, race, class_name, wish = (known.get(one, "") for one in (*FIELDS, "adventure"))
    return Sheet(name, race, class_name, wish, complete_at)


def _fill(known: dict[str, str], text: str) -> None:
    labelled = _LABELLED.findall(text)
    for name, value in labelled:
        if _fits(name.lower(), value):
            known.setdefault(name.lower(), value)
    if labelled:
        return
    parts = [part.strip() for part in re.split(r"[,;\n]", text, maxsplit=3)]
    for part in parts:
        name = next((one for one in FIELDS if one not in known), "adventure")
        if has_visible(part) and _fits(name, part):
            known.setdefault(name, part)


def _fits(name: str, value: str) -> bool:
    return name == "adventure" or len(value) <= MAX_FIELD


def question(missing: Sequence[str]) -> str:
    """What to ask the player for."""
    if len(missing) == len(FIELDS):
        return (
            "Who are you? Tell me name, race and class in one line, separated by commas, and after "
            "them, if you like, how the story begins: `Maren Ashdown, human, ranger, a lighthouse "
            "burns black`."
        )
    return f"And your {' and '.join(missing)}?"
