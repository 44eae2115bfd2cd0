"""Text that is safe to encode, store and cut."""

from __future__ import annotations

import re
import unicodedata

_SURROGATE = re.compile("[\ud800-\udfff]")
REPLACEMENT = "\ufffd"
_NO_SPACES = "\u2e80"  # Chinese, Japanese and Korean begin here

_BLANK = "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
_SHORT = 64
_INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs", "Mn"})


def has_visible(text: str) -> bool:
    """Whether somebody who reads the text sees anything."""
    # In a long text characters come again: 4 MiB of blanks are a few.
    return any(map(_is_visible, text[:_SHORT])) or any(map(_is_visible, set(text[_SHORT:])))


def _is_visible(character: str) -> bool:
    return character not in _BLANK and unicodedata.category(character) not in _INVISIBLE_CATEGORIES


def as_seen(text: str) -> str:
    """The same for texts that look alike but for case, spaces and what nobody sees."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(filter(_is_visible, unicodedata.normalize("NFKC", folded)))


def whole_word(text: str) -> str:
    """A pattern of the text as a word of its own, where its script puts spaces between words."""
    before = "" if text[:1] >= _NO_SPACES else r"(?<!\w)"
    after = "" if text[-1:] >= _NO_SPACES else r"(?!\w)"
    return before + re.escape(text) + after


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
