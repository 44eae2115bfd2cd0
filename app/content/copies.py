"""Answers of one user as content of others, where the settings share them: a user has one copy of each.

The id of a copy follows from the answer and the user, so that requests at the same moment, on any node,
keep the same one. Which copy a user was given last is kept beside the answers; it is given only while the
store has it, and the id of one that was removed is the seed of the next one's.
"""

from __future__ import annotations

import uuid
from typing import Any

from app.content.asking import ContentAsked
from app.content.known import KnownAnswer, whose
from app.generation.answer_cache import digest
from app.ports.answers import AnswerStore
from app.ports.clock import Clock
from app.ports.contents import Contents, KeptContent


class Copies:
    """`given`: ids of copies, by whose copy of what it is."""

    def __init__(self, contents: Contents, given: AnswerStore, clock: Clock) -> None:
        self._contents = contents
        self._given = given
        self._clock = clock

    async def body(self, asked: ContentAsked, user_id: str, known: KnownAnswer) -> dict[str, Any]:
        """The user's copy of the answer, which is made where there is none or none any more."""
        last = await self._last(known, user_id)
        kept = last and await self._contents.content(last)
        return kept.body if kept else await self._made(asked, user_id, known, last)

    async def kept(self, known: KnownAnswer, user_id: str) -> str | None:
        """The id of the user's copy of the answer; None where there is none, or none any more."""
        last = await self._last(known, user_id)
        return last if last and await self._contents.content(last) else None

    async def _last(self, known: KnownAnswer, user_id: str) -> str | None:
        found = await self._given.get(_name(known, user_id))
        return None if found is None else found.decode()

    async def note(self, known: KnownAnswer, user_id: str, content_id: str) -> None:
        """That content is the user's copy of the answer."""
        await self._given.put(_name(known, user_id), content_id.encode())

    async def _made(
        self, asked: ContentAsked, user_id: str, known: KnownAnswer, last: str | None
    ) -> dict[str, Any]:
        seed = uuid.UUID(last or known.reply["content_id"])
        content_id = str(uuid.uuid5(seed, whose(user_id).hex()))
        body = {**known.reply, "content_id": content_id}
        now, parent = self._clock.now(), asked.body.parent_content_id
        copy = KeptContent(content_id, user_id, asked.kind.name, parent, now, body)
        await self._contents.keep_content(copy)
        await self.note(known, user_id, content_id)
        return body


def _name(known: KnownAnswer, user_id: str) -> bytes:
    return digest([known.reply["content_id"], user_id])
