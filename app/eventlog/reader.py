"""The reading end: a position in a retained log, and nothing else.

A slow reader holds no queue and slows nobody; it finds the entries where it left them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final
from weakref import WeakKeyDictionary

from app.core.events import Entry, gap, ping, stamp
from app.ports.event_log import TurnLog

HEARTBEAT_SECONDS = 10.0
LOOKS: Final = 8
MAX_BATCH = 512  # entries: what a reader that stops reading leaves in our hands


class _Beats:
    """Wakes the cursors of one heartbeat that have waited for so long. A timer for each of them would take
    500 bytes; one for all looks at them `LOOKS` times within a heartbeat."""

    __slots__ = ("_cursors", "_seconds", "_timer")

    def __init__(self, heartbeat: float) -> None:
        self._seconds = heartbeat / LOOKS
        self._cursors: set[Cursor] = set()
        self._timer: asyncio.TimerHandle | None = None

    def join(self, cursor: Cursor) -> None:
        self._cursors.add(cursor)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._look)

    def leave(self, cursor: Cursor) -> None:
        self._cursors.discard(cursor)
        if not self._cursors and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._cursors = {cursor for cursor in self._cursors if cursor.beat(now)}
        self._timer = loop.call_later(self._seconds, self._look) if self._cursors else None


_BEATS: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[float, _Beats]]] = (
    WeakKeyDictionary()
)


class Cursor:
    """Iterates over batches of entries, each everything there is by then, or `MAX_BATCH` of it.

    After `heartbeat` seconds of silence, and at most an eighth more, a batch is one `ping`. Where the log
    was trimmed behind the cursor, the last batch is one `gap`. Ends behind the last entry of a closed
    log, once its reader has left, or when `write_through` has raised. `after` is the sequence number of
    the last entry already seen; `position` counts the entries of the log that are behind. `patient`:
    readers that are not come first, see `TurnLog.watch`.

    `write_through`, when it is set, is given new entries in the very call that appends them to the
    log, while the iteration waits for them: no task has to wake up for a token. What it does not
    take (False), and the end, goes through the iteration.
    """

    __slots__ = (
        "_beat_due",
        "_beats",
        "_heartbeat",
        "_left",
        "_log",
        "_loop",
        "_patient",
        "_sought",
        "_waiter",
        "_watching",
        "position",
        "write_through",
    )

    def __init__(
        self,
        log: TurnLog,
        after: int = 0,
        heartbeat: float = HEARTBEAT_SECONDS,
        *,
        patient: bool = False,
    ) -> None:
        self._log = log
        self._patient = patient
        self._sought = after
        self.position = log.position_after(after)
        self._heartbeat = heartbeat
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._beats: _Beats | None = None
        self._beat_due = 0.0
        self._left = False
        self.write_through: Callable[[Sequence[Entry]], bool] | None = None
        self._watching = False

    @property
    def seen(self) -> int:
        """The number of the last entry that its reader has had from another cursor."""
        return self._sought if self.position else 0

    @property
    def at_end(self) -> bool:
        return self._log.closed and self.position >= self._log.end

    @property
    def complete(self) -> bool:
        """Everything was read, up to the terminal event."""
        return self.at_end and not self._log.broken

    @property
    def trimmed(self) -> bool:
        """Entries that were still to be read have left the log."""
        return self.position < self._log.start

    def __aiter__(self) -> Cursor:
        return self

    async def __anext__(self) -> list[Entry]:
        if self.position >= self._log.end and not self._log.closed and not self._left:
            try:
                await self._begin_wait()
            finally:
                self._waiter = None
        if self.position > self._log.end and not self._log.broken:
            self.position = self._log.position_after(self._sought)
        if self._left or self.at_end:
            raise StopAsyncIteration
        return self.take() or [ping(stamp(time.time()))]

    def take(self) -> list[Entry]:
        """The next batch as far as it is there."""
        start = self.position
        if self.trimmed:
            self._left = True
            return [gap(start + 1, self._log.start, stamp(time.time()))]
        batch = self._log.entries(start, start + MAX_BATCH)
        self.position += len(batch)
        return batch

    def _begin_wait(self) -> asyncio.Future[None]:
        if not self._watching:  # not before: the log's first watcher must be one that reads
            self._watching = True
            self._log.watch(self, patient=self._patient)
        self._beat_due = self._loop.time() + self._heartbeat
        if self._beats is None:
            of_loop = _BEATS.setdefault(self._loop, {})
            self._beats = of_loop.setdefault(self._heartbeat, _Beats(self._heartbeat))
            self._beats.join(self)
        self._waiter = self._loop.create_future()
        return self._waiter

    def on_readable(self, fresh: Sequence[Entry]) -> None:
        waiter, log, start = self._waiter, self._log, self.position
        if waiter is None or waiter.done():
            return
        end, closed = log.end, log.closed
        if end <= start and not closed:
            if start > end and log.position_after(self._sought) != start:
                self._wake()
            return
        if (
            self.write_through is not None
            and not (closed or self._left)
            and log.start <= start
            and end - start <= MAX_BATCH
            and self.write_through(fresh if len(fresh) == end - start else log.entries(start, end))
        ):
            self.position = end
            self._beat_due = self._loop.time() + self._heartbeat
        else:
            self._wake()

    def on_failure(self) -> None:
        self.leave()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def beat(self, now: float) -> bool:
        """Wake up where the silence has been long enough. False: it waits for nothing now."""
        if self._waiter is None:
            self._beats = None
            return False
        if now >= self._beat_due:
            self._wake()
        return True

    def leave(self) -> None:
        """End the iteration, also while it waits."""
        self._left = True
        self._wake()

    def close(self) -> None:
        self._log.unwatch(self)
        if self._beats is not None:
            self._beats.leave(self)
            self._beats = None
