"""Where several nodes are measured, and what a measure gives."""

from __future__ import annotations

from dataclasses import dataclass

from tools.engines import RedisServer

from bench.databases import BenchPostgres
from bench.harness import Cell, Harness, Sample
from bench.measures import small


@dataclass(frozen=True)
class Line:
    """A figure, and what it should be: `most` or `least`, or neither. `key`: its name for the
    simulation."""

    name: str
    value: float
    unit: str = ""
    most: float | None = None
    least: float | None = None
    note: str = ""
    key: str = ""

    @property
    def met(self) -> bool | None:
        if self.most is not None:
            return self.value <= self.most
        return None if self.least is None else self.value >= self.least

    @property
    def target(self) -> str:
        if self.most is not None:
            return f"≤ {self.most:g}"
        return "" if self.least is None else f"≥ {self.least:g}"


@dataclass(frozen=True)
class Bench:
    """Servers of the harness: `sqlite`; `postgres`, `second` and `unshared` (which publishes no events) on
    one journal; `redis` on that journal with its events in Redis."""

    harness: Harness
    postgres: BenchPostgres
    redis: RedisServer

    def cell(self, cell: Cell) -> Cell:
        return small(self.harness, cell)

    def sample(self, cell: Cell, server: str) -> Sample:
        return self.harness.sample(self.cell(cell), self.harness.server(server))

    @property
    def turns(self) -> int:
        """To follow at the same time."""
        return 4 if self.harness.quick else 32
