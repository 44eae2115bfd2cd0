"""The service of the present tree beside that of another commit, on the same upstreams.

Each round measures A, B, B, A: the commit, the present tree twice, the commit again. A processor that
changes its speed within a minute then changes both, and each pair of runs of the same tree shows what
a difference is worth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from statistics import median
from typing import Any, Final

from bench.harness import Harness, progress, quantile
from bench.measures import (
    BURST_32,
    FIRST_TOKEN,
    PACED_32,
    PACED_256,
    idle_reader,
    idle_stream,
    small,
    watched_turn,
)
from bench.quantities import Quantity, Values
from bench.table import Failure, drawn, shown
from bench.tokens import tokens
from bench.trees import PRESENT

ALLOWED: Final = 0.05
_FIRST_TOKEN: Final = replace(FIRST_TOKEN, turns=200)
READERS: Final = (2, 3, 10)


def _paced(harness: Harness, server: str) -> Values:
    sample = harness.sample(small(harness, PACED_32), harness.server(server))
    return {Quantity("CPU per upstream token, 32 paced streams", "µs"): sample.cpu_us_per_token}


def _burst(harness: Harness, server: str) -> Values:
    sample = harness.sample(small(harness, BURST_32), harness.server(server))
    return {
        Quantity("turns a second, 32 streams in bursts", "", True): sample.turns_per_second,
        Quantity("CPU of a turn, 32 streams in bursts", "µs"): sample.cpu_us_per_turn,
    }


def _rush(harness: Harness, server: str) -> Values:
    sample = harness.sample(small(harness, PACED_256), harness.server(server))
    return {
        Quantity("gap between tokens, 256 streams begun together, p99", "ms"): quantile(
            sample.gaps_ms, 0.99
        ),
        Quantity("CPU per upstream token, 256 paced streams", "µs"): sample.cpu_us_per_token,
    }


def _first(harness: Harness, server: str) -> Values:
    sample = harness.sample(small(harness, _FIRST_TOKEN), harness.server(server))
    return {
        Quantity("added time to first token, p50", "ms"): quantile(sample.first_ms, 0.5),
        Quantity("added time to first token, p99", "ms"): quantile(sample.first_ms, 0.99),
        Quantity("CPU of a turn, one stream", "µs"): sample.cpu_us_per_turn,
    }


def _memory(harness: Harness, server: str) -> Values:
    return {
        Quantity("memory of an idle open stream", "KiB"): idle_stream(harness, server),
        Quantity("memory of a further idle reader of a turn", "KiB"): idle_reader(harness, server),
    }


def _readers(harness: Harness, server: str) -> Values:
    alone = watched_turn(harness, server, 1)
    found: dict[Quantity, float] = {}
    for count in READERS:
        cost = watched_turn(harness, server, count)
        each = (cost / alone - 1) / (count - 1)
        found[Quantity(f"CPU of a turn that {count} read", "ms")] = cost * 1000
        found[Quantity(f"each further reader, up to {count}", "% of the turn")] = each * 100
    return found


COMPARED: Final[dict[str, Callable[[Harness, str], Values]]] = {
    "paced:32": _paced,
    "burst:32": _burst,
    "ttft:1": _first,
    "paced:256": _rush,
    "memory": _memory,
    "readers": _readers,
    "tokens": tokens,
}

USUAL: Final = ("paced:32", "burst:32", "ttft:1", "memory", "readers")
"""Compared unless others are asked for."""


@dataclass(frozen=True)
class Comparison:
    """A line of the result. `before` and `after` are medians over all runs of the commit and of the
    present tree; `ratio` is the median over the rounds; `same`: by what share two runs of the same
    tree differ within a round, in the median. `failed`: reasons by server."""

    quantity: Quantity
    before: float | None = None
    after: float | None = None
    ratio: float | None = None
    same: float | None = None
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def loss(self) -> float | None:
        """The share that got worse; negative where it got better."""
        if self.ratio is None:
            return None
        return (1 / self.ratio if self.quantity.more_is_better else self.ratio) - 1

    @property
    def verdict(self) -> str:
        if self.loss is None or self.same is None:
            return ""
        return (
            "yes"
            if self.loss <= ALLOWED
            else "within noise"
            if self.loss <= self.same
            else "**no**"
        )

    def sent(self) -> dict[str, Any]:
        return {**asdict(self), "loss": self.loss}


class Runs:
    """All runs of one measure: `values[server][quantity]`, two for each round."""

    def __init__(self, before: str, after: str) -> None:
        self.before, self.after = before, after
        self.values: dict[str, dict[Quantity, list[float]]] = {before: {}, after: {}}
        self.failed: dict[str, str] = {}

    def add(self, server: str, found: Values | Failure) -> None:
        if isinstance(found, Failure):
            self.failed[server] = found.reason
            return
        for quantity, value in found.items():
            self.values[server].setdefault(quantity, []).append(value)

    def comparisons(self, measure: str) -> Iterator[Comparison]:
        """One for each quantity. What a server gave before it failed is left out."""
        held = [server for server in self.values if server not in self.failed]
        quantities = self.values[held[0]] if held else {Quantity(measure): []}
        for quantity in quantities:
            runs = {server: self.values[server][quantity] for server in held}
            one, other = runs.get(self.before), runs.get(self.after)
            yield Comparison(
                quantity,
                median(one) if one else None,
                median(other) if other else None,
                _ratio(one, other) if one and other else None,
                _same([pair for values in runs.values() for pair in _pairs(values)]),
                self.failed,
            )


def _pairs(values: list[float]) -> list[tuple[float, float]]:
    """The two runs of each round."""
    return list(zip(values[::2], values[1::2], strict=True))


def _ratio(before: list[float], after: list[float]) -> float | None:
    rounds = zip(_pairs(before), _pairs(after), strict=True)
    ratios = [sum(new) / sum(old) for old, new in rounds if sum(old)]
    return median(ratios) if ratios else None


def _same(pairs: list[tuple[float, float]]) -> float | None:
    apart = [abs(one - other) / abs(one + other) * 2 for one, other in pairs if one + other]
    return median(apart) if apart else None


def compared(harness: Harness, commit: str, asked: list[str]) -> list[Comparison]:
    """Runs each measure on both for all rounds; a server that failed is not asked again for it."""
    rows: list[Comparison] = []
    for name in asked:
        runs = Runs(commit, PRESENT.name)
        for number in range(1, harness.rounds + 1):
            progress(f"{name}, round {number}")
            for server in (commit, PRESENT.name, PRESENT.name, commit):
                if server not in runs.failed:
                    work = partial(COMPARED[name], harness, server)
                    runs.add(server, harness.attempt(server, work))
        found = list(runs.comparisons(name))
        progress(f"{name}:\n{compared_table(found, commit)}")
        rows += found
    return rows


def compared_table(rows: list[Comparison], commit: str) -> str:
    head = ("", commit, PRESENT.name, "ratio", "same tree differs by", f"within {ALLOWED:.0%}")
    return drawn([head, *(_cells(row, commit) for row in rows)])


def _cells(row: Comparison, commit: str) -> tuple[str, ...]:
    name, unit = row.quantity.name, row.quantity.unit

    def cell(server: str, value: float | None) -> str:
        return f"failed: {row.failed[server]}" if server in row.failed else shown(value)

    return (
        f"{name}, {unit}" if unit else name,
        cell(commit, row.before),
        cell(PRESENT.name, row.after),
        "" if row.ratio is None else f"{row.ratio:.3f}",
        "" if row.same is None else f"{row.same:.1%}",
        row.verdict,
    )
