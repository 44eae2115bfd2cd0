"""Where a deployment breaks first while players come in, from the figures of `bench.nodes`.

    python -m bench.simulate [--players 1000000] [--write-docs]

Players join at an even pace. Each takes a turn, reads it, thinks and takes the next; one who waits takes
none. Each second of simulated time the turns asked for pass the tiers one after another: a tier that
cannot serve them in this second has a queue. A deployment is broken once a turn waits longer than
`Assumptions.patience` in a queue, or once something that cannot queue (memory, connections, the commit
lock of notifications) is used up. Nothing is drawn at random: the same figures give the same table.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Final

from bench.deployment import (
    GIB,
    KIB,
    Assumptions,
    Deployment,
    Figures,
    Model,
    cost_of_1000_turns,
)
from bench.processes import ROOT
from bench.report import put_between
from bench.table import drawn, shown

DOCUMENT: Final = ROOT / "docs" / "scaling.md"
BEGIN, END = "<!-- simulation -->", "<!-- end of simulation -->"
SIZES: Final = (1_000, 10_000, 100_000, 1_000_000)
MOST_SHARDS: Final = 1_024


@dataclass
class Ramp:
    """The players of one shard who come in; `broken` is the tier that gave way first, with `at` players."""

    model: Model
    broken: str = ""
    at: float = 0.0
    queues: dict[str, float] = field(default_factory=dict)

    def step(self, players: float) -> None:
        """One second with so many players."""
        assumed = self.model.assumed
        asked = max(players - sum(self.queues.values()), 0.0) / assumed.turn_every
        processes = self.model.processes(asked, players)
        passing = asked
        for tier, capacity in self.model.capacities(processes).items():
            there = self.queues.get(tier, 0.0) + passing
            passing = min(there, capacity)
            self.queues[tier] = there - passing
            if self.queues[tier] > capacity * assumed.patience:
                self._break(tier, players)
        for tier, share in self.model.used(processes, asked).items():
            if share > 1:
                self._break(tier, players)

    def _break(self, tier: str, players: float) -> None:
        if not self.broken:
            self.broken, self.at = tier, players


def ramp(model: Model, players: int, steps: int = 2_000) -> Ramp:
    """So many players of one shard come in within as many seconds as there are steps."""
    simulated = Ramp(model)
    for number in range(1, steps + 1):
        simulated.step(players * number / steps)
        if simulated.broken:
            break
    return simulated


def shards_for(model: Model, players: int) -> int:
    """As few databases as hold; `MOST_SHARDS` where even so many do not."""
    low, high = 1, MOST_SHARDS
    while low < high:
        middle = (low + high) // 2
        if holds(model, players / middle):
            high = middle
        else:
            low = middle + 1
    return low


def holds(model: Model, players: float) -> bool:
    """Whether so many come in and can stay."""
    turns = players / model.assumed.turn_every
    loads = model.loads(model.processes(turns, players), turns)
    return max(loads.values()) <= 1 and not ramp(model, ceil(players)).broken


# -- the table --------------------------------------------------------------------------------------


def breaks(figures: Figures, assumed: Assumptions, players: int) -> str:
    """Where each deployment gives way."""
    rows = [("deployment", "breaks at, players", "first")]
    for one in (Deployment("one database"), Deployment("one database and Redis", redis=True)):
        found = ramp(Model(figures, assumed, one.redis), players)
        rows.append((one.name, f"{found.at:,.0f}" if found.broken else "", found.broken or "holds"))
    for redis, name in ((False, "databases"), (True, "databases, each with a Redis")):
        count = shards_for(Model(figures, assumed, redis), players)
        rows.append((f"{count} {name}", "", "holds"))
    return drawn(rows)


def sizes(figures: Figures, assumed: Assumptions, deployment: Deployment) -> str:
    """What every tier of a shard is used to, by players of all shards together."""
    model = Model(figures, assumed, deployment.redis)
    found = [_size(model, players / deployment.shards) for players in SIZES]
    head = ("", *(f"{players:,} players" for players in SIZES))
    rows = [
        (
            name,
            *(shown(size[name] * (deployment.shards if name in _SUMMED else 1)) for size in found),
        )
        for name in found[0]
    ]
    return drawn([head, *rows])


_SUMMED: Final = ("turns a second", "processes", "database, GiB of turns that are kept")


def _size(model: Model, players: float) -> dict[str, float]:
    assumed = model.assumed
    turns = players / assumed.turn_every
    processes = model.processes(turns, players)
    kept = turns * 86_400 * assumed.days_kept * model.figures.disk_kib * KIB / GIB
    loads = model.loads(processes, turns)
    return {
        "turns a second": turns,
        "processes": processes,
        "database, GiB of turns that are kept": kept,
        **{f"{tier}, % used": share * 100 for tier, share in loads.items()},
    }


def paragraphs(figures: Figures, assumed: Assumptions, players: int) -> Iterator[str]:
    """The part of the document that is computed."""
    yield breaks(figures, assumed, players)
    yield "One database, the event log in Redis:"
    yield sizes(figures, assumed, Deployment("", redis=True))
    count = shards_for(Model(figures, assumed, redis=True), players)
    yield f"{count} databases, each with a Redis; a shard's share is the same in all:"
    yield sizes(figures, assumed, Deployment("", redis=True, shards=count))
    costs = cost_of_1000_turns(Model(figures, assumed, redis=True))
    parts = ", ".join(f"{name} ${value:.5f}" for name, value in costs.items())
    yield f"1,000 turns cost ${sum(costs.values()):.4f} ({parts}), without the model."


def text(figures: Figures, assumed: Assumptions, players: int) -> str:
    return "\n\n".join(paragraphs(figures, assumed, players))


def write_document() -> None:
    put_between(DOCUMENT, BEGIN, END, text(Figures.read(), Assumptions(), SIZES[-1]))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="simulate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--players", type=int, default=SIZES[-1])
    parser.add_argument("--turn-every", type=float, default=Assumptions.turn_every)
    parser.add_argument("--write-docs", action="store_true")
    options = parser.parse_args(arguments)
    assumed = replace(Assumptions(), turn_every=options.turn_every)
    print(text(Figures.read(), assumed, options.players))
    if options.write_docs:
        write_document()


if __name__ == "__main__":
    main()
