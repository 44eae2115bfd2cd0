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

_SENTENCES: Final = frozenset({"quest_summary", "description", "combat_notes", "progress_update"})
_GAP: Final = re.compile(r"\s*(?:…|\.\.\.)\s*")
_GAPS: Final = ("…", "...", "\\u2026")


def may_quote(text: str) -> bool:
    """Whether a JSON text holds a gap at all, which few do."""
    return any(gap in text for gap in _GAPS)


def quoted_whole(value: Any, narrative: str) -> Any:
    """The JSON value with each sentence in it that quotes the narrative in whole words; others as they are.

    Names and titles quote nothing: dots in them belong to them.
    """
    match value:
        case str():
            return _whole(value, narrative)
        case list():
            return [_inside(item, narrative) for item in value]
        case dict():
            return {
                name: quoted_whole(item, narrative)
                if name in _SENTENCES
                else _inside(item, narrative)
                for name, item in value.items()
            }
        case _:
            return value


def _inside(value: Any, narrative: str) -> Any:
    return value if isinstance(value, str) else quoted_whole(value, narrative)


def _whole(text: str, narrative: str) -> str:
    ends = _GAP.split(text)
    if len(ends) != 2 or len(ends[0]) < LEAST_HEAD or len(ends[1]) < LEAST_TAIL:
        return text
    between = _between(ends[0], ends[1], narrative)
    return text if between is None else " ".join(f"{ends[0]}{between}{ends[1]}".split())


def _between(head: str, tail: str, narrative: str) -> str | None:
    """The text between the first occurrences of both ends that are near enough to each other; in linear
    time."""
    # A sentence in the narrative may begin in the middle of another one, and with a capital here.
    first = f"(?:{re.escape(head[0])}|{re.escape(head[0].swapcase())})"
    tails = re.compile(rf"(?<!\w){re.escape(tail)}(?!\w)")
    end = None
    for begin in re.finditer(rf"(?<!\w){first}{re.escape(head[1:])}(?!\w)", narrative):
        if end is None or end.start() < begin.end():
            end = tails.search(narrative, begin.end())
        if end is None:
            return None
        if end.start() - begin.end() <= MAX_QUOTED:
            return narrative[begin.end() : end.start()]
    return None
