"""The event log of one process: live turns in memory, gone from here once they are finished."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from operator import itemgetter
from typing import Any, Final

import structlog

from app.core.events import Entry
from app.ports.event_log import SharedEntries, Watcher

log = structlog.get_logger(__name__)

COALESCE_SECONDS: Final = 0.05
"""How long what comes in short order may be kept back from any reader but the first. Writing is most of
what a further reader costs; what a model writes at an even 20 tokens a second still reaches everybody
token by token. A first reader whose connection takes nothing keeps its place: the next one waits so
long."""

SHARED_COALESCE_SECONDS: Final = 0.04
"""The same for a turn that is one of several players'. Eight who read it together wait so long, fewer less,
see `app.tables.fan_out`: a model that writes 50 tokens a second has two of them in one write."""

TURNS_PER_STEP: Final = 16

MAX_LOG_BYTES: Final = 4 * 1024**2
"""What one live log may hold of entries that the journal has. The others are those of one narrative,
whose length is bounded to as much."""


class Round:
    """Notifies the further readers of all turns together of entries that they have missed: one timer for
    them, and not one for each turn."""

    __slots__ = ("_behind", "_timer", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._behind: list[MemoryTurnLog] = []
        self._timer: asyncio.TimerHandle | None = None

    def join(self, turn: MemoryTurnLog) -> None:
        self._behind.append(turn)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.seconds, self._go)

    def _go(self) -> None:
        """A few turns in each step of the loop: tokens of others pass between them."""
        self._timer = None
        behind, self._behind = self._behind, []
        loop = asyncio.get_running_loop()
        for start in range(0, len(behind), TURNS_PER_STEP):
            loop.call_soon(_catch_up, behind[start : start + TURNS_PER_STEP])


def _catch_up(turns: Sequence[MemoryTurnLog]) -> None:
    for turn in turns:
        turn.catch_up()


class MemoryTurnLog:
    """`TurnLog` in two columns, types and data; an entry's number follows from its place.

    A tuple for each entry would be 80 bytes more per token, and work for the garbage collector.
    """

    __slots__ = (
        "__weakref__",
        "_bytes",
        "_counted",
        "_data",
        "_due",
        "_max_bytes",
        "_missed",
        "_notified",
        "_on_fresh",
        "_patient",
        "_round",
        "_skips",
        "_types",
        "_watchers",
        "broken",
        "closed",
        "end",
        "start",
    )

    def __init__(
        self,
        entries: Sequence[Entry] = (),
        *,
        closed: bool = False,
        coalescing: Round | None = None,
        max_bytes: int = MAX_LOG_BYTES,
    ) -> None:
        self.start = 0
        self.end = len(entries)
        self._types = [kind for _, kind, _ in entries]
        self._data = [data for _, _, data in entries]
        self._skips: list[
            tuple[int, int]
        ] = []  # positions and the numbers there, where some are left out
        self._note_skips(entries)
        self.closed = closed
        self.broken = False
        self._on_fresh: Callable[[Any], None] | None = None  # for the next entries alone
        self._watchers: list[Watcher] = []
        self._patient = 0  # how many of the last ones are
        self._round = coalescing or Round(COALESCE_SECONDS)
        self._due = 0.0  # when the further readers may be notified again, in the loop's time
        self._missed = False  # by them, so that this log is in the round
        self._notified = self.end  # where the log ended when they were notified last
        self._max_bytes = max_bytes
        self._bytes = 0  # of the entries kept before the position `_counted`
        self._counted = 0

    @property
    def coalescing(self) -> float:
        return self._round.seconds

    # -- reading ----------------------------------------------------------------------------------

    def entries(self, start: int = 0, end: int | None = None) -> list[Entry]:
        first = self.start
        if end == start + 1 and first <= start < self.end and not self._skips:  # mostly, one token
            place = start - first
            return [(end, self._types[place], self._data[place])]
        low = max(start - first, 0)
        high = len(self._data) if end is None else max(end - first, 0)
        kept = self._data[low:high]
        numbers: Iterable[int] = range(first + low + 1, first + low + 1 + len(kept))
        if self._skips:
            numbers = map(self._number_at, range(first + low, first + low + len(kept)))
        return list(zip(numbers, self._types[low:high], kept, strict=True))

    def _number_at(self, position: int) -> int:
        at = bisect_right(self._skips, position, key=itemgetter(0)) - 1
        begin, number = self._skips[at] if at >= 0 else (0, 1)
        return number + position - begin

    def position_after(self, seq: int) -> int:
        if not self._skips:
            return seq if 0 < seq <= self.end else 0
        if seq <= 0 or seq >= max(self._number_at(self.end), self._skips[-1][1]):
            return 0
        at = bisect_right(self._skips, seq, key=itemgetter(1))
        begin, number = self._skips[at - 1] if at else (0, 1)
        end = self._skips[at][0] if at < len(self._skips) else self.end
        return min(begin + seq - number + 1, end)

    # -- writing ----------------------------------------------------------------------------------

    def append(self, entries: Sequence[Entry], *, last: bool = False) -> None:
        for _, kind, data in entries:
            self._types.append(kind)
            self._data.append(data)
        self.end += len(entries)
        if self._on_fresh is not None:
            on_fresh, self._on_fresh = self._on_fresh, None
            on_fresh(self)
        if last:
            self.closed = True
        watchers = self._watchers  # mostly there is one
        if len(watchers) == 1 or (watchers and not last and (self._missed or self._too_early())):
            first = watchers[0]
            try:
                first.on_readable(entries)
            except (Exception, asyncio.CancelledError) as error:
                self._remove(first, error)
        else:
            self._notify_all(entries)

    def skip_to(self, seq: int) -> None:
        self._skips.append((self.end, seq))

    def _note_skips(self, entries: Sequence[Entry]) -> None:
        expected = 1
        for position, (seq, _, _) in enumerate(entries):
            if seq != expected:
                self._skips.append((position, seq))
            expected = seq + 1

    def _too_early(self) -> bool:
        """For the further readers; they will be notified later."""
        now = asyncio.get_running_loop().time()
        if now >= self._due:
            self._due = now + self._round.seconds
            return False
        self._missed = True
        self._round.join(self)
        return True

    def _notify_all(self, fresh: Sequence[Entry] = ()) -> None:
        for watcher in tuple(self._watchers):
            try:
                watcher.on_readable(fresh)
            except (Exception, asyncio.CancelledError) as error:
                self._remove(watcher, error)
        self._notified = self.end

    def _remove(self, watcher: Watcher, error: BaseException) -> None:
        """A watcher that raised harms nobody but itself."""
        self.unwatch(watcher)
        log.error("reader_failed", error_type=type(error).__name__, exc_info=error)
        with suppress(Exception):
            watcher.on_failure()

    def catch_up(self) -> None:
        """Notify the further readers of entries that they have missed."""
        self._missed = False
        if not self.closed:
            self._due = asyncio.get_running_loop().time() + self._round.seconds
            self._notify_all(SharedEntries(self.entries(self._notified, self.end)))

    def release(self, end: int) -> None:
        """Drop the oldest entries before `end` as far as the log is over its bound. The newest entry
        stays: readers were notified of it just now."""
        first = self.start
        self._bytes += sum(map(len, self._data[self._counted - first :]))
        self._counted = self.end
        dropped = 0
        while self._bytes > self._max_bytes and dropped < min(end, self._counted - 1) - first:
            self._bytes -= len(self._data[dropped])
            dropped += 1
        del self._data[:dropped], self._types[:dropped]
        self.start += dropped

    def break_off(self) -> None:
        self.broken = True
        self.append((), last=True)

    def watch(self, watcher: Watcher, *, patient: bool = False) -> None:
        if patient:
            self._watchers.append(watcher)
            self._patient += 1
        else:
            self._watchers.insert(len(self._watchers) - self._patient, watcher)

    def unwatch(self, watcher: Watcher) -> None:
        if watcher in self._watchers:
            place = self._watchers.index(watcher)
            self._patient -= place >= len(self._watchers) - self._patient
            del self._watchers[place]


class MemoryEventLog:
    """Holds no log itself: a turn and its readers hold theirs.

    `max_bytes`: of one live log, see `MAX_LOG_BYTES`.
    """

    def __init__(self, max_bytes: int = MAX_LOG_BYTES) -> None:
        self._rounds = Round(COALESCE_SECONDS), Round(SHARED_COALESCE_SECONDS)
        self._max_bytes = max_bytes

    def open(
        self, turn_id: str, entries: Sequence[Entry] = (), *, shared: bool = False
    ) -> MemoryTurnLog:
        coalescing = self._rounds[shared]
        return MemoryTurnLog(entries, coalescing=coalescing, max_bytes=self._max_bytes)

    async def follow(self, turn_id: str, recorded: Sequence[Entry]) -> MemoryTurnLog | None:
        return None

    def sealed(self, turn_id: str, entries: Sequence[Entry]) -> MemoryTurnLog:
        return MemoryTurnLog(entries, closed=True)
