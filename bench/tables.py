"""Many tables at once: is every player's story whole and the same, and what does a player cost.

    python -m bench.tables                     50 tables, 8 players each, 20 turns each
    python -m bench.tables --tables 4 --turns 2

One server process on a core of its own; the model and the players on the other. The model writes into
each token when it sends it, so that every player's socket knows how long it took. At each table a further
socket reads nothing, and another comes and goes. The exit code is 1 where a story is not whole.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import re
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.request import Request, urlopen

from websockets.asyncio.client import ClientConnection, connect

from bench.processes import CLIENT_CORE, SERVER_CORE, Process, many_files, pin, process
from bench.trees import ENTRY_POINT

TOKENS: Final = 40
PAUSE: Final = 0.05  # seconds between two of them
IDLE: Final = 100  # tables and seats whose memory is measured
PLAYERS: Final = 8
_SENT: Final = re.compile(r"<(\d+)>")  # microseconds, monotonic
_REST: Final = (
    '","player_response":"Go on.","player_options":["a","b","c"],"scene":{"scene_elements":'
    '{"current_location":"here"}},"intents":null}'
)


# -- the model ----------------------------------------------------------------------------------------


def _chunk(content: str | None) -> bytes:
    choice = {"index": 0, "delta": {"content": content} if content else {}}
    last = {**choice, "finish_reason": None if content else "stop"}
    event = {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [last]}
    return f"data: {json.dumps(event)}\n\n".encode()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One story a connection, at an even pace."""
    with suppress(OSError, asyncio.IncompleteReadError):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = re.search(r"content-length: (\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
        )
        writer.write(_chunk('{"narrative":"'))
        for _ in range(TOKENS):
            await asyncio.sleep(PAUSE)
            writer.write(_chunk(f"word <{time.monotonic_ns() // 1_000}> "))
        writer.write(_chunk(_REST) + _chunk(None) + b"data: [DONE]\n\n")
        await writer.drain()
        writer.close()


# -- the players --------------------------------------------------------------------------------------


@dataclass
class Story:
    """What one socket has read."""

    heard: list[str] = field(default_factory=list)
    late: dict[str, float] = field(default_factory=dict)  # ms, by the time of sending
    ended: int = 0

    def hear(self, text: str) -> str:
        """The type of the message."""
        message = json.loads(text)
        kind = str(message["type"])
        if kind == "stream":
            now = time.monotonic_ns() / 1_000
            for sent in _SENT.findall(message["content"]):
                self.late[sent] = (now - int(sent)) / 1_000
        if kind in ("message", "stream", "stream_end"):
            self.heard.append(f"{kind}:{message.get('content') or message.get('full_content')}")
        self.ended += kind == "stream_end"
        return kind


@dataclass(frozen=True)
class Game:
    host: str
    tables: list[int]
    players: int
    turns: int

    def socket(self, table: int, name: str) -> connect:
        return connect(
            f"ws://{self.host}/ws/{table}",
            additional_headers={"X-User-Id": name},
            open_timeout=120,
            ping_interval=None,
        )

    async def play(self) -> dict[int, list[Story]]:
        """Whoever is at a table acts in turn, until it has had all its turns."""
        seated = asyncio.Barrier(len(self.tables) * self.players)
        stories: dict[int, list[Story]] = defaultdict(list)
        async with asyncio.TaskGroup() as group:
            for table, number in itertools.product(self.tables, range(self.players)):
                stories[table].append(story := Story())
                group.create_task(self._sit(table, number, story, seated))
            others = [asyncio.create_task(self._bother(table)) for table in self.tables]
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        return stories

    async def _sit(self, table: int, number: int, story: Story, seated: asyncio.Barrier) -> None:
        async with self.socket(table, f"p{number}") as socket:
            await socket.recv()
            await socket.recv()
            await seated.wait()
            if number == 0:
                await self._act(socket, number)
            while story.ended < self.turns:
                kind = story.hear(str(await socket.recv()))
                next_one = story.ended % self.players == number and story.ended < self.turns
                if kind == "stream_end" and next_one:
                    await self._act(socket, number)

    async def _act(self, socket: ClientConnection, number: int) -> None:
        await socket.send(json.dumps({"sender": f"P{number}", "content": f"P{number} acts"}))

    async def _bother(self, table: int) -> None:
        """One socket reads nothing, another comes and goes without a word."""
        async with self.socket(table, "slow"):
            while True:
                with suppress(OSError):
                    async with self.socket(table, "dead") as dead:
                        await asyncio.sleep(1)
                        dead.transport.abort()


# -- what comes of it ---------------------------------------------------------------------------------


def _call(host: str, path: str, user: str, body: Any) -> Any:
    headers = {"Content-Type": "application/json", "X-User-Id": user}
    request = Request(f"http://{host}{path}", json.dumps(body).encode(), headers)
    with urlopen(request, timeout=60) as response:
        return json.load(response)


def _open_table(host: str, players: int) -> int:
    body = {"name": "T", "join": "open", "player_name": "P0"}
    table = int(_call(host, "/api/sessions", "p0", body)["id"])
    names = [*(f"p{number}" for number in range(1, players)), "slow", "dead"]
    for name in names:
        _call(host, f"/api/sessions/{table}/join", name, {"player_name": name.title()})
    return table


def _share(values: list[float], share: float) -> float:
    return sorted(values)[min(int(len(values) * share), len(values) - 1)] if values else 0.0


def _whole(stories: dict[int, list[Story]], turns: int) -> bool:
    return all(
        story.heard == table[0].heard and story.ended == turns
        for table in stories.values()
        for story in table
    )


def _latest(stories: dict[int, list[Story]]) -> list[float]:
    """Of each token, when the last of the players has it, in ms."""
    return [
        max(story.late.get(sent, float("inf")) for story in table)
        for table in stories.values()
        for sent in table[0].late
    ]


@contextmanager
def _server(model: int) -> Iterator[Process]:
    settings = {
        "PORT": "0",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{model}/v1",
        "OPENAI_API_KEY": "none",
        "OPENAI_MODEL": "m",
        "LLM_API": "chat",
        "LLM_PROBE": "off",
        "TABLE_REQUESTS_PER_MINUTE": "0",
        "TABLE_TOKEN_BUDGET": "0",
        "MAX_STREAMS": "100000",
        "MAX_STREAMS_PER_CLIENT": "100000",
        "MAX_CONCURRENT_LLM_CALLS": "1000",
        "MAX_LOOP_LAG_SECONDS": "60",
        "SHUTDOWN_GRACE_SECONDS": "0",
    }
    command = [str(Path(sys.executable).with_name(ENTRY_POINT)), "serve"]
    with TemporaryDirectory() as directory:
        parent = Path(directory)
        starting = process("tables", command, core=SERVER_CORE, parent=parent, environment=settings)
        with starting as running:
            yield running


async def _memory(host: str, running: Process) -> tuple[float, float]:
    """KiB of an idle table, and of an idle seat with its socket."""
    before = running.rss()
    tables = [await asyncio.to_thread(_open_table, host, 1) for _ in range(IDLE)]
    with_tables = running.rss()
    game = Game(host, tables, 1, 0)
    sockets = [await game.socket(table, "p0") for table in tables]
    with_seats = running.rss()
    for socket in sockets:
        await socket.close()
    return (with_tables - before) / IDLE / 1024, (with_seats - with_tables) / IDLE / 1024


async def _played(host: str, running: Process, tables: int, players: int, turns: int) -> Any:
    numbers = [await asyncio.to_thread(_open_table, host, players) for _ in range(tables)]
    began, cpu = time.monotonic(), running.cpu()
    stories = await Game(host, numbers, players, turns).play()
    return stories, time.monotonic() - began, running.cpu() - cpu


async def measured(tables: int, turns: int) -> bool:
    """Print the figures; whether every story was whole."""
    model = await asyncio.start_server(_answer, "127.0.0.1", 0, limit=2**24)
    with _server(model.sockets[0].getsockname()[1]) as running:
        host = f"127.0.0.1:{running.port}"
        table, seat = await _memory(host, running)
        _, _, alone = await _played(host, running, tables, 1, turns)
        stories, seconds, together = await _played(host, running, tables, PLAYERS, turns)
    late, whole = _latest(stories), _whole(stories, turns)
    print(f"{tables} tables, {PLAYERS} players, {turns} turns each, in {seconds:.0f} s")
    print(f"every player's story whole and the same: {'yes' if whole else 'NO'}")
    shares = " ".join(f"p{share * 100:g} {_share(late, share):.1f}" for share in (0.5, 0.95, 0.99))
    print(f"from the model's token to the last player's socket, ms: {shares}")
    print(f"memory of an idle table, KiB: {table:.1f}; of an idle seat with its socket: {seat:.1f}")
    further = (together - alone) / (PLAYERS - 1) / alone * 100
    print(f"processor, s: {alone:.1f} with one player, {together:.1f} with {PLAYERS}")
    print(f"a further player costs {further:.1f} % of a turn with one")
    model.close()
    return whole


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tables", type=int, default=50)
    parser.add_argument("--turns", type=int, default=20)
    asked = parser.parse_args()
    many_files()
    pin(0, CLIENT_CORE)
    return 0 if asyncio.run(measured(asked.tables, asked.turns)) else 1


if __name__ == "__main__":
    sys.exit(main())
