"""Lines of tables, and the effects of a turn's end on its table."""

from __future__ import annotations

import sqlite3

from app.core.encoding import dump
from app.core.money import Amount
from app.core.tables import KIND, Line, NewLine
from app.ports.store import Ending


def settle(
    db: sqlite3.Connection, turn_id: str, ending: Ending, amount: Amount, now: float
) -> None:
    """Charge a turn's table, and add the turn's lines."""
    (key,) = db.execute("SELECT exclusive_key FROM turns WHERE turn_id = ?", (turn_id,)).fetchone()
    kind, _, table_id = key.partition(":")
    if kind != KIND:
        return
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


def add_line(db: sqlite3.Connection, table_id: int, said: NewLine, now: float) -> Line:
    """The line with its number."""
    added = db.execute(
        "INSERT INTO lines (table_id, sender, content, message_type, user_id, turn_id, recipient,"
        " data, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
        ),
    )
    assert added.lastrowid is not None
    return Line(added.lastrowid, table_id, said, now)
