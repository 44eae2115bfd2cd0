"""Sliding windows against a model that keeps every time, and the limiter that is made of them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from app.adapters.limits.memory import SWEEP_FROM, MemoryLimiter
from app.core.limits import DAY, Rule, SlidingWindow, check_budget, per_minute, per_second
from app.core.money import Amount, Spent
from app.errors import RateLimitExceeded, TokenBudgetExceeded
from app.ports.limits import Charge, Taken
from hypothesis import given
from hypothesis import strategies as st

Step = tuple[str, float, int]
OVER = float("-inf")

STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.tuples(
        st.sampled_from(["take", "take", "take", "give_back", "look"]),
        # Binary fractions: sums of them are exact, as the comparison of two programs wants it.
        st.sampled_from([0.0, 0.0, 0.125, 0.5, 1.0, 2.5, 7.0, -0.5, -3.0, -40.0]),
        st.integers(0, 5),
    ),
    max_size=80,
)


@dataclass
class EveryTime:
    """The rule as it is said: of all that was let in, count what lies within the window."""

    rule: Rule
    let_in: list[float] = field(default_factory=list)

    def inside(self, now: float) -> list[float]:
        """What is over stays over; what lies in the future is from before the clock was set back."""
        kept = (min(at, now) if at + self.rule.window > now else OVER for at in self.let_in)
        self.let_in = list(kept)
        return [at for at in self.let_in if at != OVER]

    def wait(self, now: float) -> float:
        inside = sorted(self.inside(now))
        return 0.0 if len(inside) < self.rule.limit else inside[0] + self.rule.window - now


@given(st.integers(1, 4), st.sampled_from([0.5, 1.0, 4.0, 10.0]), STEPS)
def test_window_admits_as_many_as_the_whole_history_allows(
    limit: int, seconds: float, steps: list[Step]
) -> None:
    rule = Rule("r", limit, seconds)
    window, model = SlidingWindow(rule), EveryTime(rule)
    now, open_stamps = 1_000.0, list[tuple[float, int]]()
    for what, passed, choice in steps:
        if passed < 0:
            open_stamps.clear()  # what was taken before the clock was set back has begun since
        now += passed
        assert window.remaining(now) == limit - len(model.inside(now))
        assert window.wait(now) == pytest.approx(model.wait(now), abs=0.001)
        if what == "take" and window.wait(now) == 0:
            open_stamps.append((window.take(now), len(model.let_in)))
            model.let_in.append(now)
        elif what == "give_back" and open_stamps:
            stamp, index = open_stamps.pop(choice % len(open_stamps))
            window.give_back(stamp)
            model.let_in[index] = OVER


@given(STEPS)
def test_no_window_ever_holds_more_than_its_limit(steps: list[Step]) -> None:
    window, now, let_in = SlidingWindow(Rule("r", 2, 1.0)), 0.0, list[float]()
    for _, passed, _ in steps:
        now += abs(passed)
        if window.wait(now) == 0:
            window.take(now)
            let_in.append(now)
    for at in let_in:
        assert sum(at - 1.0 < other <= at for other in let_in) <= 2


def test_denials_change_nothing_however_many_there_are() -> None:
    window = SlidingWindow(Rule("r", 2, 1.0))
    window.take(0.0)
    window.take(0.5)
    for late in range(50):
        assert window.wait(0.5 + late / 100) > 0
        assert window.remaining(0.5 + late / 100) == 0
    assert window.wait(0.999) == pytest.approx(0.001)
    assert window.wait(1.0) == 0
    window.take(1.0)
    assert window.wait(1.0) == pytest.approx(0.5)


def test_a_place_that_is_given_back_is_free_for_another() -> None:
    window = SlidingWindow(Rule("r", 1, 60.0))
    window.give_back(window.take(5.0))
    assert window.remaining(5.0) == 1
    assert window.idle


def test_a_place_that_was_given_back_after_its_time_frees_nobody_elses() -> None:
    window = SlidingWindow(Rule("r", 1, 1.0))
    stamp = window.take(0.0)
    assert window.remaining(2.0) == 1
    window.take(2.0)
    window.give_back(stamp)
    assert window.remaining(2.0) == 0


def test_a_clock_that_was_set_back_costs_one_window_at_most() -> None:
    window = SlidingWindow(Rule("r", 2, 1.0))
    stamp = window.take(5_000.0)
    window.take(5_000.0)
    assert window.wait(10.0) == pytest.approx(1.0)
    window.give_back(stamp)
    assert window.remaining(10.0) == 1
    assert window.remaining(11.0) == 2


@pytest.mark.parametrize(
    ("rate", "limit", "window"),
    [(2, 2, 1.0), (1, 1, 1.0), (0.5, 1, 2.0), (0.1, 1, 10.0), (2.5, 2, 0.8), (100, 100, 1.0)],
)
def test_a_rate_becomes_a_limit_and_a_window_also_below_one(
    rate: float, limit: int, window: float
) -> None:
    rule = per_second("character", rate)
    assert (rule.name, rule.limit) == ("character", limit)
    assert rule.window == pytest.approx(window)


def test_a_rate_below_one_lets_the_next_in_when_its_time_has_come() -> None:
    window = SlidingWindow(per_second("character", 0.1))
    window.take(100.0)
    assert window.wait(109.0) == pytest.approx(1.0)
    assert window.wait(110.0) == 0


# -- the limiter ----------------------------------------------------------------------------------


class Watch:
    def __init__(self) -> None:
        self.now = 1_000.25

    def __call__(self) -> float:
        return self.now


WIDE, NARROW = per_minute("wide", 10), per_second("narrow", 2)


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def limiter(watch: Watch) -> MemoryLimiter:
    return MemoryLimiter(watch)


def both(key: str = "k") -> list[Charge]:
    return [Charge(WIDE, key), Charge(NARROW, key)]


def denied(limiter: MemoryLimiter, charges: list[Charge]) -> RateLimitExceeded:
    with pytest.raises(RateLimitExceeded) as caught:
        taken(limiter, charges)
    return caught.value


def taken(limiter: MemoryLimiter, charges: list[Charge]) -> Taken:
    return asyncio.run(limiter.take(charges))


def given_back(taken: Taken) -> None:
    async def give_back() -> None:
        await taken.give_back()

    asyncio.run(give_back())


def left(of: Taken) -> str:
    return of.headers["RateLimit"]


def test_all_charges_are_taken_or_none(limiter: MemoryLimiter, watch: Watch) -> None:
    for _ in range(2):
        taken(limiter, both())
    for _ in range(20):
        denied(limiter, both())
    assert left(taken(limiter, [Charge(WIDE, "k")])) == '"wide";r=7;t=60'


def test_the_refusal_names_the_limit_that_frees_up_last(limiter: MemoryLimiter) -> None:
    hour = Rule("hour", 1, 3_600, "turns of an hour")
    taken(limiter, [Charge(hour, "k"), *both()])
    taken(limiter, both())
    error = denied(limiter, [*both(), Charge(hour, "k")])
    assert error.retry_after == 3_600
    assert error.headers["RateLimit-Policy"] == '"hour";q=1;w=3600'
    assert "hour" in error.message


def test_keys_have_windows_of_their_own(limiter: MemoryLimiter) -> None:
    for key in ("a", "b", "c"):
        taken(limiter, both(key))
        taken(limiter, both(key))
        denied(limiter, both(key))


def test_returned_requests_are_returned_in_every_window(limiter: MemoryLimiter) -> None:
    held = [taken(limiter, both()) for _ in range(2)]
    given_back(held[0])
    assert left(taken(limiter, both())) == '"narrow";r=0;t=1'
    assert left(taken(limiter, [Charge(WIDE, "k")])) == '"wide";r=7;t=60'


def test_headers_describe_the_tightest_window(limiter: MemoryLimiter) -> None:
    assert taken(limiter, both()).headers == {
        "X-RateLimit-Limit": "2",
        "X-RateLimit-Remaining": "1",
        "X-RateLimit-Reset": "1001",
        "RateLimit": '"narrow";r=1;t=1',
        "RateLimit-Policy": '"narrow";q=2;w=1',
    }
    assert taken(limiter, []).headers == {}


def test_the_reset_is_never_before_there_is_room(limiter: MemoryLimiter, watch: Watch) -> None:
    taken(limiter, [Charge(WIDE, "k")])
    for step in range(1, 10):
        watch.now += 0.1 * step
        taken(limiter, [Charge(WIDE, "k")])
    error = denied(limiter, [Charge(WIDE, "k")])
    frees = 1_000.25 + 60
    assert error.retry_after is not None
    assert watch.now + error.retry_after == pytest.approx(frees, abs=0.001)
    assert frees - 1 <= int(error.headers["X-RateLimit-Reset"]) <= frees + 1
    assert watch.now + int(error.headers["RateLimit"].rpartition("=")[2]) >= frees


def test_requests_of_an_earlier_process_count(limiter: MemoryLimiter, watch: Watch) -> None:
    limiter.recall((Charge(NARROW, "k"), watch.now - age) for age in (5.0, 0.5, 0.25))
    assert denied(limiter, both()).retry_after == pytest.approx(0.5)
    watch.now += 0.5
    taken(limiter, both())
    denied(limiter, both())


def test_a_limit_that_was_lowered_holds_at_once(limiter: MemoryLimiter, watch: Watch) -> None:
    lower = Rule("narrow", 1, 1.0)
    limiter.recall((Charge(lower, "k"), watch.now - age) for age in (0.3, 0.2, 0.1))
    assert denied(limiter, [Charge(lower, "k")]).retry_after == pytest.approx(0.9)


def test_windows_that_nobody_uses_are_forgotten(limiter: MemoryLimiter, watch: Watch) -> None:
    async def crowd() -> None:
        for number in range(0, 3 * SWEEP_FROM, 2):
            watch.now += 2 / SWEEP_FROM
            await limiter.take([Charge(NARROW, str(number))])
            await limiter.look([Charge(NARROW, str(number + 1))])

    taken(limiter, [Charge(WIDE, "k")])
    asyncio.run(crowd())
    assert len(limiter._windows) <= SWEEP_FROM + 1
    assert left(taken(limiter, [Charge(WIDE, "k")])).startswith('"wide";r=8;')


@pytest.mark.parametrize(
    ("unit", "used", "reserved", "asked", "wait", "says"),
    [
        ("tokens", 60, 0, 50, DAY / 2, "More come at 00:00 UTC"),
        ("tokens", 0, 60, 50, 1, "give back what they do not use"),
        ("tokens", 0, 0, 101, DAY / 2, "No day has as many: see TOKENS_PER_USER_PER_DAY"),
        ("micros", 60, 0, 50, DAY / 2, r"today's \$0\.0001 \$0\.00004 are left"),
        ("micros", 0, 60, 50, 1, "give back what they do not use"),
        ("micros", 0, 0, 101, DAY / 2, "No day has as many: see DOLLARS_PER_USER_PER_DAY"),
    ],
)
def test_refusal_for_the_budget_names_its_end(
    unit: str, used: int, reserved: int, asked: int, wait: float, says: str
) -> None:
    def of(number: int) -> Amount:
        return Amount(**{unit: number})

    spent = Spent(of(used), of(reserved))
    check_budget(of(100), spent, of(100 - used - reserved), DAY / 2)
    with pytest.raises(TokenBudgetExceeded, match=says) as refusal:
        check_budget(of(100), spent, of(asked), DAY / 2)
    assert refusal.value.retry_after == wait
