"""One HTTP/1.1 connection to an upstream, as an `asyncio.Protocol`.

A streamed answer arrives as thousands of small reads. Each read costs one call of httptools' parser
and one of whoever takes the body, however many HTTP chunks it holds: what comes in one read leaves
as one piece.
"""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Protocol, cast

import httptools

MAX_HEAD = 64 * 1024
HIGH_WATER = 256 * 1024  # unread bytes at which the server is made to wait
LOOK_AFTER = 0.5  # seconds; servers hang up on who is idle, and to look is a system call
INFORMATIONAL = range(100, 200)


class Errors(Protocol):
    """Exception classes that httpx and httpx2 both have."""

    ConnectError: type[Exception]
    ReadError: type[Exception]
    ReadTimeout: type[Exception]
    RemoteProtocolError: type[Exception]


class Connection(asyncio.Protocol):
    """Carries one exchange at a time: `send`, `head`, then `read` until it returns nothing, or
    `stream_to`."""

    def __init__(self, errors: Errors) -> None:
        self._errors = errors
        self._loop = asyncio.get_running_loop()
        self._chunks: list[bytes] = []
        # The parser calls it for each HTTP chunk, thousands of times: no function of Python's own.
        self.on_body = self._chunks.append
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        # The loop of the service passes on what came for all streams together.
        self._call_first: Callable[..., None] = getattr(self._loop, "call_first", _at_once)
        self._called = False
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self.idle_since = 0.0
        self._begin()
        self._complete = True  # nothing was asked yet

    def _begin(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.reason = b""
        self.status = 0
        self._head_bytes = 0
        self._head_done = False
        self._sized = False  # the answer says where it ends
        self._chunks.clear()
        self._unread = 0
        self._complete = self._keep_alive = False
        self._paused = False
        self._error: Exception | None = None
        self._coalescing = 0.0  # seconds
        self._sink: Callable[[bytes], bool] | None = None
        self._patience: float | None = None  # seconds between two pieces for the sink
        self._refusal: Exception | None = None  # what the sink has raised
        self._held: asyncio.TimerHandle | None = None  # until when what came is kept back

    # -- for the transport ------------------------------------------------------------------------

    def send(self, request: bytes) -> None:
        """Begin an exchange. Only from here on can the server have seen anything of it.

        Raises `ConnectError` when the server has hung up already.
        """
        if self._transport is None:
            raise self._errors.ConnectError("the server closed the connection at once")
        self._begin()
        self._transport.write(request)

    async def head(self, timeout: float | None) -> None:
        """Wait until `status`, `reason` and `headers` are there. Raises `Errors`."""
        while not self._head_done:
            await self._wait(timeout)

    async def read(self, timeout: float | None) -> bytes:
        """All of the body that has come since; empty at its end. Raises `Errors`."""
        while not self._chunks or self._held is not None:
            if self._complete:
                return b""
            await self._wait(timeout)
        return self._take()

    async def stream_to(self, timeout: float | None, sink: Callable[[bytes], bool]) -> None:
        """Give the body to `sink`, piece by piece as it comes, until the body ends or `sink` returns
        False; the rest can be read then. Raises what `sink` raises, or `Errors`.

        `sink` runs in the caller's context, but in no task.
        """
        # mypy cannot see that `run` takes the rest of what it is called with
        self._sink = partial(copy_context().run, sink)  # type: ignore[call-arg]
        self._patience = timeout
        try:
            self._let_go()
            while self._sink is not None and not self._complete:
                await self._wait(timeout)
            if self._sink is not None:
                self._let_go()  # if the end was read already, and what came with it not passed on
        finally:
            self._sink = None
            refusal, self._refusal = self._refusal, None
        if refusal is not None:
            try:
                raise refusal
            finally:
                del refusal  # its frames would hold it, and only the collector could free them

    def _take(self) -> bytes:
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        taken = b"".join(self._chunks)
        self._chunks.clear()
        self._unread = 0
        return taken

    def coalesce(self, seconds: float) -> None:
        """From now on, what comes within so many seconds is read as one piece."""
        self._coalescing = seconds

    def finish(self) -> bool:
        """End the exchange; True when the connection can carry another one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._let_go()
        if self._complete and self._error is None and self._keep_alive:
            self._take()
            return True
        self.close()
        self._error = None  # its frames hold us
        return False

    @property
    def usable(self) -> bool:
        """False once the server has hung up, even if the loop has not noticed yet."""
        transport = self._transport
        if transport is None or transport.is_closing() or self._error is not None:
            return False
        if self._loop.time() - self.idle_since < LOOK_AFTER:
            return True
        look = select.poll()
        look.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not look.poll(0)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # -- waiting ----------------------------------------------------------------------------------

    async def _wait(self, timeout: float | None) -> None:
        if self._error is not None:
            raise self._error
        if timeout is not None:
            self._due = self._loop.time() + timeout
            # One timer serves many waits: it looks at `_due` when it fires and sleeps on.
            if self._timer is None:
                self._timer = self._loop.call_at(self._due, self._late)
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
        if self._error is not None and not self._chunks and not self._complete:
            raise self._error

    def _hold(self) -> bool:
        """Whether what has come may wait for more."""
        if self._complete or not self._chunks or self._paused:
            return False
        if self._held is None:
            self._held = self._loop.call_later(self._coalescing, self._let_go)
        return True

    def _let_go(self) -> None:
        self._called = False
        if self._held is not None:
            self._held.cancel()
            self._held = None
        if self._sink is not None and self._chunks:
            if self._patience is not None:
                self._due = self._loop.time() + self._patience
            more = False
            try:
                more = self._sink(self._take())
            except Exception as refusal:
                self._refusal = refusal
            if not more:
                self._sink = None
            elif not self._complete and self._error is None:
                return  # nobody has to wake up
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _late(self) -> None:
        self._timer = None
        if self._called:  # it is here, and only has not been passed on
            self._let_go()
        if self._waiter is None or self._waiter.done():
            return
        if self._loop.time() < self._due:
            self._timer = self._loop.call_at(self._due, self._late)
        else:
            self._fail(self._errors.ReadTimeout("the server did not answer in time"))

    def _fail(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
        self.close()
        self._let_go()

    # -- asyncio.Protocol -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's only looks like one

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(self._errors.RemoteProtocolError("the answer is not HTTP"))
            return
        self._unread += len(data)
        if not self._head_done:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD:
                self._fail(self._errors.RemoteProtocolError("the answer's head is too long"))
                return
        if self._unread > HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        if not (self._called or (self._coalescing and self._hold())):
            self._called = True
            self._call_first(self._let_go)

    def eof_received(self) -> None:
        """The server hangs up: which ends an answer of unknown length, and breaks any other."""
        if self._head_done and not self._sized:
            self._complete = True

    def connection_lost(self, error: Exception | None) -> None:
        if self._error is None and not self._complete:
            self._error = self._errors.ReadError("the connection broke")
        self._transport = None
        del self._parser  # it holds our methods, and would have to be found by the collector
        self._let_go()

    # -- httptools --------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._complete:  # the parser must go no further: it would add to the answer before
            raise self._errors.RemoteProtocolError("an answer that nobody asked for")

    def on_status(self, reason: bytes) -> None:
        self.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))
        name = name.lower()
        if name == b"content-length" or (name == b"transfer-encoding" and b"chunked" in value):
            self._sized = True

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._head_done = self.status not in INFORMATIONAL

    def on_message_complete(self) -> None:
        if self._head_done:
            self._complete = True
            self._keep_alive = self._parser.should_keep_alive()  # the parser forgets at once
        else:  # "100 Continue" and its like: the answer itself is still to come
            self.headers, self.reason, self._sized = [], b"", False


def _at_once(callback: Callable[[], None]) -> None:
    callback()
