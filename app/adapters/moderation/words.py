"""A local list of words and phrases that must not be shown."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

_UNSEEN = dict.fromkeys([0xAD, 0x34F, *range(0x200B, 0x2010), *range(0x2060, 0x2065), 0xFEFF])


class WordList:
    """Whole words, case-folded, in any Unicode form; the spaces of a phrase match any white space.

    Characters that cannot be seen, such as soft hyphens, are ignored.
    """

    def __init__(self, phrases: Iterable[str]) -> None:
        cleaned = [words for phrase in phrases if (words := _folded(phrase).split())]
        # Twice: decomposed letters and wide gaps make a phrase longer than the list has it.
        self.longest_phrase = 2 * max((len(" ".join(words)) for words in cleaned), default=0)
        patterns = [r"\s+".join(map(re.escape, words)) for words in cleaned]
        self._pattern = re.compile(rf"(?<!\w)(?:{'|'.join(patterns)})(?!\w)") if patterns else None

    @classmethod
    def from_file(cls, path: Path) -> WordList:
        """One phrase a line; blank lines and lines that begin with # are skipped. Raises OSError."""
        lines = path.read_text("utf-8").splitlines()
        return cls(line for line in lines if line.strip() and not line.startswith("#"))

    async def allows(self, text: str) -> bool:
        return self._pattern is None or self._pattern.search(_folded(text)) is None

    async def aclose(self) -> None:
        return


def _folded(text: str) -> str:
    seen = text.translate(_UNSEEN)
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", seen).casefold())
