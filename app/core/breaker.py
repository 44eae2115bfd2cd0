"""A circuit breaker as a state machine: no clock of its own, no I/O."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

CircuitState = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True)
class BreakerRule:
    """Opens at `failures` within `window` seconds when they are at least half of the calls.

    It stays open for `window` seconds; then one call at a time may try.
    """

    failures: int = 10
    window: float = 30.0


class CircuitBreaker:
    """Times are monotonic seconds.

    How a call ended counts in the period it began in: one that began before the circuit opened
    neither closes it, nor keeps it open, nor stands in for its probe.
    """

    def __init__(self, rule: BreakerRule) -> None:
        self._rule = rule
        self._calls: deque[tuple[float, bool]] = deque()
        self._failed = 0
        self._opened_at: float | None = None
        self._probing = False
        self._period = 0  # grows whenever the circuit opens

    def state(self, now: float) -> CircuitState:
        if self._opened_at is None:
            return "closed"
        return "half_open" if now - self._opened_at >= self._rule.window else "open"

    def enter(self, now: float) -> int | None:
        """The period to report the call's end with; None when it may not be made.

        In the half-open state the call is the probe.
        """
        match self.state(now):
            case "closed":
                return self._period
            case "open":
                return None
            case "half_open":
                if self._probing:
                    return None
                self._probing = True
                return self._period

    def retry_after(self, now: float) -> float:
        """Seconds until a call may try again."""
        if self._opened_at is None:
            return 0.0
        return max(self._opened_at + self._rule.window - now, 1.0)

    def succeeded(self, period: int, now: float) -> None:
        if period != self._period:
            return
        if self._opened_at is not None:
            self._close()
        self._record(now, failed=False)

    def failed(self, period: int, now: float) -> None:
        if period != self._period:
            return
        if self._opened_at is not None:
            self._open(now)
            return
        self._record(now, failed=True)
        if self._failed >= self._rule.failures and self._failed * 2 >= len(self._calls):
            self._open(now)

    def abandoned(self, period: int) -> None:
        """A call ended without saying anything about the other side; a probe may be made anew."""
        if period == self._period:
            self._probing = False

    def _open(self, now: float) -> None:
        self._opened_at, self._probing = now, False
        self._period += 1

    def _close(self) -> None:
        self._opened_at, self._probing, self._failed = None, False, 0
        self._calls.clear()

    def _record(self, now: float, *, failed: bool) -> None:
        self._calls.append((now, failed))
        self._failed += failed
        while self._calls and now - self._calls[0][0] > self._rule.window:
            self._failed -= self._calls.popleft()[1]
