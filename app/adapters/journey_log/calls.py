"""One request to journey-log and its whole answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx
from app.adapters.journey_log.answers import Answer
from app.adapters.journey_log.exchanges import Exchange
from app.core.encoding import encode
from app.ports.call import CallMeta

CallObserver = Callable[[str, str, float], None]


class JourneyLogCalls:
    """`timeout`: seconds for a whole call. `observe` gets operation, status, seconds."""

    def __init__(self, exchange: Exchange, timeout: float, observe: CallObserver) -> None:
        self.exchange = exchange
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
                answer = await self.exchange.send(method, path, headers, content)
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
