"""Lines of tables, and the effects of a turn's end on its table."""

from __future__ import annotations

import sqlite3

from app.adapters.store.retention import KEY_SECONDS
from app.adapters.store.sqlite.engine import SqliteEngine
from app.adapters.store.table_rows import DEED, LINE, deed_from, line_from
from app.core.encoding import dump
from app.core.money import Amount
from app.core.tables import KIND, DeedKey, Line, NewLine
from app.ports.store import Ending
from app.ports.tables import LineMaker


def settle(
    db: sqlite3.Connection, turn_id: str, ending: Ending, amount: Amount, now: float
) -> None:
    """Charge a turn's table, and add the turn's lines."""
    (key,) = db.execute("SELECT exclusive_key FROM turns WHERE turn_id = ?", (turn_id,)).fetchone()
    kind, _, table_id = key.partition(":")
    if kind != KIND:
        return
    db.execute(
        "UPDATE turns SET upto = (SELECT COALESCE(MAX(line_id), 0) FROM lines WHERE table_id = ?)"
        " WHERE turn_id = ? AND begun IS NOT NULL",
        (int(table_id), turn_id),
    )
    charge_table(db, int(table_id), amount)
    known = db.execute("SELECT 1 FROM tables WHERE table_id = ?", (table_id,)).fetchone()
    for said in ending.lines if known else ():
        add_line(db, int(table_id), said, now)


def charge_table(db: sqlite3.Connection, table_id: int, amount: Amount) -> None:
    """Its budget is one of tokens."""
    db.execute(
        "UPDATE tables SET tokens_used = tokens_used + ? WHERE table_id = ?",
        (amount.believable.tokens, table_id),
    )


def add_line(
    db: sqlite3.Connection, table_id: int, said: NewLine, now: float, key: DeedKey | None = None
) -> Line:
    """The line with its number; `key` is free."""
    added = db.execute(
        "INSERT INTO lines (table_id, sender, content, message_type, user_id, turn_id, recipient,"
        " data, created_at, idempotency_key, body_hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            table_id,
            said.sender,
            said.content,
            said.message_type,
            said.user_id,
            said.turn_id,
            said.recipient,
            None if said.data is None else dump(said.data),
            now,
            *((None, None) if key is None else (key.key, key.body_hash)),
        ),
    )
    assert added.lastrowid is not None
    return Line(added.lastrowid, table_id, said, now)


def deed_of(db: sqlite3.Connection, key: DeedKey, now: float) -> Line | None:
    """The line that was said with the key. Raises `IdempotencyKeyReused`."""
    row = db.execute(
        f"SELECT {DEED} FROM lines WHERE user_id = ? AND idempotency_key = ? AND created_at > ?",
        (key.user_id, key.key, now - KEY_SECONDS),
    ).fetchone()
    return None if row is None else deed_from(row, key)


def next_roll(db: sqlite3.Connection, table_id: int) -> int:
    """The number of the table's next roll, from 1."""
    row = db.execute("SELECT rolls FROM tables WHERE table_id = ?", (table_id,)).fetchone()
    return 1 if row is None else int(row[0]) + 1


def add_deed(
    db: sqlite3.Connection, table_id: int, said: NewLine, now: float, key: DeedKey | None
) -> Line:
    """Take its roll's number, and free a key whose time is over."""
    if said.roll is not None:
        values = said.roll, table_id
        db.execute("UPDATE tables SET rolls = ? WHERE table_id = ?", values)
    if key is not None:
        db.execute(
            "UPDATE lines SET idempotency_key = NULL WHERE user_id = ? AND idempotency_key = ?",
            (key.user_id, key.key),
        )
    return add_line(db, table_id, said, now, key)


class SqliteLines:
    """The part of `TableStore` that is about lines."""

    _engine: SqliteEngine

    async def say(self, table_id: int, said: NewLine, now: float) -> Line:
        return await self._engine.write(lambda db: add_line(db, table_id, said, now))

    async def say_deed(
        self, table_id: int, make: LineMaker, now: float, key: DeedKey | None = None
    ) -> Line:
        def work(db: sqlite3.Connection) -> Line:
            known = None if key is None else deed_of(db, key, now)
            return known or add_deed(db, table_id, make(next_roll(db, table_id)), now, key)

        return await self._engine.write(work)

    async def deed(self, key: DeedKey, now: float) -> Line | None:
        return self._engine.look(lambda db: deed_of(db, key, now))

    async def lines(
        self, table_id: int, reader: str, limit: int, before: int | None = None
    ) -> list[Line]:
        def work(db: sqlite3.Connection) -> list[Line]:
            found = db.execute(
                f"SELECT {LINE} FROM lines WHERE table_id = ? AND line_id < ?"
                " AND (recipient IS NULL OR recipient = ? OR user_id = ?)"
                " ORDER BY line_id DESC LIMIT ?",
                (table_id, 2**63 - 1 if before is None else before, reader, reader, limit),
            )
            return [line_from(row) for row in found][::-1]

        return await self._engine.read(work)

    async def lines_since(self, table_id: int, line_id: int, limit: int) -> list[Line]:
        def work(db: sqlite3.Connection) -> list[Line]:
            found = db.execute(
                f"SELECT {LINE} FROM lines WHERE table_id = ? AND line_id > ?"
                " ORDER BY line_id LIMIT ?",
                (table_id, line_id, limit),
            )
            return [line_from(row) for row in found]

        return await self._engine.read(work)
