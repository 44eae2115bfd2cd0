"""Conversations in SQLite, one document each; a turn's end changes its conversation with it."""

from __future__ import annotations

import sqlite3

from app.adapters.store.sqlite.engine import SqliteEngine
from app.core.conversation import Conversation
from app.ports.conversations import Change, ConversationKey

EXPIRED_AT_ONCE = 200


def load(db: sqlite3.Connection, key: ConversationKey) -> Conversation:
    """An empty one where there is none."""
    row = db.execute(
        "SELECT document FROM conversations WHERE user_id = ? AND conversation_id = ?", key
    ).fetchone()
    return Conversation() if row is None else Conversation.model_validate_json(row[0])


def change(db: sqlite3.Connection, key: ConversationKey, make: Change) -> Conversation:
    """The conversation as `make` has changed it."""
    known = load(db, key)
    changed = make(known)
    if changed is None:
        return known
    db.execute(
        "INSERT INTO conversations (user_id, conversation_id, document, updated_at)"
        " VALUES (?, ?, ?, ?) ON CONFLICT (user_id, conversation_id) DO UPDATE"
        " SET document = excluded.document, updated_at = excluded.updated_at",
        (*key, changed.model_dump_json(), changed.updated_at),
    )
    return changed


def expire(db: sqlite3.Connection, before: float) -> int:
    """A bounded number of those that were changed last before then."""
    return db.execute(
        "DELETE FROM conversations WHERE (user_id, conversation_id) IN"
        " (SELECT user_id, conversation_id FROM conversations WHERE updated_at < ? LIMIT ?)",
        (before, EXPIRED_AT_ONCE),
    ).rowcount


class SqliteConversations:
    """`Conversations` on the store's engine."""

    _engine: SqliteEngine

    async def conversation(self, key: ConversationKey) -> Conversation:
        return await self._engine.read(lambda db: load(db, key))

    async def change_conversation(self, key: ConversationKey, make: Change) -> Conversation:
        return await self._engine.write(lambda db: change(db, key, make))

    async def expire_conversations(self, before: float) -> int:
        return await self._engine.write(lambda db: expire(db, before))
