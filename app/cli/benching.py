"""A short load run against a running server."""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from app.cli.helping import Help, count, span
from app.cli.output import complain, waiting
from app.cli.remote import address_of, token_of
from app.client import Client, Refused, Unreachable
from app.core.quantiles import quantile
from app.core.wire import TurnEvent
from app.settings import SharedSettings

HELP: Final = Help(
    "measure a running server with players who take turns",
    "Let so many players take so many turns each on a running server, all at once, and print turns per "
    "second, the time to the first token, the gaps between tokens, and what was refused. These are real "
    "turns: the server's model is asked for each, and the characters stay; `dungeon-master forget` erases "
    "them with their user. To measure the service without a model, start one with "
    "STORYTELLER_TOKENS_PER_SECOND=0. Exit code 1: a turn was not completed.",
    "dungeon-master bench --players 20 --turns 3",
)
PATIENCE: Final = 2.0  # seconds; a refusal is a figure, not something to wait for
ACTION: Final = "I go on and look around."
Tick = Callable[[], float]


@dataclass
class Turn:
    """One turn as a player saw it; times in seconds since its request. `end`: the type of its last
    event, or of the error in its place."""

    first: float | None = None
    gaps: list[float] = field(default_factory=list)
    took: float = 0.0
    end: str = "no end"


def add_options(command: argparse.ArgumentParser) -> None:
    """Those that no other command has."""
    command.add_argument("--players", type=count, default=8, help="at once (default 8)")
    command.add_argument("--turns", type=count, default=3, help="of each player (default 3)")
    command.add_argument(
        "--every", type=span, default=1.0, help="from one turn of a player to the next (default 1s)"
    )
    command.add_argument("--json", action="store_true", help="print JSON")


def run(settings: SharedSettings, options: argparse.Namespace) -> int:
    """0 where every turn was completed."""
    url = address_of(settings, options)
    name = options.user or "bench"
    try:
        with waiting(f"{options.players} players take {options.turns} turns each"):
            turns, seconds = asyncio.run(_measured(url, name, options))
    except (Refused, Unreachable) as error:
        complain(str(error))
        return 1
    found = figures(turns, seconds)
    print(json.dumps(found, indent=2) if options.json else shown(found))
    return 0 if set(found["turns"]) == {"complete"} else 1


async def _measured(url: str, name: str, options: argparse.Namespace) -> tuple[list[Turn], float]:
    """All turns, and how long they took together."""
    async with _service(url, name) as service:
        ids = [await _character(service) for _ in range(options.players)]
        began = time.perf_counter()
        taken = await asyncio.gather(*(_play(service, one, options) for one in ids))
        return [turn for of_player in taken for turn in of_player], time.perf_counter() - began


@asynccontextmanager
async def _service(url: str, name: str) -> AsyncIterator[Client]:
    async with Client(url, token=token_of(), user=name, patience=PATIENCE) as service:
        yield service


async def _character(service: Client) -> str:
    """Also where a user may make only so many at a time."""
    while True:
        try:
            made = await service.create_character(
                f"Bench {secrets.token_hex(4)}", "human", "ranger"
            )
            return str(made["character_id"])
        except Refused as refused:
            if refused.type != "rate_limit_exceeded":
                raise
            await asyncio.sleep(refused.retry_after or 1)


async def _play(service: Client, character_id: str, options: argparse.Namespace) -> list[Turn]:
    """A player's turns one after another. Their pace keeps them below the limit of one character."""
    turns: list[Turn] = []
    for _ in range(options.turns):
        turns.append(await take(service, character_id, time.perf_counter))
        if len(turns) < options.turns:
            await asyncio.sleep(max(0.0, options.every - turns[-1].took))
    return turns


async def take(service: Client, character_id: str, tick: Tick) -> Turn:
    """One turn, measured by `tick` in seconds."""
    turn, began, latest = Turn(), tick(), 0.0
    try:
        async for event in service.turn(character_id, ACTION):
            if event["type"] == "token":
                now = tick() - began
                if turn.first is None:
                    turn.first = now
                else:
                    turn.gaps.append(now - latest)
                latest = now
            turn.end = _end_of(event, turn.end)
    except Refused as error:
        turn.end = error.type
    except Unreachable:
        turn.end = "unreachable"
    turn.took = tick() - began
    return turn


def _end_of(event: TurnEvent, otherwise: str) -> str:
    if event["type"] == "error":
        return str(event["error_type"])
    return event["type"] if event["type"] in ("complete", "cancelled") else otherwise


def figures(turns: Sequence[Turn], seconds: float) -> dict[str, Any]:
    """Turns by their ends, rates per second, and quantiles in milliseconds."""
    tokens = sum(len(turn.gaps) + 1 for turn in turns if turn.first is not None)
    return {
        "turns": dict(Counter(turn.end for turn in turns)),
        "seconds": round(seconds, 3),
        "turns_per_second": round(len(turns) / seconds, 2),
        "tokens_per_second": round(tokens / seconds, 1),
        "first_token_ms": _quantiles([t.first for t in turns if t.first is not None]),
        "gap_ms": _quantiles([gap for turn in turns for gap in turn.gaps]),
        "turn_ms": _quantiles([turn.took for turn in turns]),
    }


def _quantiles(seconds: Sequence[float]) -> dict[str, float]:
    at = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {name: round(quantile(seconds, part) * 1000, 2) for name, part in at.items()}


def shown(found: dict[str, Any]) -> str:
    """The figures as lines."""
    ends = ", ".join(f"{number} {end}" for end, number in sorted(found["turns"].items()))
    lines = [
        f"{ends} in {found['seconds']} s",
        f"{found['turns_per_second']} turns and {found['tokens_per_second']} tokens per second",
    ]
    names = {
        "first_token_ms": "first token",
        "gap_ms": "gap between tokens",
        "turn_ms": "whole turn",
    }
    for key, name in names.items():
        values = "  ".join(f"{part} {value:g}" for part, value in found[key].items())
        lines.append(f"{name:20} {values}  ms")
    return "\n".join(lines)
