"""`Outbox` on the in-memory journal."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from app.core.encoding import dump
from app.core.hub import NewEvent
from app.ports.outbox import Backlog, EventState, Failure, StoredEvent


@dataclass(slots=True)
class Kept:
    """One event, and how far its delivery is."""

    event: StoredEvent
    state: EventState = "waiting"
    due_at: float = 0.0
    reason: str | None = None


@dataclass(slots=True)
class Events:
    """All events of one database."""

    rows: list[Kept] = field(default_factory=list)

    def add(self, event: NewEvent, now: float) -> None:
        number = len(self.rows) + 1
        about = (event.id, event.type, event.subject, event.user_id, dump(event.data))
        self.rows.append(Kept(StoredEvent(number, number, *about, now)))


class MemoryOutbox:
    """Nothing is awaited in between, so every method is a transaction."""

    def __init__(self, events: Events, now: Callable[[], float]) -> None:
        self._events = events
        self._now = now

    async def take_events(self, held: Collection[int], limit: int) -> list[StoredEvent]:
        heads: dict[str, Kept] = {}
        for row in self._events.rows:
            if row.state == "waiting":
                heads.setdefault(row.event.subject, row)
        free = [row for row in heads.values() if row.event.number not in held]
        return [row.event for row in free if row.due_at <= self._now()][:limit]

    async def event_delivered(self, number: int) -> None:
        row = self._events.rows[number - 1]
        if row.state == "waiting":
            row.state = "done"

    async def event_failed(self, number: int, failure: Failure) -> None:
        row = self._events.rows[number - 1]
        if row.state != "waiting":
            return
        row.event = replace(row.event, refusals=failure.refusals)
        row.state = "dead" if failure.wait is None else "waiting"
        row.due_at, row.reason = self._now() + (failure.wait or 0), failure.reason

    async def events_after(
        self, position: int, user_id: str | None, limit: int
    ) -> list[StoredEvent]:
        found = [row.event for row in self._events.rows[position:]]
        return [one for one in found if user_id in (None, one.user_id)][:limit]

    async def backlog(self) -> Backlog:
        states = [row.state for row in self._events.rows]
        return Backlog(states.count("waiting"), states.count("dead"))
