"""`Outbox` in SQLite. One process has the file, so what it holds is in its memory alone; there is one
writer, so the order of the rows is the order in which they became visible."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from typing import Any, Final

from app.adapters.store.sqlite.engine import SqliteEngine
from app.core.encoding import dump
from app.core.hub import NewEvent
from app.ports.outbox import Backlog, Failure, StoredEvent

_EVENT: Final = "event_id, event_id, id, type, subject, user_id, payload, created_at, refusals"
_NO_EARLIER: Final = (
    "NOT EXISTS (SELECT 1 FROM outbox AS earlier WHERE earlier.subject = outbox.subject"
    " AND earlier.state = 'waiting' AND earlier.event_id < outbox.event_id)"
)


def add(db: sqlite3.Connection, event: NewEvent, now: float) -> None:
    """Inside the transaction that makes it true."""
    db.execute(
        "INSERT INTO outbox (id, type, subject, user_id, payload, created_at, state)"
        " VALUES (?, ?, ?, ?, ?, ?, 'waiting')",
        (event.id, event.type, event.subject, event.user_id, dump(event.data), now),
    )


class SqliteOutbox:
    """`Outbox`. `now` gives epoch seconds."""

    def __init__(self, engine: SqliteEngine, now: Callable[[], float]) -> None:
        self._engine = engine
        self._now = now

    async def take_events(self, held: Collection[int], limit: int) -> list[StoredEvent]:
        marks = ", ".join("?" * len(held))
        statement = (
            f"SELECT {_EVENT} FROM outbox INDEXED BY waiting_events WHERE state = 'waiting'"
            f" AND due_at <= ? AND {_NO_EARLIER} AND event_id NOT IN ({marks})"
            " ORDER BY event_id LIMIT ?"
        )
        return await self._read(statement, self._now(), *held, limit)

    async def event_delivered(self, number: int) -> None:
        await self._change("state = 'done', reason = NULL", number)

    async def event_failed(self, number: int, failure: Failure) -> None:
        state = "dead" if failure.wait is None else "waiting"
        due = self._now() + (failure.wait or 0)
        values = state, failure.refusals, failure.reason, due
        await self._change("state = ?, refusals = ?, reason = ?, due_at = ?", number, *values)

    async def _change(self, columns: str, number: int, *values: Any) -> None:
        """Change an event that still waits; one that was dropped meanwhile stays dropped."""
        statement = f"UPDATE outbox SET {columns} WHERE event_id = ? AND state = 'waiting'"
        await self._engine.write(lambda db: db.execute(statement, (*values, number)).rowcount)

    async def events_after(
        self, position: int, user_id: str | None, limit: int
    ) -> list[StoredEvent]:
        whose, values = ("", ()) if user_id is None else (" AND user_id = ?", (user_id,))
        statement = (
            f"SELECT {_EVENT} FROM outbox WHERE event_id > ?{whose} ORDER BY event_id LIMIT ?"
        )
        return await self._read(statement, position, *values, limit)

    async def backlog(self) -> Backlog:
        def work(db: sqlite3.Connection) -> Backlog:
            counts = [
                db.execute(f"SELECT COUNT(*) FROM outbox WHERE state = '{state}'").fetchone()[0]
                for state in ("waiting", "dead")
            ]
            return Backlog(*counts)

        return await self._engine.read(work)

    async def _read(self, statement: str, *values: Any) -> list[StoredEvent]:
        return await self._engine.read(
            lambda db: [StoredEvent(*row) for row in db.execute(statement, values)]
        )
