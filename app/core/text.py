"""Text that is safe to encode, store and cut."""

from __future__ import annotations

import re
import unicodedata

_SURROGATE = re.compile("[\ud800-\udfff]")
REPLACEMENT = "\ufffd"

_BLANK = "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs", "Mn"})


def has_visible(text: str) -> bool:
    """Whether somebody who reads the text sees anything."""
    return any(
        character not in _BLANK and unicodedata.category(character) not in _INVISIBLE_CATEGORIES
        for character in text
    )


def scrub_surrogates(text: str) -> str:
    """Replace lone surrogates with U+FFFD, so that the text can be encoded as UTF-8."""
    if text.isascii():
        return text
    return _SURROGATE.sub(REPLACEMENT, text)


class SurrogateJoiner:
    """Joins a surrogate pair whose halves arrive in two pieces of text; lone halves become U+FFFD.

    A model server that cuts its output by UTF-16 units sends such halves as JSON escapes.
    """

    __slots__ = ("held",)

    def __init__(self) -> None:
        self.held = ""

    def passes(self, text: str) -> bool:
        """Whether `feed` would give `text` back as it is."""
        return not self.held and (text.isascii() or not _SURROGATE.search(text))

    def feed(self, text: str) -> str:
        if self.passes(text):
            return text
        text = self.held + text
        self.held = ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            self.held, text = text[-1], text[:-1]
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def flush(self) -> str:
        held, self.held = self.held, ""
        return REPLACEMENT if held else ""


def filled(value: object, fallback: str, limit: int) -> str:
    """`value` stripped and cut to `limit` code points; `fallback` when it is blank or no text."""
    text = value.strip() if isinstance(value, str) else ""
    return (text or fallback)[:limit]
