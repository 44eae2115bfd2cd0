"""The handshake and the message loop of every WebSocket; access is checked as for a request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, TypeVar

from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.errors import BadRequest, DungeonMasterError, Overloaded
from app.tasks import cancelled
from app.web.auth import WS_PROTOCOL
from app.web.problem import problem

MAX_REFUSED: Final = 100
"""Messages in a row that cannot be served, before the socket is closed."""
POLICY_VIOLATION: Final = 1008
TRY_AGAIN_LATER: Final = 1013

T = TypeVar("T")
Release = Callable[[], None]


async def serve_socket(
    websocket: WebSocket,
    admit: Callable[[], Awaitable[tuple[T, Release]]],
    run: Callable[[T], Awaitable[None]],
) -> None:
    """Accept the socket and serve it to its end.

    `admit` raises `DungeonMasterError` for the HTTP answer that refuses the socket; what it returns goes to
    `run`, and its release is called at the end. Turns outlive the socket.
    """
    try:
        admitted, release = await admit()
    except DungeonMasterError as error:
        refusal = problem(error, instance=websocket.url.path, request_id=websocket.state.request_id)
        await websocket.send_denial_response(refusal)
        return
    try:
        offered = websocket.scope.get("subprotocols") or []
        await websocket.accept(WS_PROTOCOL if WS_PROTOCOL in offered else None)
        await run(admitted)
    except Overloaded:
        await turn_away(websocket)
    except (WebSocketDisconnect, OSError, RuntimeError):
        pass  # the client is gone
    finally:
        release()


async def turn_away(websocket: WebSocket) -> None:
    """Close a socket that cannot be served now."""
    with suppress(OSError, RuntimeError):  # the client is gone
        await websocket.close(TRY_AGAIN_LATER, "Try again later")


class Asides:
    """Tasks of one socket that run beside its message loop; `full` once there are `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def full(self) -> bool:
        return len(self._tasks) >= self._most

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def end(self) -> None:
        """Cancel what is not done."""
        await cancelled(list(self._tasks))


async def listen(
    websocket: WebSocket,
    handle: Callable[[str], Awaitable[None]],
    refuse: Callable[[DungeonMasterError], Awaitable[None]],
) -> None:
    """Give each message to `handle`, and what it raises to `refuse`, until the client leaves or has sent
    too many messages without sense. Raises `WebSocketDisconnect`."""
    refused = 0
    while refused < MAX_REFUSED:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"])
        try:
            await handle(text_of(message))
            refused = 0
        except DungeonMasterError as error:
            refused += not error.recoverable
            await refuse(error)
    await websocket.close(POLICY_VIOLATION)


def text_of(message: Message) -> str:
    """Several clients send text as binary frames. Raises `BadRequest`."""
    text: str | None = message.get("text")
    if text is not None:
        return text
    try:
        return (message.get("bytes") or b"").decode()
    except UnicodeDecodeError:
        raise BadRequest("The message is not UTF-8 text.") from None
