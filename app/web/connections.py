"""uvicorn's protocols with bounds on requests that never come to an end, and answers never read.

uvicorn closes idle connections after an answer, but waits without end for a first request, for the
rest of one that has begun, and for a client to read what was written, even once it has closed.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

try:
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as _Fastest
except ImportError:  # pure Python, where httptools is not installed
    from uvicorn.protocols.http.h11_impl import H11Protocol as _Fastest  # type: ignore[assignment]

HEAD_SECONDS = 10.0
MAX_HEAD_BYTES = 32 * 1024
UNREAD_SECONDS = (
    60.0  # how long a client may leave what was written unread before it counts as gone
)
UNREADABLE = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def impatient(base: type[Any]) -> type[Any]:
    """`base`: any of uvicorn's protocols. Its transport says when too much lies unread."""

    class ImpatientProtocol(base):  # type: ignore[misc]
        _unread_timer: asyncio.TimerHandle | None = None

        def pause_writing(self) -> None:
            super().pause_writing()
            self._unread_timer = self.loop.call_later(UNREAD_SECONDS, self.transport.abort)

        def resume_writing(self) -> None:
            self._was_read()
            super().resume_writing()

        def connection_lost(self, error: Exception | None) -> None:
            self._was_read()
            super().connection_lost(error)

        def _was_read(self) -> None:
            if self._unread_timer is not None:
                self._unread_timer.cancel()
                self._unread_timer = None

    return ImpatientProtocol


def bounded(base: type[Any]) -> type[Any]:
    """`base`: H11Protocol or HttpToolsProtocol. Both keep the request under way in `cycle`."""

    class BoundedProtocol(impatient(base)):  # type: ignore[misc]
        _head_timer: asyncio.TimerHandle | None = None
        _head_bytes = 0
        _upgraded = False

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self._await_head()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._upgraded or self._in_request():
                self._head_done()
                return
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.transport.abort()
            elif self._head_timer is None:
                self._await_head()

        def connection_lost(self, error: Exception | None) -> None:
            self._head_done()
            super().connection_lost(error)

        def handle_websocket_upgrade(self, *arguments: Any) -> None:
            self._upgraded = True
            self._was_read()  # from here on it is told to the WebSocket's protocol
            super().handle_websocket_upgrade(*arguments)

        def _in_request(self) -> bool:
            """A head was read: its request is being answered, or just was."""
            cycle = self.cycle
            return cycle is not None and (
                not cycle.response_complete or self.timeout_keep_alive_task is not None
            )

        def _await_head(self) -> None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

        def _head_done(self) -> None:
            self._head_bytes = 0
            if self._head_timer is not None:
                self._head_timer.cancel()
                self._head_timer = None

    return BoundedProtocol


class BoundedWebSocket(impatient(WebSocketsSansIOProtocol)):  # type: ignore[misc]
    """Its first data is the whole head of the handshake: what is no request then never will be."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.handshake_initiated and not self.transport.is_closing():
            self.transport.write(UNREADABLE)
            self.transport.close()


HTTP_PROTOCOL = bounded(_Fastest)
WS_PROTOCOL = BoundedWebSocket
