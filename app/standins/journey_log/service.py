"""The embedded journey-log as one object: a file, the thread that serves it, an ASGI app."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from .app import build_app
from .database import connect
from .store import Store

T = TypeVar("T")


class EmbeddedJourneyLog:
    """The journey-log HTTP contract on one SQLite file.

    `app` needs no lifespan and may be mounted at any prefix. All SQLite work runs on one thread of
    its own: one write at a time, and an fsync never holds the event loop. Several instances, in
    this process or in others, may share a file: each write holds SQLite's lock.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        self._thread: ThreadPoolExecutor | None = None
        self._db: sqlite3.Connection | None = None
        self.app = build_app(self._run)

    def open(self) -> None:
        """Opens or creates the file, mode 0600, and migrates it. No effect when already open.

        Raises OSError or sqlite3.Error, and RuntimeError for a file of a newer release.
        """
        if self._thread is not None:
            return
        thread = ThreadPoolExecutor(1, thread_name_prefix="journey-log")
        try:
            self._db = thread.submit(connect, self._path).result()
        except BaseException:
            thread.shutdown()
            raise
        self._thread = thread

    def close(self) -> None:
        """Ends what is under way, then closes the file. No effect when already closed."""
        thread, db = self._thread, self._db
        self._thread = self._db = None
        if thread is not None and db is not None:
            thread.submit(db.close).result()
            thread.shutdown()

    async def _run(self, job: Callable[[Store], T], /) -> T:
        if self._thread is None or self._db is None:
            raise RuntimeError("the embedded journey-log is not open")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, job, Store(self._db))
