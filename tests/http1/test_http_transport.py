"""Our HTTP/1.1 beneath httpx and httpx2, against a server of bytes written by hand."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from types import ModuleType
from typing import Any, TypeVar, cast

import httpx
import httpx2
import pytest
from app.http1 import pool as pools
from app.http1 import transport_for
from app.http1.connection import HIGH_WATER, MAX_HEAD, Connection
from app.loop import SlicedLoop

from fakes.transport import Silent
from loops import SteadyLoop

Result = TypeVar("Result")
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
LIBRARIES = pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])


class Server:
    """Each connection is given to `talk`; `seen` are the requests read by `request`."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self.connections = 0
        self.seen: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._talk(reader, writer)
        finally:
            writer.close()

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        size = next(
            (
                int(line.partition(b":")[2])
                for line in head.lower().split(b"\r\n")
                if line.startswith(b"content-length:")
            ),
            0,
        )
        self.seen.append(head + await reader.readexactly(size))
        return self.seen[-1]


def always(*answers: bytes) -> Talk:
    """Answers one request after another, the last answer for ever."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        here = HERE[-1]
        while True:
            try:
                await here.request(reader)
            except asyncio.IncompleteReadError:
                return
            writer.write(answers[min(len(here.seen), len(answers)) - 1])

    return talk


HERE: list[Server] = []


def using(
    talk: Talk,
    work: Callable[[Any, str, Server], Awaitable[Result]],
    library: ModuleType = httpx,
    *,
    limit: int = 10,
    timeout: Any = 60.0,
    loop: Callable[[], asyncio.AbstractEventLoop] = SlicedLoop,
) -> Result:
    """Does `work` with a client of the library and the address of the server."""

    async def run() -> Result:
        here = Server(talk)
        HERE.append(here)
        server = await asyncio.start_server(here, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        transport = transport_for(library, limit=limit, tls=TLS)
        async with library.AsyncClient(transport=transport, timeout=timeout) as client:
            try:
                async with asyncio.timeout(300):
                    return await work(client, url, here)
            finally:
                HERE.pop()
                server.close()

    return on_our_loop(run(), loop)


def on_our_loop(
    work: Coroutine[Any, Any, Result],
    loop: Callable[[], asyncio.AbstractEventLoop] = SlicedLoop,
) -> Result:
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(work)


# -- requests -------------------------------------------------------------------------------------


@LIBRARIES
def test_a_request_goes_out_as_it_was_made(library: ModuleType) -> None:
    async def work(client: Any, url: str, server: Server) -> bytes:
        answer = await client.put(f"{url}/a%20b?c=d", json={"e": 1}, headers={"X-F": "g"})
        assert (answer.status_code, answer.content) == (200, b"ok")
        assert answer.reason_phrase == "OK"
        return server.seen[0]

    sent = using(always(OK), work, library)
    head, _, body = sent.partition(b"\r\n\r\n")
    assert head.startswith(b"PUT /a%20b?c=d HTTP/1.1\r\nHost: 127.0.0.1:")
    assert b"\r\nX-F: g" in head
    assert body == b'{"e":1}'


def test_a_body_of_unknown_length_is_sent_with_its_length() -> None:
    async def parts() -> Any:
        yield b"ab"
        yield b"c"

    async def work(client: Any, url: str, server: Server) -> bytes:
        await client.post(url, content=parts())
        return server.seen[0]

    sent = using(always(OK), work)
    assert sent.endswith(b"\r\nContent-Length: 3\r\n\r\nabc")
    assert b"chunked" not in sent.lower()


@LIBRARIES
@pytest.mark.parametrize("value", [b"a\r\nX-Evil: b", b"a\nb", b"a\0b"])
def test_no_header_can_bring_a_line_of_its_own(library: ModuleType, value: bytes) -> None:
    async def work(client: Any, url: str, server: Server) -> list[bytes]:
        with pytest.raises(library.LocalProtocolError):
            await client.get(url, headers=[(b"X-User-Id", value)])
        return server.seen

    assert using(always(OK), work, library) == []


# -- connections ----------------------------------------------------------------------------------


@LIBRARIES
def test_a_connection_is_used_again(library: ModuleType) -> None:
    async def work(client: Any, url: str, server: Server) -> int:
        for _ in range(3):
            await client.get(url)
        return server.connections

    assert using(always(OK), work, library) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        OK + b"more than was asked for",
        OK + OK,
    ],
    ids=["close", "1.0", "more", "two answers"],
)
def test_a_connection_that_cannot_carry_another_answer_is_not_used_again(answer: bytes) -> None:
    async def work(client: Any, url: str, server: Server) -> int:
        for _ in range(2):
            assert (await client.get(url)).content == b"ok"
        return server.connections

    assert using(always(answer), work) == 2


def test_an_answer_that_is_left_takes_its_connection_with_it() -> None:
    async def work(client: Any, url: str, server: Server) -> int:
        async with client.stream("GET", url) as answer:
            assert answer.status_code == 200
        await client.get(url)
        return server.connections

    assert using(always(CHUNKED + b"1\r\nx\r\n", OK), work) == 2


def test_a_server_that_hung_up_meanwhile_is_not_asked_on_that_connection() -> None:
    """Nor counts the request as sent and lost: it goes out once, on a new connection."""

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await HERE[-1].request(reader)
        writer.write(OK)

    async def work(client: Any, url: str, server: Server) -> tuple[int, int]:
        await client.post(url)
        while server.connections == 1 and client._transport._pool._idle:
            (kept,) = client._transport._pool._idle.values()
            if not kept[0].usable:
                break
            await asyncio.sleep(0)
        await client.post(url)
        return server.connections, len(server.seen)

    assert using(once, work) == (2, 2)


def test_idle_connections_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "IDLE_SECONDS", 0.05)
    closed = asyncio.Event()

    async def until_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await HERE[-1].request(reader)
        writer.write(OK)
        assert await reader.read() == b""
        closed.set()

    async def work(client: Any, url: str, server: Server) -> None:
        await client.get(url)
        await closed.wait()

    using(until_closed, work)


@LIBRARIES
def test_nobody_listens(library: ModuleType) -> None:
    async def work(client: Any, url: str, server: Server) -> None:
        with pytest.raises(library.ConnectError):
            await client.get("http://127.0.0.1:1")

    using(always(OK), work, library)


@LIBRARIES
def test_all_connections_are_in_use(library: ModuleType) -> None:
    async def work(client: Any, url: str, server: Server) -> None:
        async with client.stream("GET", url):
            with pytest.raises(library.PoolTimeout):
                await client.get(url)
        assert (await client.get(url)).content == b"ok"

    timeout = library.Timeout(5, pool=0.05)
    using(always(CHUNKED, OK), work, library, limit=1, timeout=timeout)


# -- answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "content"),
    [
        (OK, b"ok"),
        (CHUNKED + b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n", b"abc"),
        (CHUNKED + b"1\r\na\r\n0\r\nX-Trailer: t\r\n\r\n", b"a"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + OK, b"ok"),
    ],
    ids=["length", "chunks", "trailer", "nothing", "informational"],
)
def test_answers_of_every_kind(answer: bytes, content: bytes) -> None:
    async def work(client: Any, url: str, server: Server) -> None:
        for _ in range(2):
            reply = await client.get(url)
            assert reply.content == content
            assert "link" not in reply.headers
        assert server.connections == 1

    using(always(answer), work)


@pytest.mark.parametrize("cut", range(1, len(CHUNKED) + 11, 7))
def test_an_answer_cut_anywhere_is_the_same(cut: int) -> None:
    whole = CHUNKED + b"2\r\nok\r\n0\r\n\r\n"

    async def halves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await HERE[-1].request(reader)
        writer.write(whole[:cut])
        await writer.drain()
        await asyncio.sleep(0.005)
        writer.write(whole[cut:])
        await writer.drain()
        await reader.read()

    async def work(client: Any, url: str, server: Server) -> bytes:
        content: bytes = (await client.get(url)).content
        return content

    assert using(halves, work) == b"ok"


def test_an_answer_of_unknown_length_ends_with_the_connection() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await HERE[-1].request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nall there is")

    async def work(client: Any, url: str, server: Server) -> bytes:
        content: bytes = (await client.get(url)).content
        return content

    assert using(talk, work) == b"all there is"


@LIBRARIES
@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200", OK[:-1], CHUNKED + b"5\r\nab"],
    ids=["nothing", "half a head", "half a body", "half a chunk"],
)
def test_an_answer_that_breaks_off(library: ModuleType, answer: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await HERE[-1].request(reader)
        writer.write(answer)

    async def work(client: Any, url: str, server: Server) -> None:
        with pytest.raises(library.ReadError):
            await client.post(url)
        assert len(server.seen) == 1

    using(talk, work, library)


@LIBRARIES
@pytest.mark.parametrize(
    "answer",
    [
        b"220 mail.example ESMTP\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-Many: %s\r\n" % (b"x" * 1000) * (MAX_HEAD // 1000 + 80),
    ],
    ids=["no HTTP", "two lengths", "switching", "endless head"],
)
def test_invalid_answers_are_refused(library: ModuleType, answer: bytes) -> None:
    async def work(client: Any, url: str, server: Server) -> None:
        with pytest.raises(library.RemoteProtocolError):
            await client.get(url)

    using(always(answer), work, library)


@LIBRARIES
@pytest.mark.parametrize("begun", [b"", CHUNKED + b"1\r\nx\r\n"], ids=["no head", "in the body"])
def test_silence_is_a_timeout(library: ModuleType, begun: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await HERE[-1].request(reader)
        writer.write(begun)
        await reader.read()

    async def work(client: Any, url: str, server: Server) -> None:
        with pytest.raises(library.ReadTimeout):
            await client.get(url)

    using(talk, work, library, timeout=library.Timeout(60, read=0.1), loop=SteadyLoop)


def test_a_server_that_drips_is_not_silent() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await HERE[-1].request(reader)
        writer.write(CHUNKED)
        for _ in range(6):
            await asyncio.sleep(0.05)
            writer.write(b"1\r\nx\r\n")
        writer.write(b"0\r\n\r\n")
        await reader.read()

    async def work(client: Any, url: str, server: Server) -> bytes:
        content: bytes = (await client.get(url)).content
        return content

    assert using(talk, work, timeout=httpx.Timeout(60, read=0.2), loop=SteadyLoop) == b"xxxxxx"


def test_a_server_that_sends_more_than_is_read_has_to_wait() -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await HERE[-1].request(reader)
        writer.write(CHUNKED)
        piece = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
        try:
            while sent < 64 * 1024 * 1024:
                writer.write(piece)
                await asyncio.wait_for(writer.drain(), 0.3)
                sent += 65_536
        except TimeoutError:
            writer.transport.abort()
        stalled.set()

    async def work(client: Any, url: str, server: Server) -> int:
        async with client.stream("GET", url) as answer:
            await stalled.wait()
            held: int = answer.stream._stream._connection._unread
            return held

    stalled = asyncio.Event()
    assert using(flood, work) < 4 * HIGH_WATER
    assert sent < 32 * 1024 * 1024


# -- gathering ------------------------------------------------------------------------------------


def test_data_that_is_not_urgent_is_coalesced_without_waiting_for_the_end() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await HERE[-1].request(reader)
        writer.write(CHUNKED + b"1\r\na\r\n")
        await first_read.wait()
        for letter in b"bcd":
            writer.write(b"1\r\n%c\r\n" % letter)
            await asyncio.sleep(0.01)
        writer.write(b"0\r\n\r\n")
        await reader.read()

    async def work(client: Any, url: str, server: Server) -> tuple[list[bytes], float]:
        loop, read = asyncio.get_running_loop(), []
        async with client.stream("GET", url) as answer:
            began = loop.time()
            async for piece in answer.aiter_raw():
                read.append(piece)
                answer.extensions["coalesce"](30.0)
                first_read.set()
            return read, loop.time() - began

    first_read = asyncio.Event()
    read, seconds = using(talk, work)
    assert read == [b"a", b"bcd"]
    assert seconds < 5


def piecewise(*pieces: bytes, then: bytes = b"0\r\n\r\n") -> Talk:
    """A body in pieces, each a packet of its own, sent when the one before has been heard."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await HERE[-1].request(reader)
        writer.write(CHUNKED)
        for piece in pieces:
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await HEARD[-1].get()
        writer.write(then)
        await reader.read()

    return talk


HEARD: list[asyncio.Queue[bytes]] = []


async def poured(client: Any, url: str, sink: Callable[[bytes], bool]) -> list[bytes]:
    """What `sink` was given; then what could still be read."""
    HEARD.append(asyncio.Queue())
    given: list[bytes] = []

    def hear(piece: bytes) -> bool:
        given.append(piece)
        HEARD[-1].put_nowait(piece)
        return sink(piece)

    async with client.stream("GET", url) as answer:
        await answer.extensions["stream_to"](hear)
        given += [piece async for piece in answer.aiter_raw()]
    return given


@LIBRARIES
def test_a_body_is_poured_piece_by_piece(library: ModuleType) -> None:
    async def work(client: Any, url: str, server: Server) -> list[bytes]:
        return await poured(client, url, lambda piece: True)

    assert using(piecewise(b"a", b"b", b"c"), work, library) == [b"a", b"b", b"c"]


def test_a_piece_is_poured_in_the_context_of_its_caller_and_in_no_task() -> None:
    who: ContextVar[str] = ContextVar("who", default="nobody")
    seen: list[tuple[str, object]] = []

    def look(piece: bytes) -> bool:
        seen.append((who.get(), asyncio.current_task()))
        return True

    async def work(client: Any, url: str, server: Server) -> None:
        await client.get(url)  # the connection is made by somebody else
        who.set("somebody")
        await poured(client, url, look)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await HERE[-1].request(reader)
        writer.write(OK)
        await piecewise(b"a", b"b")(reader, writer)

    using(talk, work)
    (first, _), last = seen  # the first may have come before anybody asked for it
    assert (first, last) == ("somebody", ("somebody", None))


def test_data_after_the_last_wanted_piece_can_be_read() -> None:
    async def work(client: Any, url: str, server: Server) -> list[bytes]:
        return await poured(client, url, lambda piece: piece != b"b")

    assert using(piecewise(b"a", b"b", then=b"1\r\nc\r\n0\r\n\r\n"), work) == [b"a", b"b", b"c"]


def test_error_of_the_sink_ends_the_stream() -> None:
    def refuse(piece: bytes) -> bool:
        raise ValueError("too much")

    async def work(client: Any, url: str, server: Server) -> None:
        with pytest.raises(ValueError, match="too much"):
            await poured(client, url, refuse)

    using(piecewise(b"a", b"b"), work)


def test_a_body_that_breaks_or_stops_while_it_is_poured() -> None:
    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await HERE[-1].request(reader)
        writer.write(CHUNKED + b"1\r\na\r\n")

    async def stopped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await broken(reader, writer)
        await reader.read()

    def work(error: type[Exception]) -> Callable[[Any, str, Server], Awaitable[None]]:
        async def stream_to(client: Any, url: str, server: Server) -> None:
            given: list[bytes] = []

            def take(piece: bytes) -> bool:
                given.append(piece)
                return True

            with pytest.raises(error):
                await poured(client, url, take)
            assert given == [b"a"]

        return stream_to

    using(broken, work(httpx.ReadError))
    using(stopped, work(httpx.ReadTimeout), timeout=0.2, loop=SteadyLoop)


def test_more_than_the_high_water_mark_can_be_poured_and_gathered() -> None:
    size = 8 * HIGH_WATER

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await HERE[-1].request(reader)
        writer.write(CHUNKED + b"%x\r\n" % size + b"x" * size + b"\r\n0\r\n\r\n")
        await reader.read()

    async def work(client: Any, url: str, server: Server) -> int:
        got = 0

        def count(piece: bytes) -> bool:
            nonlocal got
            got += len(piece)
            return True

        async with client.stream("GET", url) as answer:
            answer.extensions["coalesce"](0.01)
            await answer.extensions["stream_to"](count)
        return got

    assert using(flood, work) == size


# -- within a round of the loop: what was read, and not passed on yet ------------------------------


def pouring(
    work: Callable[[Connection, list[bytes]], Coroutine[Any, Any, object]],
    *,
    debug: bool = False,
    head: bytes = CHUNKED,
) -> list[bytes]:
    """What is poured of an answer while `work` has the other end; raises what `stream_to` raises."""

    async def run() -> list[bytes]:
        asyncio.get_running_loop().set_debug(debug)
        connection, given = Connection(cast(Any, httpx)), list[bytes]()

        def take(piece: bytes) -> bool:
            given.append(piece)
            return True

        connection.connection_made(cast(Any, Silent()))
        connection.send(b"")
        connection.data_received(head)
        stream_to = asyncio.create_task(connection.stream_to(5, take))
        await asyncio.sleep(0)
        await work(connection, given)
        async with asyncio.timeout(300):
            try:
                await stream_to
            except httpx.ReadError:
                given.append(b"broken")
        return given

    return on_our_loop(run())


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_end_is_streamed_after_a_spurious_wakeup(debug: bool, steps: int) -> None:
    async def work(connection: Connection, given: list[bytes]) -> None:
        connection.data_received(b"5\r\n")  # wakes, and brings nothing
        for _ in range(steps):
            await asyncio.sleep(0)
        connection.data_received(b"three\r\n0\r\n\r\n")

    assert pouring(work, debug=debug) == [b"three"]


def test_data_that_came_with_the_end_of_the_connection_is_streamed() -> None:
    async def lose(connection: Connection, given: list[bytes]) -> None:
        connection.data_received(b"1\r\na\r\n")
        connection.connection_lost(None)

    async def end(connection: Connection, given: list[bytes]) -> None:
        connection.data_received(b"ab")
        connection.eof_received()
        connection.connection_lost(None)

    assert pouring(lose) == [b"a", b"broken"]
    assert pouring(end, head=b"HTTP/1.1 200 OK\r\n\r\n") == [b"ab"]


def test_data_that_was_read_in_time_counts_as_in_time() -> None:
    """Though the loop stood still, and looks at its timers first."""

    async def work(connection: Connection, given: list[bytes]) -> None:
        connection.data_received(b"1\r\na\r\n")
        connection._due = 0.0
        connection._late()
        assert given == [b"a"]
        for _ in range(3):  # nothing can be read
            await asyncio.sleep(0)
        connection.data_received(b"0\r\n\r\n")

    assert pouring(work) == [b"a"]
