"""The result of a run as a file, as a table, and in the documentation.

    python -m bench.report [--write-docs]

prints the table of the last full run again, and puts it into docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from bench.processes import ROOT
from bench.table import Row, table

RESULTS: Final = ROOT / "bench" / "results.json"
DOCUMENT: Final = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
LIBRARIES: Final = (
    "openai",
    "httpx",
    "httpx2",
    "sse-starlette",
    "starlette",
    "uvicorn",
    "uvloop",
    "pydantic",
    "msgspec",
)
SPEED = 30
"""Tokens a second, about as fast as people like to be read to."""
BUSY = 0.7
"""The share of a core up to which streams stay smooth."""


def measured(rows: list[Row], rounds: int) -> dict[str, Any]:
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": _commit(),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "cpu": _cpu(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "rounds": rounds,
        "rows": [row.sent() for row in rows],
    }


def _commit() -> str:
    """With a + when there are changes."""
    try:
        printed = [
            subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
            for command in (
                ["git", "rev-parse", "--short", "HEAD"],
                ["git", "status", "--porcelain", "app"],
            )
        ]
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return printed[0].strip() + ("+" if printed[1].strip() else "")


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def figures(result: dict[str, Any]) -> str:
    """The part of the document that a run writes."""
    rows = [Row.received(row) for row in result["rows"]]
    libraries = ", ".join(f"{name} {number}" for name, number in result["libraries"].items())
    notes = "\n".join(f"- {row.name}: {row.note}." for row in rows if row.note)
    return (
        f"Measured on {result['date']} at commit {result['commit']}: {result['cpu']}, Linux"
        f" {result['kernel']}, Python {result['python']}; {libraries}. Medians of"
        f" {result['rounds']} rounds.\n\n{table(rows)}\n\n{notes}\n\n{players(rows[0])}"
    )


def players(paced: Row) -> str:
    """From CPU per token to players per core; empty when the service could not be measured."""
    if paced.service is None:
        return ""
    a_second = paced.service * SPEED
    return (
        f"A player who reads {SPEED} tokens a second costs {SPEED} × {paced.service:.1f} µs ="
        f" {a_second / 1000:.2f} ms of CPU a second, the writes at the end of the turn included."
        f" A core that is {BUSY:.0%} busy therefore serves {BUSY:.0%} × 1 s ÷"
        f" {a_second / 1000:.2f} ms = {int(BUSY * 1e6 / a_second)} players at the same time"
        + (f" (the floor: {int(BUSY * 1e6 / SPEED / paced.floor)})." if paced.floor else ".")
    )


def write_document(result: dict[str, Any]) -> None:
    put_between(DOCUMENT, BEGIN, END, figures(result))


def put_between(document: Path, begin: str, end: str, text: str) -> None:
    """In place of what is between the two marks."""
    before, _, rest = document.read_text("utf-8").partition(begin)
    _, _, after = rest.partition(end)
    document.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", "utf-8")


def machine() -> str:
    """When and on what a run took place."""
    return (
        f"Measured on {time.strftime('%Y-%m-%d')} at commit {_commit()}: {_cpu()}, Linux"
        f" {platform.release()}, Python {platform.python_version()}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write-docs", action="store_true")
    options = parser.parse_args()
    result = json.loads(RESULTS.read_text())
    print(figures(result))
    if options.write_docs:
        write_document(result)


if __name__ == "__main__":
    main()
