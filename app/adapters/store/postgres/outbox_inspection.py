"""Events for other services in PostgreSQL as an operator sees them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from app.adapters.store.inspected import EVENT_LISTED
from app.adapters.store.postgres.rows import original, storable
from app.ports.outbox import EventState

_TEXTS: Final = ("id", "subject", "user_id", "reason")
_LISTED: Final = (
    f"SELECT {EVENT_LISTED} FROM outbox WHERE state = ANY ($1) AND subject <> ''"
    " ORDER BY event_id LIMIT $2"
)
_CHANGE: Final = (
    "WITH changed AS (UPDATE outbox SET state = $2, refusals = 0, due_at = 0"
    " WHERE ($1::text[] IS NULL AND state = 'dead')"
    " OR (id = ANY ($1) AND state IN ('waiting', 'dead')) RETURNING 1)"
    " SELECT count(*) FROM changed"
)


class PostgresOutboxInspector:
    """`OutboxInspector`. `rows` runs a statement."""

    def __init__(self, rows: Callable[..., list[Any]]) -> None:
        self._rows = rows

    def events(self, states: Sequence[EventState], limit: int) -> list[dict[str, Any]]:
        found = [dict(row) for row in self._rows(_LISTED, list(states), limit)]
        return [
            {name: original(it) if it and name in _TEXTS else it for name, it in row.items()}
            for row in found
        ]

    def change_events(self, ids: Sequence[str] | None, state: EventState) -> int:
        named = None if ids is None else [storable(one) for one in ids]
        return int(self._rows(_CHANGE, named, state)[0][0])
