"""Finds the ends of sentences in text that may go on."""

from __future__ import annotations

import re
from typing import Final

_SPECIAL = re.compile(r"[.!?…。！？\n\"“”„«»「」『』]")
_OPENING: Final = "“„«「『"
_CLOSING: Final = "”»」』"
_ENDS_ALONE: Final = "。！？"
_ABBREVIATED = re.compile(
    r"(?<!\w)(?:(?i:dr|mr|mrs|ms|st|prof|jr|sr|vs|mme|mlle|capt|lt|sgt|gen|hr|fr|nr|bzw|sra|dra)|[A-HJ-Z])\.$"
)
_LONGEST: Final = 6
_TRAILING = re.compile(r"[.!?…]*[)\]*_]*")


def sentence_end(text: str, *, final: bool = False) -> int:
    """The index behind the first sentence and the space that follows it; -1: it may go on.

    A line break ends it. A mark inside quotation marks does not, nor one that a letter in lower case
    follows (`e.g. this`), nor the full stop of a title or an initial (`Dr. J. Smith`). `final`: no more
    text comes.
    """
    quotes, pos = 0, 0
    while (found := _SPECIAL.search(text, pos)) is not None:
        mark, pos = found[0], found.end()
        if mark == "\n":
            return _behind_space(text, pos)
        if mark == '"':
            quotes = 0 if quotes else 1
        elif mark in _CLOSING or (mark == "“" and quotes):  # which ends a German quotation
            quotes = max(quotes - 1, 0)
        elif mark in _OPENING:
            quotes += 1
        elif not quotes:
            end = _confirmed(text, found.start(), final=final)
            if end:
                return end
    return len(text) if final else -1


def _confirmed(text: str, at: int, *, final: bool) -> int:
    """The end behind the mark at `at`; -1: more text decides; 0: it ends no sentence."""
    if text[at] in _ENDS_ALONE:
        return _behind_space(text, at + 1)
    if text[at] == "." and _ABBREVIATED.search(text[max(at - _LONGEST, 0) : at + 1]):
        return 0
    trailing = _TRAILING.match(text, at)
    end = at + 1 if trailing is None else trailing.end()
    following = _behind_space(text, end)
    if following == len(text):
        return following if final else -1
    return following if following > end and not text[following].islower() else 0


def _behind_space(text: str, pos: int) -> int:
    while pos < len(text) and text[pos].isspace():
        pos += 1
    return pos
