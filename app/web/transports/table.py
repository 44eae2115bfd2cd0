"""The stream of a table over SSE and WebSocket, with one fold for the whole stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakValueDictionary

import structlog
from starlette.responses import Response
from starlette.types import Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.core.events import Entry
from app.web.dialects.dialect import Dialect, Message, Rendering
from app.web.transports.readers import Reader, Readers, Release
from app.web.transports.sse import RETRY, EventStream, Sending, SSEFramer, piece
from app.web.transports.websocket import INTERNAL_ERROR, send_text, text_frame, write_frames_of

log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class _Fold:
    """A reader's step: the same for all that were in the same state."""

    before: Any
    prefix: str | None
    entries: Sequence[Entry]
    after: Any
    frames: bytes


class Framing:
    """For the readers of one table in one dialect, who are written to one after another: what one is sent,
    the next one mostly is too. `frame` makes a message one of the wire; `prefix` is that of its id."""

    __slots__ = ("__weakref__", "_frame", "_latest")

    def __init__(self, frame: Callable[[str, Message], bytes]) -> None:
        self._frame = frame
        self._latest = _Fold(None, None, (), None, b"")

    def write(self, outlet: Outlet, prefix: str, entries: Sequence[Entry]) -> bool:
        """False: nothing was written, and the rendering is as it was."""
        rendering = outlet.rendering
        fold = self._fold(rendering, prefix, entries)
        if fold.frames and not outlet.send(fold.frames):
            return False
        rendering.state = fold.after
        return True

    def write_all(
        self, outlets: Sequence[Outlet], prefix: str, entries: Sequence[Entry]
    ) -> list[Outlet]:
        """The outlets to which nothing was written."""
        fold = self._fold(outlets[0].rendering, prefix, entries)
        before, after, frames = fold.before, fold.after, fold.frames
        refused = []
        for outlet in outlets:
            rendering = outlet.rendering
            try:
                if rendering.state is not before:
                    written = self.write(outlet, prefix, entries)
                elif written := not frames or outlet.send(frames):
                    rendering.state = after
            except Exception:  # its own iteration meets it again, and ends this reader alone
                written = False
            if not written:
                refused.append(outlet)
        return refused

    def _fold(self, rendering: Rendering[Any], prefix: str, entries: Sequence[Entry]) -> _Fold:
        fold, before = self._latest, rendering.state
        if (
            fold.before is before
            and (fold.entries is entries or fold.entries == entries)
            and fold.prefix == prefix
        ):
            return fold
        try:
            frames, after = self.frames(rendering, prefix, entries), rendering.state
        finally:  # of several entries, a later one may raise
            rendering.state = before
        self._latest = fold = _Fold(before, prefix, entries, after, frames)
        return fold

    def frames(self, rendering: Rendering[Any], prefix: str, entries: Sequence[Entry]) -> bytes:
        """The frames of `entries`. The state of the rendering is advanced."""
        messages = rendering.messages(entries)
        return b"".join([self._frame(prefix, one) for one in messages if isinstance(one, Message)])


@dataclass(slots=True, eq=False)
class Outlet:
    """Where entries are written to one reader in a plain call. `send`: whole frames; False where that
    cannot be done now."""

    framing: Framing
    rendering: Rendering[Any]
    send: Callable[[bytes], bool]

    def write(self, prefix: str, entries: Sequence[Entry]) -> bool:
        """See `Framing.write`."""
        return self.framing.write(self, prefix, entries)


class TableReader(Reader, Protocol):
    """Batches of entries with what their ids begin with; `outlet`, when it is set, may be written to at
    once. Readers of one `room` mostly read the same."""

    outlet: Outlet | None
    room: int

    def __aiter__(self) -> AsyncIterator[tuple[str, Sequence[Entry]]]: ...


class TableTransport:
    """A turn may be followed by another one, so there is no `[DONE]`."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._framings: WeakValueDictionary[tuple[Any, ...], Framing] = WeakValueDictionary()

    def _framing(
        self, feed: TableReader, dialect: Dialect[Any], frame: Callable[[str, Message], bytes]
    ) -> Framing:
        """The one of all readers of a table who are served alike."""
        return self._framings.setdefault((feed.room, dialect.name, frame), Framing(frame))

    def response(self, feed: TableReader, release: Release, dialect: Dialect[Any]) -> Response:
        """The response owns `release` from here on."""
        source: Any = feed  # read by `_send_frames` alone
        rendering = Rendering(dialect, "")
        framing = self._framing(feed, dialect, _block)
        return EventStream(_TableSending(self._readers, rendering, source, release, framing))

    async def send(
        self, websocket: WebSocket, rendering: Rendering[Any], feed: TableReader
    ) -> bool:
        """Send until the feed ends: False once the client is gone."""
        self._readers.started("websocket", feed)
        source: Any = aiter(feed)
        framing = self._framing(feed, rendering.dialect, _frame)
        outlet = feed.outlet = Outlet(framing, rendering, write_frames_of(websocket))
        try:
            async with aclosing(source) as batches:
                async for _, entries in batches:
                    if outlet.write("", entries):
                        continue
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
    def __init__(
        self,
        readers: Readers,
        rendering: Rendering[Any],
        cursor: Any,
        release: Release,
        framing: Framing,
    ) -> None:
        super().__init__(readers, rendering, cursor, release)
        self._framing = framing

    async def _send_frames(self, send: Send, framer: SSEFramer) -> None:
        feed: Any = self.cursor
        first = RETRY if self.rendering.dialect.retry else b""
        async with aclosing(aiter(feed)) as batches:
            async for prefix, entries in batches:
                frames = self._framing.frames(self.rendering, prefix, entries)
                if frames:
                    await send(piece(first + frames))
                    first = b""
                    if framer.write is not None:
                        feed.outlet = Outlet(self._framing, self.rendering, framer.write)
                del entries, frames  # while the next ones are awaited


def _frame(_: str, message: Message) -> bytes:
    return text_frame(message.data)


def _block(prefix: str, message: Message) -> bytes:
    if not message.seq or not prefix:
        return b"data: %b\n\n" % message.data
    return b"id: %b:%d\ndata: %b\n\n" % (prefix.encode(), message.seq, message.data)
