"""Answers that are known already.

The same request of the same user is answered from the cache while its answer is fresh. Answers are given to
other users only where the settings say so, each as content of its own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from app.content.asking import ContentAsked
from app.content.kind import Kind
from app.content.prompt import instructions
from app.core.encoding import encode
from app.generation.answer_cache import AnswerCache, digest, normal
from app.ports.answers import AnswerStore
from app.ports.contents import Contents

WHOSE_BYTES: Final = 16


class KnownAnswer(NamedTuple):
    """`whose`: see `whose`. `body`: JSON."""

    whose: bytes
    body: bytes

    def is_of(self, user_id: str) -> bool:
        """Whether it was made for that user."""
        return self.whose == whose(user_id)

    @property
    def reply(self) -> dict[str, Any]:
        """The reply as it was first given."""
        reply: dict[str, Any] = json.loads(self.body)
        return reply


def whose(user_id: str) -> bytes:
    """The user as answers are kept with."""
    return hashlib.blake2b(encode(user_id), digest_size=WHOSE_BYTES).digest()


class KnownAnswers:
    """`caches`: by what an answer is charged as. `keys`: of the answers, by what they were answered with.
    `shared`: other users may have an answer, too, while its content is kept."""

    def __init__(
        self,
        caches: Mapping[str, AnswerCache],
        keys: AnswerStore,
        contents: Contents,
        *,
        shared: bool,
    ) -> None:
        self.caches = caches
        self._keys = keys
        self._contents = contents
        self._shared = shared

    def key(self, asked: ContentAsked, user_id: str, model: str) -> bytes:
        """The hash of what makes two requests the same. The prompt counts, so that another release with
        another prompt has other answers."""
        kind, body = asked.kind, asked.body
        asked_for = {**body.stored, "model": body.model.model_dump(exclude={"name"})}
        same = asked_for if kind.exact else _normal(asked_for)
        asker = "" if self._shared else user_id
        prompted = instructions(kind, body), kind.schema.schema
        return digest([asker, kind.name, model, prompted, same])

    async def get(
        self, kind: Kind[Any, Any], key: bytes, user_id: str, *, counted: bool = True
    ) -> KnownAnswer | None:
        """The answer for that user, while it is fresh."""
        cache = self.caches[kind.charged]
        found = await self._found(cache.store, key, user_id)
        if counted:
            cache.count(hit=found is not None)
        return found

    async def _found(self, store: AnswerStore, key: bytes, user_id: str) -> KnownAnswer | None:
        if (kept := await store.get(key)) is None:
            return None
        found = KnownAnswer(kept[:WHOSE_BYTES], kept[WHOSE_BYTES:])
        if found.is_of(user_id) or await self._contents.content(found.reply["content_id"]):
            return found
        await store.drop(key)  # its content was erased, perhaps by another process
        return None

    def count_hit(self, kind: Kind[Any, Any]) -> None:
        """An answer that was looked up uncounted was given."""
        self.caches[kind.charged].count(hit=True)

    async def put(
        self, asked: ContentAsked, key: bytes, user_id: str, body: dict[str, Any]
    ) -> None:
        """Keep an answer."""
        await self.caches[asked.kind.charged].store.put(key, whose(user_id) + encode(body))
        await self._keys.put(_named(body["content_id"]), key)

    async def forget(self, content_id: str) -> None:
        """Content that was removed is given to nobody any more."""
        key = await self._keys.get(_named(content_id))
        if key is not None:
            for cache in dict.fromkeys(self.caches.values()):
                await cache.store.drop(key)


def _named(content_id: str) -> bytes:
    return content_id.encode()


def _normal(value: Any) -> Any:
    match value:
        case str():
            return normal(value)
        case list():
            return [_normal(part) for part in value]
        case dict():
            return {name: _normal(part) for name, part in value.items()}
        case _:
            return value
