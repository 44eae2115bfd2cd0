"""Reading a turn's log: nothing is missed, nobody is slowed, and nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import TypeVar

import pytest
from app.adapters.event_log.memory import COALESCE_SECONDS, MemoryEventLog, MemoryTurnLog
from app.core.events import Entry, Token, encode_entry
from app.eventlog.reader import MAX_BATCH, Cursor
from app.ports.event_log import Watcher
from hypothesis import given
from hypothesis import strategies as st

from loops import VirtualLoop
from waiting import parked

Result = TypeVar("Result")
LONG = 60.0


def entries(count: int, start: int = 1) -> list[Entry]:
    return [encode_entry(n, Token(str(n), n), "now") for n in range(start, start + count)]


class WatchedLog(MemoryTurnLog):
    """Counts who is watching."""

    __slots__ = ("watching",)

    def __init__(self, entries: Sequence[Entry] = (), *, closed: bool = False) -> None:
        super().__init__(entries, closed=closed)
        self.watching: set[Watcher] = set()

    def watch(self, watcher: Watcher, *, patient: bool = False) -> None:
        self.watching.add(watcher)
        super().watch(watcher, patient=patient)

    def unwatch(self, watcher: Watcher) -> None:
        self.watching.discard(watcher)
        super().unwatch(watcher)


def run(work: Callable[[], Awaitable[Result]]) -> Result:
    async def bounded() -> Result:
        async with asyncio.timeout(300):
            return await work()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(bounded())


@contextmanager
def reading(log: MemoryTurnLog, after: int = 0, heartbeat: float = LONG) -> Iterator[Cursor]:
    cursor = Cursor(log, after, heartbeat)
    try:
        yield cursor
    finally:
        cursor.close()


async def everything(log: MemoryTurnLog, after: int = 0) -> list[Entry]:
    with reading(log, after) as cursor:
        return [entry async for batch in cursor for entry in batch]


@pytest.mark.parametrize("after", range(4))
def test_closed_log_is_read_from_the_position_of_the_reader(after: int) -> None:
    log = MemoryTurnLog(entries(3), closed=True)
    assert run(lambda: everything(log, after)) == entries(3)[after:]


@pytest.mark.parametrize("after", [-7, 0, 4, 10**9])
def test_a_number_that_was_never_given_means_the_start(after: int) -> None:
    log = MemoryTurnLog(entries(3), closed=True)
    assert run(lambda: everything(log, after)) == entries(3)


def test_everything_that_is_there_comes_as_one_batch() -> None:
    async def work() -> list[Entry]:
        with reading(MemoryTurnLog(entries(3))) as cursor:
            return await anext(cursor)

    assert run(work) == entries(3)


def test_a_waiting_reader_is_woken_by_the_next_frame() -> None:
    async def work() -> list[list[Entry]]:
        log = WatchedLog()
        with reading(log) as cursor:
            task = asyncio.ensure_future(anext(cursor))
            await parked()
            log.append(entries(1))
            first = await task
            task = asyncio.ensure_future(anext(cursor))
            await parked()
            log.append(entries(2, 2))
            return [first, await task]

    assert run(work) == [entries(1), entries(2, 2)]


def test_one_append_wakes_a_reader_once_for_all_its_entries() -> None:
    async def work() -> list[int]:
        log = WatchedLog()
        with reading(log) as cursor:
            sizes = asyncio.ensure_future(_sizes(cursor))
            await parked()
            log.append(entries(5))
            await parked()
            log.append(entries(2, 6), last=True)
            return await sizes

    assert run(work) == [5, 2]


async def _sizes(cursor: Cursor) -> list[int]:
    return [len(batch) async for batch in cursor]


def test_a_log_that_closes_with_its_last_frame_ends_behind_it() -> None:
    async def work() -> list[Entry]:
        log = WatchedLog()
        task = asyncio.create_task(everything(log))
        await parked()
        log.append(entries(1), last=True)
        return await task

    assert run(work) == entries(1)


def test_a_log_that_closes_without_a_frame_ends_the_reader() -> None:
    async def work() -> list[Entry]:
        log = WatchedLog(entries(1))
        task = asyncio.create_task(everything(log))
        await parked()
        log.append((), last=True)
        return await task

    assert run(work) == entries(1)


@pytest.mark.parametrize("after", [2, 3])
def test_at_end_is_known_without_waiting(after: int) -> None:
    async def work() -> tuple[bool, bool]:
        with (
            reading(MemoryTurnLog(entries(3), closed=True), after) as closed,
            reading(MemoryTurnLog(entries(3)), after) as live,
        ):
            return closed.at_end, live.at_end

    assert run(work) == (after == 3, False)


def pings(batch: list[Entry]) -> bool:
    return [(seq, kind) for seq, kind, _ in batch] == [(0, "ping")]


# -- heartbeat ------------------------------------------------------------------------------------


def test_silence_is_one_ping_after_another() -> None:
    async def work() -> list[list[Entry]]:
        with reading(MemoryTurnLog(entries(1)), heartbeat=0.005) as cursor:
            return [await anext(cursor) for _ in range(4)]

    first, *silence = run(work)
    assert first == entries(1)
    assert [[(seq, kind) for seq, kind, _ in batch] for batch in silence] == [[(0, "ping")]] * 3


def test_a_frame_puts_the_heartbeat_off() -> None:
    async def work() -> tuple[float, float]:
        log = WatchedLog()
        loop = asyncio.get_running_loop()
        with reading(log, heartbeat=0.1) as cursor:
            task = asyncio.ensure_future(anext(cursor))
            await parked()
            loop.call_later(0.06, log.append, entries(1))
            assert await task == entries(1)
            began = loop.time()
            assert pings(await anext(cursor))
            return began, loop.time()

    began, ended = run(work)
    assert ended - began >= 0.099


def test_after_a_heartbeat_frames_still_come() -> None:
    async def work() -> list[Entry]:
        log = WatchedLog()
        with reading(log, heartbeat=0.005) as cursor:
            assert pings(await anext(cursor))
            log.append(entries(1))
            return await anext(cursor)

    assert run(work) == entries(1)


def test_a_closed_reader_leaves_no_timer() -> None:
    async def work() -> int:
        loop = asyncio.get_running_loop()
        before = _timers(loop)
        with reading(MemoryTurnLog(), heartbeat=0.005) as cursor:
            await anext(cursor)
            waiting = asyncio.ensure_future(anext(cursor))
            await asyncio.sleep(0)
            assert _timers(loop) == before + 1
            await _cancelled(waiting)
        return _timers(loop) - before

    assert run(work) == 0


def test_readers_that_wait_share_one_timer() -> None:
    async def work() -> list[int]:
        loop, log = asyncio.get_running_loop(), MemoryTurnLog()
        timers = [_timers(loop)]
        with ExitStack() as stack:
            cursors = [stack.enter_context(reading(log, heartbeat=LONG)) for _ in range(5)]
            waiting = [asyncio.ensure_future(anext(cursor)) for cursor in cursors]
            await parked()
            timers.append(_timers(loop))
            for task in waiting:
                await _cancelled(task)
        return [*timers, _timers(loop)]

    before, during, after = run(work)
    assert (during - before, after - before) == (1, 0)


def test_a_reader_that_was_busy_at_a_look_is_pinged_later() -> None:
    async def work() -> tuple[bool, bool]:
        log = MemoryTurnLog(entries(1))
        with reading(log, heartbeat=0.005) as cursor, reading(log, heartbeat=0.005) as other:
            await anext(cursor), await anext(other)
            await anext(cursor)  # a ping; then it sends for several heartbeats
            for _ in range(5):
                await anext(other)
            assert cursor._beats is None
            return pings(await anext(cursor)), cursor._beats is None

    assert run(work) == (True, False)


def _timers(loop: asyncio.AbstractEventLoop) -> int:
    return len([handle for handle in loop._scheduled if not handle.cancelled()])  # type: ignore[attr-defined]


# -- readers do not harm each other ---------------------------------------------------------------


async def _cancelled(task: asyncio.Future[list[Entry]]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def test_a_cancelled_reader_leaves_no_watcher() -> None:
    async def work() -> WatchedLog:
        log = WatchedLog()
        with reading(log) as cursor:
            task = asyncio.ensure_future(anext(cursor))
            await parked()
            await _cancelled(task)
        return log

    log = run(work)
    assert log.watching == set()
    log.append(entries(1))


def test_a_cancelled_wait_loses_nothing() -> None:
    async def work() -> list[Entry]:
        log = WatchedLog()
        with reading(log) as cursor:
            task = asyncio.ensure_future(anext(cursor))
            await parked()
            await _cancelled(task)
            log.append(entries(2))
            return await anext(cursor)

    assert run(work) == entries(2)


def test_a_slow_reader_misses_nothing_and_slows_nobody() -> None:
    async def work() -> tuple[list[Entry], list[Entry], int]:
        log = WatchedLog()
        with reading(log) as slow:
            quick = asyncio.create_task(everything(log))
            await parked()
            log.append(entries(1))
            first = await anext(slow)
            for n in range(2, 400):
                log.append(entries(1, n))
                await asyncio.sleep(0)
            log.append(entries(1, 400), last=True)
            seen = await quick
            behind = slow.position
            return seen, [*first, *[f async for batch in slow for f in batch]], behind

    quick, slow, behind = run(work)
    assert quick == slow == entries(400)
    assert behind == 1


def test_all_readers_are_woken_by_one_append() -> None:
    async def work() -> list[list[Entry]]:
        log = WatchedLog()
        tasks = [asyncio.create_task(everything(log)) for _ in range(20)]
        await parked()
        log.append(entries(2), last=True)
        return await asyncio.gather(*tasks)

    assert run(work) == [entries(2)] * 20


def test_a_reader_that_never_reads_does_not_watch() -> None:
    async def work() -> set[Watcher]:
        log = WatchedLog()
        Cursor(log)
        return log.watching

    assert run(work) == set()


# -- further readers are woken less often ---------------------------------------------------------


@contextmanager
def written_by(log: MemoryTurnLog) -> Iterator[list[list[int]]]:
    """The numbers that a reader is given, write by write; it reads nothing but that."""
    written: list[list[int]] = []

    def write_through(batch: Sequence[Entry]) -> bool:
        written.append([seq for seq, _, _ in batch])
        return True

    with reading(log) as cursor:
        cursor.write_through = write_through
        waiting = asyncio.ensure_future(anext(cursor))
        yield written
        waiting.cancel()


def test_entries_in_short_order_are_one_write_for_all_readers_but_the_first() -> None:
    async def work() -> tuple[list[list[list[int]]], list[list[list[int]]]]:
        log = MemoryTurnLog()
        with written_by(log) as first, written_by(log) as second, written_by(log) as third:
            await parked()
            for seq in (1, 2, 3):
                log.append(entries(1, seq))
            at_once = [list(one) for one in (first, second, third)]
            await _until(lambda: len(third) == 2)
            log.append(entries(1, 4))
            await _until(lambda: len(third) == 3)
            return at_once, [first, second, third]

    at_once, later = run(work)
    assert at_once == [[[1], [2], [3]], [[1]], [[1]]]
    assert later == [[[1], [2], [3], [4]], [[1], [2, 3], [4]], [[1], [2, 3], [4]]]


def test_readers_of_all_turns_are_notified_in_one_round() -> None:
    async def work() -> tuple[int, list[list[list[int]]]]:
        turns = MemoryEventLog()
        logs = [turns.open(name) for name in ("a", "b", "c")]
        with ExitStack() as stack:
            readers = [stack.enter_context(written_by(log)) for log in logs for _ in range(2)]
            await parked()
            before = _timers(asyncio.get_running_loop())
            for log in logs:
                log.append(entries(1, 1))
                log.append(entries(1, 2))
            rounds = _timers(asyncio.get_running_loop()) - before
            await _until(lambda: len(readers[-1]) == 2)
            return rounds, readers

    rounds, readers = run(work)
    assert rounds == 1
    assert readers == [[[1], [2]]] * 6


def test_slow_entries_go_to_every_reader_at_once() -> None:
    async def work() -> list[list[list[int]]]:
        log = MemoryTurnLog()
        with written_by(log) as first, written_by(log) as second:
            await parked()
            log.append(entries(1, 1))
            await asyncio.sleep(1.5 * COALESCE_SECONDS)
            log.append(entries(1, 2))
            return [list(first), list(second)]

    assert run(work) == [[[1], [2]]] * 2


def test_reader_that_becomes_the_first_one_misses_nothing() -> None:
    async def work() -> list[list[int]]:
        log = MemoryTurnLog()
        with ExitStack() as first:
            first.enter_context(written_by(log))
            with written_by(log) as second:
                await parked()
                log.append(entries(1, 1))
                log.append(entries(1, 2))
                first.close()
                assert second == [[1]]
                await _until(lambda: len(second) == 2)
                log.append(entries(1, 3))
                return second

    assert run(work) == [[1], [2], [3]]


def test_the_end_waits_for_nothing() -> None:
    async def work() -> int:
        log = MemoryTurnLog()
        readers = [asyncio.create_task(everything(log)) for _ in range(3)]
        await parked()
        log.append(entries(1))
        await parked()
        log.append(entries(1, 2), last=True)
        await parked()
        assert [reader.result() for reader in readers] == [entries(2)] * 3
        return _timers(asyncio.get_running_loop())

    assert run(work) == 1  # the test's own


async def _until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - a list has no event
        await asyncio.sleep(0.001)


@given(st.lists(st.integers(1, 3), max_size=6), st.integers(0, 18), st.data())
def test_whenever_a_reader_comes_it_sees_every_frame_in_order(
    appends: list[int], after: int, data: st.DataObject
) -> None:
    arrival = data.draw(st.integers(0, len(appends)))
    total = sum(appends)

    async def work() -> tuple[int, list[Entry]]:
        log = MemoryTurnLog()
        task: asyncio.Task[list[Entry]] | None = None
        start = 0
        for count, size in enumerate([*appends, 0]):
            if count == arrival:
                start = after if after <= len(log.entries()) else 0
                task = asyncio.create_task(everything(log, after))
            for _ in range(data.draw(st.integers(0, 2))):
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            if size:
                log.append(entries(size, len(log.entries()) + 1))
        log.append((), last=True)
        assert task is not None
        return start, await task

    start, seen = run(work)
    assert seen == entries(total)[start:]


# -- the log of one process -----------------------------------------------------------------------


def test_a_log_lives_as_long_as_its_readers() -> None:
    async def work() -> list[Entry]:
        log: MemoryTurnLog | None = MemoryEventLog().open("t")
        assert log is not None
        task = asyncio.create_task(everything(log))
        await asyncio.sleep(0)
        log.append(entries(1), last=True)
        log = None
        return await task

    assert run(work) == entries(1)


def test_a_sealed_log_is_read_to_its_end() -> None:
    sealed = MemoryEventLog().sealed("t", entries(3))
    assert run(lambda: everything(sealed, 1)) == entries(3)[1:]


def test_a_long_log_is_read_in_pieces() -> None:
    log = MemoryTurnLog(entries(3 * MAX_BATCH + 1), closed=True)

    async def scene() -> list[int]:
        with reading(log) as cursor:
            return [len(batch) async for batch in cursor]

    assert run(scene) == [MAX_BATCH] * 3 + [1]
