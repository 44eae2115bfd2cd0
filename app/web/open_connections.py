"""Small connections: the parts of uvicorn's connection that live as long as a stream is open."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Literal
from weakref import ref

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware


class ProxyHeaders:
    """uvicorn's middleware of this name. Its coroutine has ended before the application begins."""

    def __init__(self, app: ASGIApp, trusted: list[str]) -> None:
        self._app = app
        self._note: Any = ProxyHeadersMiddleware(_nothing, trusted)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        with suppress(StopIteration):  # it awaits nothing but the application within
            self._note(scope, receive, send).send(None)
        return self._app(scope, receive, send)


async def _nothing(_: Any, __: Any, ___: Any) -> None:
    pass


class StreamConnection:
    """See `app.web.transports.sse.Connection`.

    Its references are weak: the cycle has the scope, and would have to be found by the collector.
    """

    __slots__ = ("_cycle", "_protocol")

    def __init__(self, protocol: Any, cycle: Any) -> None:
        self._cycle = ref(cycle)
        self._protocol = ref(protocol)

    def write(self, piece: bytes) -> bool:
        """Write a piece as the `send` of uvicorn's cycle does, without awaiting all middleware. False where
        nothing was written."""
        cycle = self._cycle()
        if (
            cycle is None
            or cycle.flow.write_paused
            or cycle.disconnected
            or not cycle.chunked_encoding
        ):
            return False
        cycle.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        return True

    def reset(self) -> None:
        """Without the last chunk, what was written still arrives, and the client sees a broken answer. A
        body without chunks would be whole at any end but a reset."""
        cycle = self._cycle()
        if cycle is None or cycle.disconnected or cycle.response_complete:
            return
        cycle.disconnected = True  # what is still sent goes nowhere
        cycle.message_event.set()
        if cycle.chunked_encoding:
            cycle.transport.close()
            return
        connection = cycle.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        cycle.transport.abort()

    def forget_request(self) -> None:
        cycle = self._cycle()
        if cycle is not None:
            cycle.scope["headers"].clear()

    def when_lost(self, call: Callable[[], None] | None) -> None:
        protocol, cycle = self._protocol(), self._cycle()
        if call is not None and (protocol is None or cycle is None or cycle.disconnected):
            call()
        elif protocol is not None:
            protocol.on_lost = call


class SmallEvent(asyncio.Event):
    """asyncio's own has a deque for those who wait, of 760 bytes: here they are mostly none."""

    def __init__(self) -> None:
        self._waiters: Any = ()
        self._value = False

    async def wait(self) -> Literal[True]:
        self._waiters = self._waiters or []
        return await super().wait()


class SmallPipeline(list[Any]):
    """uvicorn's deque of requests that came ahead, mostly of none."""

    __slots__ = ()

    def appendleft(self, one: Any) -> None:
        self.insert(0, one)
