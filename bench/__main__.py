"""The benchmark: the service beside a floor and a limit, on the same upstreams, in the same run.

    make bench               or: python -m bench --only paced:32,burst:32 --rounds 1

Servers run on the first core; the model, journey-log and the players on the second. A full run
writes bench/results.json, one with --only bench/results-part.json. docs/performance.md tells what
each line means.
"""

from __future__ import annotations

import argparse
import gc
import json
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

from bench.lab import Lab, say
from bench.measures import MEASUREMENTS
from bench.processes import CLIENT_CORE, many_files, pin
from bench.report import RESULTS, measured, write_document
from bench.rows import Row, table
from bench.servers import house

LONGEST_SECONDS = 3_600


def names(text: str) -> list[str]:
    asked = text.split(",")
    if unknown := set(asked) - set(MEASUREMENTS):
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}")
    return [name for name in MEASUREMENTS if name in asked]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", type=names, help=f"some of: {', '.join(MEASUREMENTS)}")
    parser.add_argument("--rounds", type=int, default=3, help="medians are taken of so many")
    parser.add_argument("--quick", action="store_true", help="only shows that the bench works")
    parser.add_argument("--out", type=Path, help="where the figures go instead")
    parser.add_argument(
        "--write-docs", action="store_true", help="puts the table into the document"
    )
    return parser.parse_args()


def measure(lab: Lab, asked: list[str]) -> list[Row]:
    rows: list[Row] = []
    for name in asked:
        say(name)
        found = MEASUREMENTS[name](lab)
        for row in found:
            say(f"  {row.name}: {row.service:.4g} {row.unit} {row.note}")
        rows += found
    return rows


def main() -> None:
    options = arguments()
    for number in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
    signal.alarm(LONGEST_SECONDS)
    many_files()
    pin(0, CLIENT_CORE)
    gc.freeze()
    with house() as home, ExitStack() as stack:
        lab = Lab(home, stack, options.rounds, quick=options.quick)
        rows = measure(lab, options.only or list(MEASUREMENTS))
    whole = options.only is None and not options.quick
    file = options.out or (RESULTS if whole else RESULTS.with_name("results-part.json"))
    result = measured(rows, options.rounds)
    file.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    print(table(rows))
    if options.write_docs and whole:
        write_document(result)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
