"""Kept-alive connections to the servers behind one client, and how many there may be."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from types import ModuleType
from typing import NamedTuple

from app.http1.connection import Connection

IDLE_SECONDS = 4.0  # shorter than uvicorn's five: who hangs up first must not be the server


class Origin(NamedTuple):
    host: str
    port: int
    tls: bool


class Pool:
    """`library`: httpx or httpx2, whose exceptions are raised. `limit`: exchanges at once."""

    def __init__(self, library: ModuleType, limit: int, tls: ssl.SSLContext) -> None:
        self._library = library
        self._places = asyncio.Semaphore(limit)
        self._tls = tls
        self._idle: dict[Origin, deque[Connection]] = {}
        self._busy: set[Connection] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    async def take(
        self, origin: Origin, connect_timeout: float | None, pool_timeout: float | None
    ) -> Connection:
        """A connection for one exchange; it must be given back.

        Raises `PoolTimeout`, `ConnectTimeout` or `ConnectError`: nothing has been sent then.
        """
        await self._take_place(pool_timeout)
        try:
            connection = self._kept(origin) or await self._connect(origin, connect_timeout)
        except BaseException:
            self._places.release()
            raise
        self._busy.add(connection)
        return connection

    def give_back(self, origin: Origin, connection: Connection) -> None:
        """A second time it does nothing."""
        if connection not in self._busy:
            return
        self._busy.discard(connection)
        self._places.release()
        if connection.finish():
            loop = asyncio.get_running_loop()
            connection.idle_since = loop.time()
            self._idle.setdefault(origin, deque()).append(connection)
            if self._sweeper is None:
                self._sweeper = loop.call_later(IDLE_SECONDS, self._sweep)

    def close(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for kept in self._idle.values():
            for connection in kept:
                connection.close()
        self._idle.clear()
        for connection in self._busy:
            connection.close()

    async def _take_place(self, timeout: float | None) -> None:
        if not self._places.locked():
            await self._places.acquire()  # at once
            return
        try:
            async with asyncio.timeout(timeout):
                await self._places.acquire()
        except TimeoutError:
            raise self._library.PoolTimeout("all connections are in use") from None

    def _kept(self, origin: Origin) -> Connection | None:
        """The one used last: the others may then grow old enough to be closed."""
        kept = self._idle.get(origin)
        while kept:
            connection = kept.pop()
            if connection.usable:
                return connection
            connection.close()
        return None

    async def _connect(self, origin: Origin, timeout: float | None) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                _, connection = await loop.create_connection(
                    lambda: Connection(self._library),
                    origin.host,
                    origin.port,
                    ssl=self._tls if origin.tls else None,
                )
        except TimeoutError:
            raise self._library.ConnectTimeout("no connection in time") from None
        except OSError as error:  # refused, unknown host, a certificate that cannot be trusted
            raise self._library.ConnectError(str(error)) from error
        return connection

    def _sweep(self) -> None:
        """Close what nobody has used for long."""
        loop = asyncio.get_running_loop()
        oldest = loop.time() - IDLE_SECONDS
        for origin, kept in list(self._idle.items()):
            while kept and kept[0].idle_since <= oldest:
                kept.popleft().close()
            if not kept:
                del self._idle[origin]
        first = min((kept[0].idle_since for kept in self._idle.values()), default=None)
        self._sweeper = None if first is None else loop.call_at(first + IDLE_SECONDS, self._sweep)
