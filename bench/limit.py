"""The limit: the same turn without any framework, one asyncio.Protocol a side, bytes in, bytes out.

    python -m bench.limit http://127.0.0.1:PORT

Nothing to build on (no TLS, no retries, no odd HTTP): it marks how much of the cost is the event
loop and system calls. The narrative is decoded and the outcome validated as the floor does it.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import Any, cast
from urllib.parse import urlsplit

import msgspec
import uvloop

from bench.floor import FORMAT, INSTRUCTIONS, Narrative, Outcome, TurnIn, prompt, writes
from bench.wire import (
    END,
    STREAM_HEAD,
    HttpConnection,
    Request,
    answer,
    chunked,
    content_length,
)

_DELTA = b"event: response.output_text.delta\ndata: "


class Call(asyncio.Protocol):
    """A kept connection to the upstreams, one call at a time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._over: asyncio.Future[bytes] | None = None

    def begin(
        self, method: str, path: str, body: bytes, heard: Any = None
    ) -> asyncio.Future[bytes]:
        """The future is the body, or, when `heard` is called with every part of it, empty."""
        self._over = asyncio.get_running_loop().create_future()
        self._heard, self._buffer, self._left, self._body = heard, b"", -1, b""
        self._transport.write(
            f"{method} {path} HTTP/1.1\r\nhost: bench\r\nx-user-id: local\r\n"
            "authorization: Bearer sk-none\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        return self._over

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        if self._left < 0:
            head, found, rest = data.partition(b"\r\n\r\n")
            if not found:
                self._buffer = data
                return
            self._left, data = content_length(head), rest
        self._buffer = b""
        if self._heard is None:
            self._body += data
            if len(self._body) >= self._left:
                self._end()
        else:
            self._chunks(data)

    def _chunks(self, data: bytes) -> None:
        at, parts = 0, list[bytes]()
        while (line := data.find(b"\r\n", at)) >= 0:
            size = int(data[at:line], 16)
            if len(data) < line + 4 + size:
                break
            at = line + 4 + size
            if not size:
                self._heard(b"".join(parts))
                self._end()
                return
            parts.append(data[line + 2 : line + 2 + size])
        self._buffer = data[at:]
        if parts:
            self._heard(b"".join(parts))

    def _end(self) -> None:
        assert self._over is not None
        self._over.set_result(self._body)

    def connection_lost(self, error: Exception | None) -> None:
        if self._over is not None and not self._over.done():
            self._over.set_exception(ConnectionError("the upstream is gone"))


class Pool:
    def __init__(self, port: int) -> None:
        self._port = port
        self._free: list[Call] = []

    async def call(self, method: str, path: str, body: Any = None, heard: Any = None) -> bytes:
        if self._free:
            call = self._free.pop()
        else:
            loop = asyncio.get_running_loop()
            _, call = await loop.create_connection(Call, "127.0.0.1", self._port)
        found = await call.begin(
            method, path, b"" if body is None else msgspec.json.encode(body), heard
        )
        self._free.append(call)
        return found


class Server(HttpConnection):
    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self._pool = pool

    def handle(self, request: Request) -> None:
        if request.path != b"/turn/stream":
            self.reply(answer(404, b"{}"))
            return
        self._task = self.loop.create_task(self._turn(TurnIn.model_validate_json(request.body)))

    async def _turn(self, turn: TurnIn) -> None:
        base, call = f"/characters/{turn.character_id}", self._pool.call
        context = msgspec.json.decode(await call("GET", f"{base}/context"))
        self.transport.write(STREAM_HEAD)
        answering = _Answer(self)
        ask = {
            "model": "bench-model",
            "instructions": INSTRUCTIONS,
            "input": prompt(context, turn.user_action),
            "max_output_tokens": 4_000,
            "text": FORMAT,
            "stream": True,
        }
        await call("POST", "/v1/responses", ask, answering.heard)
        outcome = Outcome.model_validate_json("".join(answering.deltas))
        for method, path, body in writes(outcome, turn.user_action):
            await call(method, f"{base}/{path}", body)
        intents = msgspec.json.encode({"intents": outcome.intents.model_dump(mode="json")})
        self.transport.write(chunked(b"event: complete\ndata: %s\n\n" % intents) + END)
        self.over()


class _Answer:
    def __init__(self, server: Server) -> None:
        self.deltas: list[str] = []
        self._write = server.transport.write
        self._narrative = Narrative()
        self._rest = b""

    def heard(self, data: bytes) -> None:
        *events, self._rest = (self._rest + data).split(b"\n\n")
        for event in events:
            if event.startswith(_DELTA):
                delta = msgspec.json.decode(event[len(_DELTA) :])["delta"]
                self.deltas.append(delta)
                if text := self._narrative.feed(delta):
                    token = b'event: token\ndata: {"content":%s}\n\n' % msgspec.json.encode(text)
                    self._write(chunked(token))


async def serve(upstream: str) -> None:
    pool, loop = Pool(urlsplit(upstream).port or 80), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Server(pool), "127.0.0.1", 0, backlog=4096)
    print(f"running on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    gc.freeze()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
