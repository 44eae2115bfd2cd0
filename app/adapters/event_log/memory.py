"""The event log of one process: live turns in memory, gone from here once they are finished."""

from __future__ import annotations

from collections.abc import Callable, Sequence


class MemoryTurnLog:
    __slots__ = ("__weakref__", "_watchers", "broken", "closed", "frames")

    def __init__(self, frames: Sequence[bytes] = (), *, closed: bool = False) -> None:
        self.frames = list(frames)
        self.closed = closed
        self.broken = False
        self._watchers: list[Callable[[], None]] = []

    def append(self, frames: Sequence[bytes], *, last: bool = False) -> None:
        self.frames.extend(frames)
        self.closed = self.closed or last
        for wake in self._watchers:
            wake()

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
