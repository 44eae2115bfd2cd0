"""The turns of a character in SQLite. Row ids grow in the order of admission."""

from __future__ import annotations

import sqlite3
from typing import cast

from app.adapters.store.sqlite.engine import SqliteEngine
from app.adapters.store.sqlite.queries import STORED, as_stored
from app.ports.store import StoredTurn, TurnStatus

_OF_CHARACTER = "FROM turns WHERE character_id = ? AND user_id = ?"
_ROW = "(SELECT rowid FROM turns WHERE turn_id = ?)"


class SqliteTurnHistory:
    """`TurnHistory` on the store's engine."""

    _engine: SqliteEngine

    async def character_turns(
        self, user_id: str, character_id: str, limit: int, before: str | None = None
    ) -> list[StoredTurn]:
        def work(db: sqlite3.Connection) -> list[StoredTurn]:
            rows = db.execute(
                f"SELECT {STORED}, NULL {_OF_CHARACTER} AND (? IS NULL OR rowid < {_ROW})"
                " ORDER BY rowid DESC LIMIT ?",
                (character_id, user_id, before, before, limit),
            )
            return [as_stored(row) for row in rows]

        return await self._engine.read(work)

    async def turns_since(
        self, user_id: str, character_id: str, turn_id: str | None
    ) -> list[tuple[str, TurnStatus]]:
        def work(db: sqlite3.Connection) -> list[tuple[str, TurnStatus]]:
            rows = db.execute(
                f"SELECT turn_id, status {_OF_CHARACTER} AND (? IS NULL OR rowid > {_ROW}"
                f" OR (phase <> 'done' AND {_ROW} IS NULL)) ORDER BY rowid",
                (character_id, user_id, turn_id, turn_id, turn_id),
            )
            return cast(list[tuple[str, TurnStatus]], rows.fetchall())

        return await self._engine.read(work)

    async def open_turns(self, user_id: str, character_id: str) -> list[tuple[str, TurnStatus]]:
        def work(db: sqlite3.Connection) -> list[tuple[str, TurnStatus]]:
            rows = db.execute(
                f"SELECT turn_id, status {_OF_CHARACTER} AND phase <> 'done' ORDER BY rowid",
                (character_id, user_id),
            )
            return cast(list[tuple[str, TurnStatus]], rows.fetchall())

        return await self._engine.read(work)

    async def has_played(self, user_id: str, character_id: str) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            found = db.execute(
                f"SELECT 1 {_OF_CHARACTER} AND status = 'complete' LIMIT 1", (character_id, user_id)
            )
            return found.fetchone() is not None

        return await self._engine.read(work)

    async def is_repeated(
        self, turn_id: str, user_id: str, body_hash: bytes, key: str | None
    ) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            # A turn that gave its key back may have had this one.
            found = db.execute(
                "SELECT 1 FROM turns WHERE turn_id = ? AND user_id = ? AND body_hash = ?"
                " AND coalesce(idempotency_key = ?, 1)",
                (turn_id, user_id, body_hash, key),
            )
            return found.fetchone() is not None

        return await self._engine.read(work)
