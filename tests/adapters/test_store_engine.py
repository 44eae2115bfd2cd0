"""The engine beneath the store: when results are returned, and when the log goes into the database."""

from __future__ import annotations

import asyncio
import gc
import math
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from app.adapters.store.sqlite.engine import ENOUGH_COMMITS, SqliteEngine
from app.adapters.store.sqlite.store import SqliteTurnStore
from app.core.money import Amount
from app.errors import IdempotencyKeyReused, StoreUnavailable, TokenBudgetExceeded
from app.ports.store import Admitted, Attached, Busy, Queued, TurnRequest

from waiting import parked

INSERT = "INSERT INTO secrets (name, value) VALUES (?, 'x')"
TIMEOUT = 10


class GatedEngine(SqliteEngine):
    """Commits wait for `gate`; `broken` ones fail. Jobs that wait together share a transaction,
    however slow the machine is.
    """

    LOOP_SECONDS = math.inf

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.gate = threading.Event()
        self.broken = False
        self.checkpointed = threading.Event()

    def _commit(self) -> None:
        assert self.gate.wait(TIMEOUT)
        if self.broken:
            raise sqlite3.OperationalError("disk I/O error")
        super()._commit()

    def _checkpoint(self) -> None:
        super()._checkpoint()
        self.checkpointed.set()


def with_engine(path: Path, work: Callable[[GatedEngine], Awaitable[None]]) -> None:
    with closing(GatedEngine(path)) as engine:
        engine.open()
        asyncio.run(asyncio.wait_for(work(engine), TIMEOUT))


def insert(name: str) -> Callable[[sqlite3.Connection], int]:
    return lambda db: db.execute(INSERT, (name,)).rowcount


def names(engine: SqliteEngine) -> list[str]:
    return engine.look(lambda db: [name for (name,) in db.execute("SELECT name FROM secrets")])


def test_a_result_is_there_before_it_is_durable(tmp_path: Path) -> None:
    async def work(engine: GatedEngine) -> None:
        result, durable = await engine.write_early(insert("a"))
        assert result == 1
        assert not durable.done()
        assert names(engine) == []
        engine.gate.set()
        assert await durable == 1
        assert names(engine) == ["a"]

    with_engine(tmp_path / "store.db", work)


def test_failed_commit_drops_the_turn(tmp_path: Path) -> None:
    async def work(engine: GatedEngine) -> None:
        engine.broken = True
        _, durable = await engine.write_early(insert("a"))
        engine.gate.set()
        with pytest.raises(StoreUnavailable):
            await durable
        engine.broken = False
        await engine.write(insert("b"))
        assert names(engine) == ["b"]

    with_engine(tmp_path / "store.db", work)


def refuse(db: sqlite3.Connection) -> None:
    raise IdempotencyKeyReused


@pytest.mark.parametrize("broken", [False, True])
def test_refusal_waits_for_the_disk_and_is_raised_once(tmp_path: Path, broken: bool) -> None:
    """It may be because of what the same transaction wrote before."""

    async def work(engine: GatedEngine) -> None:
        unheard: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
        engine.broken = broken
        accepted = asyncio.create_task(engine.write_early(insert("a")))
        refusal = asyncio.create_task(engine.write_early(refuse))
        _, durable = await accepted
        await parked()
        assert not refusal.done()
        engine.gate.set()
        results = await asyncio.gather(durable, refusal, return_exceptions=True)
        kinds = [StoreUnavailable] * 2 if broken else [int, IdempotencyKeyReused]
        assert [type(one) for one in results] == kinds
        engine.broken = False
        await engine.write(insert("b"))  # nobody holds the batch before any more
        del results, accepted, durable, refusal
        gc.collect()
        assert unheard == []

    with_engine(tmp_path / "store.db", work)


def test_a_file_that_somebody_else_has_is_written_to_later(tmp_path: Path) -> None:
    path = tmp_path / "store.db"

    async def work(engine: GatedEngine) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as tool:
            tool.execute("BEGIN IMMEDIATE")
            written = asyncio.create_task(engine.write_early(insert("a")))
            await parked()  # its statements were refused
            assert engine.waiting == 0
            assert not written.done()
            tool.execute("ROLLBACK")
        engine.gate.set()
        result, durable = await written
        assert result == await durable == 1

    with_engine(path, work)


def test_the_log_goes_into_the_database_when_nothing_is_written_for_a_moment(
    tmp_path: Path,
) -> None:
    path = tmp_path / "store.db"

    async def work(engine: GatedEngine) -> None:
        engine.gate.set()
        for number in range(ENOUGH_COMMITS):
            assert not engine.checkpointed.is_set()
            await engine.write(insert(str(number)))
        assert await asyncio.to_thread(engine.checkpointed.wait, TIMEOUT)
        # as if there were no log
        with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as alone:
            assert alone.execute("SELECT COUNT(*) FROM secrets").fetchone() == (ENOUGH_COMMITS,)
        await engine.write(insert("and on"))

    with_engine(path, work)


def test_the_loop_can_write_while_the_log_goes_into_the_database(tmp_path: Path) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold(sql: str) -> None:
        """Within SQLite, which lets one thread at a time use a connection."""
        entered.set()
        leave.wait(TIMEOUT)

    async def work(engine: GatedEngine) -> None:
        engine.gate.set()
        engine._checkpoint_db.set_trace_callback(hold)
        for number in range(ENOUGH_COMMITS):
            await engine.write(insert(str(number)))
        assert await asyncio.to_thread(entered.wait, TIMEOUT)
        result, durable = await engine.write_early(insert("meanwhile"))
        assert result == 1
        assert not engine.checkpointed.is_set()
        leave.set()
        await durable

    with_engine(tmp_path / "store.db", work)


# -- admissions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize(
    ("second", "kind"),
    [
        ({}, Busy),
        ({"queue_limit": 1}, Queued),
        ({"idempotency_key": "k"}, Attached),
        ({"character_id": "other", "budget": Amount(1000)}, TokenBudgetExceeded),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_verdict_that_rests_on_an_admission_waits_until_it_is_durable(
    tmp_path: Path, second: dict[str, Any], kind: type[Any], broken: bool
) -> None:
    first = TurnRequest("c", "go", "u", "r", idempotency_key="k", reserved=600)
    limits = {name: second[name] for name in ("queue_limit", "budget") if name in second}
    fields = {name: second[name] for name in second if name not in limits}
    later = replace(first, **{"idempotency_key": None, **fields})

    async def work() -> None:
        store = SqliteTurnStore(tmp_path / "store.db", time.time)
        store._engine = engine = GatedEngine(tmp_path / "store.db")
        engine.broken = broken
        store.open()
        tasks = [
            asyncio.create_task(store.admit("1", first, b"hash")),
            asyncio.create_task(store.admit("2", later, b"hash", **limits)),
        ]
        admitted = await tasks[0]
        assert isinstance(admitted, Admitted)
        await parked()
        assert not tasks[1].done()
        engine.gate.set()
        results = await asyncio.gather(admitted.durable, tasks[1], return_exceptions=True)
        if broken:
            assert [type(one) for one in results] == [StoreUnavailable] * 2
        else:
            assert isinstance(results[1], kind)
        engine.broken = False
        await store.aclose()

    asyncio.run(work())
