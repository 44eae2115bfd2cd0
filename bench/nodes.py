"""Several nodes on PostgreSQL and Redis, which this starts itself, beside one process on SQLite.

    python -m bench.nodes [--only burst,paced] [--rounds 3] [--quick] [--write-docs]

Nodes run on the first core; PostgreSQL, Redis, the model, journey-log and the players on the second. A full
run takes some six minutes. `--write-docs` puts it into docs/scaling.md and bench/nodes.json, and simulates
with it (bench/simulate.py).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final

from tools.engines import RedisServer

from bench.databases import BenchPostgres
from bench.deployment import FIGURES
from bench.harness import Harness, Kind, progress
from bench.node_bench import Bench, Line
from bench.node_measures import MEASUREMENTS
from bench.options import bench_parser
from bench.processes import begin
from bench.report import machine, put_between
from bench.servers import running_workbench
from bench.simulate import DOCUMENT, write_document
from bench.table import drawn, shown

LONGEST_SECONDS: Final = 1_800
BEGIN, END = "<!-- figures of nodes -->", "<!-- end of figures of nodes -->"


def arguments() -> argparse.Namespace:
    parser = bench_parser("nodes", __doc__, MEASUREMENTS)
    parser.add_argument("--write-docs", action="store_true", help="writes the table of a full run")
    return parser.parse_args()


@contextmanager
def running_bench(rounds: int, *, quick: bool) -> Iterator[Bench]:
    """Engines, upstreams and, once they are asked for, nodes. Nothing outlives the block."""
    with (
        closing(BenchPostgres()) as postgres,
        closing(RedisServer()) as redis,
        running_workbench() as workbench,
        ExitStack() as stack,
    ):
        on_postgres = Kind({"STORE_URL": postgres.url})
        unshared = (sys.executable, "-m", "bench.memory_log", "serve")
        kinds = {
            "postgres": on_postgres,
            "second": on_postgres,
            "unshared": Kind(on_postgres.settings, unshared),
            "redis": Kind({**on_postgres.settings, "REDIS_URL": redis.url}),
        }
        harness = Harness(workbench, stack, rounds, quick=quick, kinds=kinds)
        yield Bench(harness, postgres, redis)


def measured(bench: Bench, asked: Sequence[str]) -> list[Line]:
    lines = []
    for name in asked:
        progress(name)
        for line in MEASUREMENTS[name](bench):
            progress(f"  {line.name}: {shown(line.value)} {line.unit} {line.note}")
            lines.append(line)
    return lines


def table(lines: Sequence[Line]) -> str:
    met = {True: "yes", False: "**no**", None: ""}
    rows = [
        (
            f"{line.name}, {line.unit}" if line.unit else line.name,
            shown(line.value),
            line.target,
            met[line.met],
        )
        for line in lines
    ]
    return drawn([("", "measured", "target", "met"), *rows])


def figures(lines: Sequence[Line], rounds: int) -> str:
    """The part of the document that a run writes."""
    notes = "\n".join(f"- {line.name}: {line.note}." for line in lines if line.note)
    return f"{machine()}. Medians of {rounds} rounds.\n\n{table(lines)}\n\n{notes}"


def kept(lines: Sequence[Line]) -> dict[str, Any]:
    """What a simulation needs."""
    return {line.key: round(line.value, 4) for line in lines if line.key}


def main() -> int:
    options = arguments()
    begin(LONGEST_SECONDS)
    with running_bench(options.rounds, quick=options.quick) as bench:
        lines = measured(bench, options.only or list(MEASUREMENTS))
    print(figures(lines, options.rounds))
    if options.write_docs and options.only is None and not options.quick:
        _write(FIGURES, json.dumps(kept(lines), indent=2, ensure_ascii=False) + "\n")
        put_between(DOCUMENT, BEGIN, END, figures(lines, options.rounds))
        write_document()
    return 0 if all(line.met is not False for line in lines) else 1


def _write(file: Path, text: str) -> None:
    file.write_text(text, "utf-8")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
