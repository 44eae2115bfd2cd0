"""Narrative that is judged before it is shown."""

from __future__ import annotations

import re
import unicodedata

from app.errors import LLMResponseError
from app.ports.moderation import Moderator

_BROKEN_START = re.compile(r"\A\w+")


class Both:
    """Allows what two moderators allow, which belong to others."""

    def __init__(self, first: Moderator, second: Moderator) -> None:
        self._first = first
        self._second = second
        self.longest_phrase = max(first.longest_phrase, second.longest_phrase)

    async def allows(self, text: str) -> bool:
        return await self._first.allows(text) and await self._second.allows(text)

    async def aclose(self) -> None:
        return


class ModerationBuffer:
    """Shows a character once it was judged together with the `window` characters after it.

    A blocked passage of up to `window` characters is therefore never shown, not even its beginning.
    Judged is from word to word: half a word may look like another.
    """

    def __init__(self, moderator: Moderator, window: int) -> None:
        self._moderator = moderator
        self._window = window
        self._stride = max(window // 2, 1)
        self._shown_tail = ""  # gives the judge the sense of what follows it
        self._held = ""
        self._judged = 0  # characters at the start of `_held` that were allowed already

    async def push(self, text: str) -> str:
        """The text that may be shown by now. Raises `LLMResponseError` when the narrative is blocked."""
        self._held += text
        end = self._whole_words()
        if end - self._judged >= self._stride:
            await self._judge(end)
        return self._release(self._judged - self._window)

    async def flush(self) -> str:
        if len(self._held) > self._judged:
            await self._judge(len(self._held))
        return self._release(len(self._held))

    def _whole_words(self) -> int:
        """The end of the last word that is surely whole; a very long one is cut."""
        size = len(self._held)
        for end in range(size, max(size - self._window, 0), -1):
            if not _within_word(self._held[end - 1]):
                return end
        return size

    async def _judge(self, end: int) -> None:
        await self.judge(self._shown_tail + self._held[:end])
        self._judged = end

    async def judge(self, text: str) -> None:
        """Raises `LLMResponseError`."""
        if not await self._moderator.allows(text):
            raise LLMResponseError("The narrative was blocked; nothing was saved.")

    def _release(self, free: int) -> str:
        if free <= 0:
            return ""
        shown, self._held = self._held[:free], self._held[free:]
        self._judged -= free
        tail = self._shown_tail + shown
        if len(tail) > self._window:
            tail = _BROKEN_START.sub("", tail[-self._window :])
        self._shown_tail = tail
        return shown


def _within_word(character: str) -> bool:
    return character.isalnum() or character == "_" or unicodedata.combining(character) > 0
