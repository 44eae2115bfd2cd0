"""Delivers what is in the outbox to the hub: each event at least once, those of a subject in their order.

At most one event of a subject is under way, and the next is taken only once that one was delivered or
given up. While the hub takes nothing at all, one event at a time is tried, less and less often; that is no
fault of the event, so it never is given up for it. An event that the hub refuses is tried again a few
times, later each time, and then is a dead letter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import structlog

from app.errors import StoreUnavailable
from app.hub.envelope import Envelope
from app.ports.clock import Clock
from app.ports.hub import HubMessage, HubRefused, HubUnavailable, MessageHub
from app.ports.outbox import Backlog, Failure, Outbox, StoredEvent
from app.tasks import cancelled
from app.turns.persistence import retry_until_stored

log = structlog.get_logger(__name__)

AT_ONCE: Final = 32
MAX_REFUSALS: Final = 10
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0  # seconds
PUBLISH_SECONDS: Final = 15.0
POLL_SECONDS: Final = 2.0
"""How long an event waits that another process has left, or whose time has come."""
COUNT_EVERY: Final = 15  # calls of `count`

Wait = Callable[[asyncio.Event, float], Awaitable[None]]


async def wait_for_event(event: asyncio.Event, seconds: float) -> None:
    """Returns when it is set, or after so long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


class Publisher:
    """`wake` it when there may be something in the outbox. `wait`: how it sleeps."""

    def __init__(
        self,
        outbox: Outbox,
        hub: MessageHub,
        envelope: Envelope,
        clock: Clock,
        wait: Wait = wait_for_event,
    ) -> None:
        self._outbox = outbox
        self._hub = hub
        self._envelope = envelope
        self._clock = clock
        self._wait = wait
        self._woken = asyncio.Event()
        self._held: dict[int, asyncio.Task[None]] = {}
        self._missed: dict[int, int] = {}  # how often the hub was not there for an event
        self._pause = 0.0
        self._quiet_until = 0.0
        self._counts = 0
        self.delivered = self.given_up = 0
        self.backlog = Backlog(0, 0)

    @property
    def reachable(self) -> bool:
        """Whether the latest attempt reached the hub."""
        return not self._pause

    def wake(self) -> None:
        """Look into the outbox soon."""
        self._woken.set()

    async def available(self) -> bool:
        """For health."""
        return self.reachable

    async def count(self) -> None:
        """Find out, now and then, how much there is to do."""
        if self._counts % COUNT_EVERY == 0:
            self.backlog = await self._outbox.backlog()
        self._counts += 1

    async def run(self) -> None:
        """Until it is cancelled; what is under way then is delivered again."""
        try:
            while True:
                self._woken.clear()
                await self._round()
        finally:
            await cancelled(list(self._held.values()))

    async def _round(self) -> None:
        quiet = self._quiet_until - self._clock.monotonic()
        room = (1 if self._pause else AT_ONCE) - len(self._held)
        if quiet > 0 or room <= 0:
            await self._wait(self._woken, quiet if quiet > 0 else POLL_SECONDS)
            return
        try:
            taken = await self._outbox.take_events(self._held.keys(), room)
        except StoreUnavailable:
            taken = []
        for event in taken:
            self._held[event.number] = asyncio.create_task(
                self._deliver(event), name=f"hub-{event.id}"
            )
        if len(taken) < room:
            await self._wait(self._woken, POLL_SECONDS)

    # -- one event --------------------------------------------------------------------------------

    async def _deliver(self, event: StoredEvent) -> None:
        try:
            failure = await self._attempt(event)
            await retry_until_stored(lambda: self._record(event, failure))
        except Exception as error:  # of the store; it is taken again, and not at once
            log.exception("hub_record_failed", error_type=type(error).__name__)
            self._unavailable(event, type(error).__name__)
        finally:
            del self._held[event.number]
            self._woken.set()

    async def _attempt(self, event: StoredEvent) -> Failure | None:
        try:
            sealed = self._envelope.sealed(event)
            message = HubMessage(event.id, event.type, event.subject, sealed)
            async with asyncio.timeout(PUBLISH_SECONDS):
                await self._hub.publish(message)
        except HubRefused as error:
            self._answered()
            return self._refused(event, str(error))
        except HubUnavailable as error:
            return self._unavailable(event, str(error), error.retry_after or 0.0)
        except TimeoutError:
            return self._unavailable(event, "no answer")
        except Exception as error:
            log.exception("hub_publish_failed", error_type=type(error).__name__)
            return self._refused(event, type(error).__name__)
        self._answered()
        self._missed.pop(event.number, None)
        self.delivered += 1
        return None

    async def _record(self, event: StoredEvent, failure: Failure | None) -> None:
        if failure is None:
            await self._outbox.event_delivered(event.number)
        else:
            await self._outbox.event_failed(event.number, failure)

    def _answered(self) -> None:
        if self._pause:
            log.info("hub_reachable", hub=self._hub.name)
        self._pause = self._quiet_until = 0.0

    def _refused(self, event: StoredEvent, reason: str) -> Failure:
        refusals = event.refusals + 1
        if refusals < MAX_REFUSALS:
            return Failure(refusals, reason, _wait_after(refusals))
        self.given_up += 1
        self._missed.pop(event.number, None)
        log.error("hub_event_given_up", event_id=event.id, type=event.type, reason=reason)
        return Failure(refusals, reason, None)

    def _unavailable(self, event: StoredEvent, reason: str, at_least: float = 0.0) -> Failure:
        now = self._clock.monotonic()
        if now >= self._quiet_until:  # all that were under way have failed for the same reason
            if not self._pause:
                log.warning("hub_unreachable", hub=self._hub.name, reason=reason)
            self._pause = min(max(2 * self._pause, FIRST_WAIT), LONGEST_WAIT)
            self._quiet_until = now + max(self._pause, at_least)
        missed = self._missed[event.number] = self._missed.get(event.number, 0) + 1
        return Failure(event.refusals, reason, max(_wait_after(missed), at_least))


def _wait_after(failures: int) -> float:
    return float(min(FIRST_WAIT * 2.0 ** min(failures - 1, 10), LONGEST_WAIT))
