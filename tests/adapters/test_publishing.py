"""What a process publishes of its turns while its channel fails, and at its end."""

from __future__ import annotations

from asyncio import sleep
from collections.abc import Sequence
from typing import Any

import pytest
from app.adapters.event_log.shared import LINGER_SECONDS, LogRow, SharedEventLog
from app.adapters.store.packing import unpack
from app.core.events import Entry
from app.errors import StoreUnavailable

from journal import entries
from loops import in_virtual_time


class Channel:
    """In memory. While it is `away` it takes nothing; what it keeps is gone when it is emptied."""

    def __init__(self) -> None:
        self.away = False
        self.kept: dict[str, list[LogRow]] = {}
        self.offered: list[int] = []  # rows in each publishing
        self._marked = False

    async def publish(self, rows: Sequence[LogRow], *, rewriting: bool, whole: bool) -> bool:
        self.offered.append(len(rows))
        self._refuse()
        if not (rewriting or self._marked):
            return False
        for row in rows:
            self.kept.setdefault(row[0], []).append(row)
        self._marked = self._marked or whole
        return True

    async def drop(self, turn_ids: Sequence[str]) -> None:
        self._refuse()
        for turn_id in turn_ids:
            self.kept.pop(turn_id, None)

    def _refuse(self) -> None:
        if self.away:
            raise StoreUnavailable

    def empty(self) -> None:
        self.kept, self._marked = {}, False

    def entries(self, turn_id: str) -> list[Entry]:
        found = {
            entry[0]: entry
            for _, first, _, data in self.kept.get(turn_id, ())
            for entry in unpack(first, data)
        }
        return [found[number] for number in sorted(found)]

    async def read(self, seen: Any) -> list[LogRow]:
        return [row for turn_id in seen for row in self.kept.get(turn_id, ())]

    def start(self, wanted: object, deliver: object) -> None:
        pass

    async def aclose(self) -> None:
        pass


class Journal:
    """Of turns that never end."""

    async def turn(self, turn_id: str) -> Any:
        return None


def started(channel: Channel) -> SharedEventLog:
    journal: Any = Journal()
    log = SharedEventLog(channel, journal)
    log.start()
    return log


@in_virtual_time
async def test_what_is_appended_between_two_flushes_is_published_at_the_end() -> None:
    channel = Channel()
    log = started(channel)
    turn = log.open("t1")
    turn.append(entries(1))
    await sleep(0.01)
    assert channel.entries("t1") == entries(1)
    turn.append(entries(2))
    await log.aclose()
    assert channel.entries("t1") == entries(1, 2)


@in_virtual_time
async def test_channel_that_is_away_is_asked_for_now_and_then_and_without_rows() -> None:
    channel = Channel()
    log = started(channel)
    turns = [log.open(f"t{number}") for number in range(50)]
    for turn in turns:
        turn.append(entries(1, 4))
    await sleep(1)
    channel.away, channel.offered = True, []
    for number in range(5, 205):
        for turn in turns:
            turn.append(entries(number))
        await sleep(0.05)
    assert sum(channel.offered) == len(turns)  # the flush that has failed
    assert len(channel.offered) < 50  # in ten seconds
    channel.away = False
    await sleep(1)
    assert all(channel.entries(turn) == entries(1, 204) for turn in ("t0", "t49"))
    await log.aclose()


@pytest.mark.parametrize("away", [False, True])
@in_virtual_time
async def test_turn_that_ends_is_dropped_even_if_the_channel_is_away(away: bool) -> None:
    channel = Channel()
    log = started(channel)
    turn = log.open("t1")
    turn.append(entries(1))
    await sleep(1)
    assert channel.entries("t1") == entries(1)
    channel.away = away
    turn.append(entries(2), last=True)
    del turn
    await sleep(2 * LINGER_SECONDS)
    channel.away = False
    log.open("t2").append(entries(1))
    await sleep(1)
    assert "t1" not in channel.kept
    await log.aclose()


@in_virtual_time
async def test_log_of_a_silent_turn_is_written_again_once_the_channel_has_lost_it() -> None:
    channel = Channel()
    log = started(channel)
    turn = log.open("t1")
    turn.append(entries(1, 3))
    await sleep(1)
    channel.empty()
    await sleep(3)
    assert channel.entries("t1") == entries(1, 3)
    assert not turn.closed
    await log.aclose()


@in_virtual_time
async def test_damaged_part_ends_the_reading_of_no_other_turn() -> None:
    channel = Channel()
    log = started(channel)
    channel.kept = {
        "t1": [("t1", 1, 2, b"no entries")],
        "t2": [("t2", 1, 2, b"\n".join(data for *_, data in entries(1, 2)))],
    }
    damaged, whole = await log.follow("t1", ()), await log.follow("t2", ())
    assert damaged is not None
    assert whole is not None
    assert (damaged.entries(), whole.entries()) == ([], entries(1, 2))
    await log.aclose()
