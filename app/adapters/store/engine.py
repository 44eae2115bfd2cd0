"""SQLite off the event loop: one writer thread that commits in groups, one reader thread.

Whatever waits when the writer is free goes into one transaction, so that a slow fsync is shared by
all turns that wait for it.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import structlog

from app.adapters.store.schema import migrate
from app.errors import StoreUnavailable

log = structlog.get_logger(__name__)

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


class StoreInUse(Exception):
    """Another server holds the database."""


class _Job:
    __slots__ = ("error", "future", "loop", "result", "work")

    def __init__(
        self, work: Work[Any], loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any]
    ) -> None:
        self.work = work
        self.loop = loop
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None

    def resolve(self) -> None:
        if self.future.cancelled():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class SqliteEngine:
    """One database file, locked for the life of the engine by a lock file beside it."""

    MAX_BATCH = 256

    def __init__(self, path: Path) -> None:
        self._path = path
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._reader = ThreadPoolExecutor(1, "store-reader")
        self._writer = threading.Thread(target=self._write_loop, name="store-writer", daemon=True)
        self._lock_fd = -1
        self._read_db: sqlite3.Connection | None = None

    def open(self) -> None:
        """Raises `StoreInUse`, `sqlite3.Error` or `OSError`."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._lock()
        self._write_db = self._connect()
        os.chmod(self._path, 0o600)
        migrate(self._write_db)
        self._read_db = self._connect()
        self._writer.start()

    def _lock(self) -> None:
        lock = self._path.with_name(self._path.name + ".lock")
        self._lock_fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock_fd)
            raise StoreInUse(f"another server is using {self._path}") from None

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")  # takes effect on a new file only
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA busy_timeout = 5000")
        return db

    def close(self) -> None:
        if self._writer.is_alive():
            self._jobs.put(None)
            self._writer.join()
        self._reader.shutdown()
        if self._read_db is not None:
            self._read_db.close()
            self._write_db.close()
            os.close(self._lock_fd)
            self._read_db = None

    @property
    def alive(self) -> bool:
        return self._writer.is_alive()

    @property
    def waiting(self) -> int:
        return self._jobs.qsize()

    def run(self, work: Work[T]) -> T:
        """One transaction in the calling thread, for the start of the service."""
        db = self._connect()
        try:
            db.execute("BEGIN IMMEDIATE")
            result = work(db)
            db.execute("COMMIT")
        finally:
            db.close()
        return result

    async def read(self, work: Work[T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._reader, self._read, work)

    def _read(self, work: Work[T]) -> T:
        assert self._read_db is not None
        try:
            return work(self._read_db)
        except sqlite3.Error as error:
            raise _unusable(error) from error

    async def write(self, work: Work[T]) -> T:
        """Run `work` inside a transaction; durable when this returns. Raises `StoreUnavailable`."""
        loop = asyncio.get_running_loop()
        job = _Job(work, loop, loop.create_future())
        self._jobs.put(job)
        return await job.future  # type: ignore[no-any-return]

    def _write_loop(self) -> None:
        while (job := self._jobs.get()) is not None:
            batch = [job]
            while len(batch) < self.MAX_BATCH and not self._jobs.empty():
                waiting = self._jobs.get()
                if waiting is None:
                    self._jobs.put(None)
                    break
                batch.append(waiting)
            self._commit(batch)
            for loop in {job.loop for job in batch}:
                done = [job for job in batch if job.loop is loop]
                loop.call_soon_threadsafe(_resolve, done)

    def _commit(self, batch: list[_Job]) -> None:
        db = self._write_db
        try:
            db.execute("BEGIN IMMEDIATE")
            for job in batch:
                self._run(db, job)
            db.execute("COMMIT")
        except Exception as error:
            self._roll_back()
            for job in batch:
                job.error = _unusable(error)

    def _roll_back(self) -> None:
        """A disk that fails in earnest fails here too; a new connection then starts clean."""
        try:
            if self._write_db.in_transaction:
                self._write_db.execute("ROLLBACK")
        except sqlite3.Error:
            with suppress(sqlite3.Error):
                self._write_db.close()
                self._write_db = self._connect()

    def _run(self, db: sqlite3.Connection, job: _Job) -> None:
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


def _resolve(jobs: list[_Job]) -> None:
    for job in jobs:
        job.resolve()


def _unusable(error: Exception) -> StoreUnavailable:
    """A full disk, a read-only file, a corrupt page: the reason goes to the log, not to clients."""
    log.error("store_unusable", reason=str(error), kind=type(error).__name__)
    return StoreUnavailable()
