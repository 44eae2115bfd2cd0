"""Places in rate windows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from app.core.limits import Rule

REMAINING: Final = "X-RateLimit-Remaining"


class Charge(NamedTuple):
    """One request against one rule, for whom `key` names."""

    rule: Rule
    key: str


class Headroom(NamedTuple):
    """`reset`: seconds until there is more room."""

    rule: Rule
    remaining: int
    reset: float


@dataclass(frozen=True, slots=True)
class Taken:
    """Places in windows; `give_back` undoes them for a request that was not admitted after all."""

    give_back: Callable[[], Awaitable[None]]
    headers: dict[str, str]


class Limiter(Protocol):
    async def take(self, charges: Sequence[Charge]) -> Taken:
        """All of them or none, also when others take at the same time. Raises `RateLimitExceeded`
        for the one that frees up last.
        """
        ...

    async def look(self, charges: Sequence[Charge]) -> dict[str, str]:
        """The headers of the rule with the least left, as they stand; nothing is taken. Raises nothing that
        `take` does not."""
        ...

    def recall(self, charges: Iterable[tuple[Charge, float]]) -> None:
        """Charges from before a restart with their times (epoch seconds), oldest first.

        A limiter that outlives a restart has them already and ignores this.
        """
        ...
