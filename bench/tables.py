"""Many tables at once: is every player's story whole and the same, and what does a player cost.

    python -m bench.tables                     50 tables, 8 players each, 20 turns each
    python -m bench.tables --tables 4 --turns 2

One server process on a core of its own; the model and the players on the other. The model writes into
each token when it sends it, so that every player's socket knows how long it took: how busy the players'
core was is printed, since what they wait for it is part of the figure. At each table a further
socket reads nothing, and another comes and goes. The exit code is 1 where a story is not whole.

What a player costs is measured apart from that, from the moment when everybody sits at the table: with
one player, with all, with all and with one, half as many turns each. The first run of all is not counted.
It is measured at 20 tokens a second, where each token is a message of its own, and, at a fifth of the
tables, at the 100 of the other measures and with a story of their length, where several tokens are one.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple
from urllib.request import Request, urlopen

from websockets.frames import Frame, Opcode

from bench.processes import CLIENT_CORE, SERVER_CORE, Failed, Process, many_files, pin, process
from bench.trees import ENTRY_POINT

IDLE: Final = 100  # tables and seats whose memory is measured
PLAYERS: Final = 8
FEWER: Final = 5  # times as few tables, where the model is as many times as fast
_SENT: Final = re.compile(r"<(\d+)>")  # microseconds, monotonic
_REST: Final = (
    '","player_response":"Go on.","player_options":["a","b","c"],"scene":{"scene_elements":'
    '{"current_location":"here"}},"intents":null}'
)


# -- the model ----------------------------------------------------------------------------------------


class Pace(NamedTuple):
    """`pause`: seconds between two tokens."""

    tokens: int
    pause: float


SLOW: Final = Pace(40, 0.05)
FAST: Final = Pace(288, 0.01)


def _chunk(content: str | None) -> bytes:
    choice = {"index": 0, "delta": {"content": content} if content else {}}
    last = {**choice, "finish_reason": None if content else "stop"}
    event = {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [last]}
    return f"data: {json.dumps(event)}\n\n".encode()


class Model:
    """Answers one story a connection, at an even pace."""

    def __init__(self) -> None:
        self.pace = SLOW

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = re.search(r"content-length: (\d+)", head)
            await reader.readexactly(int(length[1]) if length else 0)
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
            )
            writer.write(_chunk('{"narrative":"'))
            for _ in range(self.pace.tokens):
                await asyncio.sleep(self.pace.pause)
                writer.write(_chunk(f"word <{time.monotonic_ns() // 1_000}> "))
            writer.write(_chunk(_REST) + _chunk(None) + b"data: [DONE]\n\n")
            await writer.drain()
            writer.close()


# -- the players --------------------------------------------------------------------------------------


class Socket(asyncio.Protocol):
    """A player's WebSocket: it notes when each message came, and reads what it says afterwards, so that
    the players take little of the core that they share with the model.

    `ready` is set at the end of each turn, and once both greetings are there.
    """

    def __init__(self, *, reads: bool) -> None:
        self._reads = reads
        self._unread = b""
        self._open = False
        self.messages: list[bytes] = []
        self.times: list[int] = []  # microseconds, monotonic
        self.ended = 0
        self.lost = False
        self.ready = asyncio.Event()
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns() // 1_000
        self._unread += data
        if not self._open:
            head, _, rest = self._unread.partition(b"\r\n\r\n")
            if head == self._unread:
                return
            assert b" 101 " in head, head
            self._open, self._unread = True, rest
            if not self._reads:
                self.transport.pause_reading()
        while (whole := _first_frame(self._unread)) is not None:
            opcode, message, self._unread = whole
            if opcode == Opcode.TEXT:
                self._note(message, now)
            elif opcode == Opcode.PING:
                self.transport.write(Frame(Opcode.PONG, message).serialize(mask=True))

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        self.ready.set()

    def _note(self, message: bytes, now: int) -> None:
        self.messages.append(message)
        self.times.append(now)
        ends = message.startswith(b'{"type":"stream_end"')
        self.ended += ends
        if ends or len(self.messages) == 2:
            self.ready.set()

    def say(self, message: Any) -> None:
        frame = Frame(Opcode.TEXT, json.dumps(message).encode())
        self.transport.write(frame.serialize(mask=True))

    async def until_ended(self) -> None:
        await self.ready.wait()
        if self.lost:
            raise Failed("a player's socket was closed")
        self.ready.clear()


def _first_frame(data: bytes) -> tuple[int, bytes, bytes] | None:
    """Opcode and content of a server's frame, which is not masked, and what follows it; None: it is not
    whole yet."""
    if len(data) < 2 or len(data) < (begin := {126: 4, 127: 10}.get(data[1], 2)):
        return None
    size = data[1] if begin == 2 else int.from_bytes(data[2:begin], "big")
    end = begin + size
    return (data[0] & 15, data[begin:end], data[end:]) if len(data) >= end else None


@dataclass
class Story:
    """What one socket has read."""

    heard: list[str] = field(default_factory=list)
    late: dict[str, float] = field(default_factory=dict)  # ms, by the time of sending
    ended: int = 0

    @classmethod
    def of(cls, socket: Socket) -> Story:
        story = cls(ended=socket.ended)
        for data, now in zip(socket.messages, socket.times, strict=True):
            message = json.loads(data)
            kind = str(message["type"])
            if kind == "stream":
                for sent in _SENT.findall(message["content"]):
                    story.late[sent] = (now - int(sent)) / 1_000
            if kind in ("message", "stream", "stream_end"):
                said = message.get("content") or message.get("full_content")
                story.heard.append(f"{kind}:{said}")
        return story


class Played(NamedTuple):
    """`seconds` that it took; `cpu`: of the server, seconds a turn; `busy`: the players' own share of their
    core."""

    stories: dict[int, list[Story]]
    seconds: float
    cpu: float
    busy: float


@dataclass(frozen=True)
class Game:
    host: str
    tables: list[int]
    players: int
    turns: int
    bothered: bool = False  # by sockets that read nothing, and others that come and go

    async def socket(self, table: int, name: str, *, reads: bool = True) -> Socket:
        host, _, port = self.host.partition(":")
        loop = asyncio.get_running_loop()
        _, opened = await loop.create_connection(lambda: Socket(reads=reads), host, int(port))
        head = (
            f"GET /ws/{table} HTTP/1.1\r\nHost: {self.host}\r\nX-User-Id: {name}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        opened.transport.write(head.encode())
        return opened

    async def play(self, running: Process) -> Played:
        """Whoever is at a table acts in turn, until it has had all its turns."""
        sockets: dict[int, list[Socket]] = {
            table: [await self.socket(table, f"p{number}") for number in range(self.players)]
            for table in self.tables
        }
        every = list(itertools.chain.from_iterable(sockets.values()))
        for socket in every:
            await socket.until_ended()  # is greeted
        others = [
            asyncio.create_task(self._bother(table)) for table in self.tables if self.bothered
        ]
        began, cpu, own = time.monotonic(), running.cpu(), time.process_time()
        async with asyncio.TaskGroup() as group:
            for number, socket in itertools.chain.from_iterable(map(enumerate, sockets.values())):
                group.create_task(self._sit(number, socket))
        seconds, cpu = time.monotonic() - began, running.cpu() - cpu
        busy = (time.process_time() - own) / seconds
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for socket in every:
            socket.transport.abort()
        stories = {table: [Story.of(one) for one in sockets[table]] for table in self.tables}
        return Played(stories, seconds, cpu / self.turns / len(self.tables), busy)

    async def _sit(self, number: int, socket: Socket) -> None:
        while socket.ended < self.turns:
            if socket.ended % self.players == number:
                socket.say({"sender": f"P{number}", "content": f"P{number} acts"})
            await socket.until_ended()

    async def _bother(self, table: int) -> None:
        """One socket reads nothing, another comes and goes without a word."""
        slow = await self.socket(table, "slow", reads=False)
        try:
            while True:
                with suppress(OSError):
                    dead = await self.socket(table, "dead")
                    await asyncio.sleep(1)
                    dead.transport.abort()
        finally:
            slow.transport.abort()


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
    for socket in sockets:
        await socket.until_ended()
    with_seats = running.rss()
    for socket in sockets:
        socket.transport.abort()
    return (with_tables - before) / IDLE / 1024, (with_seats - with_tables) / IDLE / 1024


async def _played(
    running: Process, tables: int, players: int, turns: int, *, bothered: bool = False
) -> Played:
    host = f"127.0.0.1:{running.port}"
    numbers = [await asyncio.to_thread(_open_table, host, players) for _ in range(tables)]
    return await Game(host, numbers, players, turns, bothered).play(running)


async def _costs(running: Process, tables: int, turns: int) -> tuple[float, float]:
    """What a turn takes of the server, in seconds: with one player, and with all."""
    await _played(running, tables, PLAYERS, 1)
    taken: dict[int, list[float]] = {1: [], PLAYERS: []}
    for players in (1, PLAYERS, PLAYERS, 1):
        taken[players].append((await _played(running, tables, players, turns)).cpu)
    return fmean(taken[1]), fmean(taken[PLAYERS])


async def measured(tables: int, turns: int) -> bool:
    """Print the figures; whether every story was whole."""
    model = Model()
    listening = await asyncio.start_server(model.answer, "127.0.0.1", 0, limit=2**24)
    costs: dict[Pace, tuple[float, float]] = {}
    with _server(listening.sockets[0].getsockname()[1]) as running:
        table, seat = await _memory(f"127.0.0.1:{running.port}", running)
        for model.pace, several in (FAST, max(tables // FEWER, 1)), (SLOW, tables):
            costs[model.pace] = await _costs(running, several, max(turns // 2, 1))
        played = await _played(running, tables, PLAYERS, turns, bothered=True)
    late, whole = _latest(played.stories), _whole(played.stories, turns)
    print(f"{tables} tables, {PLAYERS} players, {turns} turns each, in {played.seconds:.0f} s")
    print(f"every player's story whole and the same: {'yes' if whole else 'NO'}")
    shares = " ".join(f"p{share * 100:g} {_share(late, share):.1f}" for share in (0.5, 0.95, 0.99))
    print(f"from the model's token to the last player's socket, ms: {shares}")
    print(f"the players and the model used {played.busy * 100:.0f} % of their core")
    print(f"memory of an idle table, KiB: {table:.1f}; of an idle seat with its socket: {seat:.1f}")
    for pace, (alone, together) in costs.items():
        further = (together - alone) / (PLAYERS - 1) / alone * 100
        print(
            f"{pace.tokens} tokens, {1 / pace.pause:.0f} a second, ms of CPU a turn: {alone * 1e3:.1f} with"
            f" one player, {together * 1e3:.1f} with {PLAYERS}; {further:.1f} % for a further one"
        )
    listening.close()
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
