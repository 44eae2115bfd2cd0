"""Summaries of tables in SQLite."""

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
