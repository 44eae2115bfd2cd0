"""`Outbox` in PostgreSQL, shared by all processes on the journal."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final

from app.adapters.store.postgres import outbox_statements as sql
from app.adapters.store.postgres.engine import PATIENCE_SECONDS, PostgresEngine
from app.adapters.store.postgres.liveness import Liveness
from app.adapters.store.postgres.rows import original, storable
from app.core.encoding import dump
from app.core.hub import NewEvent
from app.ports.outbox import Backlog, Failure, StoredEvent

NUMBERED_AT_ONCE: Final = 5_000


def event_values(event: NewEvent) -> list[str]:
    """The columns of an event, as the database keeps them."""
    subject, user_id = storable(event.subject), storable(event.user_id)
    return [storable(event.id), event.type, subject, user_id, dump(event.data)]


class PostgresOutbox:
    """`Outbox`. `now` gives epoch seconds; None: the database's clock."""

    def __init__(
        self, engine: PostgresEngine, liveness: Liveness, now: Callable[[], float] | None
    ) -> None:
        self._engine = engine
        self._liveness = liveness
        self._now = now

    @property
    def _at(self) -> float | None:
        return None if self._now is None else self._now()

    async def take_events(self, held: Collection[int], limit: int) -> list[StoredEvent]:
        await self._liveness.wait_held(PATIENCE_SECONDS)
        values = self._liveness.owner, list(held), limit, self._at
        return [_event(row) for row in await self._engine.fetch(sql.TAKE, *values)]

    async def event_delivered(self, number: int) -> None:
        await self._engine.fetch(sql.DELIVERED, number)

    async def event_failed(self, number: int, failure: Failure) -> None:
        state = "dead" if failure.wait is None else "waiting"
        values = state, failure.refusals, storable(failure.reason), failure.wait or 0.0, self._at
        await self._engine.fetch(sql.FAILED, number, *values)

    async def events_after(
        self, position: int, user_id: str | None, limit: int
    ) -> list[StoredEvent]:
        while await self._engine.value(sql.NUMBER, NUMBERED_AT_ONCE):
            pass
        whose = None if user_id is None else storable(user_id)
        return [_event(row) for row in await self._engine.fetch(sql.AFTER, position, whose, limit)]

    async def backlog(self) -> Backlog:
        (row,) = await self._engine.fetch(sql.BACKLOG)
        return Backlog(row["waiting"], row["dead"])


def _event(row: Any) -> StoredEvent:
    return StoredEvent(
        number=row["number"],
        position=row["position"],
        id=original(row["id"]),
        type=row["type"],
        subject=original(row["subject"]),
        user_id=original(row["user_id"]),
        data=row["data"],
        created_at=row["created_at"],
        refusals=row["refusals"],
    )
