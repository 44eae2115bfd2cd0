"""Delivery from the outbox, in virtual time, to a hub that a test scripts."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from app.core.hub import NewEvent
from app.errors import StoreUnavailable
from app.hub.envelope import Envelope
from app.hub.publisher import LONGEST_WAIT, MAX_REFUSALS, Publisher
from app.ports.clock import Clock
from app.ports.hub import HubMessage, HubRefused, HubUnavailable
from app.ports.outbox import Backlog, Failure

from fakes.store.outbox import MemoryOutbox
from fakes.store.store import MemoryTurnStore
from journal import NOON, add_event
from loops import in_virtual_time
from waiting import parked


class ScriptedHub:
    """`down`: it takes nothing. `verdicts`: what becomes of attempts at an event, by its id; then it is
    taken. A `gate` is waited for before it answers."""

    name = "scripted"

    def __init__(self) -> None:
        self.down = False
        self.verdicts: defaultdict[str, list[Exception]] = defaultdict(list)
        self.gates: dict[str, asyncio.Event] = {}
        self.attempts: list[str] = []
        self.times: list[float] = []
        self.taken: list[HubMessage] = []

    @property
    def ids(self) -> list[str]:
        return [one.id for one in self.taken]

    async def publish(self, message: HubMessage) -> None:
        self.attempts.append(message.id)
        self.times.append(asyncio.get_running_loop().time())
        if self.down:
            raise HubUnavailable("down")
        if message.id in self.gates:
            await self.gates[message.id].wait()
        if self.verdicts[message.id]:
            raise self.verdicts[message.id].pop(0)
        self.taken.append(message)

    async def aclose(self) -> None:
        return


class Unsteady:
    """An outbox that cannot be written for the first three times."""

    def __init__(self, outbox: MemoryOutbox) -> None:
        self._failures = [StoreUnavailable()] * 3
        self._outbox = outbox
        self.take_events, self.backlog = outbox.take_events, outbox.backlog
        self.events_after, self.event_failed = outbox.events_after, outbox.event_failed

    async def event_delivered(self, number: int) -> None:
        if self._failures:
            raise self._failures.pop()
        await self._outbox.event_delivered(number)


class Delivery:
    """A publisher at work; time passes by `pass_time`."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.clock = Clock(lambda: NOON + loop.time(), loop.time)
        self.store = MemoryTurnStore(self.clock.now)
        self.hub = ScriptedHub()
        self.publisher = Publisher(self.store.outbox, self.hub, Envelope("tests"), self.clock)

    async def add(self, *events: tuple[str, str]) -> None:
        """Each an id and what it is about."""
        for its_id, about in events:
            data: dict[str, Any] = {"id": its_id}
            event = NewEvent(its_id, "content.generated", f"content/{about}", "mara", data)
            await add_event(self.store.tables, event)
        self.publisher.wake()

    async def settled(self) -> None:
        """Everything that can go on at this moment has."""
        for _ in range(20):
            await parked()

    async def pass_time(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.settled()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.publisher.run())
        try:
            await self.settled()
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@in_virtual_time
async def test_events_are_delivered_as_they_come_each_once() -> None:
    delivery = Delivery()
    async with delivery.running():
        await delivery.add(("a1", "a"), ("b1", "b"), ("a2", "a"))
        await delivery.settled()
        assert sorted(delivery.hub.ids) == ["a1", "a2", "b1"]
        await delivery.pass_time(600)
        assert len(delivery.hub.attempts) == 3
        assert await delivery.store.outbox.backlog() == Backlog(0, 0)
        assert delivery.publisher.delivered == 3


@in_virtual_time
async def test_an_event_under_way_keeps_its_subject_back_and_no_other() -> None:
    delivery = Delivery()
    gate = delivery.hub.gates["a1"] = asyncio.Event()
    async with delivery.running():
        await delivery.add(("a1", "a"), ("a2", "a"), ("b1", "b"), ("b2", "b"))
        await delivery.settled()
        assert delivery.hub.ids == ["b1", "b2"]
        gate.set()
        await delivery.settled()
        assert delivery.hub.ids == ["b1", "b2", "a1", "a2"]


@in_virtual_time
async def test_a_retried_event_comes_before_the_next_of_its_subject() -> None:
    delivery = Delivery()
    delivery.hub.verdicts["a1"] = [
        HubUnavailable("503"),
        HubRefused("400"),
        HubUnavailable("reset"),
    ]
    async with delivery.running():
        await delivery.add(("a1", "a"), ("a2", "a"), ("b1", "b"))
        await delivery.pass_time(60)
        assert [one for one in delivery.hub.ids if one != "b1"] == ["a1", "a2"]
        assert delivery.hub.attempts.count("a1") == 4
        bodies = {one.body for one in delivery.hub.taken if one.id == "a1"}
        assert len(bodies) == 1


@in_virtual_time
async def test_a_hub_that_is_down_for_an_hour_loses_nothing() -> None:
    delivery = Delivery()
    delivery.hub.down = True
    added = [(f"{about}{number}", about) for number in range(1, 21) for about in "abc"]
    async with delivery.running():
        await delivery.add(*added)
        await delivery.pass_time(3_600)
        assert not delivery.publisher.reachable
        assert len(delivery.hub.attempts) < 100
        delivery.hub.down = False
        await delivery.pass_time(2 * LONGEST_WAIT)
        assert delivery.publisher.reachable
        for about in "abc":
            expected = [name for name, subject in added if subject == about]
            assert [one for one in delivery.hub.ids if one.startswith(about)] == expected
        assert await delivery.store.outbox.backlog() == Backlog(0, 0)


@in_virtual_time
async def test_attempts_at_a_hub_that_is_down_become_rarer() -> None:
    delivery = Delivery()
    delivery.hub.down = True
    async with delivery.running():
        await delivery.add(("a1", "a"))
        await delivery.pass_time(300)
    gaps = [b - a for a, b in zip(delivery.hub.times, delivery.hub.times[1:], strict=False)]
    assert gaps == sorted(gaps)
    assert max(gaps) <= LONGEST_WAIT + 2


@in_virtual_time
async def test_event_that_the_hub_keeps_refusing_is_given_up_and_the_next_is_sent() -> None:
    delivery = Delivery()
    delivery.hub.verdicts["a1"] = [HubRefused("status 400")] * MAX_REFUSALS
    async with delivery.running():
        await delivery.add(("a1", "a"), ("a2", "a"))
        await delivery.pass_time(30)
        assert delivery.hub.ids == []
        await delivery.pass_time(1_000)
        assert delivery.hub.ids == ["a2"]
        assert delivery.hub.attempts.count("a1") == MAX_REFUSALS
        assert await delivery.store.outbox.backlog() == Backlog(0, 1)
        assert delivery.publisher.reachable


@in_virtual_time
async def test_an_hour_without_a_hub_brings_no_event_nearer_to_being_given_up() -> None:
    delivery = Delivery()
    delivery.hub.verdicts["a1"] = [HubUnavailable("down")] * 50 + [HubRefused("400")] * 3
    async with delivery.running():
        await delivery.add(("a1", "a"))
        await delivery.pass_time(2 * 3_600)
        assert delivery.hub.ids == ["a1"]


@in_virtual_time
async def test_a_hub_that_says_when_is_asked_no_sooner() -> None:
    delivery = Delivery()
    delivery.hub.verdicts["a1"] = [HubUnavailable("429", retry_after=40)]
    async with delivery.running():
        await delivery.add(("a1", "a"), ("b1", "b"))
        await delivery.pass_time(39)
        assert "a1" not in delivery.hub.ids
        await delivery.pass_time(5)
        assert "a1" in delivery.hub.ids


@in_virtual_time
async def test_a_hub_that_never_answers_is_given_up_for_now() -> None:
    delivery = Delivery()
    gate = delivery.hub.gates["a1"] = asyncio.Event()
    async with delivery.running():
        await delivery.add(("a1", "a"))
        await delivery.pass_time(60)
        assert delivery.hub.attempts.count("a1") > 1
        gate.set()
        await delivery.pass_time(60)
        assert delivery.hub.ids == ["a1"]


@in_virtual_time
async def test_an_event_that_another_process_has_left_is_found_without_being_woken() -> None:
    delivery = Delivery()
    async with delivery.running():
        await delivery.settled()
        event = NewEvent("a1", "content.generated", "content/a", "mara", {})
        await add_event(delivery.store.tables, event)
        await delivery.pass_time(5)
        assert delivery.hub.ids == ["a1"]


@in_virtual_time
async def test_stopped_publisher_leaves_unacknowledged_events_to_the_next() -> None:
    delivery = Delivery()
    delivery.hub.gates["a1"] = asyncio.Event()
    async with delivery.running():
        await delivery.add(("a1", "a"), ("a2", "a"))
        await delivery.settled()
    del delivery.hub.gates["a1"]
    async with delivery.running():
        await delivery.pass_time(5)
        assert delivery.hub.ids == ["a1", "a2"]


@in_virtual_time
async def test_a_store_that_is_away_for_a_moment_makes_no_second_delivery() -> None:
    delivery = Delivery()
    outbox = Unsteady(delivery.store.outbox)
    delivery.publisher = Publisher(outbox, delivery.hub, Envelope("tests"), delivery.clock)
    async with delivery.running():
        await delivery.add(("a1", "a"), ("a2", "a"))
        await delivery.pass_time(60)
        assert delivery.hub.attempts == ["a1", "a2"]


@in_virtual_time
async def test_event_dropped_while_it_was_being_sent_stays_dropped() -> None:
    delivery = Delivery()
    await delivery.add(("a1", "a"))
    (event,) = await delivery.store.outbox.take_events((), 1)
    await delivery.store.outbox.event_failed(event.number, Failure(10, "400", None))
    await delivery.store.outbox.event_failed(event.number, Failure(11, "late", 0.0))
    async with delivery.running():
        await delivery.pass_time(60)
        assert delivery.hub.attempts == []
