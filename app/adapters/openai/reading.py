"""Reads one answer off its connection, streamed or whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any, NamedTuple

import httpx2

from app.adapters.openai.parsers import ResponseParser
from app.adapters.openai.sse import MAX_EVENT_BYTES, EventTooLong, SSEDecoder
from app.errors import Upstream
from app.ports.model import FailureKind, Flow, ModelFailed, OnDelta

DRAIN_SECONDS = 0.1
COALESCE_SECONDS = 0.1
_STREAM, _STOP = Flow.STREAM, Flow.STOP


class TokenTimeouts(NamedTuple):
    """Seconds from the request to the first token, and from one to the next."""

    first: float = 60
    between: float = 30


class _TokenClock:
    """Ends the wait for a token that does not come: comments and empty events are none.

    One timer serves many tokens: it looks at `due` when it fires and sleeps on.
    """

    def __init__(self, timeouts: TokenTimeouts, waited: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeouts = timeouts
        self._due = self._loop.time() + timeouts.first - waited
        self._scope = asyncio.timeout(None)
        self._overdue = False

    async def __aenter__(self) -> None:
        await self._scope.__aenter__()
        self._timer = self._loop.call_at(self._due, self._look)

    async def __aexit__(self, *raised: Any) -> None:
        self._timer.cancel()
        try:
            await self._scope.__aexit__(*raised)
        except TimeoutError:
            raise httpx2.ReadTimeout("no token in time") from None

    def token(self, *, text: bool) -> None:
        """A token came. Until there is text, the model may think for as long as to its first token."""
        timeouts = self._timeouts
        self._due = self._loop.time() + (timeouts.between if text else timeouts.first)
        self._overdue = False
        if self._due < self._timer.when():
            self._timer.cancel()
            self._timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        if (now := self._loop.time()) < self._due:
            self._timer = self._loop.call_at(self._due, self._look)
        elif not self._overdue:  # what came while the loop was busy is read first
            self._overdue = True
            self._timer = self._loop.call_at(now, self._look)
        else:
            self._scope.reschedule(now)


class _Reading:
    """What is done with the pieces of a stream."""

    __slots__ = ("_aside", "_clock", "_coalesce", "_decoder", "_on_delta", "_parser", "flow")

    def __init__(
        self,
        parser: ResponseParser,
        on_delta: OnDelta,
        clock: _TokenClock,
        coalesce: Callable[[float], None],
    ) -> None:
        self._parser = parser
        self._on_delta = on_delta
        self._clock = clock
        self._coalesce = coalesce
        self._decoder = SSEDecoder()
        self._aside = 0
        self.flow = _STREAM

    def on_bytes(self, piece: bytes) -> bool:
        """False once the answer is complete."""
        parser = self._parser
        if deltas := parser.feed(self._decoder.feed(piece)):
            self._clock.token(text=True)
            self.flow = self._on_delta(deltas)
            if self.flow is not _STREAM:
                self._coalesce(COALESCE_SECONDS)
        elif parser.aside != self._aside:
            self._aside = parser.aside
            self._clock.token(text=parser.heard)
        if parser.failure is not None and self.flow is not _STOP:
            parser.check()
        return not parser.closed and self.flow is not _STOP

    def on_rest(self, piece: bytes) -> bool:
        """Read the part behind a complete answer, of which only the usage is wanted. False once the
        parser is closed."""
        self._parser.feed(self._decoder.feed(piece))
        return not self._parser.closed

    def last_deltas(self) -> list[str]:
        """Of an event that was not finished by an empty line."""
        return self._parser.feed(self._decoder.flush())


async def read_stream(
    http: httpx2.Response,
    parser: ResponseParser,
    on_delta: OnDelta,
    timeouts: TokenTimeouts,
    waited: float,
) -> bool:
    """Whether the reader stopped the stream, since the answer was complete. `waited`: seconds from the
    request to the head of the answer."""
    clock = _TokenClock(timeouts, waited)
    reading = _Reading(parser, on_delta, clock, http.extensions.get("coalesce", _nothing))
    try:
        await _stream_to(http, clock, reading.on_bytes, reading.on_rest)
    except EventTooLong:
        if reading.flow is _STOP:
            return True
        raise ModelFailed("the stream holds no events", FailureKind.BROKEN) from None
    if reading.flow is _STOP:
        parser.check_retracted()
        return True
    if not parser.closed and (deltas := reading.last_deltas()):
        return on_delta(deltas) is _STOP
    return False


async def _stream_to(
    http: httpx2.Response,
    clock: _TokenClock,
    on_bytes: Callable[[bytes], bool],
    on_rest: Callable[[bytes], bool],
) -> None:
    """Give `on_bytes` the body, as long as it wants more of it, and `on_rest` what follows at once."""
    rest: AsyncIterator[bytes]
    if (
        "stream_to" in http.extensions
        and http.headers.get("content-encoding", "identity") == "identity"
    ):
        async with clock:
            await http.extensions["stream_to"](on_bytes)
        rest = http.aiter_raw()
    else:
        rest = http.aiter_bytes()
        async with clock:
            async for piece in rest:
                if not on_bytes(piece):
                    break
    # what ends the body, so that the connection can be used again; not for long
    with suppress(TimeoutError, httpx2.HTTPError):
        async with asyncio.timeout(DRAIN_SECONDS):
            async for piece in rest:
                if not on_rest(piece):
                    break


def _nothing(_: float) -> None:
    pass


async def whole_body(http: httpx2.Response) -> bytes:
    """Bounded: no outcome is that large, and memory is not the provider's to fill."""
    body = bytearray()
    async for chunk in http.aiter_bytes():
        body += chunk
        if len(body) > MAX_EVENT_BYTES:
            raise ModelFailed("the answer is too long", FailureKind.BROKEN)
    return bytes(body)


def is_whole(http: httpx2.Response) -> bool:
    """Whether the answer is one JSON document. Raises `ModelFailed` for a web page."""
    kind = http.headers.get("content-type", "")
    if "text/html" in kind:
        hint = (
            "OPENAI_BASE_URL leads to a web page: the address of a model server mostly ends in /v1."
        )
        raise ModelFailed("it answered with a web page", upstream=Upstream(200, None, hint))
    return "json" in kind
