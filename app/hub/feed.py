"""Events for other services as a stream: those that are kept, and then each as it comes.

A feed keeps no queue: it is woken, and reads the outbox behind its own position.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from app.arrivals import Arrival
from app.core.access import ADMIN_SCOPE, Caller, has_scope
from app.core.hub import is_wanted, scope_of_subject
from app.eventlog.reader import HEARTBEAT_SECONDS
from app.hub.envelope import Envelope
from app.hub.news import News
from app.ports.outbox import Outbox, StoredEvent

AT_ONCE: Final = 200
Batch = Sequence[tuple[int, bytes]]
"""Events with their positions; empty after a silence."""


class Wish(NamedTuple):
    """The filter of a reader: `types` as in `is_wanted`, behind the position `after`; of all users, or the
    caller's own."""

    types: tuple[str, ...] = ()
    after: int = 0
    everybody: bool = False


@dataclass(eq=False)
class HubFeed:
    """Iterates over batches until its reader leaves. An empty one marks the end of the past, and
    one comes after each `heartbeat` seconds of silence."""

    complete = at_end = trimmed = False

    _outbox: Outbox
    _envelope: Envelope
    _arrival: Arrival
    _caller: Caller
    _wish: Wish
    _heartbeat: float = HEARTBEAT_SECONDS
    _left: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.position = self._wish.after

    def leave(self) -> None:
        """The iteration ends, whatever it waits for."""
        self._left = True
        self._arrival.wake()

    def close(self) -> None:
        """End the iteration."""
        self._arrival.close()

    async def __aiter__(self) -> AsyncIterator[Batch]:
        live = False
        whose = None if self._wish.everybody else self._caller.user_id
        while not self._left:
            self._arrival.expect()
            found = await self._outbox.events_after(self.position, whose, AT_ONCE)
            if batch := self._take(found):
                yield batch
            elif not found and not live:
                live = True
                yield ()
            elif not found and not await self._arrival.wait(self._heartbeat):
                yield ()

    def _take(self, found: Sequence[StoredEvent]) -> Batch:
        if found:
            self.position = found[-1].position
        return [(one.position, self._envelope.sealed(one)) for one in found if self._shown(one)]

    def _shown(self, event: StoredEvent) -> bool:
        allowed = has_scope(self._caller, scope_of_subject(event.subject))
        allowed = allowed or has_scope(self._caller, ADMIN_SCOPE)
        return allowed and is_wanted(event.type, self._wish.types)


class HubFeeds:
    """Opens feeds."""

    def __init__(self, outbox: Outbox, envelope: Envelope, news: News) -> None:
        self._outbox = outbox
        self._envelope = envelope
        self._news = news

    def open(self, caller: Caller, wish: Wish) -> HubFeed:
        """`close` it."""
        arrival = self._news.waiting(None if wish.everybody else caller.user_id)
        return HubFeed(self._outbox, self._envelope, arrival, caller, wish)
