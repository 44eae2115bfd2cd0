"""Answers that are known already: the same was asked a while ago.

A key covers whatever makes two requests the same: the model, its parameters, its instructions and the
request as the model reads it. No time is in it, and letters are compared without case, width of spaces and
Unicode form. Whose request it is is part of it, unless answers are to be shared.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from typing import Any

from app.core.encoding import dump
from app.core.messages import Message
from app.ports.answers import AnswerStore
from app.ports.model import Sampling


class AnswerCache:
    """Counts what is found in the store."""

    def __init__(self, store: AnswerStore) -> None:
        self._store = store
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._store)

    async def get(self, key: bytes) -> bytes | None:
        """The answer, while it is fresh; counted as a hit or a miss."""
        answer = await self._store.get(key)
        if answer is None:
            self.misses += 1
        else:
            self.hits += 1
        return answer

    async def peek(self, key: bytes) -> bytes | None:
        """The same, uncounted."""
        return await self._store.get(key)

    async def put(self, key: bytes, answer: bytes) -> None:
        """Keep an answer."""
        await self._store.put(key, answer)

    async def drop(self, key: bytes) -> None:
        """Forget an answer."""
        await self._store.drop(key)

    async def expire(self) -> None:
        """Drop what is past its time."""
        await self._store.expire()


def cache_key(
    user_id: str, model: str, sampling: Sampling, max_tokens: int, messages: Sequence[Message]
) -> bytes:
    """The digest of what makes two questions equal."""
    said = [(role, normal(content)) for role, content in messages]
    return digest([user_id, model, sampling, max_tokens, said])


def digest(parts: Sequence[Any]) -> bytes:
    """SHA-256 of their JSON."""
    return hashlib.sha256(dump(parts).encode("utf-8", "surrogatepass")).digest()


def normal(text: str) -> str:
    """Texts that differ in case, spaces or Unicode form alone have the same."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
