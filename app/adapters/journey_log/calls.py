"""One request to journey-log and its whole answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, Callable
from typing import Any, Final

import httpx
from app.adapters.journey_log.answers import Answer
from app.core.encoding import encode
from app.ports.call import CallMeta

MAX_ANSWER: Final = 16 * 1024 * 1024

CallObserver = Callable[[str, str, float], None]


class JourneyLogCalls:
    """`observe` gets operation, status, seconds.

    A transport and not a client of httpx: there is nobody to log in, to redirect or to keep cookies
    of, and looking for all that takes as long as the call itself. `timeout`: seconds for a whole
    call; those of `timeouts` are for each step, which a server that drips its answer never exceeds.
    """

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        base_url: str,
        timeouts: httpx.Timeout | None,
        timeout: float,
        observe: CallObserver,
    ) -> None:
        self._transport = transport
        self._base = base_url.rstrip("/")
        self._host = httpx.URL(self._base).netloc.decode("ascii")
        self._extensions = {"timeout": (timeouts or httpx.Timeout(timeout)).as_dict()}
        self._timeout = timeout
        self._observe = observe

    async def call(
        self,
        operation: str,
        method: str,
        path: str,
        user_id: str,
        meta: CallMeta,
        body: dict[str, Any] | None = None,
    ) -> Answer:
        """Raises `httpx.HTTPError`; `httpx.TimeoutException` when the answer did not end in time."""
        headers = {"X-User-Id": user_id, "X-Request-Id": meta.request_id}
        if meta.traceparent:
            headers["traceparent"] = meta.traceparent
        content = None if body is None else encode(body)
        began, status = time.monotonic(), "error"
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self.send(method, path, headers, content)
            status = str(answer.status)
            return answer
        except TimeoutError:  # it answered, but never came to an end
            status = "timeout"
            raise httpx.ReadTimeout("no whole answer in time") from None
        except httpx.TimeoutException:
            status = "timeout"
            raise
        finally:
            self._observe(operation, status, time.monotonic() - began)

    async def send(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        content: bytes | None = None,
    ) -> Answer:
        """The whole answer, as long as it is of a size that an answer can have."""
        response = await self._transport.handle_async_request(
            self._request(method, path, headers or {}, content)
        )
        body = bytearray()
        try:
            async for chunk in _pieces(response):
                body += chunk
                if len(body) > MAX_ANSWER:
                    raise httpx.ReadError("the answer is too long")
        finally:
            await response.aclose()
        content_type = response.headers.get("content-type", "")
        return Answer(response.status_code, bytes(body), content_type)

    def _request(
        self, method: str, path: str, headers: dict[str, str], content: bytes | None
    ) -> httpx.Request:
        """With `stream` and all its headers: with `content`, httpx would add them by making every
        header anew, which takes longer than the rest of it."""
        headers = {"Host": self._host, "Accept": "application/json", **headers}
        if content is not None:
            headers["Content-Type"] = "application/json"
            headers["Content-Length"] = str(len(content))
        return httpx.Request(
            method,
            f"{self._base}{path}",
            headers=headers,
            stream=httpx.ByteStream(content or b""),
            extensions=self._extensions,
        )

    async def aclose(self) -> None:
        await self._transport.aclose()


def _pieces(response: httpx.Response) -> AsyncIterable[bytes]:
    """What was sent as it came, unless it has to be decoded: `aiter_bytes` passes each piece through
    three generators."""
    stream = response.stream
    if "content-encoding" in response.headers or not isinstance(stream, httpx.AsyncByteStream):
        return response.aiter_bytes()
    return stream
