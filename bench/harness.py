"""Load on servers side by side: the same cell on each of them in turn, round by round."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import uvloop
from app.core.quantiles import quantile as quantile

from bench.client import Target, Turn, play
from bench.exact import flaw
from bench.model import Pace
from bench.outcome import TURN
from bench.processes import Failed, Process
from bench.servers import GUARDED, Workbench
from bench.table import Failure
from bench.trees import PRESENT, Tree

T = TypeVar("T")

WARM_UP, WARM_UP_AT_ONCE = 64, 16
SETTLE_SECONDS = 0.3  # for what a server still does behind the last byte


@dataclass(frozen=True)
class Cell:
    """`turns` at the concurrency `at_once`, reached within `ramp` seconds; `warm_up`: turns before,
    for connections. `floor_turns`: as many are enough of the floor. `exact`: each stream of the
    service is compared with the expected narrative."""

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


@dataclass(frozen=True)
class Kind:
    """A service with further settings. `command`: another one than the tree's own entry point."""

    settings: Mapping[str, str]
    command: Sequence[str] = ()


PLAIN: Final = Kind({})


class Samples(dict[str, list[Sample]]):
    """By server, one for each round. `failed`: servers that could not hold the measure."""

    def __init__(self) -> None:
        super().__init__()
        self.failed: dict[str, Failure] = {}

    def median(self, server: str, figure: Callable[[Sample], float]) -> float | Failure:
        """Over the rounds."""
        if server in self.failed:
            return self.failed[server]
        return statistics.median(figure(sample) for sample in self[server])

    def pooled(
        self, server: str, figure: Callable[[Sample], list[float]], at: float
    ) -> float | Failure:
        """The quantile over all rounds together."""
        if server in self.failed:
            return self.failed[server]
        return quantile([value for sample in self[server] for value in figure(sample)], at)


class Harness:
    """`quick` makes everything small: it shows that the bench works, and measures nothing. `trees`:
    servers by name that run from another tree than the present one. `kinds`: those with settings or a
    command of their own."""

    def __init__(
        self,
        workbench: Workbench,
        stack: ExitStack,
        rounds: int,
        *,
        quick: bool = False,
        trees: Mapping[str, Tree] | None = None,
        kinds: Mapping[str, Kind] | None = None,
    ) -> None:
        self.workbench = workbench
        self._stack = stack
        self.rounds = rounds
        self.quick = quick
        self._trees = trees or {}
        self._kinds = {"guarded": Kind(GUARDED), **(kinds or {})}
        self.writes: Counter[str] = Counter()
        """What journey-log was sent in all; see `JourneyLog.summary`."""
        self._running: dict[str, tuple[Target, ExitStack]] = {}
        self._known: dict[Cell, Samples] = {}

    # -- servers ----------------------------------------------------------------------------------

    def server(self, name: str) -> Target:
        """The one that all measurements share: floor, limit, service or one of `trees` and `kinds`."""
        if name not in self._running:
            own = self._stack.enter_context(ExitStack())
            self._running[name] = (own.enter_context(self.fresh(name, name)), own)
        return self._running[name][0]

    def attempt(self, server: str, work: Callable[[], T]) -> T | Failure:
        """What `work` returns, or how `server` failed. A shared server is new after a failure."""
        try:
            return work()
        except* (Failed, OSError) as errors:
            failure = Failure(_reason(errors))
            progress(f"{server} failed: {_first(errors)}")
        self.workbench.keep_logs = True
        if server in self._running:
            self._running.pop(server)[1].close()
        return failure

    @contextmanager
    def fresh(self, kind: str, name: str, command: Sequence[str] = ()) -> Iterator[Target]:
        """One that was not there before, warmed up."""
        with self._started(kind, name, command) as target:
            self.set_pace(Pace(each=0))
            self.run(play(target, 2 if self.quick else WARM_UP, WARM_UP_AT_ONCE))
            self.note_writes()
            yield target

    def service_of(
        self, server: str, settings: Mapping[str, str]
    ) -> AbstractContextManager[Target]:
        """A service of the tree of that name, with further settings; an empty one is not set."""
        tree = self._trees.get(server, PRESENT)
        return self.workbench.service(f"{server}-alone", settings, tree=tree)

    def _started(
        self, kind: str, name: str, command: Sequence[str]
    ) -> AbstractContextManager[Target]:
        if kind in ("floor", "limit"):
            return self.workbench.peer(kind, name)
        tree, own = self._trees.get(kind, PRESENT), self._kinds.get(kind, PLAIN)
        return self.workbench.service(name, own.settings, command or own.command, tree)

    def set_pace(self, pace: Pace) -> None:
        """How the model answers from now on."""
        quick = replace(pace, gap=min(pace.gap, 0.001))
        self.workbench.upstreams.set_pace(quick if self.quick else pace)

    def note_writes(self) -> None:
        self.writes.update(self.workbench.upstreams.writes())

    # -- load -------------------------------------------------------------------------------------

    def run(self, load: Coroutine[Any, Any, T]) -> T:
        return uvloop.run(load)

    def samples(self, cell: Cell, servers: Sequence[str]) -> Samples:
        """Each server in each round, interleaved. What was measured before is not measured again."""
        known = self._known.setdefault(cell, Samples())
        missing = [name for name in servers if name not in known and name not in known.failed]
        for _ in range(self.rounds):
            for name in missing:
                if name not in known.failed:
                    self._add(known, cell, name)
        return known

    def _add(self, known: Samples, cell: Cell, name: str) -> None:
        found = self.attempt(name, lambda: self.sample(cell.on(name), self.server(name)))
        if isinstance(found, Failure):
            known.failed[name] = found
        else:
            known.setdefault(name, []).append(found)

    def sample(self, cell: Cell, target: Target) -> Sample:
        self.set_pace(cell.pace)
        found = self.run(_measured(cell, target, self.workbench.upstreams.process))
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


def check(target: Target, turns: Sequence[Turn], ending: str = "complete") -> None:
    """Raises `Failed` when a turn went wrong: the other turns' figures mean nothing then."""
    wrong = [turn for turn in turns if turn.status != 200 or turn.ending != ending]
    if wrong:
        raise Failed(
            f"{len(wrong)} of {len(turns)} turns went wrong: {wrong[0].status} {wrong[0].ending}\n"
            f"…{wrong[0].last_words}\n{target.name} says:\n{target.process.last_words()}"
        )


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _reason(errors: BaseExceptionGroup[BaseException]) -> str:
    """One line that fits into a cell of a table."""
    error = _first(errors)
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0].rstrip(":").replace("|", "/")


def progress(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)
