"""Server-sent events of many turns, one after another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from starlette.responses import Response
from starlette.types import Send

from app.core.events import Entry
from app.web.dialects.dialect import Dialect, Rendering
from app.web.dialects.encoded import event_of
from app.web.transports.readers import Reader, Readers, Release
from app.web.transports.sse import RETRY, EventStream, Sending, SSEFramer, piece


class Feed(Reader, Protocol):
    """Batches of entries, each of one turn, with its id; or of none, without one.

    `parameters` and `seen` are of the turn that was read last: what its dialect begins with, and how
    many of its entries the reader has had.
    """

    @property
    def complete(self) -> bool: ...

    @property
    def parameters(self) -> Mapping[str, Any]: ...

    @property
    def seen(self) -> int: ...

    def __aiter__(self) -> AsyncIterator[tuple[str, Sequence[Entry]]]: ...


class FeedTransport:
    """The blocks of each turn have its own ids; there is no `[DONE]`, since more turns may follow."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    def response(self, feed: Feed, release: Release, dialect: Dialect[Any]) -> Response:
        """The response owns `release` from here on."""
        source: Any = feed  # read by `_send_frames` alone
        sending = _FeedSending(self._readers, Rendering(dialect, ""), source, release)
        return EventStream(sending)


class _FeedSending(Sending):
    async def _send_frames(self, send: Send, _: SSEFramer) -> None:
        feed: Any = self.cursor
        dialect = self.rendering.dialect
        turn_id, framer, first = "", SSEFramer(self.rendering), RETRY if dialect.retry else b""
        async with aclosing(aiter(feed)) as batches:
            async for of_turn, entries in batches:
                if of_turn not in ("", turn_id) or (dialect.identity and of_turn != turn_id):
                    turn_id = of_turn
                    framer = SSEFramer(Rendering(dialect, of_turn, feed.seen, feed.parameters))
                if of_turn or dialect.identity:
                    frames = framer.frames(entries)
                else:  # no event of a turn, and so none of a run or of a message
                    frames = b"".join([b": %b\n\n" % _said(data) for _, _, data in entries])
                if not frames.startswith(b":"):
                    frames, first = first + frames, b""
                await send(piece(frames))
                del entries, frames  # while the next ones are awaited


def _said(data: bytes) -> bytes:
    """The phase, else the type, of an event that belongs to no turn."""
    event = event_of(data)
    return str(event.get("phase") or event["type"]).encode()
