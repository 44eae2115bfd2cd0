"""Events for other services, kept with what they are about."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

EventState = Literal["waiting", "done", "dead", "dropped"]
"""waiting: still to be delivered. done: delivered. dead: given up. dropped: by hand."""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """`number` names the row. `position` orders what readers get. `data` is JSON.
    `created_at` in epoch seconds."""

    number: int
    position: int
    id: str
    type: str
    subject: str
    user_id: str
    data: str
    created_at: float
    refusals: int = 0


class EventAdded(NamedTuple):
    """An observation: an event of that user was stored. A turn that ends needs none."""

    user_id: str


class Failure(NamedTuple):
    """An attempt to deliver that failed. `refusals` counts it; `wait` in seconds, None: give up."""

    refusals: int
    reason: str
    wait: float | None


class Backlog(NamedTuple):
    """The numbers of events that wait and that were given up."""

    waiting: int
    dead: int


class Outbox(Protocol):
    """Every method is one transaction, durable when it returns. Raises `StoreUnavailable` when the store
    cannot be used.

    Transactions of other ports add the events: see `Ending.event` and `TableStore`. An event is in the
    outbox exactly if the change that it announces was stored.
    """

    async def take_events(self, held: Collection[int], limit: int) -> list[StoredEvent]:
        """Take events that are due, oldest first, at most one of each subject: the earliest that waits.
        `held`: the numbers of those that this process has taken and not yet given back by one of the next
        two. Events that a process holds that has died can be taken by others."""
        ...

    async def event_delivered(self, number: int) -> None: ...

    async def event_failed(self, number: int, failure: Failure) -> None: ...

    async def events_after(
        self, position: int, user_id: str | None, limit: int
    ) -> list[StoredEvent]:
        """In the order of their positions, of one user or of all. An event that is not among them, but is
        stored later, has a later position than all that were ever read."""
        ...

    async def backlog(self) -> Backlog: ...


class OutboxInspector(Protocol):
    """Blocking, for the command line, beside a running server or without one."""

    def events(self, states: Sequence[EventState], limit: int) -> list[dict[str, Any]]:
        """Oldest first, with `id`, `type`, `subject`, `user_id`, `state`, `refusals`, `reason`,
        `created_at` and `due_at`."""
        ...

    def change_events(self, ids: Sequence[str] | None, state: EventState) -> int:
        """Let events wait anew, or drop them; how many there were. None: all that were given up. Only
        events that wait or were given up are changed."""
        ...
