"""Players: one request at a time on a kept connection, its answer read as cheaply as possible."""

from __future__ import annotations

import asyncio
import json
import re
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from bench.processes import Failed, Process
from bench.wire import END, content_length

_ENDING = re.compile(rb'(?:"type":"|"status":"|event: )(complete|error|cancelled)')
_TAIL = 8_000
_SHOWN = 800


class Stuck(Failed):
    """Turns that did not end in time; the message shows the last that was heard of one of them."""


@dataclass
class Turn:
    """What a player saw; times in seconds from the request on. `first`: 0 without a token."""

    began: float = 0.0
    """On the clock of `time.perf_counter`."""
    status: int = 0
    turn_id: str = ""
    first: float = 0.0
    ended: float = 0.0
    tokens: int = 0
    gaps: list[float] = field(default_factory=list)
    tail: bytes = b""
    ending: str = "open"
    """complete, error or cancelled; refused; broken off."""
    body: bytes = b""
    """All that came, chunked as it was, when it was asked to be kept."""

    @property
    def last_words(self) -> str:
        return self.tail[-_SHOWN:].decode(errors="replace")


@dataclass(frozen=True)
class Target:
    """A server to play on. `token`: what every token event holds. `numbered`: events have ids.
    `headers`: ends of lines included, one after another for each request. `query`: of the address that
    streams a turn."""

    process: Process
    token: bytes = b'"type":"token"'
    numbered: bool = True
    headers: tuple[str, ...] = ("",)
    query: str = ""

    @property
    def name(self) -> str:
        return self.process.name

    def play(self, number: int = 0, action: str = "I count the knots again.") -> bytes:
        """The request of a turn, of a new character."""
        body = json.dumps({"character_id": str(uuid.uuid4()), "user_action": action}).encode()
        head = (
            f"POST /turn/stream{self.query} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            "Content-Type: application/json\r\nAccept: text/event-stream\r\n"
            f"Content-Length: {len(body)}\r\n"
        )
        return f"{head}{self._header(number)}\r\n".encode() + body

    def watch(self, turn_id: str, seen: int = 0) -> bytes:
        """The request of a further reader of a turn, who has got so many events."""
        head = f"GET /turns/{turn_id}/events?after={seen} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        return f"{head}{self._header(0)}\r\n".encode()

    def _header(self, number: int) -> str:
        return self.headers[number % len(self.headers)]


class Connection(asyncio.Protocol):
    """`heard` is set at the first token or the end of the turn, `over` at its end."""

    def __init__(self, target: Target) -> None:
        self._token = target.token
        self._overlap = len(target.token) - 1
        self._turn: Turn | None = None
        self.usable = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def ask(self, request: bytes, *, keep: bool = False) -> Turn:
        loop = asyncio.get_running_loop()
        self.heard: asyncio.Future[None] = loop.create_future()
        self.over: asyncio.Future[Turn] = loop.create_future()
        self._turn = Turn()
        self._carry, self._head, self._left = b"", b"", -1
        self._parts: list[bytes] | None = [] if keep else None
        self._turn.began = self._last = time.perf_counter()
        self._transport.write(request)
        return self._turn

    def data_received(self, data: bytes) -> None:
        turn = self._turn
        if turn is None:
            return
        if not turn.status:
            self._head += data
            data = self._begin(turn)
        if turn.status == 200:
            self._read(turn, data)
        elif turn.status:
            turn.tail += data
            if len(turn.tail) >= self._left:
                self._end(turn, "refused")

    def _begin(self, turn: Turn) -> bytes:
        """What follows the head, once there is all of it."""
        head, found, rest = self._head.partition(b"\r\n\r\n")
        if not found:
            return b""
        turn.status, self._left = int(head[9:12]), content_length(head)
        if named := re.search(rb"\r\nx-turn-id: (\S+)", head, re.IGNORECASE):
            turn.turn_id = named[1].decode()
        return rest

    def _read(self, turn: Turn, data: bytes) -> None:
        if self._parts is not None:
            self._parts.append(data)
        seen = self._carry + data
        found = seen.count(self._token)
        if found:
            now = time.perf_counter()
            if turn.tokens:
                turn.gaps.append(now - self._last)
            else:
                turn.first = now - turn.began
                if not self.heard.done():
                    self.heard.set_result(None)
            turn.tokens += found
            self._last = now
        turn.tail = (turn.tail + data)[-_TAIL:]
        self._carry = seen[-self._overlap :]
        if seen.endswith(END):
            endings = _ENDING.findall(turn.tail)
            self._end(turn, endings[-1].decode() if endings else "without an end")

    def _end(self, turn: Turn, ending: str) -> None:
        turn.ending, turn.ended = ending, time.perf_counter() - turn.began
        turn.body = b"".join(self._parts or ())
        self._turn = None
        if not self.heard.done():
            self.heard.set_result(None)
        self.over.set_result(turn)

    def connection_lost(self, error: Exception | None) -> None:
        self.usable = False
        if self._turn is not None:
            self._end(self._turn, "broken off")

    def close(self) -> None:
        self._transport.abort()


async def connect(target: Target) -> Connection:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(
        lambda: Connection(target), "127.0.0.1", target.process.port
    )
    return connection


async def play(
    target: Target,
    turns: int,
    at_once: int,
    *,
    ramp: float = 0.0,
    keep: bool = False,
    seconds: float = 120,
) -> list[Turn]:
    """So many turns, `at_once` of them at a time once `ramp` seconds are over. Raises `Stuck`."""
    asked: list[Turn] = []
    numbers = iter(range(turns))

    async def player(wait: float) -> None:
        await asyncio.sleep(wait)
        connection = await connect(target)
        for number in numbers:
            if not connection.usable:
                connection = await connect(target)
            asked.append(connection.ask(target.play(number), keep=keep))
            await connection.over
        connection.close()

    async with in_time(target, asked, seconds), asyncio.TaskGroup() as group:
        for place in range(min(at_once, turns)):
            group.create_task(player(ramp * place / at_once))
    return asked


@asynccontextmanager
async def in_time(target: Target, turns: Sequence[Turn], seconds: float) -> AsyncIterator[None]:
    """Raises `Stuck` when the block takes longer."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        still = [turn for turn in turns if turn.ending == "open"]
        heard = "\n".join(f"  {turn.turn_id}: …{turn.last_words}" for turn in still[:3])
        raise Stuck(
            f"{len(still)} of {len(turns)} turns of {target.name} did not end within {seconds:.0f} s;"
            f" last heard:\n{heard}\n{target.name} says:\n{target.process.last_words()}"
        ) from None


class Crowd:
    """Players who come one after another, each on a connection of its own, whatever becomes of the
    others. `turns` are in the order in which they were asked for."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._connections: list[Connection] = []
        self.turns: list[Turn] = []

    async def come(self, requests: Sequence[bytes], within: float = 0.0) -> list[Turn]:
        """At an even pace."""
        loop = asyncio.get_running_loop()
        began, before = loop.time(), len(self.turns)
        async with asyncio.TaskGroup() as group:
            for number, request in enumerate(requests):
                await asyncio.sleep(began + within * number / len(requests) - loop.time())
                group.create_task(self._ask(request))
        return self.turns[before:]

    async def _ask(self, request: bytes) -> None:
        connection = await connect(self._target)
        self._connections.append(connection)
        self.turns.append(connection.ask(request))
        connection.over.add_done_callback(lambda _: connection.close())

    async def heard(self, seconds: float) -> None:
        """Until each of them has a token or an end. Raises `Stuck`."""
        await self._all([connection.heard for connection in self._connections], seconds)

    async def over(self, seconds: float) -> None:
        """Until all turns have ended. Raises `Stuck`."""
        await self._all([connection.over for connection in self._connections], seconds)

    async def _all(self, futures: Sequence[asyncio.Future[Any]], seconds: float) -> None:
        async with in_time(self._target, self.turns, seconds):
            await asyncio.gather(*futures)

    def leave(self) -> None:
        for connection in self._connections:
            connection.close()
