"""Sending requests to journey-log: over a connection of our own, or over a transport of httpx.

Neither is a client of httpx: there is nobody to log in, to redirect or to keep cookies of, and looking
for all that takes as long as the call itself. Both raise `httpx.HTTPError`.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterable
from typing import Final, Protocol

import httpx
from app.adapters.journey_log.answers import Answer
from app.http1 import Exchanges, Origin, Timeouts

MAX_ANSWER: Final = 16 * 1024 * 1024
_PORTS: Final = {"http": 80, "https": 443}


class Exchange(Protocol):
    """Sends each request once."""

    async def send(
        self, method: str, path: str, headers: dict[str, str], content: bytes | None
    ) -> Answer:
        """The whole answer. `path`: below the base address, in ASCII; `content`: JSON.

        Raises `httpx.ConnectError`, `ConnectTimeout` or `PoolTimeout` where nothing was sent, else any
        other `httpx.HTTPError`.
        """
        ...

    async def aclose(self) -> None:
        """End every connection."""
        ...


class DirectExchange:
    """Over connections of our own: a request of httpx takes a tenth of a whole turn's time.

    `timeouts`: of each step; a server that drips its answer never exceeds them.
    """

    def __init__(
        self, base_url: str, timeouts: httpx.Timeout, *, limit: int, tls: ssl.SSLContext
    ) -> None:
        url = httpx.URL(base_url.rstrip("/"))
        host = url.raw_host.decode("ascii")
        origin = Origin(host, url.port or _PORTS[url.scheme], url.scheme == "https")
        self._exchanges = Exchanges(httpx, origin, limit=limit, tls=tls)
        self._timeouts = Timeouts(timeouts.connect, timeouts.read, timeouts.pool)
        self._prefix = url.raw_path.rstrip(b"/")
        self._headers = [(b"Host", url.netloc), (b"Accept", b"application/json")]

    async def send(
        self, method: str, path: str, headers: dict[str, str], content: bytes | None
    ) -> Answer:
        """As `Exchange` says."""
        lines = list(self._headers)
        for name, value in headers.items():
            lines.append((name.encode("ascii"), value.encode("ascii")))
        if content is not None:
            lines.append((b"Content-Type", b"application/json"))
        reply = await self._exchanges.send(
            method.encode("ascii"),
            self._prefix + path.encode("ascii"),
            lines,
            content or b"",
            self._timeouts,
            MAX_ANSWER,
        )
        fields = {name.lower(): value for name, value in reply.headers}
        body = reply.body
        if b"content-encoding" in fields:
            body = httpx.Response(reply.status, headers=reply.headers, content=body).content
        return Answer(reply.status, body, fields.get(b"content-type", b"").decode("latin-1"))

    async def aclose(self) -> None:
        """End every connection."""
        self._exchanges.close()


class HttpxExchange:
    """Over any transport of httpx: an ASGI app in this process, for example."""

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        base_url: str,
        timeouts: httpx.Timeout | None = None,
    ) -> None:
        self._transport = transport
        self._base = base_url.rstrip("/")
        self._extensions = {} if timeouts is None else {"timeout": timeouts.as_dict()}

    async def send(
        self, method: str, path: str, headers: dict[str, str], content: bytes | None
    ) -> Answer:
        """As `Exchange` says."""
        asked = {"Accept": "application/json", **headers}
        if content is not None:
            asked["Content-Type"] = "application/json"
        url, extensions = f"{self._base}{path}", self._extensions
        request = httpx.Request(method, url, headers=asked, content=content, extensions=extensions)
        response = await self._transport.handle_async_request(request)
        try:
            body = await _whole(response.aiter_bytes())
        finally:
            await response.aclose()
        return Answer(response.status_code, body, response.headers.get("content-type", ""))

    async def aclose(self) -> None:
        """Close the transport."""
        await self._transport.aclose()


async def _whole(chunks: AsyncIterable[bytes]) -> bytes:
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > MAX_ANSWER:
            raise httpx.ReadError("the answer is too long")
    return bytes(body)
