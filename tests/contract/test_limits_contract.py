"""What every `Limiter` does. An adapter joins by one line in `ADAPTERS`."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from functools import wraps
from typing import Any

import pytest
from app.adapters.limits.memory import MemoryLimiter
from app.adapters.limits.postgres import PostgresLimiter
from app.adapters.limits.redis import RedisLimiter
from app.adapters.store.postgres.connecting import Database
from app.adapters.store.postgres.engine import PostgresEngine
from app.core.limits import Rule
from app.errors import RateLimitExceeded
from app.ports.limits import Charge, Limiter, Taken

from databases import SERVERS
from journal import NOON, Hands
from loops import in_loop


def postgres(clock: Hands) -> Limiter:
    engine = PostgresEngine(Database(SERVERS.postgres.emptied()), "limits", 4)
    return PostgresLimiter(engine, clock)


def redis(clock: Hands) -> Limiter:
    return RedisLimiter(SERVERS.redis.url, uuid.uuid4().hex, now=clock)


ADAPTERS: dict[str, Callable[[Hands], Limiter]] = {
    "memory": MemoryLimiter,
    "postgres": postgres,
    "redis": redis,
}


class ReadOnly(Database):
    async def connect(self, name: str, *_: Any) -> Any:
        return await super().connect(name, {"default_transaction_read_only": "on"})


def reading_postgres(clock: Hands) -> tuple[Limiter, Limiter]:
    engine = PostgresEngine(ReadOnly(SERVERS.postgres.url("emptied")), "limits", 1)
    return postgres(clock), PostgresLimiter(engine, clock)


def reading_redis(clock: Hands) -> tuple[Limiter, Limiter]:
    assert SERVERS.redis.command(b"ACL SETUSER reads on nopass ~* +@all -@write") == b"+OK\r\n"
    space, url = uuid.uuid4().hex, SERVERS.redis.url
    urls = (url, url.replace("//", "//reads:x@"))
    one, other = (RedisLimiter(each, space, now=clock) for each in urls)
    return one, other


READING = {"postgres": reading_postgres, "redis": reading_redis}
"""Two on the same windows. The server lets the second one write nothing."""
FORGETFUL = ("memory",)
"""Those that do not outlive a restart."""

TWO = Charge(Rule("character", 2, 1.0), "mara:c1")
THREE = Charge(Rule("user", 3, 60.0), "mara")


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture(params=list(ADAPTERS))
def limiter(request: pytest.FixtureRequest, clock: Hands) -> Limiter:
    return ADAPTERS[request.param](clock)


async def closed(limiter: Limiter) -> None:
    if isinstance(limiter, RedisLimiter):
        await limiter.aclose()


def in_its_loop(
    test: Callable[[Limiter, Hands], Coroutine[Any, Any, None]],
) -> Callable[[Limiter, Hands], None]:
    """As `in_loop`, and what the limiter has opened is closed there, too."""

    @in_loop
    @wraps(test)
    async def run(limiter: Limiter, clock: Hands) -> None:
        try:
            await test(limiter, clock)
        finally:
            await closed(limiter)

    return run


async def refused(limiter: Limiter, *charges: Charge) -> RateLimitExceeded:
    with pytest.raises(RateLimitExceeded) as caught:
        await limiter.take(charges)
    return caught.value


async def taken(limiter: Limiter, *charges: Charge) -> dict[str, str]:
    return (await limiter.take(charges)).headers


@in_its_loop
async def test_a_window_has_room_for_its_limit(limiter: Limiter, clock: Hands) -> None:
    assert (await taken(limiter, TWO))["X-RateLimit-Remaining"] == "1"
    clock.now += 0.25
    assert (await taken(limiter, TWO))["X-RateLimit-Remaining"] == "0"
    error = await refused(limiter, TWO)
    assert error.retry_after == 0.75
    clock.now += 0.75
    await taken(limiter, TWO)
    await refused(limiter, TWO)


@in_its_loop
async def test_a_refusal_takes_nothing(limiter: Limiter, clock: Hands) -> None:
    for _ in range(2):
        await taken(limiter, TWO)
    for _ in range(8):
        clock.now += 0.0625
        await refused(limiter, TWO, THREE)
    clock.now += 0.5
    assert (await taken(limiter, TWO, THREE))["X-RateLimit-Remaining"] == "1"


@in_its_loop
async def test_all_charges_or_none(limiter: Limiter, clock: Hands) -> None:
    other = Charge(TWO.rule, "mara:c2")
    for _ in range(3):
        await taken(limiter, THREE)
    await refused(limiter, other, THREE)
    assert (await taken(limiter, other))["X-RateLimit-Remaining"] == "1"


@in_its_loop
async def test_keys_and_rules_have_windows_of_their_own(limiter: Limiter, clock: Hands) -> None:
    for _ in range(2):
        await taken(limiter, TWO)
    await taken(limiter, Charge(TWO.rule, "ben:c1"))
    await taken(limiter, Charge(Rule("address", 2, 1.0), TWO.key))


@in_its_loop
async def test_another_limit_leaves_what_was_let_in(limiter: Limiter, clock: Hands) -> None:
    def of(limit: int) -> Charge:
        return Charge(Rule("table", limit, 60.0), "table:1")

    for left in (1, 0):
        assert (await taken(limiter, of(2)))["X-RateLimit-Remaining"] == str(left)
        clock.now += 1
    assert (await taken(limiter, of(4)))["X-RateLimit-Remaining"] == "1"
    for limit in (3, 2, 1):
        assert (await limiter.look([of(limit)]))["X-RateLimit-Remaining"] == "0"
        await refused(limiter, of(limit))
    clock.now += 58  # the first of three has left
    await refused(limiter, of(2))
    await taken(limiter, of(3))


class Restarted(MemoryLimiter):
    """One that knows only what it recalls, as in a service on SQLite that was restarted."""

    def __init__(self, clock: Hands) -> None:
        super().__init__(clock)
        self._clock = clock
        self._taken: list[tuple[Charge, float]] = []

    async def take(self, charges: Sequence[Charge]) -> Taken:
        restarted = MemoryLimiter(self._clock)
        restarted.recall(self._taken)
        taken = await restarted.take(charges)
        self._taken += [(charge, self._clock.now) for charge in charges]
        return taken

    async def look(self, charges: Sequence[Charge]) -> dict[str, str]:
        restarted = MemoryLimiter(self._clock)
        restarted.recall(self._taken)
        return await restarted.look(charges)


@pytest.mark.parametrize(
    ("before", "after", "waits"),
    [
        # one a second, in a window of 60: those taken at seconds 0, 1 … leave at 60, 61 …
        pytest.param(5, 5, [55, 1, 1, 1, 1, 56], id="unchanged"),
        pytest.param(5, 4, [56, 1, 1, 1, 57], id="lowered"),
        pytest.param(5, 1, [59, 60, 60], id="lowered to one"),
        pytest.param(20, 3, [57, 1, 1, 58], id="lowered by far"),
        pytest.param(3, 5, [0, 0, 57, 1, 1], id="raised"),
    ],
)
@pytest.mark.parametrize("kind", [*ADAPTERS, "sqlite, restarted"])
@in_loop
async def test_whoever_obeys_a_refusal_by_a_changed_limit_is_let_in(
    kind: str, before: int, after: int, waits: list[int], clock: Hands
) -> None:
    limiter = ADAPTERS.get(kind, Restarted)(clock)

    def of(limit: int) -> Charge:
        return Charge(Rule("table", limit, 60.0), "table:1")

    for _ in range(before):
        await taken(limiter, of(before))
        clock.now += 1
    for wait in waits:
        if wait:
            error = await refused(limiter, of(after))
            assert error.retry_after == wait
            looked = await limiter.look([of(after)])
            assert looked == {**error.headers, "RateLimit": f'"table";r=0;t={wait}'}
            clock.now += wait - 0.25
            assert (await refused(limiter, of(after))).retry_after == 0.25
            clock.now += 0.25
        await taken(limiter, of(after))
    await closed(limiter)


@in_its_loop
async def test_a_place_that_is_given_back_is_free(limiter: Limiter, clock: Hands) -> None:
    await limiter.take([TWO])
    second = await limiter.take([TWO, THREE])
    await refused(limiter, TWO)
    await second.give_back()
    await limiter.take([TWO])
    await refused(limiter, TWO)


@in_its_loop
async def test_looking_takes_nothing(limiter: Limiter, clock: Hands) -> None:
    async def left(*charges: Charge) -> tuple[str, str]:
        headers = await limiter.look(charges)
        return headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"]

    assert await limiter.look([]) == {}
    for _ in range(3):
        assert await left(TWO, THREE) in {("2", "2"), ("3", "3")}
    await limiter.take([THREE])
    assert await left(TWO, THREE) == ("3", "2")
    for _ in range(2):
        await limiter.take([TWO, THREE])
        clock.now += 1
    assert await left(TWO, THREE) == ("3", "0")
    assert await left(TWO) == ("2", "2")
    await limiter.take([TWO])


@pytest.mark.parametrize("kind", READING)
@in_loop
async def test_looking_is_a_plain_read(kind: str, clock: Hands) -> None:
    limiter, reading = READING[kind](clock)
    memory = MemoryLimiter(clock)
    for step in (0.0, 0.5, 0.25, 0.25, 0.5, 58.0, 0.75, 60.0, -3600.0, 3.0):
        clock.now += step
        for charges in ([TWO], [THREE], [TWO, THREE]):
            assert await reading.look(charges) == await memory.look(charges), (step, charges)
        with suppress(RateLimitExceeded):
            await memory.take([TWO, THREE])
            await limiter.take([TWO, THREE])
    await closed(limiter)
    await closed(reading)


@in_its_loop
async def test_takes_at_once_never_exceed_the_limit(limiter: Limiter, clock: Hands) -> None:
    found = await asyncio.gather(
        *(limiter.take([TWO, THREE]) for _ in range(20)), return_exceptions=True
    )
    assert sum(isinstance(one, RateLimitExceeded) for one in found) == 18


@in_its_loop
async def test_the_refusal_names_whatever_frees_up_last(limiter: Limiter, clock: Hands) -> None:
    for _ in range(2):
        await taken(limiter, TWO, THREE)
    clock.now += 1
    await taken(limiter, THREE)
    error = await refused(limiter, TWO, THREE)
    assert error.retry_after == 59
    assert error.headers["X-RateLimit-Limit"] == "3"
    assert error.headers["X-RateLimit-Remaining"] == "0"
    assert error.headers["X-RateLimit-Reset"] == str(int(clock.now) + 59)
    assert error.headers["RateLimit"] == '"user";r=0;t=59'
    assert error.headers["RateLimit-Policy"] == '"user";q=3;w=60'


@in_its_loop
async def test_no_charge_is_always_admitted(limiter: Limiter, clock: Hands) -> None:
    assert await taken(limiter) == {}


@pytest.mark.parametrize("limiter", FORGETFUL, indirect=True)
@in_its_loop
async def test_charges_from_before_a_restart_count(limiter: Limiter, clock: Hands) -> None:
    limiter.recall([(TWO, NOON - 0.5), (TWO, NOON - 0.25), (TWO, NOON - 0.125)])
    error = await refused(limiter, TWO)
    assert error.retry_after == 0.75  # of three, with room for two: there were more before
    clock.now += 0.75
    await taken(limiter, TWO)
    await refused(limiter, TWO)


@in_its_loop
async def test_a_clock_that_is_set_back_lengthens_no_wait_beyond_the_window(
    limiter: Limiter, clock: Hands
) -> None:
    for _ in range(2):
        await taken(limiter, TWO)
    clock.now -= 3600
    error = await refused(limiter, TWO)
    assert error.retry_after is not None
    assert error.retry_after <= TWO.rule.window
