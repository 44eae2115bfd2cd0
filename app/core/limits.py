"""Sliding windows: exact, and a denial changes nothing."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass

from app.errors import TokenBudgetExceeded


@dataclass(frozen=True, slots=True)
class Rule:
    """At most `limit` within any `window` seconds. `name` is a policy's, as clients see it; `about`
    says what is counted: "turns of one user"."""

    name: str
    limit: int
    window: float
    about: str = "requests"

    def refusal(self, wait: float) -> str:
        """What a client reads that has to wait for `wait` seconds."""
        return (
            f"Too many requests: at most {self.limit} {self.about} in {self.window:g} s. There is "
            f"room again in {wait:.1f} s."
        )


def per_second(name: str, rate: float, about: str = "requests") -> Rule:
    """`rate` events a second, also below one: 0.1 is one in ten seconds."""
    limit = max(1, int(rate))
    return Rule(name, limit, limit / rate, about)


def per_minute(name: str, limit: int, about: str = "requests") -> Rule:
    return Rule(name, limit, 60.0, about)


DAY = 86_400


def check_budget(budget: int, used: int, reserved: int, asked: int, now: float) -> None:
    """Tokens of a user and a day; `now` in epoch seconds; a `budget` of 0 is none.

    Raises `TokenBudgetExceeded`.
    """
    if not budget or used + reserved + asked <= budget:
        return
    if asked > budget:
        more = "No day has as many: see TOKENS_PER_USER_PER_DAY and LLM_MAX_OUTPUT_TOKENS."
    elif used + asked <= budget:
        more = "Turns that run give back what they do not use."
    else:
        more = "More come at 00:00 UTC."
    later = used + asked <= budget
    raise TokenBudgetExceeded(
        f"Of today's {budget} tokens {max(budget - used - reserved, 0)} are left ({used} are used, "
        f"{reserved} are set aside for turns that run), and this turn may need {asked}. {more}",
        retry_after=1 if later else DAY - now % DAY,
    )


class SlidingWindow:
    """The times of what was let in, oldest first; never more than `rule.limit` of them.

    Times are seconds. When the clock was set back, what lies in the future counts as of now.
    """

    __slots__ = ("_times", "rule")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._times: deque[float] = deque()

    def remaining(self, now: float) -> int:
        self._forget(now)
        return self.rule.limit - len(self._times)

    def wait(self, now: float) -> float:
        """Seconds until there is room; 0 when there is."""
        if self.remaining(now) > 0:
            return 0.0
        return max(self._times[0] + self.rule.window - now, 0.001)

    def take(self, now: float) -> float:
        """Use one place, which must be there; the time to hand to `give_back`."""
        self._forget(now)
        self._times.append(now)
        return now

    def give_back(self, stamp: float) -> None:
        """Undo a `take` of something that did not happen after all."""
        at = bisect_right(self._times, stamp) - 1
        if at >= 0:
            del self._times[at]

    def _forget(self, now: float) -> None:
        while self._times and self._times[0] + self.rule.window <= now:
            self._times.popleft()
        if self._times and self._times[-1] > now:
            self._times = deque(min(at, now) for at in self._times)

    @property
    def idle(self) -> bool:
        return not self._times
