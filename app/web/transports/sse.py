"""Server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeAlias

import structlog
from sse_starlette import EventSourceResponse
from starlette import types
from starlette.types import Receive, Scope, Send

from app.core.events import Entry
from app.eventlog.reader import Cursor
from app.ports.event_log import SharedEntries
from app.web.dialects.dialect import Comment, Message, Rendering
from app.web.transports.later import later
from app.web.transports.readers import Readers, Release

log = structlog.get_logger(__name__)

CONNECTION: Final = "dungeon_master.connection"
"""An extension in the ASGI scope: `Connection`."""

RETRY: Final = b"retry: 2000\n"
"""A line of the first block: several clients take a block of its own for a message without data."""
DONE: Final = b"data: [DONE]\n\n"

Headers: TypeAlias = list[tuple[bytes, bytes]]


class Connection(Protocol):
    """The operations of a stream on its connection that ASGI does not have."""

    def write(self, piece: bytes) -> bool:
        """Write a piece of a body whose head was sent, in one plain call. False where that cannot be done
        now, and it has to be sent the usual way."""
        ...

    def reset(self) -> None:
        """End the connection so that the client sees a broken answer."""
        ...

    def forget_request(self) -> None:
        """Free the headers of the request, once it is being answered."""
        ...

    def when_lost(self, call: Callable[[], None] | None) -> None:
        """Call it once the client is gone, now if it is already; None: call nothing any more."""
        ...


class SSEFramer:
    """The blocks of one stream: `id: {turn_id}:{seq}` where a message has an id, `data: {…}`, an empty
    line. `first_line` comes before these in the first block."""

    __slots__ = ("_first_line", "_id", "_identity", "_ids", "_rendering", "_token", "write")

    def __init__(
        self,
        rendering: Rendering[Any],
        write: Callable[[bytes], bool] | None = None,
        first_line: bytes = b"",
    ) -> None:
        self._id = b"id: %b:" % rendering.turn_id.encode()
        self._identity = rendering.dialect.identity
        self._ids = rendering.dialect.ids
        self._token = rendering.dialect.token
        self._rendering = rendering
        self._first_line = first_line
        self.write = write

    def frames(self, entries: Sequence[Entry]) -> bytes:
        """The blocks of `entries`, joined."""
        if isinstance(entries, SharedEntries) and self._identity:
            blocks = entries.encoded(self._id, self._joined)
        elif self._identity:
            blocks = self._joined(entries)
        else:
            blocks = b"".join([self._folded(entry) for entry in entries])
        if self._first_line and blocks and not blocks.startswith(b":"):
            blocks, self._first_line = self._first_line + blocks, b""
        return blocks

    def _joined(self, entries: Sequence[Entry]) -> bytes:
        return b"".join([self._frame(seq, data) for seq, _, data in entries])

    def write_through(self, entries: Sequence[Entry]) -> bool:
        """Write at once. False: it has to be sent the usual way, and nothing was written."""
        if self.write is None or self._first_line:
            return False
        if self._identity:
            seq, _, data = entries[0]
            if seq and len(entries) == 1:  # mostly, one token
                return self.write(b"%b%d\ndata: %b\n\n" % (self._id, seq, data))
            return self.write(self.frames(entries))
        state = self._rendering.state
        frames = self._folded(entries[0]) if len(entries) == 1 else self.frames(entries)
        if not frames or self.write(frames):
            return True
        self._rendering.state = state
        return False

    def _folded(self, entry: Entry) -> bytes:
        """The blocks of one entry; nearly all are tokens that become one message."""
        seq, kind, data = entry
        rendering = self._rendering
        if kind == "token" and not rendering.seen:
            said = self._token(rendering.state, data)
            if said is not None:
                if seq and self._ids:
                    return b"%b%d\ndata: %b\n\n" % (self._id, seq, said)
                return b"data: %b\n\n" % said
        return b"".join(map(self._block, rendering.messages((entry,))))

    def cut(self) -> bytes | None:
        """The bytes that end a stream before its last event; None: the connection is to be reset."""
        messages = self._rendering.cut()
        return None if messages is None else b"".join(map(self._block, messages))

    def _block(self, message: Message | Comment) -> bytes:
        if isinstance(message, Comment):
            return b": %b\n\n" % message.text
        return self._frame(message.seq, message.data)

    def _frame(self, seq: int, data: bytes) -> bytes:
        if not seq:
            return b"data: %b\n\n" % data
        return b"%b%d\ndata: %b\n\n" % (self._id, seq, data)


class SSETransport:
    """A client that stops reading is disconnected by `app.web.connections`."""

    name = "sse"

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    def response(
        self, rendering: Rendering[Any], cursor: Cursor, release: Release, headers: dict[str, str]
    ) -> EventStream:
        """The response owns `release` from here on."""
        return EventStream(Sending(self._readers, rendering, cursor, release), headers)


class EventStream(EventSourceResponse):
    """sse-starlette's response as far as headers and HEAD go; its body is of `Sending`.

    Theirs runs four tasks in a group and enters a cancel scope for every chunk, to ping, to time
    out and to poll for the shutdown. Here the cursor knows when there was silence, the connection
    knows who does not read, and the readers are sent away at shutdown.
    """

    def __init__(self, sending: Sending, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        super().__init__(
            sending.cursor,
            headers={
                "Cache-Control": "no-store, no-transform",
                "Content-Encoding": "identity",  # some proxies compress, and so hold back, what has none
                **sending.rendering.dialect.headers,
                **headers,
            },
            media_type="text/event-stream; charset=utf-8",
            sep="\n",
        )
        self.sending = sending

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        if scope["method"] == "HEAD":
            return self._head(scope, receive, send)
        return later(scope, self.streamed(scope, receive, send))

    def streamed(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        """No coroutine of its own: nothing then keeps the response while its stream is open."""
        return self.sending.run([self.raw_headers], scope, receive, send)

    async def _head(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.sending.close()


class Sending:
    """The state of an open stream."""

    __slots__ = (
        "_connection",
        "_finishing",
        "_readers",
        "_release",
        "_watching",
        "cursor",
        "left",
        "rendering",
    )

    def __init__(
        self, readers: Readers, rendering: Rendering[Any], cursor: Cursor, release: Release
    ) -> None:
        self.cursor = cursor
        self.rendering = rendering
        self._readers = readers
        self._release = release
        self._connection: Connection | None = None
        self._watching: asyncio.Task[None] | None = None  # over the client, where ASGI alone knows
        self._finishing = False
        self.left = False
        """The client has closed the connection before the end."""

    def close(self) -> None:
        """Nothing is read any more, or ever was."""
        self.cursor.close()
        self._release()

    async def run(self, head: list[Headers], scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the last event. An exception of sending ends this stream alone; a stream without
        `[DONE]` is to be resumed.

        `head` is emptied: the stream may be open for long.
        """
        rest: bytes | None = b""
        framer = self._begin(scope, receive)
        del scope, receive
        try:
            await send({"type": "http.response.start", "status": 200, "headers": head.pop()})
            del head
            if self._connection is not None:
                self._connection.forget_request()
            await self._send_frames(send, framer)
            rest = self._rest(framer)
        except Exception as error:
            log.exception("reader_failed", error_type=type(error).__name__)
            rest = framer.cut()
        except asyncio.CancelledError:
            rest = framer.cut()
            raise
        finally:
            self._finishing = True
            await self._finish(send, rest)

    def _begin(self, scope: Scope, receive: Receive) -> SSEFramer:
        connection = self._connection = scope.get("extensions", {}).get(CONNECTION)
        retry = RETRY if self.rendering.dialect.retry else b""
        self._readers.started(SSETransport.name, self.cursor)
        if connection is None:
            self._watching = asyncio.create_task(self._await_leaving(receive))
            return SSEFramer(self.rendering, None, retry)
        connection.when_lost(self._gone)
        return SSEFramer(self.rendering, connection.write, retry)

    async def _await_leaving(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass  # gone, or the response is complete
        self._gone()

    def _gone(self) -> None:
        self.left = not self._finishing
        self.cursor.leave()

    async def _finish(self, send: Send, rest: bytes | None) -> None:
        """`rest`: what follows the last message; None: the connection is to be reset."""
        try:
            if rest is None and self._connection is not None:
                self._connection.reset()
            with suppress(Exception):
                await send({"type": "http.response.body", "body": rest or b"", "more_body": False})
        finally:
            if self._connection is not None:
                self._connection.when_lost(None)
            if self._watching is not None:
                self._watching.cancel()
            self._readers.ended(SSETransport.name, self.rendering.turn_id, self.cursor)
            self.close()

    def _rest(self, framer: SSEFramer) -> bytes | None:
        """The bytes behind the last message."""
        if self.cursor.complete or self.rendering.ended:
            return DONE if self.rendering.dialect.done else b""
        return framer.cut()

    async def _send_frames(self, send: Send, framer: SSEFramer) -> None:
        await send(piece(framer.frames(self.cursor.take())))
        self.cursor.write_through = framer.write_through
        async for batch in self.cursor:
            await send(piece(framer.frames(batch)))
            del batch  # while the next one is awaited


def piece(body: bytes) -> types.Message:
    """A piece of a body with more to come."""
    return {"type": "http.response.body", "body": body, "more_body": True}
