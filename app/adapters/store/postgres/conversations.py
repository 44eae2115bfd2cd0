"""Conversations in PostgreSQL, one document each: changed only from what it was read as."""

from __future__ import annotations

from typing import Final, NamedTuple

from app.adapters.store.postgres import statements as sql
from app.adapters.store.postgres.engine import PostgresEngine
from app.adapters.store.postgres.rows import storable
from app.core.conversation import Conversation
from app.ports.conversations import Change, ConversationKey

EXPIRED_AT_ONCE: Final = 200


class Changed(NamedTuple):
    """A conversation as it is to be kept. `mark`: of the document it was made from."""

    user_id: str
    conversation_id: str
    mark: str
    document: str
    at: float


class PostgresConversations:
    """`Conversations` on the store's engine."""

    engine: PostgresEngine

    async def conversation(self, key: ConversationKey) -> Conversation:
        return (await self._read(key))[0]

    async def change_conversation(self, key: ConversationKey, make: Change) -> Conversation:
        while True:
            known, mark = await self._read(key)
            made = make(known)
            if made is None:
                return known
            if await self.engine.value(sql.CHANGE_CONVERSATION, *changed(key, mark, made)):
                return made

    async def changed_by(self, key: ConversationKey, make: Change) -> Changed | None:
        """The change that `make` yields, not stored yet; None where the conversation stays as it is."""
        known, mark = await self._read(key)
        made = make(known)
        return None if made is None else changed(key, mark, made)

    async def expire_conversations(self, before: float) -> int:
        return int(await self.engine.value(sql.EXPIRE_CONVERSATIONS, before, EXPIRED_AT_ONCE))

    async def _read(self, key: ConversationKey) -> tuple[Conversation, str]:
        rows = await self.engine.fetch(sql.CONVERSATION, *map(storable, key))
        if not rows:
            return Conversation(), ""
        return Conversation.model_validate_json(rows[0]["document"]), rows[0]["mark"]


def changed(key: ConversationKey, mark: str, made: Conversation) -> Changed:
    user_id, conversation_id = map(storable, key)
    return Changed(user_id, conversation_id, mark, made.model_dump_json(), made.updated_at)
