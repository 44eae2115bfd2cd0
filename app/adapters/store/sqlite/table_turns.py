"""The turns of tables among all turns, and whose is the next."""

from __future__ import annotations

import sqlite3

# The terms of the index that holds the turns of tables alone.
OF_TABLE = "exclusive_key = ?1 AND exclusive_key >= 'table:' AND exclusive_key < 'table;'"
LEAST_RECENT = (
    "(SELECT MAX(other.begun) FROM turns AS other WHERE other.user_id = turns.user_id"
    f" AND {OF_TABLE.replace('exclusive_key', 'other.exclusive_key')}),"
)


def begin_at_table(db: sqlite3.Connection, turn_id: str, exclusive_key: str) -> None:
    """Number the turns of a table in the order in which they begin."""
    if exclusive_key.startswith("table:"):
        db.execute(
            f"UPDATE turns SET begun = (SELECT 1 + COALESCE(MAX(begun), 0) FROM turns WHERE {OF_TABLE})"
            " WHERE turn_id = ?2",
            (exclusive_key, turn_id),
        )
