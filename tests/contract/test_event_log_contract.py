"""What every `EventLog` does. An adapter joins by one line in `ADAPTERS`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from app.adapters.event_log.memory import MemoryEventLog
from app.core.events import LOST_END, Entry
from app.ports.event_log import EventLog, TurnLog

from journal import entries
from loops import in_loop, in_virtual_time

ADAPTERS: dict[str, Callable[[], EventLog]] = {
    "memory": MemoryEventLog,
}


@pytest.fixture(params=list(ADAPTERS))
def event_log(request: pytest.FixtureRequest) -> EventLog:
    return ADAPTERS[request.param]()


class Watching:
    """Counts its calls; `error` is raised each time."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.calls = self.failed = 0
        self._error = error

    def on_readable(self, fresh: Sequence[Entry]) -> None:
        self.calls += 1
        if self._error is not None:
            raise self._error

    def on_failure(self) -> None:
        self.failed += 1


class Leaving(Watching):
    """Stops watching while it is called."""

    def __init__(self, log: TurnLog) -> None:
        super().__init__()
        self._log = log

    def on_readable(self, fresh: Sequence[Entry]) -> None:
        super().on_readable(fresh)
        self._log.unwatch(self)


# -- what it holds --------------------------------------------------------------------------------


def test_entries_come_back_in_order_by_position(event_log: EventLog) -> None:
    log = event_log.open("t1")
    assert (log.start, log.end, log.closed, log.entries()) == (0, 0, False, [])
    log.append(entries(1, 2))
    log.append(entries(3))
    assert log.end == 3
    assert log.entries() == entries(1, 3)
    assert log.entries(1) == entries(2, 2)
    assert log.entries(1, 2) == entries(2)
    assert log.entries(3) == []


def test_log_can_begin_with_the_entries_of_the_journal(event_log: EventLog) -> None:
    log = event_log.open("t1", entries(1, 3))
    log.append(entries(4), last=True)
    assert log.entries() == entries(1, 4)
    assert log.closed


@pytest.mark.parametrize(("seq", "position"), [(-1, 0), (0, 0), (1, 1), (3, 3), (4, 0)])
def test_a_cursor_is_found_behind_its_entry(event_log: EventLog, seq: int, position: int) -> None:
    assert event_log.open("t1", entries(1, 3)).position_after(seq) == position


LOST_TWICE = [*entries(1, 2), *entries(LOST_END, 3), *entries(2 * LOST_END)]


def lost_live(event_log: EventLog) -> TurnLog:
    log = event_log.open("t1", LOST_TWICE[:2])
    log.skip_to(LOST_END)
    log.append(LOST_TWICE[2:4])
    log.append(LOST_TWICE[4:5])
    log.skip_to(2 * LOST_END)
    log.append(LOST_TWICE[5:], last=True)
    return log


def lost_adopted(event_log: EventLog) -> TurnLog:
    return event_log.open("t1", LOST_TWICE)


@pytest.mark.parametrize("made", [lost_live, lost_adopted])
def test_numbers_are_left_out_where_entries_were_lost(
    event_log: EventLog, made: Callable[[EventLog], TurnLog]
) -> None:
    log = made(event_log)
    assert log.entries() == LOST_TWICE
    assert [log.entries(at, at + 1) for at in range(6)] == [[one] for one in LOST_TWICE]
    assert log.entries(3) == LOST_TWICE[3:]
    seen = [0, 2, 500, LOST_END, LOST_END + 2, LOST_END + 9, 2 * LOST_END, 2 * LOST_END + 1]
    assert [log.position_after(seq) for seq in seen] == [0, 2, 2, 3, 5, 5, 6, 0]


def test_a_cursor_among_lost_entries_is_found_before_the_next_one_comes(
    event_log: EventLog,
) -> None:
    log = event_log.open("t1", entries(1, 2))
    log.skip_to(LOST_END)
    assert [log.position_after(seq) for seq in (2, 500, LOST_END)] == [2, 2, 0]


def test_turns_do_not_see_each_other(event_log: EventLog) -> None:
    one, other = event_log.open("t1"), event_log.open("t2")
    one.append(entries(1, 2))
    assert other.entries() == []


def test_a_sealed_log_is_closed(event_log: EventLog) -> None:
    log = event_log.sealed("t1", [*entries(1, 2), *entries(LOST_END)])
    assert (log.closed, log.broken, log.end) == (True, False, 3)
    assert log.entries() == [*entries(1, 2), *entries(LOST_END)]
    assert log.position_after(2) == 2


def test_released_log_within_the_bound_can_still_be_read(event_log: EventLog) -> None:
    log = event_log.open("t1", entries(1, 3))
    log.release(2)
    assert log.start <= 2
    assert log.entries(2) == entries(3)


# -- watchers -------------------------------------------------------------------------------------


@in_loop
async def test_first_watcher_is_called_at_once(event_log: EventLog) -> None:
    log, watching = event_log.open("t1"), Watching()
    log.watch(watching)
    for number in range(1, 6):
        log.append(entries(number))
        assert watching.calls == number


@in_loop
async def test_patient_watcher_takes_nobodys_first_place(event_log: EventLog) -> None:
    log, patient, other, first = event_log.open("t1"), Watching(), Watching(), Watching()
    log.watch(patient, patient=True)
    log.append(entries(1))
    assert patient.calls == 1  # it is alone
    log.watch(other, patient=True)
    log.watch(first)
    for number in range(2, 7):
        log.append(entries(number))
    assert first.calls == 5
    assert patient.calls < 6
    log.unwatch(patient)
    log.unwatch(first)
    second = Watching()
    log.watch(second)
    for number in range(7, 12):
        log.append(entries(number))
    assert second.calls == 5


@in_virtual_time
async def test_the_others_miss_nothing(event_log: EventLog) -> None:
    log, first, second = event_log.open("t1"), Watching(), Watching()
    log.watch(first)
    log.watch(second)
    for number in range(1, 6):
        log.append(entries(number))
    before = second.calls
    await asyncio.sleep(1)
    assert first.calls >= 5
    assert second.calls > before or before == 5


@in_loop
async def test_every_watcher_is_called_at_the_end(event_log: EventLog) -> None:
    log, watchers = event_log.open("t1"), [Watching(), Watching(), Watching()]
    for watcher in watchers:
        log.watch(watcher)
    log.append(entries(1))
    before = [watcher.calls for watcher in watchers]
    log.append(entries(2), last=True)
    assert all(w.calls > calls for w, calls in zip(watchers, before, strict=True))


@in_loop
async def test_broken_off_log_is_closed_and_every_watcher_is_called(event_log: EventLog) -> None:
    log, watchers = event_log.open("t1", entries(1)), [Watching(), Watching()]
    for watcher in watchers:
        log.watch(watcher)
    log.break_off()
    assert (log.closed, log.broken) == (True, True)
    assert [watcher.calls for watcher in watchers] == [1, 1]
    assert log.entries() == entries(1)


@in_loop
async def test_watcher_that_has_left_is_not_called(event_log: EventLog) -> None:
    log, watching = event_log.open("t1"), Watching()
    log.watch(watching)
    log.unwatch(watching)
    log.unwatch(watching)
    log.append(entries(1), last=True)
    assert watching.calls == 0


@in_loop
async def test_watcher_can_leave_while_it_is_called(event_log: EventLog) -> None:
    log = event_log.open("t1")
    leaving, staying = Leaving(log), Watching()
    log.watch(leaving)
    log.watch(staying)
    log.append(entries(1), last=True)
    assert (leaving.calls, staying.calls) == (1, 1)


@pytest.mark.parametrize("error", [RuntimeError("boom"), asyncio.CancelledError()])
@in_loop
async def test_a_watcher_that_raises_harms_itself_only(
    event_log: EventLog, error: BaseException
) -> None:
    log, broken, sound = event_log.open("t1"), Watching(error), Watching()
    log.watch(broken)
    log.watch(sound)
    log.append(entries(1))
    log.append(entries(2), last=True)
    assert (broken.calls, broken.failed) == (1, 1)
    assert sound.calls >= 1
    assert log.entries() == entries(1, 2)
