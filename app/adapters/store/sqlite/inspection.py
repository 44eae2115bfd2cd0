"""The journal as an operator sees it, beside a running server or without one.

Reading opens the database read-only. Settling by hand takes the turn away from its owner with a
higher fence and leaves it without one: a running server picks it up within seconds, a stopped one
at its next start.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from app.adapters.store.inspected import journal_view, receipt_of, under_way
from app.adapters.store.sqlite import queries
from app.adapters.store.sqlite.outbox_inspection import SqliteOutboxInspector
from app.adapters.store.sqlite.schema import require_newest
from app.core.events import Entry, encode_entry, stamp
from app.ports.inspection import EVERY_TURN, CannotSettle, TurnFilter, Which
from app.ports.store import StoredTurn

Mode = Literal["ro", "rw"]

# A message of a chat has no narrative to persist; a dry run writes nothing.
_WRITE_FAILED = (
    "(result LIKE '%\"success\":false%' OR result LIKE '%\"narrative_persisted\":false%'"
    " AND coalesce(json_extract(request, '$.kind'), 'turn') NOT IN ('chat', 'content'))"
    " AND result NOT LIKE '%\"dry_run\":true%'"
)
_WHERE: dict[Which, str] = {
    "open": "phase <> 'done'",
    # Its answer should be here by now, and the owner says nothing more of it.
    "unknown": "phase = 'writing' AND intent > step AND sent_at < :now - 5",
    "complete": f"phase = 'done' AND status = 'complete' AND NOT ({_WRITE_FAILED})",
    "failed": f"phase = 'done' AND (status = 'error' OR {_WRITE_FAILED})",
}
_ONLY = (
    "AND (:user_id IS NULL OR user_id = :user_id)"
    " AND (:character_id IS NULL OR character_id = :character_id)"
    " AND (:since IS NULL OR created_at >= :since)"
)
_LISTED = (
    "turn_id, character_id, user_id, status, phase, step, intent, sent_at, created_at, finished_at,"
    " json_extract(result, '$.error.type') AS error_type"
)


def connect_beside(path: Path, mode: Mode) -> sqlite3.Connection:
    """A connection to a database that a server may have open."""
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=10)
    db.execute("PRAGMA synchronous = FULL")
    return db


class StoreInspector:
    """Raises `FileNotFoundError` when there is no database at `path`, and `RuntimeError` when another
    release has written it."""

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        if not path.exists():
            raise FileNotFoundError(path)
        self._path = path
        self._now = now
        self.outbox = SqliteOutboxInspector(self._connect)
        with closing(self._connect("ro")) as db:
            require_newest(db)

    def _connect(self, mode: Mode) -> sqlite3.Connection:
        return connect_beside(self._path, mode)

    def turns(
        self, which: Which, limit: int, only: TurnFilter = EVERY_TURN
    ) -> list[dict[str, Any]]:
        """Newest first, at most `limit`."""
        where = f"WHERE {_WHERE[which]} {_ONLY}"
        sql = f"SELECT {_LISTED} FROM turns {where} ORDER BY created_at DESC LIMIT :limit"
        with closing(self._connect("ro")) as db:
            found = db.execute(sql, {"now": self._now(), "limit": limit, **only._asdict()})
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found]

    def journal(self, turn_id: str) -> dict[str, Any] | None:
        """One turn with its plan and how far it has come; None when there is none."""
        sql = (
            f"SELECT {_LISTED}, fence, first_sent_at, request, record, result, recording"
            " FROM turns WHERE turn_id = ?"
        )
        with closing(self._connect("ro")) as db:
            found = db.execute(sql, (turn_id,))
            row = found.fetchone()
            if row is None:
                return None
            shown = dict(zip([column[0] for column in found.description], row, strict=True))
            events = len(queries.entries(db, turn_id))
        return journal_view(shown) | {"events": events}

    def stored(self, turn_id: str) -> tuple[StoredTurn | None, list[Entry]]:
        with closing(self._connect("ro")) as db:
            return queries.stored(db, turn_id, recording=True), queries.entries(db, turn_id)

    def settle(self, turn_id: str, *, landed: bool) -> str:
        """Record by hand what became of the write under way; its subsystem.

        Raises `CannotSettle`.
        """
        with closing(self._connect("rw")) as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                subsystem = self._settle(db, turn_id, landed)
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
            return subsystem

    def _settle(self, db: sqlite3.Connection, turn_id: str, landed: bool) -> str:
        row = db.execute(
            "SELECT record, step, intent FROM turns WHERE turn_id = ? AND phase = 'writing'",
            (turn_id,),
        ).fetchone()
        if row is None:
            raise CannotSettle("the turn is not in the middle of its writes")
        step, intent = row[1], row[2]
        write = under_way(row[0], step, intent)
        receipt = receipt_of(write, landed=landed)
        newest, _, _ = queries.entries(db, turn_id)[-1]
        queries.add_entries(db, turn_id, [encode_entry(newest + 1, receipt, stamp(self._now()))])
        db.execute(
            "UPDATE turns SET step = ?, owner = '', fence = fence + 1, first_sent_at = NULL"
            " WHERE turn_id = ?",
            (intent, turn_id),
        )
        return str(write.subsystem)
