"""The journal in PostgreSQL as an operator sees it, beside running servers or without one.

Settling by hand takes the turn away from its owner with a higher fence and leaves it without one: a
running server adopts it within seconds.
"""

from __future__ import annotations

from typing import Any, Final

from app.adapters.store.inspected import journal_view, receipt_of, under_way
from app.adapters.store.postgres import statements as sql
from app.adapters.store.postgres.connecting import Database, Unusable
from app.adapters.store.postgres.outbox_inspection import PostgresOutboxInspector
from app.adapters.store.postgres.preparing import VERSION, at_the_start
from app.adapters.store.postgres.rows import entries_of, original, parts, storable, stored_turn
from app.adapters.store.postgres.schema import MIGRATIONS
from app.core.events import Entry, encode_entry, stamp
from app.ports.inspection import EVERY_TURN, CannotSettle, TurnFilter, Which
from app.ports.store import StoredTurn

_NOW: Final = "coalesce($5::double precision, extract(epoch FROM clock_timestamp()))"
_WRITE_FAILED: Final = (
    "(result LIKE '%\"success\":false%' OR result LIKE '%\"narrative_persisted\":false%'"
    " AND coalesce(request::json ->> 'kind', 'turn') <> 'chat')"
    " AND result NOT LIKE '%\"dry_run\":true%'"
)
_WHERE: Final[dict[Which, str]] = {
    "open": "phase <> 'done'",
    "unknown": f"phase = 'writing' AND intent > step AND sent_at < {_NOW} - 5",
    "complete": f"phase = 'done' AND status = 'complete' AND NOT ({_WRITE_FAILED})",
    "failed": f"phase = 'done' AND (status = 'error' OR {_WRITE_FAILED})",
}
_ONLY: Final = (
    "AND ($2::text IS NULL OR user_id = $2) AND ($3::text IS NULL OR character_id = $3)"
    " AND ($4::double precision IS NULL OR created_at >= $4)"
)
_LISTED: Final = (
    "turn_id, character_id, user_id, status, phase, step, intent, sent_at, created_at, finished_at,"
    " result::json #>> '{error,type}' AS error_type"
)
_TEXTS: Final = ("turn_id", "character_id", "user_id")


def require_newest(database: Database) -> None:
    """Raises `Unusable` for a database without a journal, or with one of another release."""
    if not at_the_start(database, "SELECT to_regclass('schema_version') IS NOT NULL")[0][0]:
        raise Unusable("there is no journal in this database")
    if at_the_start(database, VERSION)[0][0] != len(MIGRATIONS):
        raise Unusable("the database is of another release; start this one once to upgrade it")


class PostgresInspector:
    """`now` gives epoch seconds; None: the database's clock. Raises `Unusable`."""

    def __init__(self, database: Database, now: Any = None) -> None:
        self._database = database
        self._now = now
        self.outbox = PostgresOutboxInspector(self._rows)
        require_newest(database)

    def _rows(self, statement: str, *values: Any) -> list[Any]:
        return at_the_start(self._database, statement, *values)

    def turns(
        self, which: Which, limit: int, only: TurnFilter = EVERY_TURN
    ) -> list[dict[str, Any]]:
        """Newest first, at most `limit`."""
        ordered = "ORDER BY created_at DESC, number DESC LIMIT $1"
        statement = f"SELECT {_LISTED} FROM turns WHERE {_WHERE[which]} {_ONLY} {ordered}"
        at = None if self._now is None else self._now()
        names = [None if name is None else storable(name) for name in only[:2]]
        values = (limit, *names, only.since, *((at,) if which == "unknown" else ()))
        return [_shown(row) for row in self._rows(statement, *values)]

    def journal(self, turn_id: str) -> dict[str, Any] | None:
        """One turn with its plan and how far it has come; None when there is none."""
        statement = (
            f"SELECT {_LISTED}, fence, first_sent_at, request, record, result, recording"
            " FROM turns WHERE turn_id = $1"
        )
        rows = self._rows(statement, storable(turn_id))
        if not rows:
            return None
        return journal_view(_shown(rows[0])) | {"events": len(self._entries(turn_id))}

    def stored(self, turn_id: str) -> tuple[StoredTurn | None, list[Entry]]:
        rows = self._rows(sql.TURN_RECORDED, storable(turn_id))
        found = stored_turn(rows[0], rows[0]["owner"]) if rows else None
        return found, self._entries(turn_id)

    def _entries(self, turn_id: str) -> list[Entry]:
        return entries_of(self._rows(sql.ENTRIES, storable(turn_id)))

    def settle(self, turn_id: str, *, landed: bool) -> str:
        """Record by hand what became of the write under way; its subsystem. Raises `CannotSettle`."""
        rows = self._rows(sql.UNSETTLED, storable(turn_id))
        if not rows:
            raise CannotSettle("the turn is not in the middle of its writes")
        row = rows[0]
        write = under_way(row["record"], row["step"], row["intent"])
        newest, _, _ = self._entries(turn_id)[-1]
        at = row["at"] if self._now is None else self._now()
        entry = encode_entry(newest + 1, receipt_of(write, landed=landed), stamp(at))
        values = storable(turn_id), row["fence"], row["intent"], *parts([entry])
        if not self._rows(sql.SETTLE, *values)[0][0]:
            raise CannotSettle("the turn has gone on meanwhile")
        return str(write.subsystem)


def _shown(row: Any) -> dict[str, Any]:
    return {name: original(value) if name in _TEXTS else value for name, value in dict(row).items()}
