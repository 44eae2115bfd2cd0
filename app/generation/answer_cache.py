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
    """Counts what is found in `store`."""

    def __init__(self, store: AnswerStore) -> None:
        self.store = store
        self.hits = 0
        self.misses = 0

    async def get(self, key: bytes) -> bytes | None:
        """The answer, while it is fresh; counted as a hit or a miss."""
        answer = await self.store.get(key)
        self.count(hit=answer is not None)
        return answer

    def count(self, *, hit: bool) -> None:
        """Count an answer that was looked for in the store itself."""
        self.hits += hit
        self.misses += not hit


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
