"""What a deployment needs for so many players, from the figures of `bench.nodes`. Pure arithmetic.

Figures of one core of the measured machine stand for every core. What was not measured is in `Assumptions`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from math import ceil
from pathlib import Path
from typing import Final

from bench.processes import ROOT

FIGURES: Final = ROOT / "bench" / "nodes.json"
NODES: Final = "node processor"
HEARING: Final = "node processor, where each hears the flushes of all"
KIB: Final = 1024
GIB: Final = 1024**3
_FLUSHES: Final = 25.0  # of a process in a second
_LINGER: Final = 5.0  # seconds until the published log of a turn that has ended is dropped


@dataclass(frozen=True)
class Figures:
    """Measured: what a turn, a token, a flush and a stream cost; see docs/scaling.md."""

    turn_cpu_us: float
    token_cpu_us: float
    statements: float
    rows: float
    wal_kib: float
    database_cpu_us: float
    disk_kib: float
    stream_kib: float
    hear_us: float
    flush_ceiling: float
    redis_kib: float
    redis_commands: float

    @classmethod
    def read(cls, file: Path = FIGURES) -> Figures:
        """Raises `KeyError` where one is missing."""
        found = json.loads(file.read_text("utf-8"))
        return cls(**{one.name: float(found[one.name]) for one in fields(cls)})


@dataclass(frozen=True)
class Assumptions:
    """Not measured: how people play, and machines. Rates are per second, prices in dollars."""

    turn_every: float = 60.0
    tokens: int = 469
    tokens_per_second: float = 30.0
    patience: float = 1.0
    busy: float = 0.7
    """The share of a core up to which streams stay smooth."""
    node_memory_gib: float = 4.0
    """For each process, which has one core."""
    database_cores: int = 32
    database_iops: float = 40_000
    wal_mib: float = 400.0
    connections: int = 5_000
    connections_of_a_process: int = 13
    redis_gib: float = 64.0
    core_hour: float = 0.05
    gib_month: float = 0.12
    days_kept: float = 8.0

    @property
    def generating(self) -> float:
        """Seconds of a turn in which tokens come."""
        return self.tokens / self.tokens_per_second


@dataclass(frozen=True)
class Deployment:
    """`redis`: the event log and limits are there. `shards`: databases (and Redises) of which each has the
    characters of its own share, and processes of its own."""

    name: str
    redis: bool = False
    shards: int = 1


@dataclass(frozen=True)
class Model:
    """One shard of a deployment: what it needs for so many turns a second and so many open streams."""

    figures: Figures
    assumed: Assumptions
    redis: bool

    @property
    def turn_cpu(self) -> float:
        """Seconds of a node's core for a turn whose tokens come one by one."""
        return self.figures.token_cpu_us * self.assumed.tokens / 1e6

    def node_capacity(self, processes: int) -> float:
        """Turns a second of so many processes. Each hears the flushes of all, unless Redis has them."""
        heard = 0.0 if self.redis else _FLUSHES * processes * self.figures.hear_us / 1e6
        return max(processes * (self.assumed.busy - heard) / self.turn_cpu, 0.0)

    def processes(self, turns: float, streams: float) -> int:
        """As few as suffice, or those that can do most."""
        memory = self.assumed.node_memory_gib * self.assumed.busy * GIB
        count = max(ceil(streams * self.figures.stream_kib * KIB / memory), 1)
        if self.redis:
            return max(ceil(turns * self.turn_cpu / self.assumed.busy), count)
        while self.node_capacity(count) < turns and (
            self.node_capacity(count + 1) > self.node_capacity(count)
        ):
            count += 1
        return count

    def capacities(self, processes: int) -> dict[str, float]:
        """Turns a second of each tier at which turns can queue."""
        figures, assumed = self.figures, self.assumed
        published = 0.0 if self.redis else _FLUSHES * processes / figures.flush_ceiling
        database = assumed.database_cores * assumed.busy - published
        pages = (figures.disk_kib + figures.wal_kib) / 8
        tiers = {
            NODES if self.redis else HEARING: self.node_capacity(processes),
            "database processor": max(database, 0.0) / figures.database_cpu_us * 1e6,
            "database IOPS": assumed.database_iops / pages,
            "write-ahead log": assumed.wal_mib * 1024 / figures.wal_kib,
        }
        if self.redis:
            commands = _FLUSHES * assumed.generating  # an XADD in each flush
            tiers["Redis commands"] = figures.redis_commands / commands
        return tiers

    def used(self, processes: int, turns: float) -> dict[str, float]:
        """The share that is used of what cannot queue."""
        assumed = self.assumed
        shares = {
            "database connections": processes
            * assumed.connections_of_a_process
            / assumed.connections
        }
        if self.redis:
            held = turns * (assumed.generating + _LINGER) * self.figures.redis_kib * KIB
            shares["Redis memory"] = held / (assumed.redis_gib * GIB)
        else:
            shares["commit lock of NOTIFY"] = _FLUSHES * processes / self.figures.flush_ceiling
        return shares

    def loads(self, processes: int, turns: float) -> dict[str, float]:
        """The share that is used of every tier."""
        queues = {
            tier: turns / capacity if capacity else float("inf")
            for tier, capacity in self.capacities(processes).items()
        }
        return {**queues, **self.used(processes, turns)}


def cost_of_1000_turns(model: Model) -> dict[str, float]:
    """Dollars, without the model: processors at the share up to which they are used, and the disk for as
    long as a turn is kept."""
    assumed, figures = model.assumed, model.figures
    core_second = assumed.core_hour / 3600 / assumed.busy
    disk = 1000 * figures.disk_kib * KIB / GIB * assumed.gib_month * assumed.days_kept / 30
    return {
        "nodes": 1000 * model.turn_cpu * core_second,
        "database": 1000 * figures.database_cpu_us / 1e6 * core_second,
        "disk": disk,
    }
