"""The benchmark: the service beside a floor and a limit, on the same upstreams, in the same run.

    make bench               or: python -m bench --only paced:32,burst:32 --rounds 1
                             or: python -m bench --against COMMIT --rounds 5

Servers run on the first core; the model, journey-log and the players on the second. A full run
writes bench/results.json, one with --only bench/results-part.json, one with --against
bench/results-against.json. docs/performance.md says what each line means.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from bench.against import COMPARED, USUAL, compared, compared_table
from bench.harness import Harness, progress
from bench.measures import MEASUREMENTS
from bench.options import bench_parser
from bench.processes import begin
from bench.report import RESULTS, measured, write_document
from bench.servers import running_workbench
from bench.table import Failure, Row, table
from bench.trees import PRESENT, built

LONGEST_SECONDS = 3_600


def arguments() -> argparse.Namespace:
    parser = bench_parser("bench", __doc__, MEASUREMENTS)
    parser.add_argument("--out", type=Path, help="where the figures go instead")
    parser.add_argument(
        "--write-docs", action="store_true", help="puts the table into the document"
    )
    parser.add_argument("--against", metavar="COMMIT", help="compare with the service of a commit")
    options = parser.parse_args()
    if options.against and (unknown := set(options.only or ()) - set(COMPARED)):
        parser.error(f"not compared with a commit: {', '.join(sorted(unknown))}")
    return options


def measure(harness: Harness, asked: list[str]) -> list[Row]:
    rows: list[Row] = []
    for name in asked:
        progress(name)
        found = harness.attempt("service", partial(MEASUREMENTS[name], harness))
        if isinstance(found, Failure):
            found = [Row(name, "", None, met=False, failed={"service": found.reason})]
        for row in found:
            progress(f"  {row.name}: {row.service} {row.unit} {row.note}")
        rows += found
    return rows


def beside_the_marks(options: argparse.Namespace) -> bool:
    """Whether the service held every measure."""
    with running_workbench() as workbench, ExitStack() as stack:
        harness = Harness(workbench, stack, options.rounds, quick=options.quick)
        rows = measure(harness, options.only or list(MEASUREMENTS))
    whole = options.only is None and not options.quick
    result = measured(rows, options.rounds)
    save(options.out or (RESULTS if whole else RESULTS.with_name("results-part.json")), result)
    print(table(rows))
    if options.write_docs and whole:
        write_document(result)
    return not any("service" in row.failed for row in rows)


def beside_a_commit(options: argparse.Namespace) -> bool:
    """Whether both held every measure."""
    trees = {options.against: built(options.against), PRESENT.name: PRESENT}
    with running_workbench() as workbench, ExitStack() as stack:
        harness = Harness(workbench, stack, options.rounds, quick=options.quick, trees=trees)
        rows = compared(harness, options.against, options.only or list(USUAL))
    result = {**measured([], options.rounds), "against": options.against}
    result["rows"] = [row.sent() for row in rows]
    save(options.out or RESULTS.with_name("results-against.json"), result)
    print(compared_table(rows, options.against))
    return not any(row.failed for row in rows)


def save(file: Path, result: dict[str, Any]) -> None:
    file.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")


def main() -> int:
    options = arguments()
    begin(LONGEST_SECONDS)
    held = beside_a_commit(options) if options.against else beside_the_marks(options)
    return 0 if held else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
