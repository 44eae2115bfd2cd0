"""Answers that are known already: the same was asked a while ago.

A key covers whatever makes two requests the same: the model, its parameters, what it is told to do and the
request as the model reads it. No time is in it, and letters are compared without case, width of spaces and
Unicode form. Whose request it is is part of it, unless answers are to be shared.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from app.core.encoding import dump
from app.core.messages import Message
from app.ports.model import Sampling

MAX_ENTRIES: Final = 2_000
MAX_CHARACTERS: Final = 4_000_000


class _Entry(NamedTuple):
    until: float
    answer: str


class AnswerCache:
    """`ttl` in seconds; 0: nothing is kept. `now`: monotonic seconds."""

    def __init__(self, ttl: float, now: Callable[[], float]) -> None:
        self._ttl = ttl
        self._now = now
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()  # the first to expire first
        self._characters = 0
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes) -> str | None:
        """The answer, while it is fresh; counted as a hit or a miss."""
        answer = self.peek(key)
        if answer is None:
            self.misses += 1
        else:
            self.hits += 1
        return answer

    def peek(self, key: bytes) -> str | None:
        """The same, uncounted."""
        self._drop_expired()
        entry = self._entries.get(key)
        return None if entry is None else entry.answer

    def put(self, key: bytes, answer: str) -> None:
        """Keep an answer; the oldest ones make room for it."""
        if not self._ttl or len(answer) > MAX_CHARACTERS:
            return
        self._remove(key)
        self._entries[key] = _Entry(self._now() + self._ttl, answer)
        self._characters += len(answer)
        while len(self._entries) > MAX_ENTRIES or self._characters > MAX_CHARACTERS:
            self._remove(next(iter(self._entries)))

    def drop(self, key: bytes) -> None:
        """Forget an answer."""
        self._remove(key)

    def _drop_expired(self) -> None:
        now = self._now()
        while self._entries:
            oldest = next(iter(self._entries))
            if self._entries[oldest].until > now:
                return
            self._remove(oldest)

    async def expire(self) -> None:
        """Drop what is past its time."""
        self._drop_expired()

    def _remove(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._characters -= len(entry.answer)


def cache_key(
    user_id: str, model: str, sampling: Sampling, max_tokens: int, messages: Sequence[Message]
) -> bytes:
    """What makes two questions the same."""
    said = [(role, normal(content)) for role, content in messages]
    return digest([user_id, model, sampling, max_tokens, said])


def digest(parts: Sequence[Any]) -> bytes:
    """SHA-256 of their JSON."""
    return hashlib.sha256(dump(parts).encode("utf-8", "surrogatepass")).digest()


def normal(text: str) -> str:
    """Texts that differ in case, spaces or Unicode form alone have the same."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
