"""An HTTP hub that keeps what it takes, and answers as a test says."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

RESET = "reset"
"""The event is taken, and the connection reset without an answer."""


class Delivery(NamedTuple):
    """What came in one request, and when it was taken."""

    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


class FakeHub:
    """`answers` are used up one a request; then all is taken with 204. An answer is a status (only below
    300 the event is taken), `RESET`, or a `threading.Event`: it is taken, and 204 comes once that is set.
    `asked` counts requests."""

    def __init__(self, port: int = 0) -> None:
        self.taken: list[Delivery] = []
        self.answers: deque[Any] = deque()
        self.asked = 0
        self.retry_after: str | None = None
        self._lock = threading.Lock()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                hub._answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> FakeHub:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/api"

    @property
    def ids(self) -> list[str]:
        return [one.id for one in self.taken]

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["content-length"]))
        headers = {name.lower(): value for name, value in request.headers.items()}
        with self._lock:
            self.asked += 1
            answer = self.answers.popleft() if self.answers else 204
            if request.path != "/api/events":
                answer = 404
            if not isinstance(answer, int) or answer < 300:
                self.taken.append(Delivery(headers, body))
        if answer == RESET:
            linger = struct.pack("ii", 1, 0)
            request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            request.connection.close()
            request.close_connection = True
            return
        if isinstance(answer, threading.Event):
            answer.wait(60)
            answer = 204
        request.send_response(answer)
        if self.retry_after is not None:
            request.send_header("Retry-After", self.retry_after)
        request.send_header("Content-Length", "0")
        request.end_headers()
