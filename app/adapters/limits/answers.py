"""What a limiter says of its windows."""

from __future__ import annotations

from collections.abc import Sequence

from app.core.limits import Rule
from app.errors import RateLimitExceeded
from app.ports.limits import Charge, Headroom, Limiter


def headers_of(headroom: Headroom, now: float) -> dict[str, str]:
    """The headers in use everywhere, whose reset is a time, and the IETF's, whose is a duration."""
    rule, reset = headroom.rule, max(1, round(headroom.reset + 0.499))
    return {
        "X-RateLimit-Limit": str(rule.limit),
        "X-RateLimit-Remaining": str(headroom.remaining),
        "X-RateLimit-Reset": str(int(now) + reset),
        "RateLimit": f'"{rule.name}";r={headroom.remaining};t={reset}',
        "RateLimit-Policy": f'"{rule.name}";q={rule.limit};w={max(1, round(rule.window))}',
    }


def refusal(rule: Rule, wait: float, now: float) -> RateLimitExceeded:
    """Of a rule whose window has room again after `wait` seconds."""
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
    """The headers of the rule with the least left. `places` each window had before; `waits`: seconds until
    the oldest place of each is free.

    Raises `RateLimitExceeded` for the window that frees up last, where nothing was taken.
    """
    rooms = [
        Headroom(c.rule, p, max(w, 0.001)) for c, p, w in zip(charges, places, waits, strict=True)
    ]
    if not taken:
        worst = max((room for room in rooms if room.remaining <= 0), key=lambda room: room.reset)
        raise refusal(worst.rule, worst.reset, now)
    if not rooms:
        return {}
    tightest = min(rooms, key=lambda room: (room.remaining - 1) / room.rule.limit)
    left = tightest.remaining - 1
    reset = tightest.rule.window if left or tightest.reset <= 0.001 else tightest.reset
    return headers_of(Headroom(tightest.rule, left, reset), now)


async def looked(limiter: Limiter, charges: Sequence[Charge]) -> dict[str, str]:
    """`Limiter.look` for one that can only take: a place is taken and given back."""
    try:
        taken = await limiter.take(charges)
    except RateLimitExceeded as full:
        return full.headers
    await taken.give_back()
    if not taken.headers:
        return {}
    left = int(taken.headers["X-RateLimit-Remaining"])
    free = taken.headers["RateLimit"].replace(f"r={left};", f"r={left + 1};")
    return {**taken.headers, "X-RateLimit-Remaining": str(left + 1), "RateLimit": free}
