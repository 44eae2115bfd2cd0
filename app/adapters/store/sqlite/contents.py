"""Content in SQLite; a turn's end adds what it has made."""

from __future__ import annotations

import json
import sqlite3
from typing import Any, Final

from app.adapters.store.sqlite.engine import SqliteEngine
from app.core.encoding import dump
from app.ports.contents import KeptContent

EXPIRED_AT_ONCE: Final = 200
_COLUMNS: Final = "content_id, user_id, kind, parent_id, created_at, body"


def add(db: sqlite3.Connection, content: KeptContent) -> None:
    """One that is there already stays."""
    values = (content.content_id, content.user_id, content.kind, content.parent_id)
    db.execute(
        f"INSERT OR IGNORE INTO contents ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",
        (*values, content.created_at, dump(content.body)),
    )


def _kept(row: tuple[Any, ...]) -> KeptContent:
    content_id, user_id, kind, parent_id, created_at, body = row
    return KeptContent(content_id, user_id, kind, parent_id, created_at, json.loads(body))


def find(db: sqlite3.Connection, content_id: str) -> KeptContent | None:
    """None where there is none."""
    row = db.execute(
        f"SELECT {_COLUMNS} FROM contents WHERE content_id = ?", (content_id,)
    ).fetchone()
    return None if row is None else _kept(row)


def listed(
    db: sqlite3.Connection, user_id: str, limit: int, parent: str | None, before: str | None
) -> list[KeptContent]:
    """Newest first."""
    found = db.execute(
        f"SELECT {_COLUMNS} FROM contents WHERE user_id = ? AND (? IS NULL OR parent_id = ?)"
        " AND (? IS NULL OR (created_at, content_id) <"
        " (SELECT created_at, content_id FROM contents WHERE content_id = ?))"
        " ORDER BY created_at DESC, content_id DESC LIMIT ?",
        (user_id, parent, parent, before, before, limit),
    )
    return [_kept(row) for row in found]


def expire(db: sqlite3.Connection, before: float) -> int:
    """A bounded number of those made before then."""
    return db.execute(
        "DELETE FROM contents WHERE content_id IN"
        " (SELECT content_id FROM contents WHERE created_at < ? LIMIT ?)",
        (before, EXPIRED_AT_ONCE),
    ).rowcount


class SqliteContents:
    """`Contents` on the store's engine."""

    _engine: SqliteEngine

    async def content(self, content_id: str) -> KeptContent | None:
        return await self._engine.read(lambda db: find(db, content_id))

    async def contents(
        self, user_id: str, limit: int, *, parent: str | None = None, before: str | None = None
    ) -> list[KeptContent]:
        return await self._engine.read(lambda db: listed(db, user_id, limit, parent, before))

    async def keep_content(self, content: KeptContent) -> None:
        await self._engine.write(lambda db: add(db, content))

    async def remove_content(self, content_id: str) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            gone = db.execute("DELETE FROM contents WHERE content_id = ?", (content_id,))
            return bool(gone.rowcount)

        return await self._engine.write(work)

    async def expire_contents(self, before: float) -> int:
        return await self._engine.write(lambda db: expire(db, before))
