"""Reads one answer off its connection, streamed or whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import httpx2

from app.adapters.openai.parsers import ResponseParser
from app.adapters.openai.sse import MAX_EVENT_BYTES, EventTooLong, SSEDecoder
from app.errors import Upstream
from app.ports.model import FailureKind, Flow, ModelFailed, OnDelta

DRAIN_SECONDS = 0.1
COALESCE_SECONDS = 0.1
_STREAM, _STOP = Flow.STREAM, Flow.STOP


async def read_stream(http: httpx2.Response, parser: ResponseParser, on_delta: OnDelta) -> bool:
    """Whether the reader stopped the stream, since the answer was complete."""
    decoder = SSEDecoder()
    coalesce: Callable[[float], None] = http.extensions.get("coalesce", _nothing)
    flow = _STREAM

    def on_bytes(piece: bytes) -> bool:
        """False once the answer is complete."""
        nonlocal flow
        if deltas := parser.feed(decoder.feed(piece)):
            flow = on_delta(deltas)
            if flow is not _STREAM:
                coalesce(COALESCE_SECONDS)
        if parser.failure is not None and flow is not _STOP:
            parser.check()
        return not parser.closed and flow is not _STOP

    def on_rest(piece: bytes) -> bool:
        """Read the part behind a complete answer, of which only the usage is wanted. False once the
        parser is closed."""
        parser.feed(decoder.feed(piece))
        return not parser.closed

    try:
        await _stream_to(http, on_bytes, on_rest)
    except EventTooLong:
        if flow is _STOP:
            return True
        raise ModelFailed("the stream holds no events", FailureKind.BROKEN) from None
    if flow is _STOP:
        parser.check_retracted()
        return True
    if not parser.closed and (deltas := parser.feed(decoder.flush())):
        return on_delta(deltas) is _STOP
    return False


async def _stream_to(
    http: httpx2.Response,
    on_bytes: Callable[[bytes], bool],
    on_rest: Callable[[bytes], bool],
) -> None:
    """Give `on_bytes` the body, as long as it wants more of it, and `on_rest` what follows at once."""
    rest: AsyncIterator[bytes]
    if (
        "stream_to" in http.extensions
        and http.headers.get("content-encoding", "identity") == "identity"
    ):
        await http.extensions["stream_to"](on_bytes)
        rest = http.aiter_raw()
    else:
        rest = http.aiter_bytes()
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
