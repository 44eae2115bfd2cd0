"""Sliding windows: exact, and a denial changes nothing."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, Literal

from app.core.metadata import BudgetWarning
from app.core.money import Amount, Spent, in_dollars
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
        """The message for a client that has to wait for `wait` seconds."""
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


@dataclass(frozen=True, slots=True)
class _Unit:
    """The words for a budget in this unit."""

    key: Literal["tokens", "micros"]
    of: Callable[[Amount], int]
    shown: Callable[[int], str]
    name: str
    settings: str


_TOKENS: Final = _Unit(
    "tokens",
    attrgetter("tokens"),
    str,
    " tokens",
    "TOKENS_PER_USER_PER_DAY and LLM_MAX_OUTPUT_TOKENS",
)
_MONEY: Final = _Unit(
    "micros",
    attrgetter("micros"),
    in_dollars,
    "",
    "DOLLARS_PER_USER_PER_DAY and LLM_MAX_OUTPUT_TOKENS",
)


def check_budget(budget: Amount, spent: Spent, asked: Amount, now: float) -> None:
    """Check the budget of a user and a day; `now` in epoch seconds. A unit with 0 has no budget.

    Raises `TokenBudgetExceeded`.
    """
    for unit in (_TOKENS, _MONEY):
        most = unit.of(budget)
        numbers = unit.of(spent.used), unit.of(spent.reserved), unit.of(asked)
        if most and sum(numbers) > most:
            raise _over_budget(unit, most, *numbers, now)


def check_table_budget(budget: Amount, spent: Spent) -> None:
    """Check the budget of a table, which is never renewed: something must be left beside what is set
    aside. A unit whose budget is 0 has no limit.

    Raises `TokenBudgetExceeded`.
    """
    for unit in (_TOKENS, _MONEY):
        most = unit.of(budget)
        if most and unit.of(spent.used) + unit.of(spent.reserved) >= most:
            words = f"The session has used its {unit.shown(most)}{unit.name}."
            raise TokenBudgetExceeded(words, retry_after=3_600)


def may_wait(waiting: int, limit: int, own: int, share: int) -> bool:
    """Whether another turn may wait beside those of which `own` are of its user. With a `share` for each
    user, nobody is kept out by others: whoever has none in the queue has a place. `admit_9` of PostgreSQL
    says the same."""
    if share and not own:
        return True
    return waiting < limit and (not share or own < share)


WARN_AT: Final = 80
"""Percent of a budget."""


def nearly_used(budget: Amount, used: Amount, of: Literal["user", "table"]) -> list[BudgetWarning]:
    """The units of which as much is used that a user should know."""
    return [
        BudgetWarning(of=of, unit=unit.key, used=unit.of(used), limit=most)
        for unit in (_TOKENS, _MONEY)
        if (most := unit.of(budget)) and 100 * unit.of(used) >= WARN_AT * most
    ]


def _over_budget(
    unit: _Unit, budget: int, used: int, reserved: int, asked: int, now: float
) -> TokenBudgetExceeded:
    later = used + asked <= budget
    if asked > budget:
        more = f"No day has as many: see {unit.settings}."
    elif later:
        more = "Turns that run give back what they do not use."
    else:
        more = "More come at 00:00 UTC."
    left, shown = max(budget - used - reserved, 0), unit.shown
    return TokenBudgetExceeded(
        f"Of today's {shown(budget)}{unit.name} {shown(left)} are left ({shown(used)} are used, "
        f"{shown(reserved)} are set aside for turns that run), and this turn may need {shown(asked)}. "
        f"{more}",
        retry_after=1 if later else DAY - now % DAY,
    )


class SlidingWindow:
    """The times of what was let in, oldest first. They stay when another `rule` is set.

    Times are seconds. When the clock was set back, what lies in the future counts as of now.
    """

    __slots__ = ("_times", "rule")

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._times: list[float] = []  # mostly one; an empty deque takes as much as eighty

    def remaining(self, now: float) -> int:
        self._forget(now)
        return max(self.rule.limit - len(self._times), 0)

    def wait(self, now: float) -> float:
        """Seconds until there is room; 0 when there is."""
        if self.remaining(now) > 0:
            return 0.0
        last = self._times[-self.rule.limit]  # there is room once this one has left
        return max(last + self.rule.window - now, 0.001)

    def take(self, now: float) -> float:
        """Use one place, also where there is none; the time to hand to `give_back`."""
        self._forget(now)
        self._times.append(now)
        return now

    def give_back(self, stamp: float) -> None:
        """Undo a `take` of something that did not happen after all."""
        at = bisect_right(self._times, stamp) - 1
        if at >= 0:
            del self._times[at]

    def _forget(self, now: float) -> None:
        if self._times and self._times[0] + self.rule.window <= now:
            over = bisect_right(self._times, now, key=lambda at: at + self.rule.window)
            del self._times[:over]
        if self._times and self._times[-1] > now:
            self._times = [min(at, now) for at in self._times]

    @property
    def idle(self) -> bool:
        return not self._times
