"""What is measured, each with its target. A measurement takes the harness and gives rows."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Final, TypeVar

from bench.client import Crowd, Target, Turn, connect, in_time
from bench.growth import chats, flat
from bench.harness import SETTLE_SECONDS, Cell, Harness, Sample, Samples, check, progress, quantile
from bench.known import known_rows
from bench.model import Pace
from bench.table import Failure, Row
from bench.tokens import tokens_rows

T = TypeVar("T")

PACED: Final = Pace()
BURST: Final = Pace(each=0)
PACED_32: Final = Cell(PACED, 32, 32)
PACED_256: Final = Cell(PACED, 256, 256)
BURST_32: Final = Cell(BURST, 512, 32, warm_up=32, floor_turns=96)
FIRST_TOKEN: Final = Cell(Pace(tokens=271, each=16), 80, 1, warm_up=8)
TURN_SECONDS: Final = 469 * PACED.gap
ALL: Final = ("floor", "limit", "service")
PEERS: Final = ("limit", "service")


def small(harness: Harness, cell: Cell) -> Cell:
    """The cell itself, or next to nothing of it in a quick run."""
    if not harness.quick:
        return cell
    few = min(cell.at_once, 4)
    return replace(cell, turns=few, at_once=few, warm_up=0, ramp=0.0, floor_turns=None)


def _cpu_per_token(sample: Sample) -> float:
    return sample.cpu_us_per_token


def _turns_per_second(sample: Sample) -> float:
    return sample.turns_per_second


# -- the price of a token -------------------------------------------------------------------------


def paced_32(harness: Harness) -> list[Row]:
    found = harness.samples(small(harness, PACED_32), ALL)
    return [
        Row.of(
            "CPU per upstream token, 32 paced streams",
            "µs",
            {name: found.median(name, _cpu_per_token) for name in ALL},
            "≤ 0.25 × floor",
            lambda f: f["service"] <= 0.25 * f["floor"],
        )
    ]


def burst_32(harness: Harness) -> list[Row]:
    found = harness.samples(small(harness, BURST_32), ALL)
    return [
        Row.of(
            "turns a second on one core, 32 streams in bursts",
            "",
            {name: found.median(name, _turns_per_second) for name in ALL},
            "≥ 12 × floor, better 15",
            lambda f: f["service"] >= 12 * f["floor"],
            _loads(found),
        )
    ]


def _loads(found: Samples) -> str:
    if not (samples := found.get("service")) or "service" in found.failed:
        return ""
    busy = median(sample.cpu / sample.wall for sample in samples)
    beside = median(sample.beside / sample.wall for sample in samples)
    return f"the service used {busy:.0%} of its core, players and upstreams {beside:.0%} of theirs"


def burst_256(harness: Harness) -> list[Row]:
    few = harness.samples(small(harness, BURST_32), PEERS)
    many = harness.samples(small(harness, Cell(BURST, 1_024, 256, warm_up=256)), PEERS)
    ratios = {
        name: _ratio(many.median(name, _turns_per_second), few.median(name, _turns_per_second))
        for name in PEERS
    }
    rate = many.median("service", _turns_per_second)
    return [
        Row.of(
            "turns a second with 256 streams ÷ with 32",
            "",
            ratios,
            "≥ 0.85",
            lambda f: f["service"] >= 0.85,
            "" if isinstance(rate, Failure) else f"{rate:.0f} turns/s",
        )
    ]


def _ratio(one: float | Failure, other: float | Failure) -> float | Failure:
    if isinstance(one, Failure) or isinstance(other, Failure):
        return one if isinstance(one, Failure) else other
    return one / other


def first_token(harness: Harness) -> list[Row]:
    """The model's own first token takes no time here: all that is left is added."""
    found = harness.samples(small(harness, FIRST_TOKEN), ALL)
    rows = []
    for name, at, better in (("p50", 0.5, 2.0), ("p99", 0.99, 2.5)):
        rows.append(
            Row.of(
                f"added time to first token, one stream, {name}",
                "ms",
                {one: found.pooled(one, lambda s: s.first_ms, at) for one in ALL},
                f"≤ floor, better {better}",
                lambda f: f["service"] <= f["floor"],
            )
        )
    return rows


# -- 256 streams ----------------------------------------------------------------------------------


def paced_256(harness: Harness) -> list[Row]:
    """All at once, and, as players do, one after another."""
    rush = replace(PACED_256, exact=True)
    flow = Cell(PACED, 512, 256, ramp=TURN_SECONDS, exact=True)
    found = {
        name: harness.samples(small(harness, cell), PEERS)
        for name, cell in (("begun together", rush), ("begun one by one", flow))
    }
    served = [sample for samples in found.values() for sample in samples.get("service", [])]
    return [*(_gaps(how, samples) for how, samples in found.items()), _exactness(served)]


def _gaps(how: str, found: Samples) -> Row:
    together = found.pooled("service", lambda sample: sample.gaps_ms, 0.99)
    return Row.of(
        f"gap between tokens 10 ms apart, 256 streams {how}, p99",
        "ms",
        {name: found.median(name, lambda s: quantile(s.gaps_ms, 0.99)) for name in PEERS},
        "≤ 15",
        lambda f: f["service"] <= 15,
        ""
        if isinstance(together, Failure)
        else f"{together:.1f} ms over all rounds together; {_loads(found)}",
    )


def _exactness(samples: Sequence[Sample]) -> Row:
    flaws = [wrong for sample in samples for wrong in sample.flaws]
    for wrong in flaws[:3]:
        progress(f"not exact: {wrong}")
    streams = sum(len(sample.turns) for sample in samples)
    return Row(
        f"of {streams:,} such streams, with an event lost or a letter wrong",
        "",
        len(flaws),
        target="0",
        met=not flaws,
    )


# -- memory ---------------------------------------------------------------------------------------


def memory(harness: Harness) -> list[Row]:
    each = {name: harness.attempt(name, partial(idle_stream, harness, name)) for name in ALL}
    return [
        Row.of(
            f"memory of an idle open stream, {_streams(harness):,} of them",
            "KiB",
            each,
            "≤ 100",
            lambda f: f["service"] <= 100,
        )
    ]


def _streams(harness: Harness) -> int:
    return 20 if harness.quick else 1_000


def idle_stream(harness: Harness, name: str) -> float:
    """KiB, on a process that has not been filled by other loads before."""
    streams = _streams(harness)
    with harness.fresh(name, f"{name} holding streams") as target:
        harness.workbench.upstreams.set_pace(Pace(each=4, gap=1.0))
        before = target.process.rss()
        held = harness.run(_held(target, streams, 0.5 if harness.quick else 4.0))
    harness.note_writes()
    return (held - before) / streams / 1024


async def _held(target: Target, streams: int, seconds: float) -> int:
    """Bytes of the process once so many streams have been open for a while."""
    crowd = Crowd(target)
    await crowd.come([target.play(number) for number in range(streams)], streams / 200)
    await crowd.heard(60)
    await asyncio.sleep(seconds)
    check(target, crowd.turns, "open")
    held = target.process.rss()
    crowd.leave()
    return held


def idle_reader(harness: Harness, name: str) -> float:
    """KiB of each further reader of one turn that goes on slowly."""
    with harness.fresh(name, f"{name} holding readers") as target:
        harness.workbench.upstreams.set_pace(Pace(each=4, gap=1.0))
        each = harness.run(_watched_by(target, _streams(harness) // 2))
    harness.note_writes()
    return each / 1024


async def _watched_by(target: Target, readers: int) -> float:
    """Bytes of each reader."""
    crowd = Crowd(target)
    await crowd.come([target.play(0)])
    await crowd.heard(60)
    request = target.watch(crowd.turns[0].turn_id)
    await crowd.come([request] * 5)  # what the first ones cause is no price of the others
    await crowd.heard(60)
    before = target.process.rss()
    await crowd.come([request] * readers, readers / 200)
    await crowd.heard(60)
    check(target, crowd.turns, "open")
    held = target.process.rss()
    crowd.leave()
    return (held - before) / readers


# -- more readers ---------------------------------------------------------------------------------


def readers(harness: Harness) -> list[Row]:
    def cost(readers: int) -> float:
        return watched_turn(harness, "service", readers)

    rows = []
    for name, count in (("second", 2), ("third", 3), ("tenth", 10)):
        each = dearer(harness, cost, count, than=1) / (count - 1)
        rows.append(
            Row(
                f"cost of each further reader of a live turn, up to the {name}",
                "% of the turn",
                each * 100,
                target="≤ 10",
                met=each <= 0.1,
            )
        )
    harness.note_writes()
    return rows


def watched_turn(harness: Harness, server: str, readers: int) -> float:
    """Seconds of CPU of a turn that so many read while it is generated."""
    target, turns = harness.server(server), 4 if harness.quick else 32
    harness.set_pace(PACED)
    return harness.run(_watched(target, turns, readers))


def dearer(harness: Harness, cost: Callable[[T], float], one: T, *, than: T) -> float:
    """By what share `one` costs more. Each time between two measurements of the other: a processor
    may change its speed within a minute."""

    def once() -> float:
        before, *between, behind = (cost(thing) for thing in (than, one, one, than))
        return sum(between) / (before + behind) - 1

    return median(once() for _ in range(harness.rounds))


async def _watched(target: Target, turns: int, readers: int) -> float:
    cpu, seen = target.process.cpu(), list[Turn]()
    async with in_time(target, seen, 60):
        await asyncio.gather(*(_watch(target, n, readers - 1, seen) for n in range(turns)))
    check(target, seen)
    await asyncio.sleep(SETTLE_SECONDS)
    return (target.process.cpu() - cpu) / turns


async def _watch(target: Target, number: int, others: int, seen: list[Turn]) -> None:
    player = await connect(target)
    turn = player.ask(target.play(number))
    await player.heard
    watching = [await connect(target) for _ in range(others)]
    seen += [turn, *(one.ask(target.watch(turn.turn_id)) for one in watching)]
    for connection in (player, *watching):
        await connection.over
        connection.close()


# -- dialects ------------------------------------------------------------------------------------

_TOKENS: Final = {
    "ag-ui": b'"TEXT_MESSAGE_CONTENT"',
    "ai-sdk": b'"text-delta"',
    "openai": b'"delta":{"content":',
}
"""What each token has in a dialect."""


def dialects(harness: Harness) -> list[Row]:
    """Beside native streams, turn by turn: what the fold costs for each token."""
    native = harness.server("service")

    def cost(dialect: str | None) -> float:
        target = native
        if dialect is not None:
            query, token = f"?dialect={dialect}", _TOKENS[dialect]
            target = replace(native, query=query, token=token, numbered=False)
        return harness.sample(small(harness, PACED_32), target).cpu_us_per_token

    rows = []
    for name in _TOKENS:
        ratio = 1 + dearer(harness, cost, name, than=None)
        row = f"CPU per upstream token in the dialect {name} ÷ natively"
        rows.append(Row(row, "", ratio, target="≤ 1.15", met=ratio <= 1.15))
    return rows


# -- long turns -----------------------------------------------------------------------------------


def long_turn(harness: Harness) -> list[Row]:
    """Pieces of one and a half characters: journey-log takes no longer narrative than this one."""
    lengths = {300: 64, 3_000: 16, 20_000: 4}
    cost: dict[int, float] = {}
    for tokens, turns in lengths.items():
        pace = Pace(tokens=tokens // 10 if harness.quick and tokens > 300 else tokens, sizes=(1, 2))
        cell = small(harness, Cell(replace(pace, gap=0.001), turns, 4))
        cost[tokens] = harness.sample(cell, harness.server("service")).cpu_us_per_token
    last = (cost[20_000] * 20_000 - cost[3_000] * 3_000) / 17_000
    ratio = cost[20_000] / cost[300]
    return [
        Row(
            "cost of a token in a turn of 20,000 ÷ in one of 300",
            "",
            ratio,
            target="≤ 1.2",
            met=ratio <= 1.2,
            note=f"{cost[300]:.0f}, {cost[3_000]:.0f} and {cost[20_000]:.0f} µs a token in turns of"
            f" 300, 3,000 and 20,000; {last:.0f} µs a token between 3,000 and 20,000",
        )
    ]


# -- a slow disk ----------------------------------------------------------------------------------


def slow_disk(harness: Harness) -> list[Row]:
    rate, seconds = 50, 1 if harness.quick else 15
    command = (sys.executable, "-m", "bench.slow_disk", "0.005", "serve")
    with harness.fresh("service", "service on a slow disk", command) as target:
        harness.set_pace(BURST)
        turns = harness.run(_offered(target, rate * seconds, seconds))
        check(target, turns)
    harness.note_writes()
    ends = [turn.began + turn.ended for turn in turns]
    served = (len(turns) - 1) / (max(ends) - min(ends))
    return [
        Row(
            f"turns a second for {seconds} s when an fsync takes 5 ms and {rate} are asked for",
            "",
            served,
            target=f"{rate}",
            met=served >= 0.98 * rate,
            note=f"a turn takes {quantile([turn.ended for turn in turns], 0.5) * 1000:.0f} ms, "
            f"p99 {quantile([turn.ended for turn in turns], 0.99) * 1000:.0f} ms",
        )
    ]


async def _offered(target: Target, turns: int, seconds: float) -> list[Turn]:
    crowd = Crowd(target)
    await crowd.come([target.play(number) for number in range(turns)], seconds)
    await crowd.over(30)
    return crowd.turns


# -- guards ---------------------------------------------------------------------------------------


def guards(harness: Harness) -> list[Row]:
    cell = small(harness, Cell(BURST, 384, 32, 32))
    servers = {name: harness.server(name) for name in ("service", "guarded")}
    costs: dict[str, list[float]] = {name: [] for name in servers}

    def cost(name: str) -> float:
        costs[name].append(harness.sample(cell, servers[name]).cpu_us_per_turn)
        return costs[name][-1]

    more = dearer(harness, cost, "guarded", than="service")
    off, on = map(median, costs.values())
    return [
        Row(
            "CPU of a turn with tokens and limits more than without",
            "%",
            more * 100,
            target="≤ 5",
            met=more <= 0.05,
            note=f"{off:.0f} and {on:.0f} µs",
        )
    ]


def order(harness: Harness) -> list[Row]:
    """Of everything that was measured before."""
    harness.note_writes()
    wrong = harness.writes["out_of_order"]
    total = sum(harness.writes.values()) - wrong
    return [
        Row(f"of {total:,} writes, out of order or twice", "", wrong, target="0", met=not wrong)
    ]


MEASUREMENTS: Final[dict[str, Callable[[Harness], list[Row]]]] = {
    "paced:32": paced_32,
    "burst:32": burst_32,
    "burst:256": burst_256,
    "ttft:1": first_token,
    "paced:256": paced_256,
    "memory": memory,
    "readers": readers,
    "dialects": dialects,
    "long": long_turn,
    "fsync": slow_disk,
    "flat": flat,
    "chats": chats,
    "guards": guards,
    "tokens": tokens_rows,
    "known": known_rows,
    "order": order,
}
