"""A small HTTP/1.1 server on loopback, in a thread of its own, with control over every byte."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, unquote

GATE_POLL_SECONDS = 0.002


@dataclass(frozen=True)
class Request:
    """`order` counts from 0 over all connections; `at` is `time.monotonic()`; header names are
    lower case."""

    order: int
    at: float
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    connection: int

    def json(self) -> Any:
        return json.loads(self.body)


async def opened(gate: threading.Event) -> None:
    """Waits until a test has set it."""
    await _polled(gate.is_set)


async def permitted(permits: threading.Semaphore) -> None:
    """Waits for one permit, and takes it."""
    await _polled(partial(permits.acquire, blocking=False))


async def _polled(done: Callable[[], bool]) -> None:
    """Because a thread blocked on a gate that no test ever opens could not be ended."""
    while not done():  # noqa: ASYNC110 - a test changes it from another thread
        await asyncio.sleep(GATE_POLL_SECONDS)


def to_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        key = name.strip().lower()
        headers[key] = f"{headers[key]}, {value.strip()}" if key in headers else value.strip()
    return headers


def _dechunk(data: bytes) -> tuple[bytes, bytes] | None:
    """The body and what follows it; None while the last chunk has not arrived."""
    body = b""
    while True:
        size_line, found, rest = data.partition(b"\r\n")
        if not found:
            return None
        size = int(size_line.split(b";")[0], 16)
        if len(rest) < size + 2:
            return None
        if size == 0:
            return body, rest[2:]
        body, data = body + rest[:size], rest[size + 2 :]


@dataclass(frozen=True)
class _Message:
    start: str
    headers: dict[str, str]
    body: bytes


class _Parser:
    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> Iterator[_Message]:
        self._buffer += data
        while (message := self._next()) is not None:
            yield message

    def _next(self) -> _Message | None:
        top, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return None
        start, *lines = top.decode("latin-1").split("\r\n")
        headers = _headers(lines)
        if "chunked" in headers.get("transfer-encoding", ""):
            split = _dechunk(rest)
        else:
            size = int(headers.get("content-length", "0"))
            split = (rest[:size], rest[size:]) if len(rest) >= size else None
        if split is None:
            return None
        body, self._buffer = split
        return _Message(start, headers, body)


class Connection(asyncio.Protocol):
    """One client; its requests are answered one after another."""

    def __init__(self, server: FakeServer) -> None:
        self.gone = asyncio.Event()
        self.id = -1
        self._server = server
        self._parser = _Parser()
        self._inbox: asyncio.Queue[Request | None] = asyncio.Queue()
        self._empty = asyncio.Event()
        self._empty.set()
        self._ended_here = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=0)
        self.id = self._server._joined(self)
        self._task = asyncio.get_running_loop().create_task(self._serve())
        self._task.add_done_callback(self._ended)

    def data_received(self, data: bytes) -> None:
        for message in self._parser.feed(data):
            self._inbox.put_nowait(self._server._record(message, self.id))

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        self._empty.set()
        self._inbox.put_nowait(None)
        self._server._left(self)
        if not self._ended_here and not self._server.outlives_client:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._empty.clear()

    def resume_writing(self) -> None:
        self._empty.set()

    async def _serve(self) -> None:
        while (request := await self._inbox.get()) is not None:
            await self._server.respond(request, self)
            if request.headers.get("connection", "").lower() == "close":
                self.drop()

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._server._failed(error)
            self._transport.abort()

    def write(self, data: bytes) -> None:
        if data and not self._transport.is_closing():
            self._transport.write(data)

    async def flushed(self) -> None:
        """Until all that was written is with the kernel (or the client has gone)."""
        await asyncio.sleep(0)
        await self._empty.wait()

    def reply(
        self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> None:
        """A whole answer. 204 carries neither body nor length."""
        given = {name.lower(): value for name, value in (headers or {}).items()}
        if status != HTTPStatus.NO_CONTENT:
            defaults = {"content-type": "application/json", "content-length": str(len(body))}
            given = defaults | given
        self.write(head(status, given) + body)

    def begin_chunks(self, status: int, headers: Mapping[str, str]) -> None:
        self.write(head(status, {**headers, "transfer-encoding": "chunked"}))

    def chunk(self, data: bytes, *, last: bool = False) -> None:
        framed = b"%x\r\n%s\r\n" % (len(data), data) if data else b""
        self.write(framed + (b"0\r\n\r\n" if last else b""))

    def drop(self) -> None:
        """FIN, after everything written so far."""
        self._ended_here = True
        self._transport.close()

    def reset(self) -> None:
        """RST; what the kernel has not sent yet is lost, so await `flushed` first."""
        self._ended_here = True
        if not self._transport.is_closing():
            linger_zero = struct.pack("ii", 1, 0)
            raw = self._transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_zero)
        self._transport.abort()


class FakeServer:
    """Subclasses answer in `respond`. With `outlives_client` an answer in progress goes on after
    its client has gone; without, it is cancelled. After `close` a second `start` listens on the
    same port and keeps all state, as a service does that was down for a while."""

    outlives_client = False

    def __init__(self) -> None:
        self.port = 0
        self.changed = threading.Condition()
        self._requests: list[Request] = []
        self._errors: list[BaseException] = []
        self._accepted = 0
        self._open: set[Connection] = set()
        self._thread: threading.Thread | None = None

    async def respond(self, request: Request, connection: Connection) -> None:
        raise NotImplementedError

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[Request]:
        with self.changed:
            return list(self._requests)

    @property
    def accepted(self) -> int:
        """Connections accepted since the first start."""
        with self.changed:
            return self._accepted

    @property
    def open_connections(self) -> int:
        with self.changed:
            return len(self._open)

    def wait_for(self, predicate: Callable[[], object], timeout: float = 5.0) -> None:
        """Blocks the calling thread; asked again after each change here. AssertionError in the
        end."""
        with self.changed:
            if not self.changed.wait_for(predicate, timeout):
                seen = [f"{r.method} {r.path}" for r in self._requests]
                raise AssertionError(f"not so after {timeout} s; requests so far: {seen}")

    async def eventually(self, predicate: Callable[[], object], timeout: float = 5.0) -> None:
        """`wait_for` for a test that runs in an event loop."""
        await asyncio.to_thread(self.wait_for, predicate, timeout)

    def start(self) -> Self:
        started: Future[None] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._main(started)), name=type(self).__name__, daemon=True
        )
        self._thread.start()
        started.result(300)
        return self

    def close(self) -> None:
        """Ends every connection; raises what went wrong while answering, if anything did."""
        if self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=300)
        assert not self._thread.is_alive()
        self._thread = None
        if self._errors:
            raise self._errors.pop(0)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def _main(self, started: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        try:
            listener = await self._loop.create_server(
                lambda: Connection(self), "127.0.0.1", self.port
            )
        except OSError as error:
            started.set_exception(error)
            return
        self.port = listener.sockets[0].getsockname()[1]
        started.set_result(None)
        await self._stop.wait()
        listener.close()
        await self._end_connections()
        await listener.wait_closed()

    async def _end_connections(self) -> None:
        for connection in list(self._open):
            connection._transport.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _record(self, message: _Message, connection: int) -> Request:
        method, target, _ = message.start.split(" ", 2)
        path, _, query = target.partition("?")
        fields = dict(parse_qsl(query, keep_blank_values=True))
        with self.changed:
            order = len(self._requests)
            request = Request(
                order,
                time.monotonic(),
                method,
                unquote(path),
                fields,
                message.headers,
                message.body,
                connection,
            )
            self._requests.append(request)
            self.changed.notify_all()
        return request

    def _joined(self, connection: Connection) -> int:
        with self.changed:
            self._accepted += 1
            self._open.add(connection)
            self.changed.notify_all()
            return self._accepted

    def _left(self, connection: Connection) -> None:
        with self.changed:
            self._open.discard(connection)
            self.changed.notify_all()

    def _failed(self, error: BaseException) -> None:
        with self.changed:
            self._errors.append(error)
            self.changed.notify_all()
