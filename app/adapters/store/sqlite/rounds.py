"""The rounds of tables in SQLite, one document each."""

from __future__ import annotations

import sqlite3

from app.adapters.store.sqlite.engine import SqliteEngine
from app.adapters.store.sqlite.table_lines import add_deed, add_line, deed_of, next_roll
from app.core.rounds import Round
from app.core.tables import DeedKey, NewLine
from app.ports.tables import DeedMaker, RoundChange


def _load(db: sqlite3.Connection, table_id: int) -> Round:
    row = db.execute("SELECT document FROM rounds WHERE table_id = ?", (table_id,)).fetchone()
    return Round() if row is None else Round.model_validate_json(row[0])


def _keep(db: sqlite3.Connection, table_id: int, made: Round) -> None:
    db.execute(
        "INSERT INTO rounds (table_id, document, due) VALUES (?, ?, ?) ON CONFLICT (table_id)"
        " DO UPDATE SET document = excluded.document, due = excluded.due",
        (table_id, made.model_dump_json(), made.due),
    )


class SqliteRounds:
    """The part of `TableStore` that is about rounds."""

    _engine: SqliteEngine

    async def round(self, table_id: int) -> Round:
        return await self._engine.read(lambda db: _load(db, table_id))

    async def change_round(
        self, table_id: int, make: RoundChange, now: float, said: NewLine | None = None
    ) -> Round:
        def work(db: sqlite3.Connection) -> Round:
            known = _load(db, table_id)
            made = make(known)
            if made is None:
                return known
            _keep(db, table_id, made)
            if said is not None:
                add_line(db, table_id, said, now)
            return made

        return await self._engine.write(work)

    async def collect(
        self, table_id: int, make: DeedMaker, now: float, key: DeedKey | None = None
    ) -> Round:
        def work(db: sqlite3.Connection) -> Round:
            known = _load(db, table_id)
            if key is not None and deed_of(db, key, now) is not None:
                return known
            made = make(known, next_roll(db, table_id))
            if made is None:
                return known
            _keep(db, table_id, made[0])
            add_deed(db, table_id, made[1], now, key)
            return made[0]

        return await self._engine.write(work)

    async def rounds_due(self) -> list[tuple[int, float]]:
        return await self._engine.read(
            lambda db: db.execute(
                "SELECT table_id, due FROM rounds WHERE due IS NOT NULL ORDER BY due"
            ).fetchall()
        )
