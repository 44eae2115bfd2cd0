"""What Redis is known to do, and what is not done because of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from itertools import pairwise
from secrets import token_hex
from typing import Any

import pytest
from app.adapters.event_log import shared
from app.adapters.event_log.redis import RedisLogChannel
from app.adapters.event_log.shared import SharedEventLog
from app.adapters.limits.memory import MemoryLimiter
from app.adapters.limits.redis import RedisLimiter
from app.adapters.redis.client import Availability, client
from app.adapters.store.packing import pack, unpack
from app.core.limits import Rule
from app.errors import Overloaded, RateLimitExceeded, StoreUnavailable
from app.loop import SlicedLoop
from app.ports.limits import Charge, Taken
from redis.exceptions import RedisError

from databases import SERVERS, RedisServer
from journal import entries
from logs_of_turns import read
from loops import in_loop
from serving import SOON, TIMEOUT
from wires import Wire

Loops = Callable[[], asyncio.AbstractEventLoop]


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire(SERVERS.redis.port)
    yield made
    made.close()


@in_loop
async def test_command_whose_answer_is_lost_is_sent_once(wire: Wire) -> None:
    redis = client(f"redis://127.0.0.1:{wire.port}/0", answer_seconds=SOON)
    direct = client(SERVERS.redis.url)
    key = token_hex(8)
    await redis.ping()
    wire.mute.set()
    with pytest.raises((RedisError, TimeoutError)):
        await redis.xadd(key, {"a": "b"})
    wire.mute.clear()
    while not await direct.xlen(key):  # noqa: ASYNC110 - it sends no signal
        await asyncio.sleep(0.01)
    await redis.ping()
    assert await direct.xlen(key) == 1
    await redis.aclose()
    await direct.aclose()


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, SlicedLoop])
def test_command_that_is_cancelled_ends_whatever_it_is_about(loop: Loops) -> None:
    """It is cancelled in each of the steps that it takes, with and without a connection."""

    async def cancelled_after(steps: int, *, connected: bool) -> bool:
        """False: it was done by then."""
        redis = client(SERVERS.redis.url)
        if connected:
            await redis.ping()
        command = asyncio.ensure_future(redis.ping())
        for _ in range(steps):
            await asyncio.sleep(0)
        late = command.done()
        command.cancel()
        await asyncio.wait([command])
        assert late or command.cancelled(), f"it went on after step {steps}"
        await redis.aclose()
        return not late

    async def every_step() -> None:
        for connected in (False, True):
            steps = 0
            while await cancelled_after(steps, connected=connected):
                steps += 1
            assert steps > 2

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(every_step())


def test_connection_that_is_gone_is_an_unavailable_redis_on_every_loop() -> None:
    async def nothing(*_: Any, **__: Any) -> bool:
        return False

    async def used_once_more(redis: Any) -> None:
        await redis.ping()
        pool = redis.connection_pool
        [connection] = pool._available_connections
        connection._writer.transport.abort()
        connection.can_read = connection.can_read_destructive = nothing  # it is lost only now
        with pytest.raises(StoreUnavailable), Availability().watched():
            await redis.ping()
        await redis.aclose()

    for loop in (asyncio.new_event_loop, SlicedLoop):
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(used_once_more(client(SERVERS.redis.url)))


@in_loop
async def test_events_whose_publishing_was_never_answered_are_there_once(wire: Wire) -> None:
    channel = RedisLogChannel(f"redis://127.0.0.1:{wire.port}/0", token_hex(8), token_hex(8))
    (run,) = pack(entries(1, 2))
    row = ("t1", run[0], 2, run[1])
    assert await channel.publish([], rewriting=True, whole=True)
    wire.mute.set()
    with pytest.raises(StoreUnavailable):
        await channel.publish([row], rewriting=False, whole=False)
    wire.mute.clear()
    assert await channel.publish([row], rewriting=False, whole=False)
    found = await channel.read({"t1": 0})
    assert [unpack(first, data) for _, first, _, data in found] == [entries(1, 2)]
    await channel.aclose()


@asynccontextmanager
async def publishing(url: str) -> AsyncIterator[RedisLogChannel]:
    channel = RedisLogChannel(url, token_hex(8), token_hex(8))
    try:
        assert await channel.publish([], rewriting=True, whole=True)
        yield channel
    finally:
        await channel.aclose()


async def publish(channel: RedisLogChannel, turns: int, number: int) -> bool:
    """The entry of that number, of so many turns."""
    ((first, data),) = pack(entries(number))
    rows = [(f"t{turn}", first, number, data) for turn in range(turns)]
    return await channel.publish(rows, rewriting=False, whole=False)


async def published(channel: RedisLogChannel) -> list[int]:
    """The numbers of entries of the first turn."""
    return [first for _, first, *_ in await channel.read({"t0": 0})]


@in_loop
async def test_flush_of_many_turns_is_answered_as_briefly_as_one_of_none(wire: Wire) -> None:
    async with publishing(f"redis://127.0.0.1:{wire.port}/0") as channel:
        assert await publish(channel, 300, 1)  # their expiry is set
        answered = [wire.answered]
        for number, turns in ((2, 300), (3, 0), (3, 1)):
            assert await publish(channel, turns, number)
            answered.append(wire.answered)
        assert len({after - before for before, after in pairwise(answered)}) == 1
        assert await published(channel) == [1, 2, 3]


@in_loop
async def test_flush_for_which_redis_has_no_memory_has_failed() -> None:
    async with publishing(SERVERS.redis.url) as channel:
        SERVERS.redis.command(b"CONFIG SET maxmemory 1")
        try:
            with pytest.raises(StoreUnavailable):
                await publish(channel, 3, 1)
        finally:
            SERVERS.redis.command(b"CONFIG SET maxmemory 0")
        assert await published(channel) == []
        assert await publish(channel, 3, 1)
        assert await published(channel) == [1]


@in_loop
async def test_answers_to_a_refused_flush_are_taken_for_no_others() -> None:
    allow = b"ACL SETUSER publisher on nopass ~* "
    SERVERS.redis.command(allow + b"+@all")
    async with publishing(SERVERS.redis.url.replace("//", "//publisher:x@")) as channel:
        SERVERS.redis.command(allow + b"-client|reply")
        with pytest.raises(StoreUnavailable):
            await publish(channel, 3, 1)
        assert await published(channel) == [1]
        SERVERS.redis.command(allow + b"+client|reply")
        assert await publish(channel, 3, 2)
        assert await published(channel) == [1, 2]


@in_loop
async def test_redis_that_goes_and_comes_back_empty_costs_no_reader_an_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared, "SILENCE_SECONDS", TIMEOUT)
    journal: Any = None  # which is asked about silence alone
    with closing(RedisServer()) as server:
        logs = [
            SharedEventLog(RedisLogChannel(server.url, "space", owner), journal)
            for owner in ("here", "there")
        ]
        here, there = logs
        for log in logs:
            log.start()
        turn = here.open("t1")
        turn.append(entries(1, 2))
        far = await there.follow("t1", ())
        assert far is not None
        assert await read(far, 2) == entries(1, 2)
        await asyncio.to_thread(server.stop)
        turn.append(entries(3, 2))
        assert await read(turn, 4) == entries(1, 4)
        reading = asyncio.create_task(read(far, 3, after=2))
        await asyncio.to_thread(server.start)
        turn.append(entries(5))
        assert await reading == entries(3, 3)
        for log in logs:
            await log.aclose()


def readings() -> int:
    """How often streams have been read from the server of this process."""
    found = re.search(rb"cmdstat_xread:calls=(\d+)", SERVERS.redis.command(b"INFO commandstats"))
    return int(found[1]) if found else 0


@in_loop
async def test_reader_that_waits_behind_a_gap_waits_at_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared, "SILENCE_SECONDS", TIMEOUT)
    journal: Any = None  # which is asked about silence alone
    async with publishing(SERVERS.redis.url) as channel:
        log = SharedEventLog(channel, journal)
        log.start()
        turns = [await log.follow(turn_id, ()) for turn_id in ("t0", "t1")]
        for number in (1, 5):
            assert await publish(channel, 2, number)
        for turn in turns:
            assert turn is not None
            assert await read(turn, 1) == entries(1)
        before = readings()
        for _ in range(1_000):
            await channel.available()
        assert readings() - before < 200
        await log.aclose()


class Turnstile(MemoryLimiter):
    """One request a minute, whatever is asked."""

    async def take(self, charges: Sequence[Charge]) -> Taken:
        return await super().take([Charge(Rule("own", 1, 60.0), "all")])


@in_loop
async def test_without_redis_limits_are_the_process_s_own_or_let_nobody_in() -> None:
    charges = [Charge(Rule("user", 9, 60.0), "mara")]
    with closing(RedisServer()) as server:
        limiters = [
            RedisLimiter(server.url, token_hex(4), otherwise)
            for otherwise in (None, Turnstile(lambda: 0.0))
        ]
        shut, open_ = limiters
        before = [await limiter.take(charges) for limiter in limiters]
        await asyncio.to_thread(server.stop)
        with pytest.raises(Overloaded):
            await shut.take(charges)
        assert await shut.look(charges) == {}
        assert (await open_.take(charges)).headers["X-RateLimit-Limit"] == "1"
        with pytest.raises(RateLimitExceeded):
            await open_.take(charges)
        assert (await open_.look(charges))["X-RateLimit-Limit"] == "9"
        for taken in before:
            await taken.give_back()
        await asyncio.to_thread(server.start)  # it has forgotten windows and scripts
        for limiter in limiters:
            assert (await limiter.take(charges)).headers["X-RateLimit-Remaining"] == "8"
            await limiter.aclose()
