"""What PostgreSQL does when it is disturbed, and what the journal on it does then."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from app.adapters.limits.postgres import PostgresLimiter
from app.adapters.store.postgres import engine as engine_module
from app.adapters.store.postgres import liveness as liveness_module
from app.adapters.store.postgres import statements as sql
from app.adapters.store.postgres import watching as watching_module
from app.adapters.store.postgres.connecting import (
    LOST,
    Connection,
    Database,
    Unusable,
    bounded,
)
from app.adapters.store.postgres.engine import PostgresEngine
from app.adapters.store.postgres.liveness import Liveness
from app.adapters.store.postgres.preparing import at_the_start
from app.adapters.store.postgres.rows import original, storable
from app.adapters.store.postgres.schema import MIGRATIONS
from app.adapters.store.postgres.store import PostgresTurnStore
from app.adapters.store.postgres.tables import PostgresTableStore
from app.adapters.store.postgres.watching import WAIT_SECONDS, PeerWatch
from app.core.context import CharacterProgress
from app.core.hub import session_event
from app.core.limits import Rule
from app.core.money import Amount
from app.core.rounds import Round
from app.core.tables import DICE, DeedKey, NewLine, Seat, Table, TableRules
from app.errors import StoreUnavailable
from app.ports.limits import Charge
from app.ports.store import Admitted, CancelVerdict, Claim, Orphan, Verdict, Writing
from app.ports.tables import SeatNews, TableNews
from hypothesis import example, given
from hypothesis import strategies as st

from databases import SERVERS, pooled
from journal import HASH, ending, entries, planned, record, recording, turn_request
from loops import in_loop
from serving import TIMEOUT
from waiting import parked
from wires import Wire


def ends(reason: str) -> None:
    raise AssertionError(reason)


@asynccontextmanager
async def opened(url: str | None = None) -> AsyncIterator[PostgresTurnStore]:
    database = Database(url or SERVERS.postgres.emptied())
    store = PostgresTurnStore(database, on_fatal=ends)
    try:
        yield store
    finally:
        await store.aclose()


@asynccontextmanager
async def session() -> AsyncIterator[Connection]:
    connection = await Database(SERVERS.postgres.url("emptied")).connect("tests")
    try:
        yield connection
    finally:
        connection.terminate()


async def somebody_waits(connection: Connection) -> None:
    """For a lock; `pg_stat_activity` would stay as it was when this transaction saw it first."""
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    while not await connection.fetchval(waiting):  # noqa: ASYNC110 - another session waits
        await asyncio.sleep(0.005)


async def writing(store: PostgresTurnStore, turn_id: str = "t1") -> Claim:
    found = await store.admit(turn_id, turn_request(), HASH)
    assert isinstance(found, Admitted)
    plan = record(turn_id, planned(1), planned(2), planned(3))
    assert await store.validate(found.claim, plan, entries(1, 3), recording()) is Verdict.STORED
    return found.claim


# -- the start --------------------------------------------------------------------------------------


def test_many_processes_make_the_schema_at_once() -> None:
    database = Database(SERVERS.postgres.url())
    with ThreadPoolExecutor(12) as threads:
        for done in [threads.submit(at_the_start, database) for _ in range(12)]:
            done.result(TIMEOUT)
    assert at_the_start(database, "SELECT version FROM schema_version")[0][0] == len(MIGRATIONS)


@in_loop
async def test_a_secret_that_another_process_draws_at_the_same_moment_is_found() -> None:
    database = Database(SERVERS.postgres.url())
    await asyncio.to_thread(at_the_start, database)
    connection = await database.connect("tests")
    try:
        transaction = connection.transaction()
        await transaction.start()
        await connection.fetch(sql.DRAWN, "seed", "theirs")
        drawing = asyncio.create_task(
            asyncio.to_thread(at_the_start, database, sql.DRAWN, "seed", "ours")
        )
        await somebody_waits(connection)
        await transaction.commit()
        (found,) = await drawing
        assert found[0] == "theirs"
    finally:
        connection.terminate()


def test_a_schema_of_a_newer_release_is_refused() -> None:
    database = Database(SERVERS.postgres.url())
    at_the_start(database)
    at_the_start(database, "UPDATE schema_version SET version = version + 1")
    with pytest.raises(Unusable, match="newer release"):
        at_the_start(database)


def test_a_pooler_is_refused() -> None:
    with pooled(SERVERS.postgres) as url, pytest.raises(Unusable, match="pooler"):
        at_the_start(Database(url))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://tests@127.0.0.1:1/postgres", "cannot be reached"),
        ("postgresql://tests@127.0.0.1:{port}/nowhere", "does not exist"),
    ],
)
def test_a_server_that_cannot_be_used_is_named_in_one_line(url: str, reason: str) -> None:
    with pytest.raises(Unusable, match=reason) as caught:
        at_the_start(Database(url.format(port=SERVERS.postgres.port)))
    assert "\n" not in str(caught.value)


@given(st.text())
@example("\0")
@example("\\0")
@example("\ud800 \\ud800")
def test_any_text_can_be_stored_and_read_back(text: str) -> None:
    kept = storable(text)
    assert "\0" not in kept
    kept.encode()
    assert original(kept) == text


# -- transactions whose answer is lost ----------------------------------------------------------------


class Deaf(PostgresEngine):
    """Carries a statement out and loses the answer, once for each."""

    def __init__(self, real: PostgresEngine) -> None:
        self.__dict__.update(real.__dict__)
        self._heard: set[tuple[str, tuple[Any, ...]]] = set()

    async def fetch(self, statement: str, *values: Any, seconds: float = 5) -> list[Any]:
        rows = await super().fetch(statement, *values, seconds=seconds)
        asked = statement, tuple(map(str, values))
        if asked not in self._heard:
            self._heard.add(asked)
            raise StoreUnavailable
        return rows


@in_loop
async def test_a_transaction_that_is_repeated_answers_as_it_did_and_adds_nothing() -> None:
    async with opened() as store:
        await store.adopt()
        real, store.engine = store.engine, Deaf(store.engine)
        claim = Claim("t1", 1)

        async def twice(call: Any) -> Any:
            with pytest.raises(StoreUnavailable):
                await call()
            return await call()

        assert isinstance(await twice(lambda: store.admit("t1", turn_request(), HASH)), Admitted)
        plan = record("t1", planned(1), planned(2))
        validate = lambda: store.validate(claim, plan, entries(1, 3), recording())  # noqa: E731
        assert await twice(validate) is Verdict.STORED
        assert await twice(lambda: store.note(claim, entries(4))) is Verdict.STORED
        assert await twice(lambda: store.step(claim, 1, entries(5))) is Verdict.STORED
        done = ending(entries=entries(6), progress=CharacterProgress(turns=1), spent=Amount(7))
        assert await twice(lambda: store.finish(claim, done)) is Verdict.STORED
        store.engine = real
        assert await store.entries("t1") == entries(1, 6)
        assert (await store.spent("mara")).used == Amount(7)


class Twice(PostgresEngine):
    """Sends each statement again, as where its answer was lost."""

    def __init__(self, real: PostgresEngine) -> None:
        self.__dict__.update(real.__dict__)

    async def fetch(self, statement: str, *values: Any, seconds: float = 5) -> list[Any]:
        await super().fetch(statement, *values, seconds=seconds)
        return await super().fetch(statement, *values, seconds=seconds)


@in_loop
async def test_statements_of_tables_that_are_sent_twice_add_nothing_twice() -> None:
    def rolls(number: int) -> NewLine:
        return NewLine("Olga", f"{number}", "system", "olga", data={DICE: {"index": number}})

    def collects(known: Round, number: int) -> tuple[Round, NewLine]:
        return known.begun("olga", f"round {number}", None), rolls(number)

    async with opened() as store:
        tables = PostgresTableStore(Twice(store.engine), store.owner)
        owner = Seat("olga", "Olga", joined_at=1.0)
        table = await tables.create(owner, "a", "DM", TableRules(), 1.0)
        assert await tables.create(owner, "a", "DM", TableRules(), 1.0, once=True) == table
        joined = session_event("session.joined", table.id, "x", "olga", {})
        news = SeatNews(joined, NewLine("DM", "Mara has joined.", "system"), 2.0)
        assert await tables.take_seat(table.id, Seat("mara", "Mara", joined_at=2.0), news)
        said = await tables.lines_since(table.id, 0, 9)
        assert [line.said for line in said] == [news.said]
        said += [await tables.say(table.id, rolls(7), 1.0) for _ in range(2)]
        said += [await tables.say_deed(table.id, rolls, 1.0) for _ in range(2)]
        key = DeedKey("olga", "k", b"h")
        said.append(await tables.say_deed(table.id, rolls, 1.0, key))
        assert await tables.say_deed(table.id, rolls, 1.0, key) == said[-1]
        assert (await tables.collect(table.id, collects, 1.0)).key == "round 4"
        *lines, last = await tables.lines_since(table.id, 0, 99)
        assert (lines, last.said) == (said, rolls(4))
        assert [line.said.roll for line in lines[3:]] == [1, 2, 3]
        assert len(await tables.seats(table.id)) == 2
        for paused in (True, True, False):
            changed = await tables.change(
                table.id,
                partial(Table.ruled, paused=paused),
                lambda old, new: TableNews(
                    session_event("session.changed", new.id, f"{old} {new}", "olga", {}),
                    NewLine("DM", f"{new.rules.paused}", "system"),
                    2.0,
                ),
            )
            assert changed is not None
            assert changed[1].rules.paused == paused
        *_, one, two, three = await tables.lines_since(table.id, 0, 99)
        assert [line.said.content for line in (one, two, three)] == ["True", "True", "False"]
        assert two.id == last.id + 2
        assert await tables.of_user("olga") == [table]


@in_loop
async def test_an_admission_that_was_never_answered_is_adopted() -> None:
    async with opened() as store:
        await store.adopt()
        real, store.engine = store.engine, Deaf(store.engine)
        with pytest.raises(StoreUnavailable):
            await store.admit("t1", turn_request(), HASH)
        store.engine = real
        (orphan,) = await store.adopt()
        assert (orphan.claim, orphan.phase) == (Claim("t1", 2), "streaming")
        assert await store.adopt() == []


# -- clocks and locks -----------------------------------------------------------------------------------


@in_loop
async def test_the_time_of_a_send_is_read_behind_the_wait_for_the_row() -> None:
    async with opened() as store, session() as other:
        claim = await writing(store)
        holding = other.transaction()
        await holding.start()
        await other.execute("SELECT 1 FROM turns WHERE turn_id = 't1' FOR UPDATE")
        step = asyncio.create_task(store.step(claim, 1, entries(4)))
        await somebody_waits(other)
        await asyncio.sleep(0.2)
        released = await other.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8")
        await holding.rollback()
        assert await step is Verdict.STORED
        sent_at = await other.fetchval("SELECT sent_at FROM turns WHERE turn_id = 't1'")
        assert sent_at >= released


@in_loop
async def test_times_of_an_adopted_turn_are_by_our_own_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with opened() as store:
        await writing(store)
    monkeypatch.setattr(time, "time", lambda real=time.time: real() - 5_000)
    async with opened(SERVERS.postgres.url("emptied")) as store:
        (orphan,) = await store.adopt()
        assert isinstance(orphan.phase, Writing)
        assert 0 <= time.time() - orphan.phase.delivery.sent_at < 10


@in_loop
async def test_a_terminated_lock_session_is_replaced_and_the_turn_goes_on() -> None:
    async with opened() as store, opened(SERVERS.postgres.url("emptied")) as peer:
        claim = await writing(store)
        await peer.adopt()
        async with session() as other:
            for _ in range(3):
                await other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE application_name = 'dungeon-master lock'"
                )
                assert await peer.adopt() == []
        assert await store.step(claim, 1, entries(4)) is Verdict.STORED
        await store.liveness.wait_held(5)


@in_loop
async def test_a_lock_that_cannot_be_had_back_ends_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(liveness_module, "RETAKE_SECONDS", 0.2)
    reasons: list[str] = []
    fatal = asyncio.Event()

    def end(reason: str) -> None:
        reasons.append(reason)
        fatal.set()

    live = Liveness(Database(SERVERS.postgres.emptied()), end)
    await live.wait_held(5)
    async with session() as other:
        await other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'dungeon-master lock'"
        )
        await other.fetch("SELECT pg_advisory_lock(owner_key_1($1))", live.owner)
        await fatal.wait()
        with pytest.raises(StoreUnavailable):
            await live.wait_held(0.05)
    assert "another session holds the lock" in reasons[0]
    await live.aclose()


@in_loop
async def test_a_dead_process_is_noticed_and_its_turns_are_adopted_after_its_grace() -> None:
    async with opened() as store, opened(SERVERS.postgres.url("emptied")) as peer:
        freed = asyncio.Event()
        peer.on_orphans = freed.set
        await peer.adopt()
        await writing(store)
        began = time.monotonic()
        assert store.liveness._task is not None
        store.liveness._task.cancel()  # as if it had died: its session ends, its row stays
        async with session() as other:
            await other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'dungeon-master lock' AND pid IN (SELECT pid FROM pg_locks"
                " WHERE locktype = 'advisory' AND (classid::bigint << 32 | objid::bigint)"
                " = owner_key_1($1))",
                store.owner,
            )
        found: list[Orphan] = []
        while not found:
            await freed.wait()
            freed.clear()
            found = await peer.adopt()
        assert [orphan.claim for orphan in found] == [Claim("t1", 2)]
        assert time.monotonic() - began > 0.5


@in_loop
async def test_lock_of_a_dead_process_that_is_free_as_its_watcher_gives_up_stays_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The watcher's own session of the server stands still while the wait ends and the lock is granted: it
    learns of both at once."""
    database, dead, freed = Database(SERVERS.postgres.emptied()), "f" * 32, asyncio.Event()
    monkeypatch.setattr(watching_module, "GRACE_SECONDS", 0.05)
    waiting = (
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'dungeon-master watch'"
        " AND wait_event_type = 'Lock'"
    )
    async with session() as other:
        await other.execute("INSERT INTO nodes (owner, started_at) VALUES ($1, 0)", dead)
        await other.execute("SELECT pg_advisory_lock(owner_key_1($1))", dead)
        watch = PeerWatch(database, "0", freed.set)
        watch.start()
        while (watcher := await other.fetchval(waiting)) is None:
            pass
        os.kill(watcher, signal.SIGSTOP)
        await asyncio.sleep(WAIT_SECONDS + 0.1)
        await other.execute("SELECT pg_advisory_unlock(owner_key_1($1))", dead)
        os.kill(watcher, signal.SIGCONT)
        await freed.wait()
        held = "SELECT count(*) FROM pg_locks WHERE pid = $1 AND locktype = 'advisory'"
        while await other.fetchval(held, watcher):
            pass  # at most until the test's own time is up
        await watch.aclose()


class SlowToAdopt(PostgresTurnStore):
    """Adopts once it may."""

    may: asyncio.Event

    async def _claiming(self, statement: str, *values: Any) -> list[Any]:
        if statement is sql.ADOPT:
            await self.may.wait()
        return await super()._claiming(statement, *values)


@in_loop
async def test_a_turn_that_is_admitted_while_orphans_are_looked_for_is_none() -> None:
    store = SlowToAdopt(Database(SERVERS.postgres.emptied()), on_fatal=ends)
    store.may = asyncio.Event()
    adopting = asyncio.create_task(store.adopt())
    await parked()
    claim = await writing(store)
    store.may.set()
    assert await adopting == []
    assert await store.step(claim, 1, entries(4)) is Verdict.STORED
    await store.aclose()


@in_loop
async def test_a_connection_that_is_ended_between_two_steps_of_the_driver_is_lost() -> None:
    async with session() as connection:
        connection.terminate()
        with pytest.raises(LOST):
            await bounded(connection, 1.0, "SELECT 1")

    class Ended:
        def terminate(self) -> None: ...

        def is_closed(self) -> bool:
            return True

        async def fetch(self, *_: Any) -> None:
            raise AttributeError

    with pytest.raises(ConnectionResetError):
        await bounded(Ended(), 1.0, "SELECT 1")


@in_loop
async def test_a_cancel_and_a_promotion_repeat_without_harm() -> None:
    async with opened() as store:
        await store.admit("t1", turn_request(), HASH)
        await store.admit("t2", turn_request(), HASH, queue_limit=1)
        assert await store.engine.value(sql.CANCEL, "t1", b"x") is True
        assert await store.engine.value(sql.CANCEL, "t1", b"x") is True
        assert await store.begin_cancel("t1") is CancelVerdict.TOO_LATE
        await store.finish(Claim("t1", 1), ending("cancelled"))
        key = turn_request().exclusive_key
        assert await store.engine.value(sql.PROMOTE, key, b"y") == "t2"
        assert await store.engine.value(sql.PROMOTE, key, b"y") == "t2"
        assert await store.promote(key) is None
        assert await store.phases() == {"t2": "streaming"}


# -- a server that is silent ------------------------------------------------------------------------------


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire(SERVERS.postgres.port)
    yield made
    made.close()


@in_loop
async def test_no_wait_for_a_silent_server_is_longer_than_its_bound(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(f"postgresql://tests@127.0.0.1:{wire.port}/postgres")
    engine = PostgresEngine(database, "tests", 2)
    assert await engine.value("SELECT 1") == 1
    wire.cut.set()
    with monkeypatch.context() as bounds:
        bounds.setattr(engine_module, "STATEMENT_SECONDS", 0.2)
        calls = [engine.fetch("SELECT 1", seconds=0.5) for _ in range(5)]
        found = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(one, StoreUnavailable) for one in found)
    wire.cut.clear()
    assert await engine.value("SELECT 1") == 1
    await engine.aclose()


@in_loop
async def test_a_lock_session_that_is_only_slow_keeps_its_lock(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness_module, "HEARTBEAT_SECONDS", 0.01)
    monkeypatch.setattr(liveness_module, "SILENCE_SECONDS", 0.5)
    url = SERVERS.postgres.emptied()
    live = Liveness(Database(url.replace(str(SERVERS.postgres.port), str(wire.port))), ends)
    await live.wait_held(TIMEOUT)
    wire.quick.clear()
    while live.held:  # noqa: ASYNC110 - it sends no signal
        await asyncio.sleep(0.01)
    async with session() as other:
        free = "SELECT pg_try_advisory_lock(owner_key_1($1))"
        assert not await other.fetchval(free, live.owner)
        wire.quick.set()
        await live.wait_held(TIMEOUT)
    await live.aclose()


@in_loop
async def test_a_caller_that_leaves_does_not_cost_the_connection() -> None:
    engine = PostgresEngine(Database(SERVERS.postgres.url("emptied")), "tests", 1)
    pid = await engine.value("SELECT pg_backend_pid()")
    waiting = asyncio.create_task(engine.value("SELECT pg_sleep(0.1)"))
    await asyncio.sleep(0.02)
    waiting.cancel()
    assert await engine.value("SELECT pg_backend_pid()") == pid
    await engine.aclose()


@in_loop
async def test_statement_refused_by_the_server_is_no_outage() -> None:
    engine = PostgresEngine(Database(SERVERS.postgres.url("emptied")), "tests", 1)
    for statement, value in (("SELECT 1 / $1::int", 0), ("SELECT $1::int", "no number")):
        with pytest.raises(Exception, match=r"division|invalid input|integer"):
            await engine.fetch(statement, value)
    assert await engine.value("SELECT 1") == 1
    await engine.aclose()


# -- rate windows -----------------------------------------------------------------------------------


@in_loop
async def test_windows_that_are_dropped_while_one_is_waited_for_are_made_again() -> None:
    engine = PostgresEngine(Database(SERVERS.postgres.emptied()), "limits", 2)
    limiter = PostgresLimiter(engine)
    charges = [Charge(Rule(name, 2, 60.0), "mara") for name in ("address", "user")]
    await (await limiter.take(charges)).give_back()
    async with session() as other:
        await other.execute("BEGIN; SELECT FROM windows WHERE name LIKE 'a%' FOR UPDATE")
        taking = asyncio.create_task(limiter.take(charges))
        await somebody_waits(other)
        await other.execute("DELETE FROM windows; COMMIT")  # as whoever drops idle ones
        assert (await taking).headers["X-RateLimit-Remaining"] == "1"
    await engine.aclose()
