"""What several nodes are measured for, each with its target."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from typing import Final

from bench.client import Target, play
from bench.databases import REPORTED, Counters, flush_ceiling
from bench.harness import SETTLE_SECONDS, Cell, Sample, check
from bench.measures import BURST_32, PACED, PACED_32, dearer
from bench.node_bench import Bench, Line
from bench.node_readers import memory, redis_memory, remote_readers, resumed
from bench.processes import Process

# -- processor ------------------------------------------------------------------------------------

DROPPED: Final = 6.0  # seconds until the published log of a turn that has ended is gone


class Costs:
    """Of a cell on servers, in microseconds; `ratio` runs one between two runs of the other."""

    def __init__(self, bench: Bench, cell: Cell, figure: Callable[[Sample], float]) -> None:
        self._bench, self._cell, self._figure = bench, cell, figure
        self._found: dict[str, list[float]] = {}

    def ratio(self, server: str, than: str) -> float:
        return 1 + dearer(self._bench.harness, self._cost, server, than=than)

    def _cost(self, server: str) -> float:
        cost = self._figure(self._bench.sample(self._cell, server))
        self._found.setdefault(server, []).append(cost)
        return cost

    def __getitem__(self, server: str) -> float:
        return median(self._found[server])


def burst(bench: Bench) -> list[Line]:
    costs = Costs(bench, BURST_32, lambda sample: sample.cpu_us_per_turn)
    ratio = costs.ratio("postgres", than="sqlite")
    name = "CPU of a turn with PostgreSQL ÷ with SQLite, 32 streams in bursts"
    note = f"{costs['postgres']:,.0f} and {costs['sqlite']:,.0f} µs"
    return [
        Line(name, ratio, "", most=1.35, note=note),
        Line("CPU of a turn with PostgreSQL", costs["postgres"], "µs", key="turn_cpu_us"),
    ]


def paced(bench: Bench) -> list[Line]:
    costs = Costs(bench, PACED_32, lambda sample: sample.cpu_us_per_token)
    lines = []
    for server, words in (("postgres", "PostgreSQL"), ("redis", "Redis")):
        ratio = costs.ratio(server, than="unshared")
        name = f"CPU of a token with the event log in {words} ÷ in memory, 32 paced streams"
        note = f"{costs[server]:.1f} and {costs['unshared']:.1f} µs, both with the journal in PostgreSQL"
        lines.append(Line(name, ratio, "", most=1.15, note=note))
    whole = costs.ratio("postgres", than="sqlite")
    name = "CPU of a token with everything in PostgreSQL ÷ in SQLite and memory, 32 paced streams"
    note = f"{costs['postgres']:.1f} and {costs['sqlite']:.1f} µs, the journal of a turn included"
    return [
        *lines,
        Line(name, whole, note=note),
        Line("CPU of a token with PostgreSQL", costs["postgres"], "µs", key="token_cpu_us"),
    ]


def scaling(bench: Bench) -> list[Line]:
    """Both nodes on the same core: what a turn costs says how many each would do on its own."""
    cell = bench.cell(BURST_32)
    found = [
        (_cost_on(bench, cell, ["postgres"]), _cost_on(bench, cell, ["postgres", "second"]))
        for _ in range(bench.harness.rounds)
    ]
    one, both = map(median, zip(*found, strict=True))
    ratio = 2 * one / both
    note = f"2 × {one:,.0f} ÷ {both:,.0f} µs of CPU a turn"
    return [
        Line("turns a second of two nodes ÷ of one, from CPU", ratio, "", least=1.85, note=note)
    ]


def _cost_on(bench: Bench, cell: Cell, names: Sequence[str]) -> float:
    """Microseconds of a turn on nodes that play at the same time."""
    targets = [bench.harness.server(name) for name in names]
    bench.harness.set_pace(cell.pace)
    before = [target.process.cpu() for target in targets]
    turns = bench.harness.run(_played_on(targets, cell))
    spent = sum(target.process.cpu() - start for target, start in zip(targets, before, strict=True))
    bench.harness.note_writes()
    return spent / turns * 1e6


async def _played_on(targets: Sequence[Target], cell: Cell) -> int:
    every = await asyncio.gather(*(play(target, cell.turns, cell.at_once) for target in targets))
    for target, turns in zip(targets, every, strict=True):
        check(target, turns)
    await asyncio.sleep(SETTLE_SECONDS)
    return sum(map(len, every))


# -- the database ---------------------------------------------------------------------------------


def statements(bench: Bench) -> list[Line]:
    bursts, turns = _counted(bench, BURST_32)
    turn = bursts.each(turns)
    shared = (
        f"beside {turn.flushes:.2f} flushes of the event log, which all turns of a process share"
    )
    cpu = "CPU of PostgreSQL for a turn, 32 streams in bursts"
    disk = "disk space of a turn in PostgreSQL, indexes included"
    return [
        Line("statements of a turn", turn.statements, "", most=12, note=shared, key="statements"),
        Line("rows written by a turn", turn.rows, key="rows"),
        Line("write-ahead log of a turn", turn.wal / 1024, "KiB", key="wal_kib"),
        Line(cpu, turn.cpu * 1e6, "µs", key="database_cpu_us"),
        Line(disk, turn.size / 1024, "KiB", key="disk_kib"),
    ]


def flushes(bench: Bench) -> list[Line]:
    """What publishing costs the others, and how often all processes together can publish."""
    other = bench.harness.server("second").process
    _warm(bench, PACED_32)
    before, idle = bench.postgres.counters(), other.cpu()
    turns = len(bench.sample(PACED_32, "postgres").turns)
    spent, count = other.cpu() - idle, bench.postgres.counters().since(before).flushes
    seconds = turns * PACED.gap * PACED.tokens / PACED_32.at_once
    heard = max(spent - _idle(bench, other, seconds), 0.0)
    ceiling = bench.harness.run(
        flush_ceiling(bench.postgres.url, 0.2 if bench.harness.quick else 3)
    )
    return [
        Line("flushes of the event log, 32 paced streams", count / seconds, "a second"),
        Line(
            "CPU of a node that hears a flush of another", heard / count * 1e6, "µs", key="hear_us"
        ),
        Line(
            "flushes of eight processes that do nothing else",
            ceiling,
            "a second",
            note="each holds the lock under which PostgreSQL commits notifications",
            key="flush_ceiling",
        ),
    ]


def _counted(bench: Bench, cell: Cell) -> tuple[Counters, int]:
    _warm(bench, cell)
    before = _reported(bench)
    turns = len(bench.sample(replace(cell, warm_up=0), "postgres").turns)
    return _reported(bench).since(before), turns


def _idle(bench: Bench, node: Process, seconds: float) -> float:
    """CPU of a node for so many seconds in which nobody asks anything."""
    before = node.cpu()
    bench.harness.run(asyncio.sleep(seconds))
    return node.cpu() - before


def _warm(bench: Bench, cell: Cell) -> None:
    bench.sample(replace(cell, turns=cell.at_once), "postgres")


def _reported(bench: Bench) -> Counters:
    bench.harness.run(asyncio.sleep(0 if bench.harness.quick else REPORTED))
    return bench.postgres.counters()


def expired(bench: Bench) -> list[Line]:
    """After everything else: of all turns that were played."""
    bench.harness.run(asyncio.sleep(0 if bench.harness.quick else DROPPED))
    gone = bench.postgres.expire_turns()
    left = bench.postgres.rows_of_turns()
    note = ", ".join(f"{count} in {name}" for name, count in left.items())
    name = f"rows left once {gone:,} turns have expired"
    return [Line(name, sum(left.values()), "", most=0, note=note)]


MEASUREMENTS: Final[dict[str, Callable[[Bench], list[Line]]]] = {
    "burst": burst,
    "paced": paced,
    "statements": statements,
    "flushes": flushes,
    "resume": resumed,
    "remote": remote_readers,
    "scaling": scaling,
    "memory": memory,
    "redis": redis_memory,
    "expired": expired,
}
