"""To which process the dungeon master of each table is connected: rows that go with the row of the process
in `nodes`. Who takes the seat last, in the order of the transactions, has it.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Final

from app.adapters.store.postgres.engine import PostgresEngine
from app.adapters.store.postgres.functions import function
from app.adapters.store.postgres.process_rows import ends_with_process

FUNCTIONS: Final[dict[str, str]] = {}
define = partial(function, FUNCTIONS)

_TABLE: Final = """
CREATE TABLE leaders (
    table_id bigint PRIMARY KEY,
    owner    text NOT NULL
);
CREATE INDEX leaders_by_owner ON leaders (owner);
"""

# The row of the process is locked: it cannot go before these are seen by whoever removes it. All processes
# write rows in one order, so that none waits for another in a circle.
define(
    "lead_1",
    "p_owner text, p_held bigint[], p_taken bigint[], p_left bigint[]",
    "SETOF bigint",
    """
BEGIN
    DELETE FROM leaders WHERE owner = p_owner AND table_id = ANY (p_left);
    INSERT INTO leaders (table_id, owner)
        SELECT t.id, n.owner FROM nodes n CROSS JOIN unnest(p_taken) AS t (id)
        WHERE n.owner = p_owner ORDER BY t.id FOR KEY SHARE OF n
        ON CONFLICT (table_id) DO UPDATE SET owner = EXCLUDED.owner;
    INSERT INTO leaders (table_id, owner)
        SELECT t.id, n.owner FROM nodes n CROSS JOIN unnest(p_held) AS t (id)
        WHERE n.owner = p_owner ORDER BY t.id FOR KEY SHARE OF n
        ON CONFLICT (table_id) DO NOTHING;
    RETURN QUERY SELECT l.table_id FROM leaders l
        WHERE l.table_id = ANY (p_held || p_left) AND l.owner <> p_owner;
END""",
)

MIGRATION: Final = (
    _TABLE + "".join(FUNCTIONS.values()) + ends_with_process("leaders", "nodes_end_leaders")
)

_LEAD: Final = "SELECT * FROM lead_1($1, $2, $3, $4) AS found (table_id)"


class PostgresLeading:
    """The part of `TableStore` that is about the connections of dungeon masters."""

    _engine: PostgresEngine
    _owner: str  # this process

    async def lead(
        self, held: Collection[int], taken: Collection[int], left: Collection[int]
    ) -> Collection[int]:
        tables = list(held), list(taken), list(left)
        rows = await self._engine.fetch(_LEAD, self._owner, *tables)
        return {row["table_id"] for row in rows}
