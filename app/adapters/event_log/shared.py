"""The event log of several processes: each keeps its own turns in memory, where its readers are, and
publishes them on a channel, where other processes follow them.

Publishing takes place every `FLUSH_SECONDS` for all turns of the process together, and no local reader
waits for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final, Protocol
from weakref import WeakValueDictionary

import structlog

from app.adapters.event_log.followed import FollowedLog, LaggingTurnLog
from app.adapters.event_log.memory import MAX_LOG_BYTES, MemoryEventLog, MemoryTurnLog, Round
from app.adapters.store.packing import joined, runs, unpack
from app.core.events import Entry
from app.errors import StoreUnavailable
from app.ports.store import TurnStore
from app.tasks import cancelled

log = structlog.get_logger(__name__)

FLUSH_SECONDS: Final = 0.04
LINGER_SECONDS: Final = 5.0
"""How long the rows of a turn that has ended stay: a reader who comes later finds it in the journal."""
SILENCE_SECONDS: Final = 2.0
"""After so long without news of a turn, the journal is asked whether it has ended."""
REWRITE_TURNS: Final = 200
RETRY_SECONDS: Final = 0.25
"""Between two attempts while the channel cannot be used."""
CLOSING_SECONDS: Final = 2.0


LogRow = tuple[str, int, int, bytes]
"""Turn, first and last number of consecutive entries, and these as `app.adapters.store.packing` packs them.
One is made for each turn and flush: a class would be a tenth of what that costs."""


class LogChannel(Protocol):
    """Where the logs of running turns are for everybody. Methods raise `StoreUnavailable`."""

    async def publish(self, rows: Sequence[LogRow], *, rewriting: bool, whole: bool) -> bool:
        """False: what was published before is gone, and nothing was published. `rewriting`: rows of
        before again, `whole` with the last of them."""
        ...

    async def read(self, seen: Mapping[str, int]) -> list[LogRow]:
        """The rows of these turns beyond the entry seen last, in order."""
        ...

    async def drop(self, turn_ids: Sequence[str]) -> None: ...

    def start(
        self, wanted: Callable[[], Mapping[str, int]], deliver: Callable[[Iterable[LogRow]], None]
    ) -> None:
        """Begin to `deliver` new rows of the turns that are `wanted`, soon after they come."""
        ...

    async def aclose(self) -> None: ...


class SharedTurnLog(LaggingTurnLog):
    """A running turn of this process. `published`: the position up to which others have it."""

    __slots__ = ("_mark", "published", "turn_id")

    def __init__(
        self, turn_id: str, mark: Callable[[SharedTurnLog], None], base: MemoryTurnLog
    ) -> None:
        super().__init__(base.entries(), coalescing=base._round, max_bytes=base._max_bytes)
        self.turn_id = turn_id
        self.published = 0
        self._mark = self._on_fresh = mark

    def unpublished(self) -> list[LogRow]:
        """The entries not yet published, which count as published from now on. The next entries mark
        this log again."""
        self._on_fresh = self._mark
        if self.broken:
            return []  # somebody else has it
        start, end, first = self.published, self.end, self.start
        self.published = end
        if start < first:
            start = first
        if start == end:
            return []
        if self._skips:
            return [(self.turn_id, *run) for run in runs(self.entries(start))]
        return [(self.turn_id, start + 1, end, joined(self._data[start - first :]))]


def _rows(turns: Iterable[SharedTurnLog]) -> list[LogRow]:
    return [row for turn in turns for row in turn.unpublished()]


class SharedEventLog(MemoryEventLog):
    """`journal` knows what is recorded of a turn that somebody else has."""

    def __init__(
        self, channel: LogChannel, journal: TurnStore, max_bytes: int = MAX_LOG_BYTES
    ) -> None:
        super().__init__(max_bytes)
        self._at_once = Round(0.0)  # what comes from others was coalesced there
        self._channel = channel
        self._journal = journal
        self._open: WeakValueDictionary[str, SharedTurnLog] = WeakValueDictionary()
        self._marked: list[SharedTurnLog] = []
        self._fresh = asyncio.Event()
        self._ended: deque[tuple[float, str]] = deque()
        self._followed: WeakValueDictionary[str, FollowedLog] = WeakValueDictionary()
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False
        self._whole = False  # everything that was published is there

    def start(self) -> None:
        """Once, in the loop."""
        if not self._tasks:
            self._channel.start(self._wanted, self._deliver)
            self._tasks = [
                asyncio.create_task(self._publish_all(), name="log-publisher"),
                asyncio.create_task(self._look_after_silence(), name="log-follower"),
            ]

    async def aclose(self) -> None:
        """Publish what was appended, for at most `CLOSING_SECONDS`."""
        self._closing = True
        self._fresh.set()
        if self._tasks:
            await asyncio.wait(self._tasks[:1], timeout=CLOSING_SECONDS)
        await cancelled(self._tasks)
        await self._channel.aclose()

    # -- turns of this process --------------------------------------------------------------------

    def open(
        self, turn_id: str, entries: Sequence[Entry] = (), *, shared: bool = False
    ) -> MemoryTurnLog:
        opened = SharedTurnLog(turn_id, self._mark, super().open(turn_id, entries, shared=shared))
        self._open[turn_id] = opened
        return opened

    def _mark(self, turn: SharedTurnLog) -> None:
        if not self._marked:
            self._fresh.set()
        self._marked.append(turn)

    async def _publish_all(self) -> None:
        """Publish until the log is closed, and then what is left."""
        loop = asyncio.get_running_loop()
        while not self._closing or self._marked:
            await self._fresh.wait()
            due = loop.time() + FLUSH_SECONDS
            self._fresh.clear()
            marked, self._marked = self._marked, []
            self._note_ended(marked)
            try:
                await self._publish(marked)
                await self._drop_ended(loop.time())
            except StoreUnavailable:
                self._whole = False
                self._fresh.set()
                due += RETRY_SECONDS
            except Exception as error:
                log.exception("log_not_published", error_type=type(error).__name__)
                self._whole = False
            await asyncio.sleep(0 if self._closing else max(due - loop.time(), 0))

    def _note_ended(self, turns: Iterable[SharedTurnLog]) -> None:
        """Whatever becomes of their rows, what is there of them is to be dropped."""
        at = asyncio.get_running_loop().time() + LINGER_SECONDS
        self._ended += ((at, turn.turn_id) for turn in turns if turn.closed and not turn.broken)

    async def _publish(self, marked: Sequence[SharedTurnLog]) -> None:
        if not self._whole or not await self._channel.publish(
            _rows(marked), rewriting=False, whole=False
        ):
            await self._rewrite(marked)

    async def _rewrite(self, marked: Sequence[SharedTurnLog]) -> None:
        """Everything that is kept of our turns, once more; the rows of one turn together."""
        self._whole = False
        await self._channel.publish((), rewriting=True, whole=False)  # rows would be made in vain
        turns = list({turn.turn_id: turn for turn in (*marked, *self._open.values())}.values())
        self._note_ended(turns)
        for turn in turns:
            turn.published = 0
        last = max(len(turns) - 1, 0) // REWRITE_TURNS
        for number in range(last + 1):
            piece = turns[number * REWRITE_TURNS : (number + 1) * REWRITE_TURNS]
            await self._channel.publish(_rows(piece), rewriting=True, whole=number == last)
        self._whole = True

    async def _drop_ended(self, now: float) -> None:
        if self._ended and self._ended[0][0] <= now:
            due = [turn_id for at, turn_id in self._ended if at <= now]
            await self._channel.drop(due)
            for _ in due:
                self._ended.popleft()

    # -- turns of others --------------------------------------------------------------------------

    async def follow(self, turn_id: str, recorded: Sequence[Entry]) -> MemoryTurnLog | None:
        followed = self._followed.get(turn_id)
        if followed is None or followed.closed:
            followed = FollowedLog(coalescing=self._at_once, max_bytes=self._max_bytes)
            self._followed[turn_id] = followed
        followed.absorb(recorded)
        with suppress(StoreUnavailable):
            self._deliver(await self._channel.read({turn_id: followed.seen}))
        return followed

    def _wanted(self) -> dict[str, int]:
        return {name: one.seen for name, one in self._followed.items() if not one.closed}

    def _deliver(self, rows: Iterable[LogRow]) -> None:
        for turn_id, first, _, data in rows:
            followed = self._followed.get(turn_id)
            if followed is not None and not followed.closed:
                try:
                    followed.absorb(unpack(first, data))
                except Exception as error:  # one damaged part stops nobody else's turn
                    followed.gap = True
                    log.error("log_part_unreadable", turn_id=turn_id, kind=type(error).__name__)

    async def _look_after_silence(self) -> None:
        """Look at followed turns without news: they may have ended, or a piece of their log may be lost.
        Silent turns of this process are published again, since what was published may be gone."""
        while not self._closing:
            await asyncio.sleep(SILENCE_SECONDS / 2)
            if self._open:
                self._fresh.set()
            now = asyncio.get_running_loop().time()
            for turn_id, followed in list(self._followed.items()):
                if not followed.closed and (followed.gap or followed.silent(now, SILENCE_SECONDS)):
                    with suppress(StoreUnavailable):
                        await self._look_up(turn_id, followed)

    async def _look_up(self, turn_id: str, followed: FollowedLog) -> None:
        turn = await self._journal.turn(turn_id)
        if turn is None:
            followed.break_off()
            return
        ended = turn.finished_at is not None
        if ended or followed.gap:
            followed.absorb(await self._journal.entries(turn_id) or ())
            if ended and not followed.closed:
                followed.break_off()  # it has expired, or was lost in part
                return
        self._deliver(await self._channel.read({turn_id: followed.seen}))
