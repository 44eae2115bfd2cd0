"""Server-sent events of messages that have numbers of their own and are JSON already."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, Final, Protocol

from starlette.responses import Response
from starlette.types import Send

from app.web.dialects.dialect import Rendering
from app.web.dialects.native import NATIVE
from app.web.transports.readers import Reader, Readers, Release
from app.web.transports.sse import RETRY, EventStream, Sending, SSEFramer, piece

SILENCE: Final = b": ping\n\n"


class NumberedReader(Reader, Protocol):
    """Batches of numbers and messages; an empty one after a silence, and where the past ends."""

    def __aiter__(self) -> AsyncIterator[Sequence[tuple[int, bytes]]]: ...


class NumberedTransport:
    """There is no `[DONE]`: more may always follow."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    def response(self, reader: NumberedReader, release: Release) -> Response:
        """The response owns `release` from here on."""
        source: Any = reader  # read by `_send_frames` alone
        sending = _NumberedSending(self._readers, Rendering(NATIVE, ""), source, release)
        return EventStream(sending)


class _NumberedSending(Sending):
    async def _send_frames(self, send: Send, _: SSEFramer) -> None:
        reader: Any = self.cursor
        first = RETRY
        async with aclosing(aiter(reader)) as batches:
            async for batch in batches:
                frames = b"".join([b"id: %d\ndata: %b\n\n" % one for one in batch])
                if frames:
                    frames, first = first + frames, b""
                await send(piece(frames or SILENCE))
                del batch, frames  # while the next ones are awaited
