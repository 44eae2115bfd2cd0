"""Headers and refusals that a limiter makes of its windows."""

from __future__ import annotations

from collections.abc import Sequence

from app.core.limits import Rule
from app.errors import RateLimitExceeded
from app.ports.limits import REMAINING, Charge, Headroom


def headers_of(headroom: Headroom, now: float) -> dict[str, str]:
    """The headers in use everywhere, whose reset is a time, and the IETF's, whose is a duration."""
    rule, reset = headroom.rule, max(1, round(headroom.reset + 0.499))
    return {
        "X-RateLimit-Limit": str(rule.limit),
        REMAINING: str(headroom.remaining),
        "X-RateLimit-Reset": str(int(now) + reset),
        "RateLimit": f'"{rule.name}";r={headroom.remaining};t={reset}',
        "RateLimit-Policy": f'"{rule.name}";q={rule.limit};w={max(1, round(rule.window))}',
    }


def refusal(rule: Rule, wait: float, now: float) -> RateLimitExceeded:
    """The refusal by a rule whose window has room again after `wait` seconds."""
    return RateLimitExceeded(
        rule.refusal(wait),
        retry_after=round(wait, 3),
        headers=headers_of(Headroom(rule, 0, wait), now),
    )


def answered(
    charges: Sequence[Charge],
    places: Sequence[int],
    waits: Sequence[float],
    now: float,
    *,
    taken: bool,
) -> dict[str, str]:
    """The headers of the rule with the least left. `places` each window had before, fewer than none
    where the limit was lowered; `waits`: seconds until each has a place again, had it none.

    Raises `RateLimitExceeded` for the window that frees up last, where nothing was taken.
    """
    if not taken:
        rooms = _rooms(charges, places, waits)
        worst = max((room for room in rooms if room.remaining <= 0), key=lambda room: room.reset)
        raise refusal(worst.rule, worst.reset, now)
    return left(charges, [free - 1 for free in places], waits, now)


def left(
    charges: Sequence[Charge], places: Sequence[int], waits: Sequence[float], now: float
) -> dict[str, str]:
    """The headers of the rule with the least left, with `places` as they are."""
    if not charges:
        return {}
    rooms = _rooms(charges, places, waits)
    tightest = min(rooms, key=lambda room: room.remaining / room.rule.limit)
    free = max(tightest.remaining, 0)
    reset = tightest.rule.window if free or tightest.reset <= 0.001 else tightest.reset
    return headers_of(Headroom(tightest.rule, free, reset), now)


def _rooms(
    charges: Sequence[Charge], places: Sequence[int], waits: Sequence[float]
) -> list[Headroom]:
    return [
        Headroom(c.rule, p, max(w, 0.001)) for c, p, w in zip(charges, places, waits, strict=True)
    ]
