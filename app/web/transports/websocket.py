"""The same events over a WebSocket, one JSON message each."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.eventlog.reader import Cursor
from app.web.dialects.dialect import Message, Rendering
from app.web.transports.readers import Readers

log = structlog.get_logger(__name__)

INTERNAL_ERROR = 1011
RESUME_ELSEWHERE = 1012  # "service restart": connect again and resume


class WebSocketTransport:
    """One text message for each message of the dialect, without its id."""

    name = "websocket"

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    async def send(self, websocket: WebSocket, rendering: Rendering[Any], cursor: Cursor) -> None:
        """Send until the terminal event. What sending raises ends this reader alone."""
        self._readers.started(self.name, cursor)
        try:
            async for batch in cursor:
                for message in rendering.messages(batch):
                    if isinstance(message, Message):
                        await send_text(websocket, message.data)
            if not cursor.complete:  # the turn goes on elsewhere, or the log was trimmed
                await websocket.close(RESUME_ELSEWHERE)
        except WebSocketDisconnect:
            pass  # the turn goes on
        except Exception as error:
            log.exception("reader_failed", error_type=type(error).__name__)
            with suppress(Exception):
                await websocket.close(INTERNAL_ERROR)
        finally:
            self._readers.ended(self.name, rendering.turn_id, cursor)


async def send_text(websocket: WebSocket, data: bytes) -> None:
    """Raises `WebSocketDisconnect` when the client is gone, which a server says in several ways."""
    try:
        await websocket.send_text(data.decode("ascii"))
    except (OSError, RuntimeError) as error:
        raise WebSocketDisconnect(1006) from error
