"""The circuit breaker against a model that looks at the whole history."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from app.core.breaker import BreakerRule, CircuitBreaker
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

WINDOW = 10.0
RULE = BreakerRule(failures=3, window=WINDOW)


@dataclass
class Call:
    period: int
    before: int  # how often the circuit had opened
    probe: bool


@dataclass
class MetricFamilies:
    """Everything that ended since the circuit closed last."""

    ended: list[tuple[float, bool]] = field(default_factory=list)
    opened_at: float | None = None
    openings: int = 0
    probing: bool = False

    def should_open(self, now: float) -> bool:
        recent = [failed for at, failed in self.ended if now - at <= WINDOW]
        return sum(recent) >= RULE.failures and sum(recent) * 2 >= len(recent)

    def open(self, now: float) -> None:
        self.opened_at, self.probing = now, False
        self.openings += 1

    def state(self, now: float) -> str:
        if self.opened_at is None:
            return "closed"
        return "open" if now < self.opened_at + WINDOW else "half_open"


class BreakerMachine(RuleBasedStateMachine):
    calls = Bundle("calls")

    @initialize()
    def begin(self) -> None:
        self.breaker, self.ledger, self.now = CircuitBreaker(RULE), MetricFamilies(), 100.0

    @rule(seconds=st.sampled_from([0.25, 1.0, 4.0, WINDOW, WINDOW + 1]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=calls)
    def call(self) -> object:
        state = self.ledger.state(self.now)
        allowed = state == "closed" or (state == "half_open" and not self.ledger.probing)
        period = self.breaker.enter(self.now)
        assert (period is not None) == allowed
        if period is None:
            return multiple()
        probe = state == "half_open"
        self.ledger.probing = self.ledger.probing or probe
        return Call(period, self.ledger.openings, probe)

    @rule(call=consumes(calls))
    def succeed(self, call: Call) -> None:
        self.breaker.succeeded(call.period, self.now)
        if call.before != self.ledger.openings:
            return
        if call.probe and self.ledger.opened_at is not None:
            self.ledger.opened_at, self.ledger.probing = None, False
            self.ledger.ended.clear()
        self.ledger.ended.append((self.now, False))

    @rule(call=consumes(calls))
    def fail(self, call: Call) -> None:
        self.breaker.failed(call.period, self.now)
        if call.before != self.ledger.openings:
            return
        if call.probe:
            self.ledger.open(self.now)
            return
        self.ledger.ended.append((self.now, True))
        if self.ledger.should_open(self.now):
            self.ledger.open(self.now)

    @rule(call=consumes(calls))
    def abandon(self, call: Call) -> None:
        self.breaker.abandoned(call.period)
        if call.probe and call.before == self.ledger.openings:
            self.ledger.probing = False

    @invariant()
    def is_in_the_state_that_history_demands(self) -> None:
        state = self.ledger.state(self.now)
        assert self.breaker.state(self.now) == state
        wait = self.breaker.retry_after(self.now)
        assert wait == 0 if state == "closed" else 1 <= wait <= WINDOW


BreakerMachine.TestCase.settings = settings(stateful_step_count=50)
TestBreaker = BreakerMachine.TestCase


def opened(now: float = 0.0) -> CircuitBreaker:
    breaker = CircuitBreaker(RULE)
    for _ in range(3):
        fail(breaker, now)
    return breaker


def entered(breaker: CircuitBreaker, now: float) -> int:
    period = breaker.enter(now)
    assert period is not None
    return period


def fail(breaker: CircuitBreaker, now: float) -> None:
    breaker.failed(entered(breaker, now), now)


@pytest.mark.parametrize(("good", "state"), [(3, "open"), (4, "closed")])
def test_breaker_opens_only_when_half_of_the_calls_failed(good: int, state: str) -> None:
    breaker = CircuitBreaker(RULE)
    for _ in range(good):
        breaker.succeeded(entered(breaker, 1.0), 1.0)
    for _ in range(3):
        fail(breaker, 2.0)
    assert breaker.state(2.0) == state


def test_failures_count_within_the_window_only() -> None:
    breaker = CircuitBreaker(RULE)
    for at in (0.0, 5.0, 10.5, 15.5, 21.0):
        fail(breaker, at)
    assert breaker.state(21.0) == "closed"
    fail(breaker, 21.0)
    assert breaker.state(21.0) == "open"


def test_one_probe_at_a_time_decides() -> None:
    breaker = opened()
    assert breaker.enter(WINDOW - 0.1) is None
    assert breaker.retry_after(4.0) == 6.0
    probe = entered(breaker, WINDOW)
    assert breaker.enter(WINDOW) is None
    breaker.failed(probe, WINDOW + 1)
    assert breaker.state(WINDOW + 1) == "open"
    probe = entered(breaker, 2 * WINDOW + 1)
    breaker.succeeded(probe, 2 * WINDOW + 2)
    assert breaker.state(2 * WINDOW + 2) == "closed"


def test_an_abandoned_probe_leaves_room_for_another() -> None:
    breaker = opened()
    breaker.abandoned(entered(breaker, WINDOW))
    assert breaker.enter(WINDOW) is not None


@pytest.mark.parametrize("end", ["succeeded", "failed", "abandoned"])
def test_a_call_from_before_the_opening_decides_nothing(end: str) -> None:
    breaker = CircuitBreaker(RULE)
    old = entered(breaker, 0.0)
    for _ in range(3):
        fail(breaker, 0.0)
    probe = entered(breaker, WINDOW)
    match end:
        case "succeeded":
            breaker.succeeded(old, WINDOW)
        case "failed":
            breaker.failed(old, WINDOW)
        case _:
            breaker.abandoned(old)
    assert breaker.state(WINDOW) == "half_open"
    assert breaker.enter(WINDOW) is None
    breaker.succeeded(probe, WINDOW)
    assert breaker.state(WINDOW) == "closed"
