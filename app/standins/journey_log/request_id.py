"""Every response carries the X-Request-ID of its request, or a new one."""

import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# A key of our own in the scope: an app that mounts this one may keep its own id in `state`.
_KEY = "journey_log.request_id"


def request_id(scope: Scope) -> str:
    return str(scope[_KEY])


class RequestIdMiddleware:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        own_id = Headers(scope=scope).get("x-request-id") or str(uuid.uuid4())
        scope[_KEY] = own_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-ID"] = own_id
            await send(message)

        await self._app(scope, receive, send_with_id)
