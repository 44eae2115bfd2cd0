"""Who is connected to tables, by process: rows that go with the row of the process in `nodes`.

A process that was given up by others, and comes back, has its rows again when it says so the next time.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from app.adapters.store.postgres.engine import PostgresEngine
from app.adapters.store.postgres.functions import function
from app.adapters.store.postgres.process_rows import ends_with_process
from app.adapters.store.postgres.rows import original, storable

FUNCTIONS: Final[dict[str, str]] = {}
define = partial(function, FUNCTIONS)

_TABLE: Final = """
CREATE TABLE attendance (
    table_id    bigint NOT NULL,
    user_id     text NOT NULL,
    owner       text NOT NULL,
    player_name text NOT NULL,
    PRIMARY KEY (table_id, user_id, owner)
);
CREATE INDEX attendance_by_owner ON attendance (owner);
"""

# The row of the process is locked: it cannot go before these are seen by whoever removes it.
define(
    "meet_1",
    "p_owner text, p_tables bigint[], p_at bigint[], p_users text[], p_names text[]",
    "TABLE (table_id bigint, user_id text, player_name text)",
    """
BEGIN
    DELETE FROM attendance a WHERE a.owner = p_owner AND a.table_id = ANY (p_tables)
        AND (a.table_id, a.user_id) NOT IN (SELECT * FROM unnest(p_at, p_users));
    INSERT INTO attendance (table_id, user_id, owner, player_name)
        SELECT h.at, h.who, n.owner, h.named
        FROM nodes n CROSS JOIN unnest(p_at, p_users, p_names) AS h (at, who, named)
        WHERE n.owner = p_owner FOR KEY SHARE OF n
        ON CONFLICT DO NOTHING;
    RETURN QUERY SELECT a.table_id, a.user_id, a.player_name FROM attendance a
        WHERE a.table_id = ANY (p_tables) AND a.owner <> p_owner;
END""",
)

MIGRATION: Final = (
    _TABLE + "".join(FUNCTIONS.values()) + ends_with_process("attendance", "nodes_end")
)

_MEET: Final = "SELECT table_id, user_id, player_name FROM meet_1($1, $2, $3, $4, $5)"
_ELSEWHERE: Final = (
    "SELECT user_id, player_name FROM attendance WHERE table_id = $1 AND owner <> $2"
)


class PostgresAttendance:
    """The part of `TableStore` that is about connections."""

    _engine: PostgresEngine
    _owner: str  # this process

    async def meet(self, here: Mapping[int, Mapping[str, str]]) -> Mapping[int, Mapping[str, str]]:
        rows = [
            (table_id, storable(user_id), storable(name))
            for table_id, names in here.items()
            for user_id, name in names.items()
        ]
        columns = [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
        elsewhere: dict[int, dict[str, str]] = {}
        for table_id, *who in await self._engine.fetch(_MEET, self._owner, list(here), *columns):
            elsewhere.setdefault(table_id, {}).update([_named(who)])
        return elsewhere

    async def elsewhere(self, table_id: int) -> Mapping[str, str]:
        rows = await self._engine.fetch(_ELSEWHERE, table_id, self._owner)
        return dict(map(_named, rows))


def _named(row: Any) -> tuple[str, str]:
    return original(row[0]), original(row[1])
