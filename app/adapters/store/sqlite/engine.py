"""SQLite beside the event loop: statements run on the loop, what waits for the disk in a thread.

A statement takes microseconds, and the loop's thread holds the interpreter anyway: handing each one
to a thread costs more than running it, in time and in waiting for the interpreter's lock. A commit
waits for the disk, so it has the thread. Whatever comes while one is under way shares the next.
"""

from __future__ import annotations

import asyncio
import math
import os
import queue
import sqlite3
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from app.adapters.store.sqlite.jobs import (
    Batch,
    Job,
    T,
    Work,
    is_busy,
    log_unusable,
    reading,
    resolve_all,
)
from app.adapters.store.sqlite.lock import lock_beside
from app.adapters.store.sqlite.schema import migrate
from app.errors import StoreUnavailable
from app.private_files import private_database, private_folder

LOCK_SECONDS, LOCK_PAUSE = 5.0, 0.01  # how long another process may hold the file
# A commit that leaves a thousand pages in the log also brings them into the database before it returns,
# and somebody waits for that. So it is done earlier, when nothing is to be written for a moment.
ENOUGH_COMMITS, IDLE_SECONDS = 32, 0.02


class SqliteEngine:
    """One database file, locked for the life of the engine by a lock file beside it."""

    MAX_BATCH = 256  # jobs
    LOOP_SECONDS = 0.002  # of the event loop's time for one batch: no token waits longer for it

    def __init__(self, path: Path) -> None:
        self._path = path
        self._jobs: deque[Job] = deque()
        self._busy = False  # a batch is about to begin or under way
        self._batches: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._reader = ThreadPoolExecutor(1, "store-reader")
        self._checkpointer = ThreadPoolExecutor(1, "store-checkpoint")
        self._writer = threading.Thread(target=self._write_loop, name="store-writer", daemon=True)
        self._lock_fd = -1
        self._read_db: sqlite3.Connection | None = None
        self._look_db: sqlite3.Connection | None = None
        self.failing = False  # the latest transaction was given up
        self._commits = 0  # since the log was last brought into the database

    def open(self) -> None:
        """Raises `StoreInUse`, `sqlite3.Error` or `OSError`."""
        private_folder(self._path.parent)
        self._lock()
        private_database(self._path)
        self._write_db = self._connect_to_write()
        self._checkpoint_db = self._connect()
        migrate(self._write_db)
        self._read_db, self._look_db = self._connect(), self._connect()
        self._writer.start()

    def _lock(self) -> None:
        self._lock_fd = lock_beside(self._path)

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # takes effect on a new file only
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA busy_timeout = 5000")
        return db

    def _connect_to_write(self) -> sqlite3.Connection:
        db = self._connect()
        db.execute("PRAGMA busy_timeout = 0")  # the loop does not wait for locks
        return db

    async def aclose(self) -> None:
        """Finish what was begun, then let go of the file."""
        if self.alive:
            with suppress(StoreUnavailable):
                await self.write(lambda db: None)
        self.close()

    def close(self) -> None:
        if self._writer.is_alive():
            self._batches.put(None)
            self._writer.join()
        self._reader.shutdown()
        self._checkpointer.shutdown()
        if self._read_db is not None and self._look_db is not None:
            for db in (self._read_db, self._look_db, self._checkpoint_db, self._write_db):
                db.close()
            os.close(self._lock_fd)
            self._read_db = self._look_db = None

    @property
    def alive(self) -> bool:
        return self._writer.is_alive()

    @property
    def waiting(self) -> int:
        return len(self._jobs)

    def run(self, work: Work[T]) -> T:
        """One transaction in the calling thread, for the start of the service."""
        with self._checkpoint_db as db:  # no checkpoint is due yet
            db.execute("BEGIN IMMEDIATE")
            return work(db)

    async def read(self, work: Work[T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reader, self._read, work)

    def _read(self, work: Work[T]) -> T:
        assert self._read_db is not None
        return reading(work, self._read_db)

    def look(self, work: Work[T]) -> T:
        """A look-up of single rows by an index, at once. Raises `StoreUnavailable`."""
        assert self._look_db is not None
        return reading(work, self._look_db)

    # -- writing, on the loop ---------------------------------------------------------------------

    async def write(self, work: Work[T], *, heavy: bool = False) -> T:
        """Run `work` inside a transaction; durable when this returns. Raises `StoreUnavailable`.

        `heavy`: it takes longer than a few statements, so it has the thread for itself.
        """
        loop = asyncio.get_running_loop()
        job = Job(work, loop.create_future(), heavy)
        self._line_up(job, loop)
        return await job.durable  # type: ignore[no-any-return]

    async def write_early(self, work: Work[T]) -> tuple[T, asyncio.Future[T]]:
        """The result as soon as the statements have run, and a future that must be awaited: it is done
        once the result is durable, or raises `StoreUnavailable` when nothing was written after all.

        Raises what `work` raises, when everything that it saw is durable, or `StoreUnavailable`.
        """
        loop = asyncio.get_running_loop()
        job = Job(work, loop.create_future())
        job.ran = loop.create_future()
        self._line_up(job, loop)
        try:
            return await job.ran, job.durable
        except BaseException:
            job.durable.cancel()  # nobody will ask; it also silences an error that it has already
            raise

    def _line_up(self, job: Job, loop: asyncio.AbstractEventLoop) -> None:
        self._jobs.append(job)
        if not self._busy:
            self._busy = True
            loop.call_soon(self._next, loop)  # all who come in this round of the loop share it

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._jobs:
            jobs = self._batch()
            if jobs[0].heavy:
                self._batches.put(Batch(loop, jobs, executed=False))
                return
            try:
                late = self._execute(jobs, self.LOOP_SECONDS)
            except sqlite3.OperationalError as error:
                if is_busy(error):  # a tool has the file
                    self._batches.put(Batch(loop, jobs, executed=False))
                    return
                self._give_up(jobs, error)
            except Exception as error:
                self._give_up(jobs, error)
            else:
                self._jobs.extendleft(reversed(late))
                done = jobs[: len(jobs) - len(late)]
                self._batches.put(Batch(loop, done, executed=True))
                for job in done:
                    if job.error is None:  # a refusal may be because of what is not durable yet
                        job.resolve(job.ran)
                return
            resolve_all(jobs)
        self._busy = False

    def _batch(self) -> list[Job]:
        jobs = [self._jobs.popleft()]
        if not jobs[0].heavy:
            while self._jobs and len(jobs) < self.MAX_BATCH and not self._jobs[0].heavy:
                jobs.append(self._jobs.popleft())
        return jobs

    def _committed(self, batch: Batch) -> None:
        batch.resolve()
        batch.loop.call_soon(self._next, batch.loop)  # behind what else is ready: it may join in

    # -- in the thread ----------------------------------------------------------------------------

    def _write_loop(self) -> None:
        while (batch := self._next_batch()) is not None:
            self._write_batch(batch)
            del batch  # what it holds is not to be kept until the next one comes

    def _write_batch(self, batch: Batch) -> None:
        try:
            if not batch.executed:
                self._execute_patiently(batch.jobs)
            self._commit()
            self._commits += 1
            self.failing = False
        except Exception as error:
            self._give_up(batch.jobs, error)
        try:
            batch.loop.call_soon_threadsafe(self._committed, batch)
        except RuntimeError:  # that loop is over, and nobody waits any more
            self._busy = False

    def _next_batch(self) -> Batch | None:
        if self._commits >= ENOUGH_COMMITS:
            try:
                return self._batches.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                self._commits = 0
                self._checkpointer.submit(self._checkpoint)
        return self._batches.get()

    def _checkpoint(self) -> None:
        """Checkpoint the WAL in a thread and on a connection of its own: readers and writers do not
        wait for it."""
        with suppress(sqlite3.Error):  # what is wrong with the disk, commits will report
            self._checkpoint_db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _commit(self) -> None:
        self._write_db.execute("COMMIT")

    def _execute_patiently(self, jobs: list[Job]) -> None:
        until = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                self._execute(jobs)
                return
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() > until:
                    raise
            time.sleep(LOCK_PAUSE)

    # -- on both sides, one at a time -------------------------------------------------------------

    def _execute(self, jobs: list[Job], seconds: float = math.inf) -> list[Job]:
        """Run them inside a transaction; returns those for which there was no time."""
        db, until = self._write_db, time.perf_counter() + seconds
        db.execute("BEGIN IMMEDIATE")
        for number, job in enumerate(jobs):
            if number and time.perf_counter() > until:
                return jobs[number:]
            self._run(db, job)
        return []

    def _run(self, db: sqlite3.Connection, job: Job) -> None:
        """One job, undone by itself when it fails: its neighbours must not pay for it."""
        db.execute("SAVEPOINT job")
        try:
            job.result = job.work(db)
        except (sqlite3.IntegrityError, sqlite3.ProgrammingError) as error:
            job.error = error
            db.execute("ROLLBACK TO job")
        except sqlite3.Error:
            raise  # the disk or the file: it concerns the whole batch
        except Exception as error:
            job.error = error
            db.execute("ROLLBACK TO job")
        db.execute("RELEASE job")

    def _give_up(self, jobs: list[Job], error: Exception) -> None:
        """A disk that fails in earnest fails here too; a new connection then starts clean."""
        log_unusable(error)
        self.failing = True
        for job in jobs:
            job.error = StoreUnavailable()
        try:
            if self._write_db.in_transaction:
                self._write_db.execute("ROLLBACK")
        except sqlite3.Error:
            with suppress(sqlite3.Error):
                self._write_db.close()
                self._write_db = self._connect_to_write()
