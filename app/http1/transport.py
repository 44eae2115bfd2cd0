"""Transports for httpx and httpx2, which are two libraries with one interface.

Why not their own: those make a dozen objects and a lock per read, and journey-log's writes must
never be sent twice, nor counted as unsent once a byte has left. Here a request is sent once, on one
connection; connecting is all that can fail before.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

from app.http1.connection import Connection
from app.http1.pool import Origin, Pool
from app.http1.request import encode_request

_PORTS = {"http": 80, "https": 443}
_LENGTH = b"content-length"


class _Call(NamedTuple):
    """A request without its body. `timeout`: as httpx has it, seconds by name."""

    method: bytes
    origin: Origin
    target: bytes
    headers: list[tuple[bytes, bytes]]
    timeout: Mapping[str, float | None]


class _Sender:
    """Everything of a transport but the interface of its library."""

    def __init__(self, library: ModuleType, limit: int, tls: ssl.SSLContext) -> None:
        self._library = library
        self._body_class = _body_class(library)
        self._pool = Pool(library, limit, tls)

    async def handle_async_request(self, request: Any) -> Any:
        """The answer, its body unread."""
        body = b"".join([part async for part in request.stream])
        call = _Call(
            request.method.encode("ascii"),
            _origin(request.url),
            request.url.raw_path,
            request.headers.raw,
            request.extensions.get("timeout") or {},
        )
        return await self._send(call, call.headers, body)

    async def _again(self, call: _Call, headers: Mapping[bytes, bytes | None], body: bytes) -> Any:
        replaced = {_LENGTH, *map(bytes.lower, headers)}
        kept = [header for header in call.headers if header[0].lower() not in replaced]
        own = [(name, value) for name, value in headers.items() if value is not None]
        return await self._send(call, [*kept, *own], body)

    async def _send(self, call: _Call, headers: list[tuple[bytes, bytes]], body: bytes) -> Any:
        origin, timeout = call.origin, call.timeout
        data = encode_request(self._library, call.method, call.target, headers, body)
        connection = await self._pool.take(origin, timeout.get("connect"), timeout.get("pool"))
        try:
            connection.send(data)
            await connection.head(timeout.get("read"))
        except BaseException:
            self._pool.give_back(origin, connection)
            raise
        return self._library.Response(
            connection.status,
            headers=connection.headers,
            stream=self._body_class(self._pool, origin, connection, timeout.get("read")),
            extensions={
                "http_version": b"HTTP/1.1",
                "reason_phrase": connection.reason,
                "stream_to": partial(connection.stream_to, timeout.get("read")),
                "coalesce": connection.coalesce,
                "again": partial(self._again, call),
            },
        )

    async def aclose(self) -> None:
        """Close what is not in use."""
        self._pool.close()


def transport_for(library: ModuleType, *, limit: int, tls: ssl.SSLContext) -> Any:
    """An `AsyncBaseTransport` of `library` (httpx or httpx2); `limit`: requests at once.

    Its responses have three extensions: `stream_to` and `coalesce` of their `Connection`, and
    `again(headers, body)`, which sends the same request with another body and these headers instead
    of those of their names (None: without), and does not make it once more.
    """

    class Transport(_Sender, library.AsyncBaseTransport):  # type: ignore[name-defined,misc]
        pass

    return Transport(library, limit, tls)


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


def _origin(url: Any) -> Origin:
    scheme = url.scheme
    host = url.raw_host.decode("ascii")
    return Origin(host, url.port or _PORTS[scheme], scheme == "https")
