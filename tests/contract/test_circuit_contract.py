"""Every upstream behind a circuit breaker. An adapter joins by one line in `ADAPTERS`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import pytest
from app.adapters.journey_log.guarded import GuardedJourneyLog
from app.core.breaker import BreakerRule, CircuitBreaker
from app.errors import JourneyLogError
from app.generation.guarded import GuardedModel
from app.ports.call import CallMeta
from app.ports.model import FailureKind, Flow, ModelFailed, ModelRequest

from fakes.upstreams import PROMPT as ASKED
from fakes.upstreams import ScriptedJourneyLog, ScriptedModel
from loops import in_virtual_time

META = CallMeta("request-1")
WINDOW = 30.0


def breaker() -> CircuitBreaker:
    return CircuitBreaker(BreakerRule(failures=2, window=WINDOW))


def now() -> float:
    return asyncio.get_running_loop().time()


@dataclass
class Upstream:
    """`call` once, after `down` decided whether it fails; `asked` counts what went through."""

    guarded: GuardedJourneyLog | GuardedModel
    call: Callable[[], Awaitable[object]]
    down: Callable[[bool], None]
    asked: Callable[[], int]

    def state(self) -> str:
        return self.guarded.circuit


def journey_log() -> Upstream:
    inner = ScriptedJourneyLog()
    guarded = GuardedJourneyLog(inner, breaker(), now)

    def down(yes: bool) -> None:
        inner.context_error = JourneyLogError() if yes else None

    return Upstream(guarded, lambda: guarded.context("mara", "c", META), down, lambda: inner.reads)


def model() -> Upstream:
    inner = ScriptedModel()
    guarded = GuardedModel(inner, breaker(), now)

    def down(yes: bool) -> None:
        inner.failure = ModelFailed("down", FailureKind.TRANSIENT) if yes else None

    request = ModelRequest(ASKED, META)
    return Upstream(
        guarded, lambda: guarded.stream(request, lambda _: Flow.STREAM), down, lambda: inner.calls
    )


ADAPTERS: dict[str, Callable[[], Upstream]] = {
    "journey-log": journey_log,
    "model": model,
}
each = pytest.mark.parametrize("make", ADAPTERS.values(), ids=list(ADAPTERS))


async def called(upstream: Upstream, times: int = 1) -> None:
    for _ in range(times):
        with suppress(JourneyLogError, ModelFailed):
            await upstream.call()


@each
@in_virtual_time
async def test_a_circuit_opens_after_failures_and_nobody_is_asked(
    make: Callable[[], Upstream],
) -> None:
    upstream = make()
    assert upstream.state() == "closed"
    upstream.down(True)
    await called(upstream, 5)
    assert upstream.state() == "open"
    assert upstream.asked() == 2


@each
@in_virtual_time
async def test_one_call_that_succeeds_closes_it_again(make: Callable[[], Upstream]) -> None:
    upstream = make()
    upstream.down(True)
    await called(upstream, 2)
    await asyncio.sleep(WINDOW)
    assert upstream.state() == "half_open"
    upstream.down(False)
    await called(upstream)
    assert upstream.state() == "closed"
    assert upstream.asked() == 3


@each
@in_virtual_time
async def test_one_call_that_fails_keeps_it_open(make: Callable[[], Upstream]) -> None:
    upstream = make()
    upstream.down(True)
    await called(upstream, 2)
    await asyncio.sleep(WINDOW)
    await called(upstream, 3)
    assert upstream.state() == "open"
    assert upstream.asked() == 3
