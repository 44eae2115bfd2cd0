"""HTTP/1.1 as far as loopback needs it: requests one after another, bodies with a Content-Length."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NamedTuple, cast

JSON = b"application/json"
END = b"0\r\n\r\n"
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"cache-control: no-store\r\ntransfer-encoding: chunked\r\n\r\n"
)


class Request(NamedTuple):
    method: bytes
    path: bytes
    query: bytes
    body: bytes


def to_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def answer(status: int, body: bytes = b"") -> bytes:
    head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
    length = "" if status == HTTPStatus.NO_CONTENT else f"content-length: {len(body)}\r\n"
    return f"{head}{length}\r\n".encode() + body


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def content_length(head: bytes) -> int:
    """0 when there is none."""
    lower = head.lower()
    at = lower.find(b"\r\ncontent-length:")
    return int(lower[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


class HttpConnection(asyncio.Protocol):
    """One client. The next request is taken when the answer to the last one is `over`."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.gone = False
        self._buffer = b""
        self._busy = False
        self._blocked = False
        self._resume: Callable[[], None] | None = None

    def handle(self, request: Request) -> None:
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.gone = True

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._busy:
            self._next()

    def _next(self) -> None:
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        size = content_length(head)
        if not found or len(rest) < size:
            return
        self._buffer, self._busy = rest[size:], True
        method, target, _ = head.split(b" ", 2)
        path, _, query = target.partition(b"?")
        self.handle(Request(method, path, query, rest[:size]))

    def over(self) -> None:
        self._busy = False
        if self._buffer:
            self._next()

    def reply(self, data: bytes) -> None:
        self.transport.write(data)
        self.over()

    # -- a reader slower than the story -----------------------------------------------------------

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False
        if (resume := self._resume) is not None:
            self._resume = None
            resume()

    def when_writable(self, write: Callable[[], None]) -> None:
        if self._blocked:
            self._resume = write
        else:
            write()
