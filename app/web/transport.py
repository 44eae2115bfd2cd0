"""How the frames of a turn travel to one reader. A transport only reads; it cannot harm the turn."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from sse_starlette import EventSourceResponse
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from app.core.events import DONE, payload, ping_frame, stamp
from app.errors import Overloaded, RateLimitExceeded
from app.eventlog.reader import Cursor
from app.turns.observe import Observer, ReaderClosed, ReaderOpened

STRAIGHT: Final = "dungeon_master.straight"
"""An extension in the ASGI scope: writes a piece of a body whose head was sent, in one plain call.
False where that cannot be done now, and it has to be sent the usual way."""

RETRY = b"retry: 2000\n\n"


class Readers:
    """Counts open streams, in all and per client, and reports each one's fate."""

    def __init__(self, limit: int, per_client: int, observe: Observer) -> None:
        self._limit = limit
        self._per_client = per_client
        self._observe = observe
        self._clients: dict[str, int] = {}
        self._cursors: set[Cursor] = set()
        self.open = 0

    def take(self, client: str) -> Release:
        """Raises `Overloaded` or `RateLimitExceeded`."""
        if self.open >= self._limit:
            raise Overloaded("Too many streams are open.")
        if self._clients.get(client, 0) >= self._per_client:
            raise RateLimitExceeded("You have too many streams open.", retry_after=5)
        self.open += 1
        self._clients[client] = self._clients.get(client, 0) + 1
        return Release(self, client)

    def send_away(self) -> None:
        """End every open stream; its reader may come back and go on where it was."""
        for cursor in list(self._cursors):
            cursor.leave()

    def _give_back(self, client: str) -> None:
        self.open -= 1
        left = self._clients[client] - 1
        if left:
            self._clients[client] = left
        else:
            del self._clients[client]

    def started(self, transport: str, cursor: Cursor) -> None:
        self._cursors.add(cursor)
        self._observe(ReaderOpened(transport))

    def ended(self, transport: str, turn_id: str, cursor: Cursor) -> None:
        cursor.close()
        self._cursors.discard(cursor)
        gone = not cursor.at_end
        self._observe(ReaderClosed(transport, turn_id, cursor.position, disconnected=gone))


class Release:
    """Gives a stream's place back, once."""

    __slots__ = ("_client", "_readers")

    def __init__(self, readers: Readers, client: str) -> None:
        self._readers: Readers | None = readers
        self._client = client

    def __call__(self) -> None:
        readers, self._readers = self._readers, None
        if readers is not None:
            readers._give_back(self._client)


class SSETransport:
    """Server-sent events. Frames leave as they stand in the log: pre-encoded, joined per batch.

    A client that stops reading is disconnected by `app.web.connections`.
    """

    name = "sse"

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    def response(
        self, turn_id: str, cursor: Cursor, release: Release, headers: dict[str, str]
    ) -> Response:
        """The response owns `release` from here on."""
        return _EventStream(self._readers, turn_id, cursor, release, headers)


class _EventStream(EventSourceResponse):
    """sse-starlette's response as far as headers and HEAD go, with a loop of its own.

    Theirs runs four tasks in a group and enters a cancel scope for every chunk, to ping, to time
    out and to poll for the shutdown. Here the cursor knows when there was silence, the connection
    knows who does not read, and the readers are sent away at shutdown.
    """

    def __init__(
        self,
        readers: Readers,
        turn_id: str,
        cursor: Cursor,
        release: Release,
        headers: dict[str, str],
    ) -> None:
        super().__init__(
            cursor,
            headers={"Cache-Control": "no-store, no-transform", **headers},
            media_type="text/event-stream; charset=utf-8",
            sep="\n",
        )
        self._readers = readers
        self._turn_id = turn_id
        self._cursor = cursor
        self._release = release
        self._straight: Callable[[bytes], bool] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["method"] == "HEAD":
                await super().__call__(scope, receive, send)
                return
            self._straight = scope.get("extensions", {}).get(STRAIGHT)
            self._readers.started(SSETransport.name, self._cursor)
            # A task of its own starts afresh at each wake-up; in here, every token would pass
            # through twenty awaiting frames, from the server's through all middleware.
            frames = asyncio.create_task(self._stream_response(send))
            try:
                while (await receive())["type"] != "http.disconnect":
                    pass  # gone, or the response is complete
                self._cursor.leave()
                await frames
            finally:
                frames.cancel()
                self._readers.ended(SSETransport.name, self._turn_id, self._cursor)
        finally:
            self._cursor.close()  # of a HEAD, too, which never begins to read
            self._release()

    async def _stream_response(self, send: Send) -> None:
        head = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(head)
        rest = b""
        try:
            await self._send_frames(send)
            rest = DONE if self._cursor.told_all else b""
        finally:
            await send({"type": "http.response.body", "body": rest, "more_body": False})

    async def _send_frames(self, send: Send) -> None:
        body = RETRY + b"".join(self._cursor.take())
        await send({"type": "http.response.body", "body": body, "more_body": True})
        self._cursor.straight = self._straight
        async for batch in self._cursor:
            body = b"".join(batch) if batch else ping_frame(stamp(time.time()))
            await send({"type": "http.response.body", "body": body, "more_body": True})


class WebSocketTransport:
    """The same events, one JSON message each."""

    name = "websocket"

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    async def send(self, websocket: WebSocket, turn_id: str, cursor: Cursor) -> None:
        """Send until the terminal event. Raises what sending raises when the client is gone."""
        self._readers.started(self.name, cursor)
        try:
            async for batch in cursor:
                for frame in batch or [ping_frame(stamp(time.time()))]:
                    await websocket.send_text(payload(frame).decode("ascii"))
            if not cursor.told_all:  # the turn goes on elsewhere: come back and resume
                await websocket.close(1012)
        finally:
            self._readers.ended(self.name, turn_id, cursor)
