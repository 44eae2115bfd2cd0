"""The turns of tables among all turns, and whose is the next."""

from __future__ import annotations

import sqlite3

from app.core.tables import table_key
from app.ports.store import TurnRequest

# The terms of the index that holds the turns of tables alone.
OF_TABLE = "exclusive_key = ?1 AND exclusive_key >= 'table:' AND exclusive_key < 'table;'"
LEAST_RECENT = (
    "(SELECT MAX(other.begun) FROM turns AS other WHERE other.user_id = turns.user_id"
    f" AND {OF_TABLE.replace('exclusive_key', 'other.exclusive_key')}),"
)


def plays_elsewhere(db: sqlite3.Connection, request: TurnRequest) -> bool:
    """Whether the character takes or waits for a turn under another exclusive key."""
    alone, key = request.character_key, request.exclusive_key
    if alone is None:
        return False
    at_table = db.execute(
        "SELECT 1 FROM turns WHERE character_id = ? AND user_id = ? AND exclusive_key <> ?"
        " AND phase <> 'done' AND exclusive_key >= 'table:' AND exclusive_key < 'table;' LIMIT 1",
        (request.character_id, request.user_id, key),
    ).fetchone()
    if at_table is not None or key == alone:
        return at_table is not None
    open_alone = "SELECT 1 FROM turns WHERE exclusive_key = ? AND"
    return any(
        db.execute(f"{open_alone} {phase}", (alone,)).fetchone() is not None
        for phase in ("active = 1", "phase = 'queued'")
    )


def stop_turn(db: sqlite3.Connection, table_id: int) -> str | None:
    """Cancel the turn that runs at the table, unless it is validated; its id."""
    row = db.execute(
        f"SELECT turn_id FROM turns WHERE {OF_TABLE} AND active = 1", (table_key(table_id),)
    ).fetchone()
    return row[0] if row is not None and begin_cancel(db, row[0]) else None


def begin_cancel(db: sqlite3.Connection, turn_id: str) -> bool:
    """False: it is validated, or is cancelled already."""
    cancelled = db.execute(
        "UPDATE turns SET phase = 'cancelling'"
        " WHERE turn_id = ? AND phase IN ('queued', 'streaming', 'awaiting', 'retelling')",
        (turn_id,),
    )
    return cancelled.rowcount > 0


def begin_at_table(db: sqlite3.Connection, turn_id: str, exclusive_key: str) -> None:
    """Number the turns of a table in the order in which they begin, each behind the newest line."""
    if exclusive_key.startswith("table:"):
        db.execute(
            f"UPDATE turns SET begun = (SELECT 1 + COALESCE(MAX(begun), 0) FROM turns WHERE {OF_TABLE}),"
            " behind = (SELECT COALESCE(MAX(line_id), 0) FROM lines WHERE table_id = ?3)"
            " WHERE turn_id = ?2",
            (exclusive_key, turn_id, int(exclusive_key.partition(":")[2])),
        )
