"""Whole exchanges with one server, without the objects of httpx.

`transport_for` serves libraries that bring their own requests and responses. Where nobody needs those, they
cost more than everything else in a call: a URL is parsed, and each header is made three times.
"""

from __future__ import annotations

import ssl
from types import ModuleType
from typing import NamedTuple

from app.http1.connection import Connection
from app.http1.pool import Origin, Pool
from app.http1.request import encode_request

Headers = list[tuple[bytes, bytes]]


class Timeouts(NamedTuple):
    """Seconds for each step; None: no limit. `read`: between two reads."""

    connect: float | None
    read: float | None
    pool: float | None


class Reply(NamedTuple):
    """A whole answer; the body as it was sent, compressed or not."""

    status: int
    headers: Headers
    body: bytes


class Exchanges:
    """`errors`: httpx or httpx2, whose exceptions are raised. `limit`: exchanges at once."""

    def __init__(
        self, errors: ModuleType, origin: Origin, *, limit: int, tls: ssl.SSLContext
    ) -> None:
        self._errors = errors
        self._origin = origin
        self._pool = Pool(errors, limit, tls)

    async def send(
        self,
        method: bytes,
        target: bytes,
        headers: Headers,
        body: bytes,
        timeouts: Timeouts,
        most: int,
    ) -> Reply:
        """The answer to a request that is sent once. `most`: bytes that its body may have.

        Raises `PoolTimeout`, `ConnectTimeout`, `ConnectError` or `LocalProtocolError` where nothing was
        sent, else `ReadTimeout`, `ReadError` or `RemoteProtocolError`.
        """
        data = encode_request(self._errors, method, target, headers, body)
        connection = await self._pool.take(self._origin, timeouts.connect, timeouts.pool)
        try:
            connection.send(data)
            await connection.head(timeouts.read)
            content = await self._body(connection, timeouts.read, most)
            return Reply(connection.status, connection.headers, content)
        finally:
            self._pool.give_back(self._origin, connection)

    async def _body(self, connection: Connection, timeout: float | None, most: int) -> bytes:
        body = await connection.read(timeout)
        while piece := await connection.read(timeout):
            body += piece
            if len(body) > most:
                raise self._errors.ReadError("the answer is too long")
        return body

    def close(self) -> None:
        """End every connection, also those in use."""
        self._pool.close()
