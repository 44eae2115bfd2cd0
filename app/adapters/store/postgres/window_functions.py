"""Rate windows in PostgreSQL whose limit may change."""

from __future__ import annotations

from typing import Final

from app.adapters.store.postgres import coordination
from app.adapters.store.postgres.functions import revised

FUNCTIONS: Final[dict[str, str]] = {}

# Of more hits than the limit has room for, the newest ones count: there is room once the first of those
# has left.
FUNCTIONS["take_2"] = revised(
    coordination.FUNCTIONS["take_1"],
    ("FUNCTION take_1", "FUNCTION take_2"),
    ("oldest_at double precision;", "next_at double precision;"),
    (
        "SELECT h.at INTO oldest_at FROM hits h WHERE h.name = w.name AND h.n = w.oldest;",
        "SELECT h.at INTO next_at FROM hits h\n            WHERE h.name = w.name"
        " AND h.n = greatest(w.oldest, w.newest - p_limits[i] + 1);",
    ),
    ("coalesce(oldest_at + length - at, 0)", "coalesce(next_at + length - at, 0)"),
    ("take_1.at", "take_2.at"),
)

MIGRATION: Final = "".join(FUNCTIONS.values())
