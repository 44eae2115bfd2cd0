"""What an answer from the cache costs beside one that the model gives, both over HTTP."""

from __future__ import annotations

import asyncio
import json
from statistics import median
from typing import Any, Final

from bench.client import Target
from bench.harness import SETTLE_SECONDS, Harness
from bench.model import Pace
from bench.processes import Failed
from bench.table import Row
from bench.wire import content_length

PACE: Final = Pace(gap=0.002, field="content")
AT_ONCE: Final = 8
_SETTINGS: Final = {"LIMIT_TEXT_PER_MINUTE": "1000000"}
_BODY: Final[dict[str, Any]] = {
    "type": "backstory",
    "theme": {"genre": "high fantasy", "tone": "heroic", "style": "epic"},
    "model": {"temperature": 0.8, "max_tokens": 1_000},
}


def known_rows(harness: Harness) -> list[Row]:
    """Each of the hits between two measurements of misses."""
    misses, hits = (2, 8) if harness.quick else (48, 4_000)
    with harness.service_of("service", _SETTINGS) as target:
        harness.set_pace(PACE)
        costs = {"miss": list[float](), "hit": list[float]()}
        for number in range(harness.rounds + 1):
            costs["miss"].append(harness.run(_cost(target, number * misses, misses)))
            costs["hit"].append(harness.run(_cost(target, 0, hits, same=True)))
    miss, hit = (median(found[1:]) for found in costs.values())
    ratio = hit / miss
    return [
        Row(
            "CPU of content from the cache \u00f7 from the model, over HTTP",
            "",
            ratio,
            target="\u2264 0.02",
            met=ratio <= 0.02,
            note=f"{hit * 1e6:.0f} and {miss * 1e6:.0f} \u00b5s",
        )
    ]


async def _cost(target: Target, first: int, count: int, *, same: bool = False) -> float:
    """Seconds of the server's CPU for one answer."""
    numbers = iter([first] * count if same else range(first, first + count))
    if same:
        await _ask(target, iter([first]), b"")
    before, cache = target.process.cpu(), b"hit" if same else b"miss"
    players = 1 if same else AT_ONCE
    await asyncio.gather(*(_ask(target, numbers, cache) for _ in range(players)))
    await asyncio.sleep(SETTLE_SECONDS)
    return (target.process.cpu() - before) / count


async def _ask(target: Target, numbers: Any, cache: bytes) -> None:
    """One request after another on a connection of its own; each must say what it was."""
    reader, writer = await asyncio.open_connection("127.0.0.1", target.process.port)
    for number in numbers:
        writer.write(_request(number))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(content_length(head))
        if not head.startswith(b"http/1.1 200") or b"x-cache: " + cache not in head:
            raise Failed(f"not a {cache.decode()}: {head.decode()}\n{target.process.last_words()}")
    writer.close()


def _request(number: int) -> bytes:
    about = {"character_class": "Paladin", "character_level": 5, "background": f"Noble {number}"}
    body = json.dumps({**_BODY, "character_context": about}).encode()
    head = (
        "POST /api/v2/text/character HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
