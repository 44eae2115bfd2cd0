"""Jobs of the SQLite engine: what they run, and who waits for them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import structlog

from app.errors import StoreUnavailable

log = structlog.get_logger(__name__)

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


class Job:
    """`durable` gets the result when the disk has it; `ran`, where it is set, mostly before that. Both
    get an error."""

    __slots__ = ("durable", "error", "heavy", "ran", "result", "work")

    def __init__(self, work: Work[Any], durable: asyncio.Future[Any], heavy: bool = False) -> None:
        self.work = work
        self.durable = durable
        self.ran: asyncio.Future[Any] | None = None
        self.heavy = heavy
        self.result: Any = None
        self.error: BaseException | None = None

    def resolve(self, future: asyncio.Future[Any] | None) -> None:
        """Give the result or the error to whoever awaits `future`."""
        if future is None or future.done():
            return
        if self.error is not None:
            future.set_exception(self.error)
        else:
            future.set_result(self.result)


class Batch(NamedTuple):
    """Jobs of one transaction. `executed`: only the commit is missing."""

    loop: asyncio.AbstractEventLoop
    jobs: list[Job]
    executed: bool

    def resolve(self) -> None:
        """Notify everybody who waits for a job of its result."""
        resolve_all(self.jobs)


def resolve_all(jobs: list[Job]) -> None:
    """Notify everybody who waits for one of them."""
    for job in jobs:
        job.resolve(job.ran)
        job.resolve(job.durable)


def reading(work: Work[T], db: sqlite3.Connection) -> T:
    """The result of a read. Raises `StoreUnavailable`."""
    try:
        return work(db)
    except sqlite3.Error as error:
        log_unusable(error)
        raise StoreUnavailable from error


def is_busy(error: sqlite3.OperationalError) -> bool:
    """Whether another process has the file for a moment."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY


def log_unusable(error: Exception) -> None:
    """A full disk, a read-only file, a corrupt page: the reason goes to the log, not to clients."""
    log.error("store_unusable", reason=str(error), kind=type(error).__name__)
