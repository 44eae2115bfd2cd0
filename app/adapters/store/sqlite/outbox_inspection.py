"""Events for other services in SQLite as an operator sees them, beside a running server or without one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, Final, Literal

from app.adapters.store.inspected import EVENT_LISTED
from app.ports.outbox import EventState

Connect = Callable[[Literal["ro", "rw"]], sqlite3.Connection]
_OPEN: Final = "state IN ('waiting', 'dead')"


class SqliteOutboxInspector:
    """`OutboxInspector`."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect

    def events(self, states: Sequence[EventState], limit: int) -> list[dict[str, Any]]:
        marks = ", ".join("?" * len(states))
        sql = (
            f"SELECT {EVENT_LISTED} FROM outbox WHERE state IN ({marks}) ORDER BY event_id LIMIT ?"
        )
        with closing(self._connect("ro")) as db:
            found = db.execute(sql, (*states, limit))
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found]

    def change_events(self, ids: Sequence[str] | None, state: EventState) -> int:
        change = f"UPDATE outbox SET state = '{state}', refusals = 0, due_at = 0 WHERE "
        with closing(self._connect("rw")) as db:
            if ids is None:
                return db.execute(f"{change} state = 'dead'").rowcount
            found = db.executemany(f"{change} {_OPEN} AND id = ?", [(one,) for one in ids])
            return found.rowcount
