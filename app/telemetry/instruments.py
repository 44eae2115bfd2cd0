"""Plain counters and histograms, and the Prometheus families they become.

They are written from the event loop's thread only, so nothing locks; a scrape reads copies. No
label can take more than a family's `limit` of values: later ones become "other".
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from math import ceil, inf
from typing import Final, NamedTuple

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

from app.telemetry.redaction import sanitize_for_log
from app.telemetry.report import RecentRequests

OTHER: Final = "other"
LABEL_VALUES: Final = 50
MAX_LABEL: Final = 100

Key = tuple[str, ...]


class Labels:
    """Label names and the values let through so far."""

    __slots__ = ("_limit", "_seen", "names")

    def __init__(self, names: Sequence[str], limit: int) -> None:
        self.names = tuple(names)
        self._limit = limit
        self._seen: tuple[set[str], ...] = tuple(set() for _ in names)

    def bounded(self, key: Key) -> Key:
        return tuple(self._admit(seen, value) for seen, value in zip(self._seen, key, strict=True))

    def _admit(self, seen: set[str], value: str) -> str:
        value = sanitize_for_log(value, MAX_LABEL) or "none"
        if value in seen:
            return value
        if len(seen) >= self._limit:
            return OTHER
        seen.add(value)
        return value


class Counts:
    """A counter by labels; `name` without `_total`."""

    def __init__(
        self, name: str, about: str, labels: Sequence[str] = (), limit: int = LABEL_VALUES
    ) -> None:
        self._name, self._about = name, about
        self._labels = Labels(labels, limit)
        self._values: dict[Key, float] = {} if labels else {(): 0}

    def add(self, *key: str, by: float = 1) -> None:
        if key not in self._values:
            key = self._labels.bounded(key)
        self._values[key] = self._values.get(key, 0) + by

    def items(self) -> list[tuple[Key, int]]:
        return [(key, int(value)) for key, value in list(self._values.items())]

    def total(self) -> int:
        return sum(value for _, value in self.items())

    def by(self, position: int) -> dict[str, int]:
        """Sums by the label at `position`."""
        sums: dict[str, int] = {}
        for key, value in self.items():
            sums[key[position]] = sums.get(key[position], 0) + value
        return sums

    def family(self) -> CounterMetricFamily:
        family = CounterMetricFamily(self._name, self._about, labels=self._labels.names)
        for key, value in list(self._values.items()):
            family.add_metric(key, value)
        return family


class Buckets:
    """A distribution. `add` is on the path of every upstream read and does the least possible."""

    __slots__ = ("_bounds", "_counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    @property
    def count(self) -> int:
        return sum(self._counts)

    def cumulative(self) -> list[tuple[str, float]]:
        rows, below = [], 0
        for bound, count in zip((*self._bounds, inf), list(self._counts), strict=True):
            below += count
            rows.append(("+Inf" if bound == inf else repr(float(bound)), float(below)))
        return rows


class Distribution(Buckets):
    """A distribution that knows its ends; they are infinite while it is empty."""

    __slots__ = ("high", "low")

    def __init__(self, bounds: Sequence[float]) -> None:
        super().__init__(bounds)
        self.low, self.high = inf, -inf

    def add(self, value: float) -> None:
        super().add(value)
        self.low = min(self.low, value)
        self.high = max(self.high, value)


class Histogram:
    """Distributions by labels."""

    def __init__(
        self,
        name: str,
        about: str,
        bounds: Sequence[float],
        labels: Sequence[str] = (),
        limit: int = LABEL_VALUES,
    ) -> None:
        self._name, self._about, self._bounds = name, about, bounds
        self._labels = Labels(labels, limit)
        self._distributions: dict[Key, Distribution] = {} if labels else {(): Distribution(bounds)}

    def add(self, value: float, *key: str) -> None:
        distribution = self._distributions.get(key)
        if distribution is None:
            key = self._labels.bounded(key)
            distribution = self._distributions.setdefault(key, Distribution(self._bounds))
        distribution.add(value)

    def items(self) -> list[tuple[Key, Distribution]]:
        return list(self._distributions.items())

    def family(self) -> HistogramMetricFamily:
        return histogram_family(self._name, self._about, self._labels.names, self.items())


def histogram_family(
    name: str, about: str, labels: Sequence[str], rows: Iterable[tuple[Key, Buckets]]
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, about, labels=labels)
    for key, buckets in rows:
        family.add_metric(key, buckets.cumulative(), buckets.sum)
    return family


class _Request(NamedTuple):
    at: float
    failed: bool
    seconds: float


class Window:
    """The requests of the last `span` seconds, at most `size` of them. Times are monotonic."""

    def __init__(self, now: Callable[[], float], span: float = 60.0, size: int = 8_192) -> None:
        self._now = now
        self._span = span
        self._began = now()
        self._requests: deque[_Request] = deque(maxlen=size)

    def add(self, *, failed: bool, seconds: float) -> None:
        now = self._now()
        while self._requests and self._requests[0].at <= now - self._span:
            self._requests.popleft()
        self._requests.append(_Request(now, failed, seconds))

    def report(self) -> RecentRequests:
        now = self._now()
        recent = [row for row in list(self._requests) if row.at > now - self._span]
        if not recent:
            return RecentRequests(request_rate=0.0, error_rate=0.0, p95_latency=0.0)
        latencies = sorted(row.seconds for row in recent)
        p95 = latencies[ceil(0.95 * len(latencies)) - 1]
        failed = sum(row.failed for row in recent)
        return RecentRequests(
            request_rate=round(len(recent) / self._covered(now), 3),
            error_rate=round(failed / len(recent), 4),
            p95_latency=round(p95 * 1000, 3),
        )

    def _covered(self, now: float) -> float:
        """Seconds that the remembered requests stand for."""
        full = len(self._requests) == self._requests.maxlen
        since = self._requests[0].at if full else self._began
        return max(min(now - since, self._span), 1.0)
