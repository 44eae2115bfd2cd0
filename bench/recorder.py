"""A model server that keeps each request and answers a given text at a given pace.

It runs in the bench's own process, since it serves one stream at a time.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from bench.model import APIS, Api, script
from bench.outcome import Story

_QUIET: Final = '{"narrative":"Rain.","intents":{}}'
FORMS: Final = ("response_format", "text")
"""The field of a request that carries the schema, by API."""


class Recorder:
    """`answer`: pieces of text, one for each token. `gap`: seconds between them. `takes_schema`: a server
    that does not refuses each request that carries one. `requests`: bodies of those that it took."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_port}"
        self.answer: Sequence[str] = (_QUIET,)
        self.gap = 0.0
        self.takes_schema = True
        self.requests: list[bytes] = []

    @property
    def last(self) -> dict[str, Any]:
        """The newest request."""
        return dict(json.loads(self.requests[-1]))

    def refuses(self, body: bytes) -> bool:
        asked = json.loads(body)
        return not self.takes_schema and any(asked.get(form) for form in FORMS)

    def writes(self, api: Api) -> Iterator[bytes]:
        """The bytes of one answer."""
        text = "".join(self.answer)
        answer_script = script(api, Story(text, "", tuple(self.answer)))
        for number, write in enumerate(answer_script.writes(1)):
            if number and self.gap:
                time.sleep(self.gap)
            yield write


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    recorder: Recorder

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.recorder.refuses(body):
            self._refuse()
            return
        self.recorder.requests.append(body)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for write in self.recorder.writes(APIS["chat" in self.path]):
            self.wfile.write(write)

    def _refuse(self) -> None:
        refusal = b'{"error":{"message":"response_format is not supported"}}'
        self.send_response(400)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(refusal)))
        self.end_headers()
        self.wfile.write(refusal)

    def log_message(self, format: str, *args: Any) -> None:
        return


@contextmanager
def running_recorder() -> Iterator[Recorder]:
    class Handler(_Handler):
        pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Handler.recorder = recorder = Recorder(server)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield recorder
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
