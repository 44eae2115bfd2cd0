"""The event log of one process: live turns in memory, gone from here once they are finished."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

PAUSE_SECONDS: Final = 0.05
"""How long what comes in short order may be kept back from any reader but the first. Writing is most of
what a further reader costs; what a model tells at an even 20 tokens a second still reaches everybody
token by token. A first reader whose connection takes nothing keeps its place: the next one waits so
long."""


TURNS_A_STEP: Final = 16


class _Round:
    """Readers of all turns that have missed something are told of it together: the loop wakes up once
    for them, and not for each turn."""

    __slots__ = ("_behind", "_timer")

    def __init__(self) -> None:
        self._behind: list[MemoryTurnLog] = []
        self._timer: asyncio.TimerHandle | None = None

    def join(self, log: MemoryTurnLog) -> None:
        self._behind.append(log)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PAUSE_SECONDS, self._go)

    def _go(self) -> None:
        """A few turns in each step of the loop: tokens of others pass between them."""
        self._timer = None
        behind, self._behind = self._behind, []
        loop = asyncio.get_running_loop()
        for start in range(0, len(behind), TURNS_A_STEP):
            loop.call_soon(_catch_up, behind[start : start + TURNS_A_STEP])


def _catch_up(logs: Sequence[MemoryTurnLog]) -> None:
    for log in logs:
        log.catch_up()


class MemoryTurnLog:
    __slots__ = (
        "__weakref__",
        "_due",
        "_missed",
        "_round",
        "_watchers",
        "broken",
        "closed",
        "frames",
    )

    def __init__(
        self, frames: Sequence[bytes] = (), *, closed: bool = False, round_: _Round | None = None
    ) -> None:
        self.frames = list(frames)
        self.closed = closed
        self.broken = False
        self._watchers: list[Callable[[], None]] = []
        self._round = round_ or _Round()
        self._due = 0.0  # when the further readers may be woken again, in the loop's time
        self._missed = False  # by them, so that this log is in the round

    def append(self, frames: Sequence[bytes], *, last: bool = False) -> None:
        self.frames += frames
        if last:
            self.closed = True
        watchers = self._watchers  # mostly there is one
        if len(watchers) == 1 or (watchers and not last and (self._missed or self._too_early())):
            watchers[0]()
        else:
            self._wake_all()

    def _too_early(self) -> bool:
        """For the further readers; they will be woken later."""
        now = asyncio.get_running_loop().time()
        if now >= self._due:
            self._due = now + PAUSE_SECONDS
            return False
        self._missed = True
        self._round.join(self)
        return True

    def _wake_all(self) -> None:
        for wake in self._watchers:
            wake()

    def catch_up(self) -> None:
        self._missed = False
        if not self.closed:
            self._due = asyncio.get_running_loop().time() + PAUSE_SECONDS
            self._wake_all()

    def break_off(self) -> None:
        self.broken = True
        self.append((), last=True)

    def watch(self, wake: Callable[[], None]) -> None:
        self._watchers.append(wake)

    def unwatch(self, wake: Callable[[], None]) -> None:
        if wake in self._watchers:
            self._watchers.remove(wake)


class MemoryEventLog:
    def __init__(self) -> None:
        self._live: dict[str, MemoryTurnLog] = {}
        self._round = _Round()

    def open(self, turn_id: str, frames: Sequence[bytes] = ()) -> MemoryTurnLog:
        log = self._live[turn_id] = MemoryTurnLog(frames, round_=self._round)
        return log

    def get(self, turn_id: str) -> MemoryTurnLog | None:
        return self._live.get(turn_id)

    def drop(self, turn_id: str) -> None:
        """Readers that hold the log read it to its end; nobody new finds it here."""
        self._live.pop(turn_id, None)

    def sealed(self, frames: Sequence[bytes]) -> MemoryTurnLog:
        return MemoryTurnLog(frames, closed=True)
