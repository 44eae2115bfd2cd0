"""Texts of the intents that quote the narrative by its ends: "first words … last words".

A model that describes what it has just narrated need not write it again; the words in between are taken
from the narrative.
"""

from __future__ import annotations

import re
from typing import Any, Final

MAX_QUOTED: Final = 2_000
"""Characters between both ends."""
LEAST_HEAD: Final = 8
LEAST_TAIL: Final = 4
"""Characters of either end: shorter ones are found in any narrative."""

_GAP: Final = re.compile(r"\s*(?:…|\.\.\.)\s*")
_GAPS: Final = ("…", "...", "\\u2026")


def may_quote(text: str) -> bool:
    """Whether a JSON text holds a gap at all, which few do."""
    return any(gap in text for gap in _GAPS)


def quoted_whole(value: Any, narrative: str) -> Any:
    """The JSON value with each text in it that quotes the narrative in whole words; others as they are."""
    match value:
        case str():
            return _whole(value, narrative)
        case list():
            return [quoted_whole(item, narrative) for item in value]
        case dict():
            return {name: quoted_whole(item, narrative) for name, item in value.items()}
        case _:
            return value


def _whole(text: str, narrative: str) -> str:
    ends = _GAP.split(text)
    if len(ends) != 2 or len(ends[0]) < LEAST_HEAD or len(ends[1]) < LEAST_TAIL:
        return text
    # A sentence in the narrative may begin in the middle of another one, and with a capital here.
    first, rest, tail = ends[0][0], re.escape(ends[0][1:]), re.escape(ends[1])
    head = f"(?:{re.escape(first)}|{re.escape(first.swapcase())}){rest}"
    found = re.search(
        rf"(?<!\w){head}(?!\w)(.{{0,{MAX_QUOTED}}}?)(?<!\w){tail}(?!\w)", narrative, re.S
    )
    return " ".join(f"{ends[0]}{found[1]}{ends[1]}".split()) if found else text
