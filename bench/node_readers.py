"""Readers on another node than the one that runs the turn, and the memory that streams take."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any, Final

from bench.client import Target
from bench.databases import redis_ceiling
from bench.harness import quantile
from bench.measures import PACED, idle_stream
from bench.node_bench import Bench, Line
from bench.stamped import StampedReader, delays_ms, stamped

RESUMES: Final = 4  # of each turn
_SEED: Final = 1
Sample = Callable[[Target, Target, int], Coroutine[Any, Any, list[float]]]


def remote_readers(bench: Bench) -> list[Line]:
    delays = _samples(bench, _followed)
    name = f"added delay of a reader on another node, {len(delays):,} events"
    return [
        Line(f"{name}, p50", quantile(delays, 0.5), "ms", most=40),
        Line(f"{name}, p99", quantile(delays, 0.99), "ms", most=90),
    ]


def _samples(bench: Bench, sample: Sample) -> list[float]:
    """Of all rounds, between the two nodes."""
    here, there = (bench.harness.server(name) for name in ("postgres", "second"))
    bench.harness.set_pace(PACED)
    rounds = range(bench.harness.rounds)
    found = [one for _ in rounds for one in bench.harness.run(sample(here, there, bench.turns))]
    bench.harness.note_writes()
    return found


async def _followed(here: Target, there: Target, turns: int) -> list[float]:
    found = await asyncio.gather(*(_follow(here, there, number) for number in range(turns)))
    return [delay for delays in found for delay in delays]


async def _follow(here: Target, there: Target, number: int) -> list[float]:
    async with asyncio.timeout(120):
        near = await stamped(here, here.play(number))
        await near.first
        far = await stamped(there, there.watch(near.turn_id))
        await asyncio.gather(near.over, far.over)
    near.close()
    far.close()
    return delays_ms(near, far)


def resumed(bench: Bench) -> list[Line]:
    waits = _samples(bench, _resumed)
    name = f"from the request to the first missing event on another node, {len(waits):,} resumes"
    note = f"p50 {quantile(waits, 0.5):.1f} ms"
    return [Line(f"{name}, p95", quantile(waits, 0.95), "ms", most=80, note=note)]


async def _resumed(here: Target, there: Target, turns: int) -> list[float]:
    draw = random.Random(_SEED)
    readers = [await stamped(here, here.play(number)) for number in range(turns)]
    waits = []
    async with asyncio.timeout(120):
        for near in readers:
            await near.first
        for _ in range(RESUMES):
            for near in readers:
                await asyncio.sleep(draw.uniform(0, 0.02))
                if not near.over.done():
                    waits.append(await _resume(there, near, draw))
        await asyncio.gather(*(near.over for near in readers))
    for near in readers:
        near.close()
    return waits


async def _resume(there: Target, near: StampedReader, draw: random.Random) -> float:
    """Milliseconds, the connection included. The reader has lost the last few events."""
    loop = asyncio.get_running_loop()
    seen = max(near.last - draw.randint(1, 20), 0)
    began = loop.time()
    far = await stamped(there, there.watch(near.turn_id, seen))
    await far.first
    waited = loop.time() - began
    far.close()
    return waited * 1000


# -- memory ---------------------------------------------------------------------------------------


def memory(bench: Bench) -> list[Line]:
    each = idle_stream(bench.harness, "postgres")
    return [Line("memory of an idle open stream", each, "KiB", key="stream_kib")]


def redis_memory(bench: Bench) -> list[Line]:
    """Of turns that have just been generated, whose streams are still there."""
    target = bench.harness.server("redis")
    bench.harness.set_pace(PACED)
    turns = bench.turns
    held = bench.harness.run(_held_in_redis(bench, target, turns))
    bench.harness.note_writes()
    each = held / turns / 1024
    ceiling = redis_ceiling(bench.redis.port, 0.1 if bench.harness.quick else 2)
    name = "commands of Redis as flushes send them"
    return [
        Line("Redis memory of a running turn at its end", each, "KiB", key="redis_kib"),
        Line(name, ceiling, "a second", key="redis_commands"),
    ]


async def _held_in_redis(bench: Bench, target: Target, turns: int) -> int:
    before = bench.redis.used_memory
    readers = [await stamped(target, target.play(number)) for number in range(turns)]
    async with asyncio.timeout(120):
        await asyncio.gather(*(reader.over for reader in readers))
    held = bench.redis.used_memory
    for reader in readers:
        reader.close()
    return held - before
