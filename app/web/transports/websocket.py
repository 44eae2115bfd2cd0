"""The same events over a WebSocket, one JSON message each."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.frames import Frame, Opcode

from app.eventlog.reader import Cursor
from app.web.dialects.dialect import Message, Rendering
from app.web.transports.readers import Readers

log = structlog.get_logger(__name__)

WRITE_FRAMES: Final = "dungeon_master.write_frames"
"""An extension in the ASGI scope: writes whole frames to an accepted WebSocket, in one plain call. False
where that cannot be done now, and messages have to be sent the usual way."""

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


def text_frame(data: bytes) -> bytes:
    """A text message as a server writes it: unmasked, so the same for all sockets."""
    return Frame(Opcode.TEXT, data).serialize(mask=False)


def write_frames_of(websocket: WebSocket) -> Callable[[bytes], bool]:
    """See `WRITE_FRAMES`; one that never writes where the server has none."""
    write: Callable[[bytes], bool] = websocket.scope["extensions"].get(WRITE_FRAMES, _write_nothing)
    return write


def _write_nothing(frames: bytes) -> bool:
    return False
