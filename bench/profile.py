"""Where the time of a turn goes, by package and by function.

    make profile             or: python -m bench.profile --turns 300 --top 40 --only burst

The service runs twice: as it is, for the CPU that a turn costs, and under cProfile, for the shares.
cProfile makes calls of Python functions dearer than they are, and on uvloop it cannot see the
loop's own work, which counts for whoever calls it; so take the figures as a map, not a measure.
Waiting is left out. What C functions take counts for the package that calls them, except for those
that have a line of their own: JSON, SQLite, pydantic, zlib and system calls.
"""

from __future__ import annotations

import argparse
import asyncio
import marshal
import os
import re
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import uvloop

from bench.client import Target, play
from bench.harness import check
from bench.model import Pace
from bench.processes import CLIENT_CORE, ROOT, Failed, many_files, pin
from bench.servers import Workbench, running_workbench

Function = tuple[str, int, str]
Stats = dict[Function, tuple[int, int, float, float, dict[Function, tuple[int, int, float, float]]]]

LOADS = {"burst": Pace(each=0), "paced": Pace()}
TURNS = {"burst": 256, "paced": 64}
AT_ONCE = 32
WARM_UP = 64
_PACKAGE = re.compile(r"site-packages/(\w+)|python3\.\d+/(?!site-packages)(\w+)")
_OWN_LINE = {
    "msgspec": "json",
    "_json": "json",
    "json.": "json",
    "sqlite3": "sqlite",
    "pydantic_core": "pydantic",
    "zlib": "zlib",
    "socket.": "system calls",
    "'send'": "system calls",
    "'recv": "system calls",
}
_WAITING = ("select.epoll", "SimpleQueue", "lock' objects", "time.sleep")


def package(function: Function) -> str:
    """`app.core`, `app.adapters.store`, `openai`, `asyncio`, …"""
    file = function[0]
    if file.startswith(str(ROOT / "app")):
        parts = Path(file).relative_to(ROOT).with_suffix("").parts
        deep = 3 if parts[1] == "adapters" else 2
        return ".".join(parts[:deep])
    found = _PACKAGE.search(file)
    return found[1] or found[2] if found else "python"


@dataclass(frozen=True)
class Spent:
    """Seconds in a function's own code, on behalf of `caller` where it is one of C."""

    package: str
    name: str
    seconds: float
    calls: int


def spent(stats: Stats) -> Iterator[Spent]:
    for function, (_, calls, own, _, callers) in stats.items():
        file, line, name = function
        if any(word in name for word in _WAITING):
            continue
        if file != "~":
            shown = f"{Path(file).parent.name}/{Path(file).name}:{line} {name}"
            yield Spent(package(function), shown, own, calls)
            continue
        group = next((group for word, group in _OWN_LINE.items() if word in name), None)
        if not callers:
            yield Spent(group or "python", name, own, calls)
        for caller, (caller_calls, _, seconds, _) in callers.items():
            shown = name if group else f"{name} from {caller[2]}"
            yield Spent(group or package(caller), shown, seconds, caller_calls)


def table(rows: list[Spent], cpu_us: float, turns: int, top: int) -> str:
    """`cpu_us`: what a turn really takes, shared out as the profile says."""
    whole = sum(row.seconds for row in rows) or 1.0
    packages: defaultdict[str, float] = defaultdict(float)
    functions: defaultdict[str, float] = defaultdict(float)
    calls: Counter[str] = Counter()
    for row in rows:
        name = f"{row.package}: {row.name}"
        packages[row.package] += row.seconds / whole
        functions[name] += row.seconds / whole
        calls[name] += row.calls
    lines = [f"  {'µs/turn':>8} {'share':>6}  package"]
    for name, share in most(packages, 30):
        lines.append(f"  {cpu_us * share:8.0f} {share:6.1%}  {name}")
    lines.append(f"  {'µs/turn':>8} {'share':>6} {'calls/turn':>10}  function")
    for name, share in most(functions, top):
        lines.append(f"  {cpu_us * share:8.0f} {share:6.1%} {calls[name] / turns:10.1f}  {name}")
    return "\n".join(lines)


def most(shares: Mapping[str, float], count: int) -> list[tuple[str, float]]:
    return sorted(shares.items(), key=lambda item: -item[1])[:count]


@dataclass(frozen=True)
class Cost:
    """Microseconds of CPU a turn."""

    main: float
    others: float


async def measure(service: Target, turns: int) -> Cost:
    process = service.process
    main, whole = process.main_cpu(), process.cpu()
    done = await play(service, turns, AT_ONCE)
    main, whole = process.main_cpu() - main, process.cpu() - whole
    check(service, done)
    return Cost(main / turns * 1e6, (whole - main) / turns * 1e6)


async def traced(service: Target, turns: int, file: Path) -> list[Stats]:
    os.kill(service.process.pid, signal.SIGUSR1)
    await play(service, turns, AT_ONCE)
    os.kill(service.process.pid, signal.SIGUSR2)
    return await asyncio.to_thread(written, service, file)


def written(service: Target, file: Path) -> list[Stats]:
    until = time.monotonic() + 10
    while not file.exists():
        if time.monotonic() > until:
            raise Failed(f"no profile was written:\n{service.process.last_words()}")
        time.sleep(0.05)
    found: list[Stats] = marshal.loads(file.read_bytes())
    return found


def warm_up(workbench: Workbench, service: Target, load: str) -> None:
    workbench.upstreams.set_pace(LOADS["burst"])
    uvloop.run(play(service, WARM_UP, AT_ONCE))
    workbench.upstreams.set_pace(LOADS[load])


def report(workbench: Workbench, load: str, turns: int, top: int) -> None:
    with workbench.service(f"service {load}") as service:
        warm_up(workbench, service, load)
        cost = uvloop.run(measure(service, turns))
    file = workbench.directory / f"{load}.profile"
    command = [sys.executable, "-m", "bench.traced", str(file), "serve"]
    with workbench.service(f"traced {load}", command=command) as service:
        warm_up(workbench, service, load)
        main, *others = uvloop.run(traced(service, turns, file))
    print(f"\n{load}, {AT_ONCE} streams: main thread {cost.main:.0f} µs CPU a turn")
    print(table(list(spent(main)), cost.main, turns, top))
    print(f"\n{load}, {AT_ONCE} streams: other threads {cost.others:.0f} µs CPU a turn")
    rows = [row for stats in others for row in spent(stats)]
    print(table(rows, cost.others, turns, top // 2), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, help="of each load, instead of 256 and 64")
    parser.add_argument("--top", type=int, default=40, help="functions to show")
    parser.add_argument("--only", choices=LOADS, help="one load instead of both")
    options = parser.parse_args()
    many_files()
    pin(0, CLIENT_CORE)
    try:
        with running_workbench() as workbench:
            for load in [options.only] if options.only else LOADS:
                report(workbench, load, options.turns or TURNS[load], options.top)
    except Failed as failed:
        raise SystemExit(str(failed)) from None


if __name__ == "__main__":
    main()
