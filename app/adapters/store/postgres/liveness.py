"""Whether this process lives, as others see it: a session of its own holds an advisory lock.

When the session is lost (one crashed backend ends those of all processes), nothing is sent any more until
a new session has the lock. Others leave the turns of a process alone for `GRACE_SECONDS` after its lock was
seen free. A lock that cannot be had back ends the process.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import structlog

from app.adapters.store.postgres import statements as sql
from app.adapters.store.postgres.connecting import (
    LOST,
    Connection,
    Database,
    PostgresError,
    bounded,
)
from app.errors import StoreUnavailable
from app.tasks import cancelled

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS: Final = 1.0
SILENCE_SECONDS: Final = 2.0
"""How long the server may take for a heartbeat before the session counts as lost."""
IDLE_SECONDS: Final = 10.0
"""Without a heartbeat for so long, the server ends the session: what is in between may answer keepalives
and forward nothing. A process that stood still finds its lock gone, and other fences on its turns."""
RETAKE_SECONDS: Final = 15.0
"""How long somebody else may have our lock while the database answers."""
PAUSE: Final = 0.1
GRACE_SECONDS: Final = 0.6
LONG_GRACE_SECONDS: Final = 5.0
"""After sessions of our own were lost: others may have lost theirs with them."""

Fatal = Callable[[str], None]


class Liveness:
    """`owner` names the process. `on_fatal` is called with a reason when it must end at once."""

    def __init__(self, database: Database, on_fatal: Fatal) -> None:
        self.owner = uuid.uuid4().hex
        self._database = database
        self._on_fatal = on_fatal
        self._held = asyncio.Event()
        self._lost = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._session: tuple[int, Any] | None = None  # the server's process and when it began
        self._lost_at = -LONG_GRACE_SECONDS
        self._closing = False

    @property
    def held(self) -> bool:
        """Whether the process may still act on its claims."""
        return self._held.is_set()

    @property
    def grace(self) -> float:
        """Seconds for which another process's lock must have been free before its turns are taken."""
        recent = time.monotonic() - self._lost_at < LONG_GRACE_SECONDS
        return LONG_GRACE_SECONDS if recent else GRACE_SECONDS

    async def wait_held(self, seconds: float) -> None:
        """Raises `StoreUnavailable` when the lock is not held after so long."""
        if self._held.is_set():
            return
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="postgres-liveness")
        try:
            async with asyncio.timeout(seconds):
                await self._held.wait()
        except TimeoutError:
            raise StoreUnavailable from None

    async def aclose(self) -> None:
        """Free the lock, so that others need not wait for a death."""
        self._closing = True
        self._lost.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=2 * SILENCE_SECONDS)
            await cancelled([self._task])
        self._held.clear()

    async def _run(self) -> None:
        connection = await self._retake()
        while True:
            beat = await self._beat(connection)
            if self._closing:
                await _leave(connection, self.owner)
                return
            self._held.clear()
            self._lost_at = time.monotonic()
            log.warning(
                "lock_lost", reason="the session that holds the process's lock is gone or silent"
            )
            connection = await self._again(connection, beat)
            log.info("lock_retaken", seconds=round(time.monotonic() - self._lost_at, 3))

    async def _beat(self, connection: Connection) -> asyncio.Task[Any]:
        """Returns when the session is lost or silent, with the heartbeat that has no answer yet."""
        if not self._closing:
            self._lost.clear()
        connection.add_termination_listener(lambda _: self._lost.set())
        while True:
            beat = asyncio.create_task(connection.fetch(sql.HEARTBEAT))
            await asyncio.wait([beat], timeout=SILENCE_SECONDS)
            if not _answered(beat):
                return beat
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await self._lost.wait()
                return beat

    async def _again(self, former: Connection, beat: asyncio.Task[Any]) -> Connection:
        """A session that has the lock: a new one, or the former, where it was only slow. That one keeps the
        lock until a new one can be had, so that on a busy machine nobody takes turns from the living."""
        if beat.done() or former.is_closed():
            former.terminate()
            await asyncio.wait([beat])
            return await self._retake()
        retaken = asyncio.create_task(self._retake(), name="postgres-retake")
        try:
            await asyncio.wait([beat, retaken], return_when=asyncio.FIRST_COMPLETED)
            if _answered(beat) and not retaken.done():
                self._held.set()
                return former
            former.terminate()
            return await retaken
        finally:
            retaken.cancel()
            await asyncio.wait([retaken])

    async def _retake(self) -> Connection:
        until: float | None = None
        while True:
            connection = await self._connected()
            if connection is not None:
                try:
                    if await self._locked(connection):
                        return connection
                except asyncio.CancelledError:
                    connection.terminate()
                    raise
                connection.terminate()
                until = until or time.monotonic() + RETAKE_SECONDS
                if time.monotonic() > until:
                    self._on_fatal(
                        "another session holds the lock of this process, so others may have taken its"
                        " turns over; it ends, to be started again"
                    )
            await asyncio.sleep(PAUSE)

    async def _connected(self) -> Connection | None:
        try:
            idle = f"{IDLE_SECONDS * 1000:.0f}ms"
            return await self._database.connect("lock", {"idle_session_timeout": idle})
        except (*LOST, PostgresError):
            return None

    async def _locked(self, connection: Connection) -> bool:
        try:
            if self._session is not None:  # its end may not have been noticed by the server yet
                await bounded(connection, SILENCE_SECONDS, sql.END_FORMER, *self._session)
            rows = await bounded(connection, SILENCE_SECONDS, sql.LOCK, self.owner)
            got, pid, began = rows[0]
            if not got:
                return False
            await bounded(connection, SILENCE_SECONDS, sql.JOIN, self.owner)
        except (*LOST, PostgresError):
            return False
        self._session = (pid, began)
        self._held.set()
        return True


def _answered(beat: asyncio.Task[Any]) -> bool:
    return beat.done() and beat.exception() is None


async def _leave(connection: Connection, owner: str) -> None:
    with suppress(Exception):
        await bounded(connection, SILENCE_SECONDS, sql.LEAVE, owner)
        await connection.close(timeout=1)
