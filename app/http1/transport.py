"""Transports for httpx and httpx2, which are two libraries with one interface.

Why not their own: those make a dozen objects and a lock per read, and journey-log's writes must
never be sent twice, nor counted as unsent once a byte has left. Here a request is sent once, on one
connection; connecting is all that can fail before.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from functools import partial
from types import ModuleType
from typing import Any

from app.http1.connection import Connection
from app.http1.pool import Origin, Pool
from app.http1.request import encode_request

_PORTS = {"http": 80, "https": 443}


def transport_for(library: ModuleType, *, limit: int, tls: ssl.SSLContext) -> Any:
    """An `AsyncBaseTransport` of `library` (httpx or httpx2); `limit`: requests at once.

    Its responses have two extensions: `stream_to` and `coalesce` of their `Connection`.
    """

    body_class = _body_class(library)

    class Transport(library.AsyncBaseTransport):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            self._pool = Pool(library, limit, tls)

        async def handle_async_request(self, request: Any) -> Any:
            timeout = request.extensions.get("timeout") or {}
            data = await _encoded(library, request)
            origin = _origin(request.url)
            connection = await self._pool.take(origin, timeout.get("connect"), timeout.get("pool"))
            _forget_body(request)
            try:
                connection.send(data)
                await connection.head(timeout.get("read"))
            except BaseException:
                self._pool.give_back(origin, connection)
                raise
            return library.Response(
                connection.status,
                headers=connection.headers,
                stream=body_class(self._pool, origin, connection, timeout.get("read")),
                extensions={
                    "http_version": b"HTTP/1.1",
                    "reason_phrase": connection.reason,
                    "stream_to": partial(connection.stream_to, timeout.get("read")),
                    "coalesce": connection.coalesce,
                },
            )

        async def aclose(self) -> None:
            self._pool.close()

    return Transport()


def _body_class(library: ModuleType) -> Any:
    """A response body of `library` that reads from a connection and gives it back."""

    class _Body(library.AsyncByteStream):  # type: ignore[name-defined,misc]
        def __init__(
            self, pool: Pool, origin: Origin, connection: Connection, timeout: float | None
        ) -> None:
            self._pool = pool
            self._origin = origin
            self._connection = connection
            self._timeout = timeout

        async def __aiter__(self) -> AsyncIterator[bytes]:
            while piece := await self._connection.read(self._timeout):
                yield piece

        async def aclose(self) -> None:
            self._pool.give_back(self._origin, self._connection)

    return _Body


def _forget_body(request: Any) -> None:
    """It is sent once; a streamed answer must not hold its question in memory until it ends."""
    request.stream = None
    request.__dict__.pop("_content", None)


def _origin(url: Any) -> Origin:
    scheme = url.scheme
    host = url.raw_host.decode("ascii")
    return Origin(host, url.port or _PORTS[scheme], scheme == "https")


async def _encoded(library: ModuleType, request: Any) -> bytes:
    body = b"".join([part async for part in request.stream])
    method = request.method.encode("ascii")
    return encode_request(library, method, request.url.raw_path, request.headers.raw, body)
