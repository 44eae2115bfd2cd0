"""`POST /mcp`: requests of the protocol, answered by the official SDK between our own checks.

Host and Origin, authentication, request ids and the size of a body are looked at as everywhere, before
the SDK sees a request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import TYPE_CHECKING

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from app.errors import InternalError
from app.web.inputs import read_body
from app.web.services import services_of

if TYPE_CHECKING:
    from app.assistants.protocol import AssistantServer

log = structlog.get_logger(__name__)

Make = Callable[[type["AssistantServer"]], "AssistantServer"]


class Assistants:
    """The server of the protocol, which is made when the first request comes: importing the SDK takes as
    long as a third of a start, and most installations are never asked."""

    def __init__(self, make: Make) -> None:
        self._make = make
        self._server: AssistantServer | None = None
        self._asked, self._settled = asyncio.Event(), asyncio.Event()

    async def run(self) -> None:
        """Serves for as long as it is not cancelled. Where the SDK cannot be imported, every request is
        refused."""
        await self._asked.wait()
        try:
            # In a thread: the turns of others go on meanwhile.
            self._server = await asyncio.to_thread(self._imported)
        except Exception as error:
            log.exception("assistants_failed", error_type=type(error).__name__)
            return
        finally:
            self._settled.set()
        await self._server.run()

    def _imported(self) -> AssistantServer:
        return self._make(import_module("app.assistants.protocol").AssistantServer)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._asked.set()
        await self._settled.wait()
        if self._server is None:
            raise InternalError
        await self._server.handle(scope, receive, send)


async def post_mcp(request: Request) -> Response:
    assistants = services_of(request).get(Assistants)
    return Exchange(assistants.handle, await read_body(request))


class Exchange(Response):
    """Answered by the SDK, to which the body is handed once more."""

    def __init__(
        self, handle: Callable[[Scope, Receive, Send], Awaitable[None]], body: bytes
    ) -> None:
        super().__init__()
        self._handle = handle
        self._held: list[Message] = [{"type": "http.request", "body": body}]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def replay() -> Message:
            return self._held.pop() if self._held else await receive()

        async def unstored(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                headers["Cache-Control"] = "no-store, no-transform"  # the SDK's is weaker
            await send(message)

        await self._handle(scope, replay, unstored)
