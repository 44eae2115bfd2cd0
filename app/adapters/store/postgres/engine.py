"""Statements on a few connections, each statement a transaction.

A connection has a task of its own, to which callers hand jobs: a caller that is cancelled leaves its
statement to end by itself, where cancelling one would take a second connection to the server. A
statement whose connection is lost is sent again on the next one, so each must bear that.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any, Final

import structlog

from app.adapters.store.postgres.connecting import (
    LOST,
    Connection,
    Database,
    bounded,
    passes,
)
from app.errors import StoreUnavailable

log = structlog.get_logger(__name__)

STATEMENT_SECONDS: Final = 4.0
PATIENCE_SECONDS: Final = 8.0  # from the call to the answer, all attempts together
PAUSE: Final = 0.1


class Job:
    """A statement, its values, when it is given up (in the loop's time), and who waits."""

    __slots__ = ("done", "due", "sql", "values")

    def __init__(self, sql: str, values: tuple[Any, ...], due: float, done: Any) -> None:
        self.sql = sql
        self.values = values
        self.due = due
        self.done: asyncio.Future[list[Any]] = done

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class PostgresEngine:
    """A pool of at most `size` connections, made when they are needed. `name`: see `Database.connect`."""

    def __init__(self, database: Database, name: str, size: int) -> None:
        self._database = database
        self._name = name
        self._size = size
        self._jobs: deque[Job] = deque()
        self._idle: list[asyncio.Future[Job | None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self.failing = False
        """The latest statement found no database."""

    @property
    def waiting(self) -> int:
        return len(self._jobs)

    async def fetch(self, sql: str, *values: Any, seconds: float = PATIENCE_SECONDS) -> list[Any]:
        """The rows. Raises `StoreUnavailable`: whether it was carried out is not known then."""
        loop = asyncio.get_running_loop()
        job = Job(sql, values, loop.time() + seconds, loop.create_future())
        while self._idle:
            waiter = self._idle.pop()
            if not waiter.done():
                waiter.set_result(job)
                return await job.done
        if self._closed:
            raise StoreUnavailable
        self._jobs.append(job)
        if len(self._tasks) < self._size:
            task = asyncio.create_task(self._work(), name=f"postgres-{self._name}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await job.done

    async def value(self, sql: str, *values: Any) -> Any:
        """The first column of the first row; None without one."""
        rows = await self.fetch(sql, *values)
        return rows[0][0] if rows else None

    async def aclose(self) -> None:
        """Finish what was begun."""
        self._closed = True
        for waiter in self._idle:
            if not waiter.done():
                waiter.set_result(None)
        self._idle.clear()
        if self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- one connection ---------------------------------------------------------------------------

    async def _next(self) -> Job | None:
        if self._jobs:
            return self._jobs.popleft()
        if self._closed:
            return None
        waiter: asyncio.Future[Job | None] = asyncio.get_running_loop().create_future()
        self._idle.append(waiter)
        return await waiter

    async def _work(self) -> None:
        connection: Connection | None = None
        try:
            while (job := await self._next()) is not None:
                connection = await self._run(job, connection)
                del job
        finally:
            if connection is not None:
                with suppress(Exception):
                    await connection.close(timeout=1)

    async def _run(self, job: Job, connection: Connection | None) -> Connection | None:
        """Carry a job to its end; the connection to go on with."""
        loop = asyncio.get_running_loop()
        while not job.done.done():
            if loop.time() >= job.due:
                self.failing = True
                job.fail(StoreUnavailable())
                break
            try:
                if connection is None or connection.is_closed():
                    connection = await self._database.connect(self._name)
                rows = await bounded(connection, STATEMENT_SECONDS, job.sql, *job.values)
            except Exception as error:
                connection = _kept(connection, error)
                if not passes(error):
                    job.fail(error)
                    break
                self._log(error)
                await asyncio.sleep(min(PAUSE, max(job.due - loop.time(), 0)))
            else:
                self.failing = False
                if not job.done.done():
                    job.done.set_result(rows)
        return connection

    def _log(self, error: Exception) -> None:
        """The first of a row; the reason is for operators only."""
        if not self.failing:
            log.error("store_unusable", reason=_reason(error), kind=type(error).__name__)
        self.failing = True


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else ""


def _kept(connection: Connection | None, error: Exception) -> Connection | None:
    """A connection that may be lost, or on which something was left open, is not used again."""
    if connection is None or connection.is_closed():
        return None
    if isinstance(error, LOST) or connection.is_in_transaction():
        connection.terminate()
        return None
    return connection
