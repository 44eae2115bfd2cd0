"""Headers that a feature gives all answers below its paths."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import DungeonMasterError


class AnswerHeaders(NamedTuple):
    """Headers of every answer at a path that begins with `prefix`, refusals included, unless it has the
    first of them already. `of` is asked when an answer begins; what it raises leaves them out."""

    prefix: str
    first: str
    of: Callable[[Scope], Awaitable[Mapping[str, str]]]


class WithHeaders:
    """Gives answers the headers of `AnswerHeaders`."""

    def __init__(self, app: ASGIApp, headers: Sequence[AnswerHeaders]) -> None:
        self._app = app
        self._headers = headers

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        wanted = None
        if scope["type"] == "http":
            path = scope["path"]
            wanted = next((one for one in self._headers if path.startswith(one.prefix)), None)
        if wanted is None:
            return self._app(scope, receive, send)
        first = wanted.first.lower().encode()

        async def send_with_them(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = message.setdefault("headers", [])
                if first not in {name.lower() for name, _ in there}:
                    message["headers"] = [*there, *await _asked(wanted, scope)]
            await send(message)

        return self._app(scope, receive, send_with_them)


async def _asked(wanted: AnswerHeaders, scope: Scope) -> list[tuple[bytes, bytes]]:
    try:
        found = await wanted.of(scope)
    except DungeonMasterError:  # an answer that is there must not fail for them
        return []
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in found.items()]
