"""Server-sent events of many turns, one after another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from starlette.responses import Response
from starlette.types import Send

from app.core.events import Entry
from app.web.dialects.dialect import Rendering
from app.web.dialects.native import NATIVE
from app.web.transports.readers import Reader, Readers, Release
from app.web.transports.sse import RETRY, EventStream, SSEFramer


class Feed(Reader, Protocol):
    """Batches of entries, each of one turn, with its id."""

    @property
    def complete(self) -> bool: ...

    def __aiter__(self) -> AsyncIterator[tuple[str, Sequence[Entry]]]: ...


class FeedTransport:
    """The blocks of each turn have its own ids; there is no `[DONE]`, since more turns may follow."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    def response(self, feed: Feed, release: Release) -> Response:
        """The response owns `release` from here on."""
        source: Any = feed  # read by `_send_frames` alone
        return _FeedStream(self._readers, Rendering(NATIVE, ""), source, release, {})


class _FeedStream(EventStream):
    async def _send_frames(self, send: Send, _: SSEFramer) -> None:
        feed: Any = self._cursor
        turn_id, framer, first = "", SSEFramer(Rendering(NATIVE, "")), RETRY
        async with aclosing(aiter(feed)) as batches:
            async for of_turn, entries in batches:
                if of_turn != turn_id:
                    turn_id, framer = of_turn, SSEFramer(Rendering(NATIVE, of_turn))
                body, first = first + framer.frames(entries), b""
                await send({"type": "http.response.body", "body": body, "more_body": True})
