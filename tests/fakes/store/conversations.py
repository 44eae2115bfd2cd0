"""Conversations in the in-memory journal, kept encoded as on a disk."""

from __future__ import annotations

from app.core.conversation import Conversation
from app.ports.conversations import Change, ConversationKey

from fakes.store.journal import Journal


class MemoryConversations:
    """`Conversations` on the store's journal."""

    _journal: Journal

    async def conversation(self, key: ConversationKey) -> Conversation:
        return self._load(key)

    async def change_conversation(self, key: ConversationKey, make: Change) -> Conversation:
        return self._change(key, make)

    async def expire_conversations(self, before: float) -> int:
        kept = self._journal.conversations
        old = [key for key in kept if self._load(key).updated_at < before]
        for key in old:
            del kept[key]
        return len(old)

    def _load(self, key: ConversationKey) -> Conversation:
        document = self._journal.conversations.get(key)
        return Conversation() if document is None else Conversation.model_validate_json(document)

    def _change(self, key: ConversationKey, make: Change) -> Conversation:
        known = self._load(key)
        changed = make(known)
        if changed is None:
            return known
        self._journal.conversations[key] = changed.model_dump_json()
        return changed
