"""Summaries of tables, and the numbers of their rolls, in SQLite."""

from __future__ import annotations

import sqlite3

from app.adapters.store.sqlite.engine import SqliteEngine
from app.adapters.store.sqlite.queries import changed
from app.core.tables import Summary


class SqliteSummaries:
    """That part of `TableStore`."""

    _engine: SqliteEngine

    async def summary(self, table_id: int) -> Summary:
        def work(db: sqlite3.Connection) -> Summary:
            found = db.execute("SELECT summary FROM tables WHERE table_id = ?", (table_id,))
            row = found.fetchone()
            known = row is not None and row[0] is not None
            return Summary.model_validate_json(row[0]) if known else Summary()

        return await self._engine.read(work)

    async def put_summary(self, table_id: int, known: Summary, new: Summary) -> bool:
        old = None if known == Summary() else known.model_dump_json()
        return await self._engine.write(
            lambda db: changed(
                db,
                "UPDATE tables SET summary = ? WHERE table_id = ? AND summary IS ?",
                (new.model_dump_json(), table_id, old),
            )
        )

    async def next_roll(self, table_id: int) -> int:
        def work(db: sqlite3.Connection) -> int:
            db.execute("UPDATE tables SET rolls = rolls + 1 WHERE table_id = ?", (table_id,))
            found = db.execute("SELECT rolls FROM tables WHERE table_id = ?", (table_id,))
            row = found.fetchone()
            return 1 if row is None else int(row[0])

        return await self._engine.write(work)
