"""LoadShedder on servers side by side: the same cell on each of them in turn, round by round."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import uvloop

from bench.client import Stuck, Target, Turn, play
from bench.exact import flaw
from bench.model import Pace
from bench.outcome import TURN
from bench.processes import Process
from bench.servers import GUARDED, SERVE, House

T = TypeVar("T")

WARM_UP, WARM_UP_AT_ONCE = 64, 16
SETTLE_SECONDS = 0.3  # for what a server still does behind the last byte


@dataclass(frozen=True)
class Cell:
    """`turns` at the concurrency `at_once`, reached within `ramp` seconds; `warm_up`: turns before,
    for connections. `floor_turns`: as many are enough of the floor. `exact`: each stream of the
    service is compared with what was to be told."""

    pace: Pace
    turns: int
    at_once: int
    warm_up: int = 0
    ramp: float = 0.0
    floor_turns: int | None = None
    exact: bool = False

    def on(self, server: str) -> Cell:
        return replace(self, turns=self.floor_turns or self.turns) if server == "floor" else self


@dataclass(frozen=True)
class Sample:
    """One cell on one server: seconds of its CPU, of that of players and upstreams, of time."""

    cpu: float
    beside: float
    wall: float
    tokens: int
    turns: list[Turn]
    flaws: tuple[str, ...] = ()

    @property
    def cpu_us_per_turn(self) -> float:
        return self.cpu / len(self.turns) * 1e6

    @property
    def cpu_us_per_token(self) -> float:
        return self.cpu_us_per_turn / self.tokens

    @property
    def turns_per_second(self) -> float:
        return len(self.turns) / self.wall

    @property
    def first_ms(self) -> list[float]:
        return [turn.first * 1000 for turn in self.turns]

    @property
    def gaps_ms(self) -> list[float]:
        return [gap * 1000 for turn in self.turns for gap in turn.gaps]


class Samples(dict[str, list[Sample]]):
    """By server, one for each round."""

    def median(self, server: str, figure: Callable[[Sample], float]) -> float:
        return statistics.median(figure(sample) for sample in self[server])

    def pooled(self, server: str, figure: Callable[[Sample], list[float]], at: float) -> float:
        """The quantile over all rounds together."""
        return quantile([value for sample in self[server] for value in figure(sample)], at)


def quantile(values: Sequence[float], at: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(at * len(ordered)), len(ordered) - 1)] if ordered else 0.0


class Lab:
    """`quick` makes everything small: it shows that the bench works, and measures nothing."""

    def __init__(self, home: House, stack: ExitStack, rounds: int, *, quick: bool = False) -> None:
        self.home = home
        self._stack = stack
        self.rounds = rounds
        self.quick = quick
        self.writes: Counter[str] = Counter()
        """What journey-log was sent in all; see `JourneyLog.summary`."""
        self._running: dict[str, Target] = {}
        self._known: dict[Cell, Samples] = {}

    # -- servers ----------------------------------------------------------------------------------

    def server(self, name: str) -> Target:
        """The one that is shared by all measurements: floor, limit, service or guarded."""
        if name not in self._running:
            self._running[name] = self._stack.enter_context(self.fresh(name, name))
        return self._running[name]

    @contextmanager
    def fresh(self, kind: str, name: str, command: Sequence[str] = SERVE) -> Iterator[Target]:
        """One that was not there before, warmed up."""
        with self._started(kind, name, command) as target:
            self.tell(Pace(each=0))
            self.run(play(target, 8 if self.quick else WARM_UP, WARM_UP_AT_ONCE))
            self.note_writes()
            yield target

    def _started(
        self, kind: str, name: str, command: Sequence[str]
    ) -> AbstractContextManager[Target]:
        if kind in ("floor", "limit"):
            return self.home.peer(kind, name)
        return self.home.service(name, GUARDED if kind == "guarded" else {}, command)

    def tell(self, pace: Pace) -> None:
        """How the model tells from now on."""
        self.home.upstreams.tell(replace(pace, gap=min(pace.gap, 0.001)) if self.quick else pace)

    def note_writes(self) -> None:
        self.writes.update(self.home.upstreams.writes())

    # -- load -------------------------------------------------------------------------------------

    def run(self, load: Coroutine[Any, Any, T]) -> T:
        try:
            return uvloop.run(load)
        except Stuck as late:
            raise SystemExit(str(late)) from None

    def samples(self, cell: Cell, servers: Sequence[str]) -> Samples:
        """Each server in each round, interleaved. What was measured before is not measured again."""
        known = self._known.setdefault(cell, Samples())
        missing = [name for name in servers if name not in known]
        targets = [(name, self.server(name)) for name in missing]
        for _ in range(self.rounds if targets else 0):
            for name, target in targets:
                known.setdefault(name, []).append(self.sample(cell.on(name), target))
        return known

    def sample(self, cell: Cell, target: Target) -> Sample:
        self.tell(cell.pace)
        found = self.run(_measured(cell, target, self.home.upstreams.process))
        self.note_writes()
        check(target, found.turns)
        return _compared(found) if cell.exact and target.numbered else found


def _compared(sample: Sample) -> Sample:
    flaws = tuple(wrong for turn in sample.turns if (wrong := flaw(turn, TURN.narrative)))
    for turn in sample.turns:
        turn.body = b""
    return replace(sample, flaws=flaws)


async def _measured(cell: Cell, target: Target, upstreams: Process) -> Sample:
    if cell.warm_up:
        await play(target, cell.warm_up, cell.at_once)

    def spent() -> tuple[float, float]:
        return target.process.cpu(), upstreams.cpu() + time.process_time()

    before, began = spent(), time.perf_counter()
    keep = cell.exact and target.numbered
    turns = await play(target, cell.turns, cell.at_once, ramp=cell.ramp, keep=keep)
    wall = time.perf_counter() - began
    await asyncio.sleep(SETTLE_SECONDS)
    cpu, beside = (after - start for after, start in zip(spent(), before, strict=True))
    return Sample(cpu, beside, wall, cell.pace.tokens, turns)


def check(target: Target, turns: Sequence[Turn]) -> None:
    """A figure of turns that went wrong is none."""
    problems = [problem for turn in turns if (problem := turn.problem)]
    if problems:
        raise SystemExit(
            f"{len(problems)} of {len(turns)} turns of {target.name} went wrong:\n{problems[0]}\n"
            f"{target.name} says:\n{target.process.last_words()}"
        )


def say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)
