"""Limits of one process. What was let in before a restart is counted again by `recall`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from app.adapters.limits.answers import headers_of, refusal
from app.core.limits import SlidingWindow
from app.ports.limits import Charge, Headroom, Taken

SWEEP_FROM: Final = 1_000  # windows; with fewer, those that nobody uses any more may stay


class MemoryLimiter:
    """`now` gives epoch seconds, so that times from the store can be compared."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._windows: dict[tuple[str, str], SlidingWindow] = {}
        self._sweep_at = SWEEP_FROM

    async def take(self, charges: Sequence[Charge]) -> Taken:
        """All of them or none. Raises `RateLimitExceeded` for the one that frees up last.

        Nothing is awaited in between, so that no other call can be.
        """
        now = self._now()
        self._sweep(now)
        windows = [self._window(charge) for charge in charges]
        worst = max(windows, key=lambda window: window.wait(now), default=None)
        if worst is not None and (wait := worst.wait(now)) > 0:
            raise refusal(worst.rule, wait, now)
        stamps = [window.take(now) for window in windows]

        async def give_back() -> None:
            for window, stamp in zip(windows, stamps, strict=True):
                window.give_back(stamp)

        return Taken(give_back, self._headers(windows, now))

    async def look(self, charges: Sequence[Charge]) -> dict[str, str]:
        now = self._now()
        self._sweep(now)
        return self._headers([self._window(charge) for charge in charges], now)

    def recall(self, charges: Iterable[tuple[Charge, float]]) -> None:
        """Charges of an earlier process with their times, oldest first."""
        for charge, at in charges:
            self._sweep(at)
            self._window(charge).take(at)

    def _window(self, charge: Charge) -> SlidingWindow:
        key = (charge.rule.name, charge.key)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = SlidingWindow(charge.rule)
        window.rule = charge.rule  # another limit leaves what was let in
        return window

    def _headers(self, windows: list[SlidingWindow], now: float) -> dict[str, str]:
        """The headers of the rule with the smallest share left."""
        if not windows:
            return {}
        places = [window.remaining(now) for window in windows]
        shares = [free / window.rule.limit for free, window in zip(places, windows, strict=True)]
        place = shares.index(min(shares))
        tightest, left = windows[place], places[place]
        reset = tightest.wait(now) or tightest.rule.window
        return headers_of(Headroom(tightest.rule, left, reset), now)

    def _sweep(self, now: float) -> None:
        """Forget windows that nobody uses, before there are twice as many as were in use."""
        if len(self._windows) < self._sweep_at:
            return
        for key, window in list(self._windows.items()):
            window.remaining(now)
            if window.idle:
                del self._windows[key]
        self._sweep_at = max(SWEEP_FROM, 2 * len(self._windows))
