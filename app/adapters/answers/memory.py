"""Answers of one process."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple, Self


class Bounds(NamedTuple):
    """The bounds of the answers kept under one name."""

    entries: int
    bytes: int

    def times(self, factor: int) -> Self:
        return self._replace(entries=factor * self.entries, bytes=factor * self.bytes)


BOUNDS: Final = Bounds(2_000, 4_000_000)


class _Entry(NamedTuple):
    until: float
    answer: bytes


class MemoryAnswerStore:
    """`AnswerStore`. `ttl` in seconds; `now`: monotonic seconds."""

    def __init__(self, ttl: float, now: Callable[[], float], bounds: Bounds) -> None:
        self._ttl = ttl
        self._now = now
        self._bounds = bounds
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()  # the first to expire first
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    async def get(self, key: bytes) -> bytes | None:
        self._drop_expired()
        entry = self._entries.get(key)
        return None if entry is None else entry.answer

    async def put(self, key: bytes, answer: bytes) -> None:
        if not self._ttl or len(answer) > self._bounds.bytes:
            return
        self._remove(key)
        self._entries[key] = _Entry(self._now() + self._ttl, answer)
        self._bytes += len(answer)
        while len(self._entries) > self._bounds.entries or self._bytes > self._bounds.bytes:
            self._remove(next(iter(self._entries)))

    async def drop(self, key: bytes) -> None:
        self._remove(key)

    async def expire(self) -> None:
        self._drop_expired()

    def _drop_expired(self) -> None:
        now = self._now()
        while self._entries:
            oldest = next(iter(self._entries))
            if self._entries[oldest].until > now:
                return
            self._remove(oldest)

    def _remove(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= len(entry.answer)


class MemoryAnswers:
    """`Answers` of a process without others; `now`: monotonic seconds."""

    def __init__(self, now: Callable[[], float], bounds: Bounds = BOUNDS) -> None:
        self._now = now
        self._bounds = bounds

    def kept(self, name: str, ttl: float, times: int = 1) -> MemoryAnswerStore:
        return MemoryAnswerStore(ttl, self._now, self._bounds.times(times))

    async def replace(self, key: bytes, known: str, new: str, seconds: float) -> str:
        return ""

    async def available(self) -> bool:
        return True
