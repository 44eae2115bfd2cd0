"""What happens at a table, over SSE and over a WebSocket: one fold for the whole stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, suppress
from typing import Any, Protocol

import structlog
from starlette.responses import Response
from starlette.types import Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.core.events import Entry
from app.web.dialects.dialect import Dialect, Message, Rendering
from app.web.transports.readers import Reader, Readers, Release
from app.web.transports.sse import RETRY, EventStream, Sending, SSEFramer, piece
from app.web.transports.websocket import INTERNAL_ERROR, send_text

log = structlog.get_logger(__name__)


class TableReader(Reader, Protocol):
    """Batches of entries with what their ids begin with."""

    def __aiter__(self) -> AsyncIterator[tuple[str, Sequence[Entry]]]: ...


class TableTransport:
    """A turn may be followed by another one, so there is no `[DONE]`."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    def response(self, feed: TableReader, release: Release, dialect: Dialect[Any]) -> Response:
        """The response owns `release` from here on."""
        source: Any = feed  # read by `_send_frames` alone
        return EventStream(_TableSending(self._readers, Rendering(dialect, ""), source, release))

    async def send(
        self, websocket: WebSocket, rendering: Rendering[Any], feed: TableReader
    ) -> bool:
        """Send until the feed ends: False once the client is gone."""
        self._readers.started("websocket", feed)
        source: Any = aiter(feed)
        try:
            async with aclosing(source) as batches:
                async for _, entries in batches:
                    for message in rendering.messages(entries):
                        if isinstance(message, Message):
                            await send_text(websocket, message.data)
            return True
        except WebSocketDisconnect:
            return False
        except Exception as error:
            log.exception("reader_failed", error_type=type(error).__name__)
            with suppress(Exception):
                await websocket.close(INTERNAL_ERROR)
            return False
        finally:
            self._readers.ended("websocket", "", feed)


class _TableSending(Sending):
    async def _send_frames(self, send: Send, _: SSEFramer) -> None:
        feed: Any = self.cursor
        first = RETRY if self.rendering.dialect.retry else b""
        async with aclosing(aiter(feed)) as batches:
            async for prefix, entries in batches:
                messages = self.rendering.messages(entries)
                frames = b"".join(
                    [_frame(prefix, one) for one in messages if isinstance(one, Message)]
                )
                if frames:
                    await send(piece(first + frames))
                    first = b""
                del entries, messages, frames  # while the next ones are awaited


def _frame(prefix: str, message: Message) -> bytes:
    if not message.seq or not prefix:
        return b"data: %b\n\n" % message.data
    return b"id: %b:%d\ndata: %b\n\n" % (prefix.encode(), message.seq, message.data)
