"""Proof under load: many open streams, and ten times as many new turns as there is room for.

    make overload            or: python -m bench.overload --seconds 60 --streams 1000

The real server under AUTH_MODE=jwt, a paced model and a journey-log on loopback. When all streams are
open, turns are asked for at ten times the rate at which places become free. What is printed, and
written to bench/results-overload.json: time to first token of turns that were let in, unloaded and
loaded; how fast the others were refused; the server's memory. `added` is what is left of the time
to first token without the model's own.

`--bound streams`: MAX_STREAMS is what runs out; `--bound slots`: MAX_CONCURRENT_LLM_CALLS.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import uvloop

from bench.client import Crowd, Target, Turn
from bench.harness import progress, quantile
from bench.model import Pace
from bench.processes import CLIENT_CORE, ROOT, Failed, many_files, pin
from bench.servers import GUARDED, running_workbench

RESULTS = ROOT / "bench" / "results-overload.json"
UNLOADED = 40
UNLOADED_SECONDS = 6.0


def settings(options: argparse.Namespace) -> dict[str, str]:
    streams, spare = options.streams, 10 * options.streams
    return {
        **GUARDED,
        "MAX_STREAMS": str(streams if options.bound == "streams" else spare),
        "MAX_STREAMS_PER_CLIENT": str(spare),
        "MAX_CONCURRENT_LLM_CALLS": str(streams),
        "MAX_LOOP_LAG_SECONDS": "",  # the default: to refuse in time is what is looked at
        "QUEST_TRIGGER_PROB": "0",
        "POI_TRIGGER_PROB": "0",
    }


# -- the proof ------------------------------------------------------------------------------------


def quantiles(seconds: Iterable[float], less: float = 0.0) -> dict[str, float]:
    """Milliseconds."""
    values = list(seconds)
    at = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    return {name: round((quantile(values, part) - less) * 1000, 1) for name, part in at.items()}


def first_tokens(turns: Sequence[Turn]) -> list[float]:
    return [turn.first for turn in turns if turn.tokens]


def staggered(options: argparse.Namespace) -> list[float]:
    """Lengths of the first stories, such that they end at an even pace from the overload's start."""
    step = options.long / options.streams
    opened = options.fill / options.streams
    return [options.fill + number * (step - opened) + 1 for number in range(options.streams)]


@dataclass
class Phases:
    """The players of each phase."""

    unloaded: Sequence[Turn] = ()
    filling: Sequence[Turn] = ()
    loaded: Sequence[Turn] = ()

    def report(self, options: argparse.Namespace) -> dict[str, Any]:
        percentiles = {name: quantiles(first_tokens(turns)) for name, turns in vars(self).items()}
        added = {
            f"{name}_added": quantiles(first_tokens(turns), options.first)
            for name, turns in (("unloaded", self.unloaded), ("loaded", self.loaded))
        }
        refused = [turn for turn in self.loaded if turn.status != 200]
        let_in = [turn for turn in (*self.filling, *self.loaded) if turn.status == 200]
        return {
            "first_token_ms": {"model": options.first * 1000, **percentiles, **added},
            "open_before_load": sum(turn.status == 200 for turn in self.filling),
            "let_in": len(self.loaded) - len(refused),
            "refused": dict(Counter(str(turn.status) for turn in refused)),
            "refusal_ms": quantiles(turn.ended for turn in refused),
            "endings": dict(Counter(turn.ending for turn in let_in)),
        }


async def late(lags: list[float]) -> None:
    """How late this very client is: what it adds to the times it measures."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + 0.01
        await asyncio.sleep(0.01)
        lags.append(loop.time() - due)


async def prove(options: argparse.Namespace, target: Target) -> dict[str, Any]:
    crowd, process, phases = Crowd(target), target.process, Phases()
    rate, lags = options.streams / options.long, list[float]()

    def requests(lengths: Sequence[float]) -> list[bytes]:
        return [
            target.play(number, f"Tell me a story for {seconds:.1f} s.")
            for number, seconds in enumerate(lengths)
        ]

    progress("unloaded")
    await crowd.come(requests([0] * 3))  # connections, caches
    await crowd.over(30)
    phases.unloaded = await crowd.come(requests([0] * UNLOADED), UNLOADED_SECONDS)
    await crowd.over(30)
    rss = {"idle": process.rss()}
    progress(f"opening {options.streams} streams")
    phases.filling = await crowd.come(requests(staggered(options)), options.fill)
    await crowd.heard(60)
    rss["streams_open"], cpu, began = process.rss(), process.cpu(), time.monotonic()
    offered = options.times * rate
    progress(f"{offered:.0f} turns a second where there is room for {rate:.0f}")
    watch = asyncio.create_task(late(lags))
    coming = requests([options.long] * int(offered * options.seconds))
    phases.loaded = await crowd.come(coming, options.seconds)
    share = (process.cpu() - cpu) / (time.monotonic() - began)
    watch.cancel()
    rss["under_load"] = process.rss()
    progress("to the end of all stories")
    await crowd.over(options.long * 2 + 60)
    rss["after"] = process.rss()
    return {
        "bound": options.bound,
        "streams": options.streams,
        "room_per_second": round(rate, 2),
        "offered_per_second": round(offered, 2),
        "seconds": options.seconds,
        **phases.report(options),
        "server_cpu_share": round(share, 2),
        "client_lag_ms": quantiles(lags),
        "rss_mib": {name: round(size / 2**20, 1) for name, size in rss.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="of overload")
    parser.add_argument("--streams", type=int, default=1_000)
    parser.add_argument("--bound", choices=("streams", "slots"), default="streams")
    parser.add_argument("--times", type=float, default=10.0, help="what there is room for")
    parser.add_argument("--fill", type=float, default=20.0, help="seconds to open them in")
    parser.add_argument("--long", type=float, default=50.0, help="seconds a story takes")
    parser.add_argument("--first", type=float, default=0.3, help="the model's own first token")
    parser.add_argument("--pace", type=float, default=0.5, help="seconds between deltas")
    options = parser.parse_args()
    many_files()
    pin(0, CLIENT_CORE)
    with running_workbench() as workbench, workbench.service(settings=settings(options)) as target:
        workbench.upstreams.set_pace(Pace(first=options.first, gap=options.pace, asked=True))
        try:
            found = uvloop.run(prove(options, target))
        except Failed as failed:
            raise SystemExit(str(failed)) from None
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
