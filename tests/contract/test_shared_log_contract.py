"""What every channel of running turns does. One joins by one line in `CHANNELS`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from secrets import token_hex
from typing import Any

import pytest
from app.adapters.event_log import shared
from app.adapters.event_log.postgres import PostgresLogChannel
from app.adapters.event_log.redis import RedisLogChannel
from app.adapters.event_log.shared import LogChannel, SharedEventLog
from app.adapters.store.postgres.connecting import Database
from app.adapters.store.postgres.engine import PostgresEngine
from app.adapters.store.postgres.listening import PostgresListener
from app.core.events import LOST_END, Complete, Entry, encode_entry
from app.core.results import SubsystemSummary, Timing, Usage, Validation
from app.ports.event_log import TurnLog
from app.ports.store import StoredTurn

from databases import SERVERS
from journal import NOON, entries
from logs_of_turns import read
from loops import in_loop


class OnPostgres(PostgresLogChannel):
    """With connections of its own."""

    def __init__(self, space: str) -> None:
        database = Database(SERVERS.postgres.url("emptied"))
        self._own = PostgresEngine(database, "log", 2)
        self._listener = PostgresListener(database)
        super().__init__(self._own, self._own, self._listener, token_hex(16))
        self._listener.start()

    async def aclose(self) -> None:
        await super().aclose()
        await self._listener.aclose()
        await self._own.aclose()


def redis(space: str) -> LogChannel:
    return RedisLogChannel(SERVERS.redis.url, space, token_hex(16))


def empty_postgres() -> None:
    SERVERS.postgres.psql("TRUNCATE emptied.log, emptied.log_owners")


def empty_redis() -> None:
    SERVERS.redis.flush()


CHANNELS: dict[str, tuple[Callable[[str], LogChannel], Callable[[], None]]] = {
    "postgres": (OnPostgres, empty_postgres),
    "redis": (redis, empty_redis),
}


class Journal:
    """What is recorded of the turns."""

    def __init__(self) -> None:
        self.ended: dict[str, list[Entry]] = {}

    async def turn(self, turn_id: str) -> StoredTurn:
        finished = NOON if turn_id in self.ended else None
        return StoredTurn(turn_id, "mara", "c1", "running", NOON, finished_at=finished)

    async def entries(self, turn_id: str) -> list[Entry] | None:
        return self.ended.get(turn_id)


class Two:
    """Two processes on one channel."""

    def __init__(self, kind: str) -> None:
        self._make, self.empty = CHANNELS[kind]
        self._space = token_hex(4)
        self.journal = Journal()

    @asynccontextmanager
    async def processes(self) -> AsyncIterator[tuple[SharedEventLog, SharedEventLog]]:
        journal: Any = self.journal
        one, other = (SharedEventLog(self._make(self._space), journal) for _ in range(2))
        one.start()
        other.start()
        try:
            yield one, other
        finally:
            await one.aclose()
            await other.aclose()


@pytest.fixture(params=list(CHANNELS))
def two(request: pytest.FixtureRequest) -> Two:
    if request.param == "postgres":
        SERVERS.postgres.emptied()
    return Two(request.param)


def last(seq: int) -> Entry:
    end = Complete("t1", {}, SubsystemSummary(), Timing(), Usage(), Validation())
    return encode_entry(seq, end, "2026-01-01T00:00:00.000Z")


async def followed(log: SharedEventLog, turn_id: str, *recorded: Entry) -> TurnLog:
    found = await log.follow(turn_id, recorded)
    assert found is not None
    return found


def turn_id() -> str:
    return f"t{token_hex(4)}"


@in_loop
async def test_turn_is_followed_to_its_end(two: Two) -> None:
    async with two.processes() as (here, there):
        turn = turn_id()
        log = here.open(turn)
        log.append(entries(1, 2))
        other = await followed(there, turn)
        assert await read(other, 2) == entries(1, 2)
        for number in range(3, 8):
            log.append(entries(number))
            await asyncio.sleep(0.01)
        log.append([last(8)], last=True)
        assert await read(other, 8) == [*entries(1, 7), last(8)]
        assert (other.closed, other.broken) == (True, False)


@in_loop
async def test_followed_log_begins_with_the_recorded_entries(two: Two) -> None:
    async with two.processes() as (here, there):
        turn = turn_id()
        other = await followed(there, turn, *entries(1, 3))
        assert other.entries() == entries(1, 3)
        log = here.open(turn, entries(1, 3))
        log.append(entries(4, 2))
        assert await read(other, 2, after=3) == entries(4, 2)


@in_loop
async def test_cursor_can_be_ahead_of_the_log(two: Two) -> None:
    async with two.processes() as (here, there):
        turn = turn_id()
        other = await followed(there, turn)
        log = here.open(turn)
        log.append(entries(1, 9))
        assert await read(other, 2, after=7) == entries(8, 2)


@in_loop
async def test_cursor_may_be_ahead_of_the_process_that_runs_the_turn(two: Two) -> None:
    """The journal has a turn's last entries, and other processes show them, before its own log has."""
    async with two.processes() as (here, _):
        log = here.open(turn_id(), entries(1, 3))
        reading = asyncio.create_task(read(log, 2, after=4))
        await asyncio.sleep(0)
        log.append([*entries(4, 2), last(6)], last=True)
        assert await reading == [*entries(5, 1), last(6)]


@in_loop
async def test_number_that_was_never_given_reads_from_the_start(two: Two) -> None:
    async with two.processes() as (here, there):
        turn = turn_id()
        log = here.open(turn)
        other = await followed(there, turn)
        reading = asyncio.create_task(read(other, 2, after=500))
        log.append([*entries(1), last(2)], last=True)
        assert await reading == [*entries(1), last(2)]


@in_loop
async def test_cursor_ahead_of_a_lost_end_reads_the_end_alone(two: Two) -> None:
    async with two.processes() as (here, there):
        turn = turn_id()
        other = await followed(there, turn, *entries(1, 2))
        reading = asyncio.create_task(read(other, 1, after=9))
        adopted = here.open(turn, entries(1, 2))
        adopted.skip_to(LOST_END)
        adopted.append([last(LOST_END)], last=True)
        assert await reading == [last(LOST_END)]


@in_loop
async def test_cursor_among_lost_entries_reads_all_that_follows_them(two: Two) -> None:
    async with two.processes() as (here, there):
        turn = turn_id()
        other = await followed(there, turn, *entries(1, 2))
        reading = asyncio.create_task(read(other, 20, after=9))
        adopted = here.open(turn, entries(1, 2))
        adopted.skip_to(LOST_END)
        adopted.append(entries(LOST_END, 20))
        assert await reading == entries(LOST_END, 20)


@in_loop
async def test_cursor_ahead_of_a_log_that_is_broken_off_reads_nothing(two: Two) -> None:
    async with two.processes() as (_, there):
        other = await followed(there, turn_id(), *entries(1, 2))
        reading = asyncio.create_task(read(other, 1, after=9))
        await asyncio.sleep(0)
        other.break_off()
        assert await reading == []


@in_loop
async def test_many_turns_are_followed_at_once(two: Two) -> None:
    async with two.processes() as (here, there):
        turns = [turn_id() for _ in range(300)]
        logs = [here.open(turn) for turn in turns]
        others = [await followed(there, turn) for turn in turns[:20]]
        for log in logs:
            log.append(entries(1, 3))
            log.append([last(4)], last=True)
        for other in others:
            assert await read(other, 4) == [*entries(1, 3), last(4)]


@in_loop
async def test_channel_that_was_emptied_is_written_again(two: Two) -> None:
    async with two.processes() as (here, there):
        turn, quiet = turn_id(), turn_id()
        log, silent = here.open(turn), here.open(quiet)
        log.append(entries(1, 5))
        silent.append(entries(1, 2))
        early = await followed(there, turn)
        assert await read(early, 5) == entries(1, 5)
        await asyncio.to_thread(two.empty)
        log.append(entries(6, 2))
        assert await read(early, 2, after=5) == entries(6, 2)
        late, other = await followed(there, turn), await followed(there, quiet)
        assert await read(late, 7) == entries(1, 7)
        assert await read(other, 2) == entries(1, 2)
        assert early.entries() == entries(1, 7)


@in_loop
async def test_what_is_written_again_has_all_parts_of_each_turn(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "REWRITE_TURNS", 1)
    async with two.processes() as (here, there):
        turns = [turn_id() for _ in range(3)]
        for turn in turns:
            adopted = here.open(turn, entries(1, 2))
            adopted.skip_to(LOST_END)
            adopted.append([last(LOST_END)], last=True)
            assert await read(await followed(there, turn), 3) == [*entries(1, 2), last(LOST_END)]


@in_loop
async def test_lost_end_is_shown_behind_whatever_was_seen(two: Two) -> None:
    async with two.processes() as (here, there):
        turn = turn_id()
        here.open(turn).append(entries(1, 6))
        other = await followed(there, turn)
        await read(other, 6)
        adopted = there.open(turn, entries(1, 2))
        adopted.skip_to(LOST_END)
        adopted.append([last(LOST_END)], last=True)
        assert await read(other, 7) == [*entries(1, 6), last(LOST_END)]
        assert other.closed


@in_loop
async def test_end_that_was_never_heard_of_is_in_the_journal(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "SILENCE_SECONDS", 0.1)
    async with two.processes() as (_, there):
        turn = turn_id()
        other = await followed(there, turn, *entries(1))
        two.journal.ended[turn] = [*entries(1, 3), last(4)]
        assert await read(other, 4) == [*entries(1, 3), last(4)]
        assert (other.closed, other.broken) == (True, False)


@in_loop
async def test_log_that_was_broken_off_is_published_no_further(two: Two) -> None:
    async with two.processes() as (here, there):
        turn, later = turn_id(), turn_id()
        log = here.open(turn)
        log.append(entries(1, 2))
        other = await followed(there, turn)
        await read(other, 2)
        log.append(entries(3))
        log.break_off()
        here.open(later).append(entries(1))
        await read(await followed(there, later), 1)
        assert (await followed(there, turn)).entries() == entries(1, 2)


@in_loop
async def test_nothing_is_left_of_a_turn_that_has_ended(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "LINGER_SECONDS", 0.5)
    async with two.processes() as (here, there):
        turn, later = turn_id(), turn_id()
        log = here.open(turn)
        log.append(entries(1))
        reader = await followed(there, turn)
        log.append([last(2)], last=True)
        await read(reader, 2)
        other = here.open(later)
        for number in range(1, 100):
            other.append(entries(number))
            await asyncio.sleep(0.02)
            if not (await followed(there, turn)).entries():
                break
        assert (await followed(there, turn)).entries() == []
