"""What the journal costs: the same service with its SQLite store and with one that does nothing.

    python -m bench.journal [--turns 400] [--rounds 3]

Both run in this process on canned upstreams that answer at once: a model that streams its tokens,
one a read, and a journey-log that takes every write; each turn has all four. CPU is the process's
own, threads included. Rounds are interleaved; medians are printed, and their ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
import uuid
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.adapters.store.sqlite.store import SqliteTurnStore
from app.bootstrap import Builder, load_settings
from app.core.context import CharacterProgress, Context, Place, PlayerState
from app.core.results import Usage
from app.core.writes import PlannedWrite
from app.ports.call import CallMeta
from app.ports.clock import Clock
from app.ports.journey_log import Landed, WriteResult
from app.ports.model import LanguageModel, ModelEnd, ModelRequest, OnDelta
from app.ports.store import Admitted, Claim, Kept, TurnRequest, Verdict
from app.telemetry.logs import configure_logging
from app.turns.executor import TurnExecutor
from app.turns.service import TurnService

from bench.outcome import TURN


class CannedModel:
    name = api = "canned"

    async def stream(self, request: ModelRequest, on_delta: OnDelta) -> ModelEnd:
        for delta in TURN.tokens:
            on_delta([delta])
        return ModelEnd(Usage(model="canned", total_tokens=1), "canned")

    async def complete(self, request: ModelRequest) -> tuple[str, ModelEnd]:
        return TURN.text, ModelEnd(None, "canned")

    async def available(self) -> bool:
        return True

    async def aclose(self) -> None:
        return


class CannedJourneyLog:
    async def context(self, user_id: str, character_id: str, meta: CallMeta) -> Context:
        return Context(character_id=character_id, player_state=PlayerState())

    async def sparks(self, user_id: str, character_id: str, meta: CallMeta) -> list[Place]:
        return []

    async def write(
        self, user_id: str, character_id: str, write: PlannedWrite, meta: CallMeta
    ) -> WriteResult:
        return WriteResult("done", 200)

    async def landed(self, *_: object) -> Landed:
        return "no"

    async def available(self) -> bool:
        return True

    async def aclose(self) -> None:
        return


class NoStore(SqliteTurnStore):
    """Says yes to everything and keeps nothing."""

    async def admit(self, turn_id: str, *_: object, **__: object) -> Admitted:
        durable = asyncio.get_running_loop().create_future()
        durable.set_result(None)
        return Admitted(Claim(turn_id, 1), CharacterProgress(), durable)

    async def validate(self, *_: object) -> Verdict:
        return Verdict.STORED

    async def step(self, *_: object) -> Kept:
        return Verdict.STORED

    async def finish(self, *_: object) -> Verdict:
        return Verdict.STORED

    async def knows_place(self, *_: object) -> bool:
        return False


class BenchBuilder(Builder):
    def __init__(self, folder: Path, kind: type[SqliteTurnStore]) -> None:
        settings = load_settings(
            _env_file=None,
            store_url=f"sqlite:///{folder}/store.db",
            quest_trigger_prob=1,
            poi_trigger_prob=1,
            max_turns_per_character_per_second=100,
            max_concurrent_llm_calls=10_000,
        )
        super().__init__(settings, Clock())
        self._kind = kind

    def store(self) -> SqliteTurnStore:
        store = self._kind(self._settings.store_path, time.time)
        store.open()
        return store

    def journey_log(self) -> Any:
        return CannedJourneyLog()

    def models(self) -> list[LanguageModel]:
        return [CannedModel()]


@dataclass(frozen=True)
class Figures:
    """Microseconds of CPU a turn; milliseconds of latency."""

    cpu_us: float
    p50_ms: float
    p99_ms: float


async def _measure(turns: TurnService, count: int, at_once: int) -> Figures:
    latencies: list[float] = []
    free = asyncio.Semaphore(at_once)

    async def one() -> None:
        async with free:
            request = TurnRequest(str(uuid.uuid4()), "I listen.", "bench", "bench")
            began = time.perf_counter()
            turn = await turns.start(request)
            if turn.running is not None:
                await turn.running.wait_ended()
            latencies.append((time.perf_counter() - began) * 1000)

    cpu = time.process_time()
    await asyncio.gather(*(one() for _ in range(count)))
    spent = (time.process_time() - cpu) / count * 1e6
    ranked = sorted(latencies)
    return Figures(spent, statistics.median(ranked), ranked[int(len(ranked) * 0.99)])


def _round(kind: type[SqliteTurnStore], count: int, at_once: int) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        application = BenchBuilder(Path(folder), kind).build()

        async def run() -> Figures:
            await _measure(application.services.get(TurnService), 30, at_once)
            return await _measure(application.services.get(TurnService), count, at_once)

        store = application.services.get(TurnExecutor)._store
        assert isinstance(store, SqliteTurnStore)
        with closing(store._engine):
            return asyncio.run(run())


def _median(rounds: Sequence[Figures]) -> Figures:
    return Figures(
        *(
            statistics.median(getattr(figures, name) for figures in rounds)
            for name in ("cpu_us", "p50_ms", "p99_ms")
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    configure_logging(level="ERROR", json=True, service="bench", environment="bench")
    print("at once   store    CPU µs/turn   p50 ms   p99 ms")
    for at_once in (1, 32):
        measured: dict[str, list[Figures]] = {"sqlite": [], "none": []}
        for _ in range(options.rounds):
            measured["sqlite"].append(_round(SqliteTurnStore, options.turns, at_once))
            measured["none"].append(_round(NoStore, options.turns, at_once))
        medians = {name: _median(rounds) for name, rounds in measured.items()}
        for name, row in medians.items():
            print(
                f"{at_once:7}   {name:6}   {row.cpu_us:11.0f}   {row.p50_ms:6.2f}   {row.p99_ms:6.2f}"
            )
        extra = medians["sqlite"].cpu_us - medians["none"].cpu_us
        ratio = medians["sqlite"].cpu_us / medians["none"].cpu_us
        print(f"          the journal: {extra:.0f} µs CPU a turn, {ratio:.2f} of a turn without it")


if __name__ == "__main__":
    main()
