"""uvicorn's protocols with bounds on what a client can make them hold, and for how long.

uvicorn closes idle connections after an answer, but waits without end for a first request, for the
rest of one that has begun, and for a client to read what was written, even once it has closed.
httptools bounds neither heads nor trailers, and any number of requests can be sent ahead of their
answers.
"""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any
from weakref import ref

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request
from websockets.protocol import State

from app.errors import BadRequest, DungeonMasterError, MethodNotAllowed
from app.web.middleware import DEFAULT_HEADERS, MAX_HEAD_BYTES
from app.web.open_connections import SmallEvent, SmallPipeline, StreamConnection
from app.web.problem import problem
from app.web.transports.sse import CONNECTION
from app.web.transports.websocket import WRITE_FRAMES

HEAD_SECONDS = 10.0
UNREAD_SECONDS = 60.0  # how long a client may read nothing of what was written before it is gone
SEND_BUFFER = 64 * 1024  # what the system holds of it; left alone, it takes megabytes
MAX_UNREAD = 4 * 1024 * 1024  # what we hold of it for a client that goes on asking
MAX_DRAINED = 8 * 1024 * 1024  # of a body whose request was answered before its end
MAX_AHEAD = 16  # requests that wait for the answer to one before them
_OPEN = State.OPEN  # an attribute of an Enum class takes Python 3.11 ten times as long


class _UntilClose(int):
    """A length for uvicorn's cycle that no body falls short of or exceeds."""

    def __lt__(self, other: int) -> bool:
        return False

    def __sub__(self, other: int) -> _UntilClose:
        return self

    def __ne__(self, other: object) -> bool:
        return False


class UnreadTimeout(asyncio.Protocol):
    """Mixed into one of uvicorn's protocols: aborts when a client reads nothing for UNREAD_SECONDS.

    The transport calls `pause_writing` when too much lies unread.
    """

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    _unread_timer: asyncio.TimerHandle | None = None
    _unread = 0

    def connection_made(self, transport: Any) -> None:
        _bound_send_buffer(transport.get_extra_info("socket"))
        super().connection_made(transport)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_reader()

    def resume_writing(self) -> None:
        self._was_read()
        super().resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        self._was_read()
        super().connection_lost(error)

    def _await_reader(self) -> None:
        self._unread = self.transport.get_write_buffer_size()
        self._unread_timer = self.loop.call_later(UNREAD_SECONDS, self._check_progress)

    def _check_progress(self) -> None:
        """A slow client is kept as long as it reads."""
        if self.transport.get_write_buffer_size() < self._unread:
            self._await_reader()
        else:
            self.transport.abort()

    def _was_read(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None


def _bound_send_buffer(connection: socket.socket) -> None:
    """The system gives up what it holds when we have closed the connection or the client vanished."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        milliseconds = int(UNREAD_SECONDS * 1000)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


class BoundedHttp(UnreadTimeout, HttpToolsProtocol):
    """Bounds heads, trailers, requests sent ahead, and the time until a head is there."""

    # With more than thirty attributes outside of slots, each connection has a dict of five times the size.
    __slots__ = ("_body_open", "_head_bytes", "_head_timer", "_pending", "_upgraded", "on_lost")

    def connection_made(self, transport: Any) -> None:
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._pending = 0  # bytes that have made up no head, no piece of a body and no end of one
        self._body_open = False  # more of the body is to come, even where it was answered already
        self._upgraded = False
        self.on_lost: Callable[[], None] | None = None
        super().connection_made(transport)
        self.pipeline: Any = SmallPipeline()
        self.flow._is_writable_event = SmallEvent()
        self.flow._is_writable_event.set()
        self._await_head()

    def data_received(self, data: bytes) -> None:
        of_body = self._body_open
        self._pending += len(data)
        super().data_received(data)
        if self._upgraded or self._in_request():
            self._head_done()
        else:
            self._head_bytes = (
                0 if of_body and not self._body_open else self._head_bytes + len(data)
            )
            if self._head_timer is None:
                self._await_head()
        most = MAX_DRAINED if self._body_open else MAX_HEAD_BYTES
        too_much = self._pending > MAX_HEAD_BYTES or self._head_bytes > most
        if too_much and not self._upgraded:
            self.send_400_response()

    def connection_lost(self, error: Exception | None) -> None:
        self._head_done()
        super().connection_lost(error)
        call, self.on_lost = self.on_lost, None
        if call is not None:
            call()

    def on_headers_complete(self) -> None:
        self._pending = 0
        self._body_open = True
        if len(self.pipeline) >= MAX_AHEAD:
            raise BadRequest  # the parser turns it into a 400
        super().on_headers_complete()
        if self.cycle is not None:  # else it is an upgrade
            self.cycle.message_event = SmallEvent()
            extensions: dict[str, Any] = {CONNECTION: StreamConnection(self, self.cycle)}
            self.scope["extensions"] = extensions
            if (
                self.scope["http_version"] == "1.0"
            ):  # knows no chunks: a body ends with its connection
                self.cycle.chunked_encoding = False
                self.cycle.expected_content_length = _UntilClose()

    def on_body(self, body: bytes) -> None:
        self._pending = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._pending = 0
        self._body_open = False
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        self._upgraded = True
        self._was_read()  # from here on the WebSocket's protocol is called
        super().handle_websocket_upgrade()
        del self.parser  # it has this protocol, which nobody will tell that its connection is lost

    def send_400_response(self, message: str = "") -> None:
        """Answer 400 in our form; abort where the answer would become part of another one, or would
        follow the answer that its request has had."""
        answering = self._in_request() or self._body_open
        if self.cycle is not None and self.cycle.response_started and answering:
            self.transport.abort()
            return
        self.transport.write(whole_answer(BadRequest()))
        self.transport.close()

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


class BoundedWebSocket(UnreadTimeout, WebSocketsSansIOProtocol):
    """Its first data is the whole head of the handshake: what is no request then never will be."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.handshake_initiated and not self.transport.is_closing():
            self._refuse(BadRequest("The handshake cannot be read."))
        if self.transport.get_write_buffer_size() > MAX_UNREAD:
            self.transport.abort()  # every ping is answered, whether or not the answers are read

    def handle_connect(self, event: Request) -> None:
        status = self.conn.accept(event).status_code
        if status == 101:
            super().handle_connect(event)
            extensions: dict[str, Any] = self.scope["extensions"] or {}
            extensions[WRITE_FRAMES] = partial(_write_frames, ref(self))  # weak, as for HTTP
        elif status == 405:
            self._refuse(MethodNotAllowed(headers={"Allow": "GET"}))
        else:
            self._refuse(BadRequest("The handshake is none of a WebSocket."))

    def _refuse(self, error: DungeonMasterError) -> None:
        self.transport.write(whole_answer(error))
        self.transport.close()


def _write_frames(its_connection: ref[BoundedWebSocket], frames: bytes) -> bool:
    """Write WebSocket frames as the `send` of uvicorn's protocol does, without awaiting all middleware.
    False where nothing was written."""
    connection = its_connection()
    if (
        connection is None
        or connection.conn.state is not _OPEN
        or connection.close_sent
        or connection.disconnected
        or not connection.writable.is_set()
    ):
        return False
    connection.transport.write(frames)
    return True


def whole_answer(error: DungeonMasterError) -> bytes:
    """Head and body, for what never became a request."""
    request_id = str(uuid.uuid4())
    answer = problem(error, instance="/", request_id=request_id)
    headers = {
        **answer.headers,
        **dict(DEFAULT_HEADERS),
        "X-Request-Id": request_id,
        "Connection": "close",
    }
    lines = [f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + bytes(answer.body)
