"""The same events over a WebSocket, one JSON message each."""

from __future__ import annotations

from typing import Any

from starlette.websockets import WebSocket

from app.eventlog.reader import Cursor
from app.web.dialects.dialect import Message, Rendering
from app.web.transports.readers import Readers

RESUME_ELSEWHERE = 1012  # "service restart": connect again and resume


class WebSocketTransport:
    """One text message for each message of the dialect, without its id."""

    name = "websocket"

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    async def send(self, websocket: WebSocket, rendering: Rendering[Any], cursor: Cursor) -> None:
        """Send until the terminal event. Raises what sending raises when the client is gone."""
        self._readers.started(self.name, cursor)
        try:
            async for batch in cursor:
                for message in rendering.messages(batch):
                    if isinstance(message, Message):
                        await websocket.send_text(message.data.decode("ascii"))
            if not cursor.complete:  # the turn goes on elsewhere, or the log was trimmed
                await websocket.close(RESUME_ELSEWHERE)
        finally:
            self._readers.ended(self.name, rendering.turn_id, cursor)
