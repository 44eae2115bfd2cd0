"""A local list of words and phrases that must not be shown."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path


class WordList:
    """Whole words, case-folded, in any Unicode form; the spaces of a phrase match any white space."""

    def __init__(self, phrases: Iterable[str]) -> None:
        cleaned = [_folded(phrase).split() for phrase in phrases]
        patterns = [r"\s+".join(map(re.escape, words)) for words in cleaned if words]
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
    return unicodedata.normalize("NFKC", text).casefold()
