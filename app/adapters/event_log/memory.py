"""The event log of one process: live turns in memory, gone from here once they are finished."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

PAUSE_SECONDS: Final = 0.04
"""The least time between two writes to any reader but the first. Writing is most of what a further
reader costs; what a model tells at an even 25 tokens a second still reaches everybody token by token.
A first reader whose connection takes nothing keeps its place: the next one waits so long at most."""


class MemoryTurnLog:
    __slots__ = ("__weakref__", "_missed", "_pause", "_watchers", "broken", "closed", "frames")

    def __init__(self, frames: Sequence[bytes] = (), *, closed: bool = False) -> None:
        self.frames = list(frames)
        self.closed = closed
        self.broken = False
        self._watchers: list[Callable[[], None]] = []
        self._pause: asyncio.TimerHandle | None = None  # since all were woken
        self._missed = False  # by the further readers, meanwhile

    def append(self, frames: Sequence[bytes], *, last: bool = False) -> None:
        self.frames += frames
        if last:
            self.closed = True
        if self._pause is None and len(self._watchers) == 1:  # as it is nearly always
            self._watchers[0]()
        elif self._pause is None or self.closed:
            self._wake_all()
        else:
            self._missed = True
            if self._watchers:
                self._watchers[0]()

    def _wake_all(self) -> None:
        for wake in self._watchers:
            wake()
        if self.closed:
            if self._pause is not None:
                self._pause.cancel()
        elif len(self._watchers) > 1:
            loop = asyncio.get_running_loop()
            self._pause = loop.call_later(PAUSE_SECONDS, self._after_pause)

    def _after_pause(self) -> None:
        self._pause = None
        if self._missed:
            self._missed = False
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

    def open(self, turn_id: str, frames: Sequence[bytes] = ()) -> MemoryTurnLog:
        log = self._live[turn_id] = MemoryTurnLog(frames)
        return log

    def get(self, turn_id: str) -> MemoryTurnLog | None:
        return self._live.get(turn_id)

    def drop(self, turn_id: str) -> None:
        """Readers that hold the log read it to its end; nobody new finds it here."""
        self._live.pop(turn_id, None)

    def sealed(self, frames: Sequence[bytes]) -> MemoryTurnLog:
        return MemoryTurnLog(frames, closed=True)
