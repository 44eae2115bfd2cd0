"""The reading end: a position in a retained log, and nothing else.

A slow reader holds no queue and slows nobody; it finds the frames where it left them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from app.core.events import index_after
from app.ports.event_log import TurnLog

HEARTBEAT_SECONDS = 15.0
MAX_BATCH = 512  # frames: what a reader that stops reading leaves in our hands


class Cursor:
    """Iterates over batches of frames, each everything there is by then, or `MAX_BATCH` of it.

    An empty batch means that nothing came for `heartbeat` seconds. Ends behind the last frame of a
    closed log, or once its reader has left. `after` is the sequence number of the last frame
    already seen; `position` counts the frames of the log that are behind.

    `straight`, when it is set, is given new frames in the very call in which the log tells of them,
    while the iteration waits for them: no task has to wake up for a token. What it does not take
    (False), and the end, goes through the iteration.
    """

    __slots__ = (
        "_beat_due",
        "_heartbeat",
        "_left",
        "_log",
        "_loop",
        "_timer",
        "_waiter",
        "_watching",
        "position",
        "straight",
    )

    def __init__(self, log: TurnLog, after: int = 0, heartbeat: float = HEARTBEAT_SECONDS) -> None:
        self._log = log
        self.position = index_after(log.frames, after)
        self._heartbeat = heartbeat
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._beat_due = 0.0
        self._left = False
        self.straight: Callable[[bytes], bool] | None = None
        self._watching = False

    @property
    def at_end(self) -> bool:
        return self._log.closed and self.position >= len(self._log.frames)

    @property
    def told_all(self) -> bool:
        """Everything was read, up to the terminal event."""
        return self.at_end and not self._log.broken

    def __aiter__(self) -> Cursor:
        return self

    async def __anext__(self) -> list[bytes]:
        if self.position >= len(self._log.frames) and not self._log.closed and not self._left:
            await self._wait()
        if self._left or self.at_end:
            raise StopAsyncIteration
        return self.take()

    def take(self) -> list[bytes]:
        """The next batch as far as it is there."""
        batch = self._log.frames[self.position : self.position + MAX_BATCH]
        self.position += len(batch)
        return batch

    async def _wait(self) -> None:
        if not self._watching:  # not before: the log's first watcher must be one that reads
            self._watching = True
            self._log.watch(self._look)
        self._beat_due = self._loop.time() + self._heartbeat
        # One timer serves many waits: it looks at `_beat_due` when it fires and sleeps on.
        if self._timer is None:
            self._timer = self._loop.call_at(self._beat_due, self._beat)
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _look(self) -> None:
        """There may be more in the log, or it has been closed."""
        if self._waiter is None or self._waiter.done():
            return
        frames, start, closed = self._log.frames, self.position, self._log.closed
        end = len(frames)
        if end == start and not closed:
            return
        if (
            self.straight is not None
            and not (closed or self._left)
            and end - start <= MAX_BATCH
            and self.straight(frames[start] if end == start + 1 else b"".join(frames[start:]))
        ):
            self.position = end
            self._beat_due = self._loop.time() + self._heartbeat
        else:
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _beat(self) -> None:
        self._timer = None
        if self._waiter is None:
            return
        if self._loop.time() >= self._beat_due:
            self._wake()
        else:
            self._timer = self._loop.call_at(self._beat_due, self._beat)

    def leave(self) -> None:
        """Nobody reads any more: the iteration ends, whatever it waits for."""
        self._left = True
        self._wake()

    def close(self) -> None:
        self._log.unwatch(self._look)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
