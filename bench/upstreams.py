"""A paced model and a journey-log that knows everybody, in one cheap process.

    python bench/upstreams.py --first 0.3 --pace 0.5

Prints its port. Each answer of the model has its first text after `first` seconds and then one delta
every `pace` seconds, for as many seconds as the player's action asks for: "for 50 s".
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from typing import Any

import uvloop

OPENING, WORD, CLOSING = '{"narrative": "', "and on it goes ", '", "intents": {}}'
ASKED = re.compile(rb"for ([0-9.]+) s")
CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "paced"}
USAGE = {"prompt_tokens": 900, "completion_tokens": 100, "total_tokens": 1000}
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
)


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(text: str | None, finish: str | None = None, **more: Any) -> bytes:
    delta = {} if text is None else {"content": text}
    choices = [] if "usage" in more else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return b"data: " + json.dumps({**CHUNK, "choices": choices, **more}).encode() + b"\n\n"


FIRST = chunked(event(OPENING) + event(WORD))
NEXT = chunked(event(WORD))
LAST = (
    chunked(event(CLOSING) + event(None, "stop") + event(None, usage=USAGE) + b"data: [DONE]\n\n")
    + b"0\r\n\r\n"
)

CONTEXT = {
    "player_state": {
        "identity": {"name": "Arin", "race": "Human", "class": "Ranger"},
        "status": "Healthy",
        "equipment": [],
        "inventory": [],
        "location": {"id": "origin:nexus", "display_name": "The Nexus"},
        "additional_fields": {},
    },
    "quest": None,
    "has_active_quest": False,
    "combat": {"active": False, "state": None},
    "narrative": {"recent_turns": [], "requested_n": 20, "returned_n": 0, "max_n": 100},
    "world": {"pois_sample": [], "pois_cap": 3, "include_pois": True},
    "metadata": {},
}


def answer(status: str, body: Any) -> bytes:
    data = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n"
    return head.encode() + b"\r\n" + data


class Upstream(asyncio.Protocol):
    """One connection; its requests come one after another."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._buffer = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        size = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                size = int(line.partition(b":")[2])
        if len(rest) < size:
            return
        self._buffer = rest[size:]
        self._answer(head.split(b" ", 2), rest[:size])

    def _answer(self, line: list[bytes], body: bytes) -> None:
        method, path = line[0], line[1].partition(b"?")[0]
        if path.endswith(b"/chat/completions"):
            asked = ASKED.search(body)
            self._tell(float(asked[1]) if asked else 0.0)
        elif path.endswith(b"/context"):
            character = path.split(b"/")[2].decode()
            self._transport.write(answer("200 OK", {"character_id": character, **CONTEXT}))
        elif method == b"POST":
            self._transport.write(answer("201 Created", {"turn": {}, "total_turns": 1}))
        else:
            self._transport.write(answer("404 Not Found", {"error": "http_error"}))

    def _tell(self, seconds: float) -> None:
        self._transport.write(STREAM_HEAD)
        self._later(self._options.first, FIRST, max(int(seconds / self._options.pace), 1))

    def _later(self, seconds: float, data: bytes, left: int) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds, self._write, data, left)

    def _write(self, data: bytes, left: int) -> None:
        self._transport.write(data)
        if data is not LAST:
            self._later(self._options.pace, NEXT if left > 1 else LAST, left - 1)


async def serve(options: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(options), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("first", 0.3), ("pace", 0.5)):
        parser.add_argument(f"--{name}", type=float, default=default)
    uvloop.run(serve(parser.parse_args()))
