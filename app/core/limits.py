"""Sliding windows: exact, and a denial changes nothing."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """At most `limit` within any `window` seconds. `name` is a policy's, as clients see it."""

    name: str
    limit: int
    window: float


def per_second(name: str, rate: float) -> Rule:
    """`rate` events a second, also below one: 0.1 is one in ten seconds."""
    limit = max(1, int(rate))
    return Rule(name, limit, limit / rate)


def per_minute(name: str, limit: int) -> Rule:
    return Rule(name, limit, 60.0)


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
