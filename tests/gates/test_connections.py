"""What one connection can make the service hold, and for how long."""

from __future__ import annotations

import asyncio
import json
import re
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import uvicorn
from app.web import connections
from app.web.connections import MAX_AHEAD, BoundedHttp, BoundedWebSocket
from app.web.middleware import HYGIENE, MAX_HEAD_BYTES
from app.web.open_connections import ProxyHeaders, SmallEvent, SmallPipeline
from app.web.transports.sse import CONNECTION
from app.web.transports.websocket import WRITE_FRAMES, text_frame
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.flow_control import FlowControl
from websockets.exceptions import ConnectionClosedOK

from fakes.journey_log import FakeJourneyLog
from fakes.model import NARRATIVE, FakeModel, Script
from remote import environment, remote
from serving import TIMEOUT, Reply, Served, dialled, refused, turn_body
from wire import connected, handshake, heard, received

Serve = Callable[..., Served]
HOST = b"Host: localhost\r\n"
MIB = 1024 * 1024
# More than the sockets of both ends hold, and far less than what the floods bring.
TAKEN_AT_MOST = 24 * MIB
FLOOD = 96 * MIB


def answer(raw: socket.socket) -> Reply:
    head, _, body = received(raw).partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return Reply(int(first.split()[1]), headers, body)


def asked(service: Served, sent: bytes) -> Reply:
    with connected(service, sent) as raw:
        return answer(raw)


# -- refusals before there is a request -----------------------------------------------------------


def get(*headers: bytes, path: bytes = b"/live") -> bytes:
    lines = [b"GET " + path + b" HTTP/1.1", b"Host: localhost", b"Connection: close", *headers]
    return b"\r\n".join([*lines, b"", b""])


UNREADABLE = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "much that is no HTTP": b"\x16" * 50_000 + b"\r\n\r\n",
    "a control character": get(b"X: a\x00b"),
    "two lengths": get(b"Content-Length: 1", b"Content-Length: 2"),
    "a handshake without a key": handshake().replace(b"Sec-WebSocket-Key", b"X-Key"),
    "a handshake of another version": handshake().replace(b"Version: 13", b"Version: 8"),
    "a handshake with a long header": handshake(b"X: " + b"x" * 9_000),
}


@pytest.mark.parametrize("sent", UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable_request_is_refused_as_a_problem(service: Served, sent: bytes) -> None:
    reply = asked(service, sent)
    refused(reply, 400, "bad_request")
    assert int(reply.header("content-length") or "") == len(reply.body)
    assert {name: reply.header(name) for name, _ in HYGIENE} == dict(HYGIENE)
    assert reply.header("server") is None
    assert reply.header("connection") == "close"


def test_a_handshake_is_a_get(service: Served) -> None:
    reply = asked(service, handshake().replace(b"GET", b"POST"))
    refused(reply, 405, "method_not_allowed")
    assert reply.header("allow") == "GET"


@pytest.mark.parametrize("head", [get, handshake], ids=["request", "handshake"])
@pytest.mark.parametrize(
    "more",
    [
        [b"Host: evil.example"],  # beside the usual one
        [b"Origin: http://localhost", b"Origin: http://localhost"],
        [b"Authorization: Bearer a", b"Authorization: Bearer b"],
        [b"Content-Type: application/json", b"Content-Type: text/plain"],
        [b"X-User-Id: mara", b"x-user-id: otto"],
    ],
    ids=lambda more: more[0].partition(b":")[0].decode(),
)
def test_a_header_that_must_be_one_is_refused_when_it_is_two(
    service: Served, head: Callable[..., bytes], more: list[bytes]
) -> None:
    refused(asked(service, head(*more)), 400, "bad_request")


@pytest.mark.parametrize("size", [MAX_HEAD_BYTES - 1_000, MAX_HEAD_BYTES + 1_000, 200_000])
def test_the_size_of_a_head_is_bounded_also_when_it_comes_at_once(
    service: Served, size: int
) -> None:
    reply = asked(service, get(*(b"X: " + b"x" * 999 for _ in range(size // 1_000))))
    assert reply.status == (200 if size < MAX_HEAD_BYTES else 400)


# -- floods ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", ["a length", "chunks"])
def test_a_body_that_is_refused_before_its_end_is_no_other_request(
    service: Served, framing: str
) -> None:
    size, one = MIB // 2, 64 * 1024
    chunks, length = b"Transfer-Encoding: chunked", b"Content-Length: %d" % size
    head = [b"POST /turn HTTP/1.1", b"Host: localhost", b"Content-Type: application/json"]
    lines = [*head, chunks if framing == "chunks" else length, b"", b""]
    piece = b"%x\r\n%b\r\n" % (one, b" " * one) if framing == "chunks" else b" " * one
    end = b"0\r\n\r\n" if framing == "chunks" else b""
    with connected(service, b"\r\n".join(lines)) as raw:
        for _ in range(size // one):
            raw.sendall(piece)
        raw.sendall(end + get())
        answers = received(raw).split(b"HTTP/1.1 ")[1:]
    assert [one.split()[0] for one in answers] == [b"413", b"200"]


def swallowed(raw: socket.socket, piece: Callable[[], bytes]) -> int:
    """How many bytes of a flood are taken before the connection ends or no more is read."""
    raw.settimeout(1.0)
    taken = 0
    try:
        while taken < FLOOD:
            taken += raw.send(piece())
    except (ConnectionError, TimeoutError):
        pass
    return taken


def many_headers() -> bytes:
    return b"".join(b"X-%d: %s\r\n" % (number, b"x" * 1_000) for number in range(60))


AHEAD: dict[str, tuple[bytes, Callable[[], bytes]]] = {
    "headers": (b"GET /live HTTP/1.1\r\n", many_headers),
    "one header": (b"GET /live HTTP/1.1\r\nX: ", lambda: b"x" * 65_536),
    "an address": (b"GET /", lambda: b"x" * 65_536),
    "requests": (b"", lambda: (b"GET /live HTTP/1.1\r\n" + HOST + b"\r\n") * 1_000),
    "empty lines": (b"", lambda: b"\r\n" * 32_768),
}


@pytest.mark.parametrize(("begun", "piece"), AHEAD.values(), ids=AHEAD)
def test_data_sent_ahead_of_an_answer_is_bounded(
    service: Served,
    model: FakeModel,
    character: str,
    begun: bytes,
    piece: Callable[[], bytes],
) -> None:
    gate = threading.Event()
    model.then(Script(gate=gate))
    with connected(service, post("/turn/stream", turn_body(character)) + begun) as raw:
        model.wait_for(lambda: model.stats.open)
        assert swallowed(raw, piece) < TAKEN_AT_MOST
    gate.set()
    assert service.call("GET", "/live").status == 200


def post(path: str, body: Any) -> bytes:
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nContent-Length: {len(data)}\r\n".encode()
    return head + b"Content-Type: application/json\r\n" + HOST + b"\r\n" + data


CHUNKED = (
    b"POST /turn HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
    + HOST
    + b"\r\n1\r\n{\r\n"
)
BODIES: dict[str, tuple[bytes, Callable[[], bytes]]] = {
    "trailers": (CHUNKED + b"0\r\n", many_headers),
    "one trailer": (CHUNKED + b"0\r\nX: ", lambda: b"x" * 65_536),
    "a chunk's extension": (CHUNKED + b"1;", lambda: b"x" * 65_536),
    "small chunks": (CHUNKED, lambda: (b"40\r\n" + b" " * 64 + b"\r\n") * 1_000),
    "what nobody reads": (
        b"GET /live HTTP/1.1\r\nContent-Length: 1000000000000\r\n" + HOST + b"\r\n",
        lambda: b"x" * 65_536,
    ),
}


@pytest.mark.parametrize(("begun", "piece"), BODIES.values(), ids=BODIES)
def test_no_part_of_a_body_is_without_bounds(
    service: Served, begun: bytes, piece: Callable[[], bytes]
) -> None:
    with connected(service, begun) as raw:
        assert swallowed(raw, piece) < TAKEN_AT_MOST
    assert service.call("GET", "/live").status == 200


def test_answers_that_are_not_read_let_no_more_requests_in(service: Served) -> None:
    requests = (b"GET /openapi.json HTTP/1.1\r\n" + HOST + b"\r\n") * 1_000
    with connected(service) as raw:
        assert swallowed(raw, lambda: requests) < TAKEN_AT_MOST


def test_some_requests_may_be_sent_ahead(service: Served) -> None:
    ahead = (b"GET /live HTTP/1.1\r\n" + HOST + b"\r\n") * (MAX_AHEAD - 1)
    with connected(service, ahead + get()) as raw:
        assert received(raw).count(b"HTTP/1.1 200 ") == MAX_AHEAD


def test_too_many_pipelined_requests_get_no_answer(serve: Serve) -> None:
    too_many = (b"GET /live HTTP/1.1\r\n" + HOST + b"\r\n") * (MAX_AHEAD + 2)
    reply = asked(serve(), too_many)
    refused(reply, 400, "bad_request")


def test_nonsense_after_a_request_does_not_get_into_its_answer(
    serve: Serve, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    service, gate = serve(), threading.Event()
    model.then(Script(gate=gate, gate_after=8))
    with connected(service, post("/turn/stream", turn_body(character))) as raw:
        assert heard(raw).startswith(b"HTTP/1.1 200 ")
        raw.sendall(UNREADABLE["no HTTP"])
        assert b"HTTP/1.1" not in received(raw)
    gate.set()
    journey_log.wait_for(lambda: journey_log.narratives(character) == [NARRATIVE], TIMEOUT)


PING = b"\x89\xfd" + b"\x00" * 4 + b"p" * 125


def test_pings_whose_answers_are_not_read_end_the_socket(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_UNREAD", 256 * 1024)
    service = serve()
    with connected(service, handshake()) as raw:
        heard(raw)
        assert swallowed(raw, lambda: PING * 500) < TAKEN_AT_MOST
        service.wait_for(lambda: service.open_connections == 0)


# -- readers that do not read ---------------------------------------------------------------------

PIECE = 64 * 1024


class Endless:
    """An application that streams without end, and counts the bytes that it got rid of."""

    def __init__(self) -> None:
        self.sent = 0
        self.gone = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        watch = asyncio.create_task(self._watch(receive))
        while not self.gone.is_set():
            await send({"type": "http.response.body", "body": b"x" * PIECE, "more_body": True})
            self.sent += PIECE
        await watch

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone.set()


@contextmanager
def serving_app(app: ASGIApp) -> Iterator[uvicorn.Server]:
    """`app` behind our connections."""
    config = uvicorn.Config(
        app,
        port=0,
        http=BoundedHttp,
        ws=BoundedWebSocket,
        loop="app.loop:SlicedLoop",
        lifespan="off",
        log_config=None,
    )
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, name="endless", daemon=True)
    thread.start()
    until = time.monotonic() + TIMEOUT
    while not running.started:
        assert time.monotonic() < until
        time.sleep(0.002)
    try:
        yield running
    finally:
        running.should_exit = True
        thread.join(TIMEOUT)


class TwoWays:
    """Sends a piece of the body the usual way, one by the extension of the scope, one the usual way.

    `written`: what the extension returned; False once the client is gone.
    """

    def __init__(self, headers: list[tuple[bytes, bytes]]) -> None:
        self._headers = headers
        self.written: list[bool] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        write = scope["extensions"][CONNECTION].write
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        self.written.append(write(b"two"))
        await send({"type": "http.response.body", "body": b"three", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        self.written.append(write(b"four"))


@pytest.mark.parametrize(
    ("headers", "body", "written"),
    [
        ([], b"3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n", [True, False]),
        ([(b"content-length", b"20")], b"onethree", [False, False]),
    ],
    ids=["chunked", "content-length"],
)
def test_write_through_frames_a_piece_as_uvicorn_does(
    headers: list[tuple[bytes, bytes]], body: bytes, written: list[bool]
) -> None:
    app = TwoWays(headers)
    with serving_app(app) as running:
        with small_reader(running) as raw:
            found = b""
            while not found.endswith(body):
                found += raw.recv(4096)
            assert found.partition(b"\r\n\r\n")[2] == body
        until = time.monotonic() + TIMEOUT
        while len(app.written) < 2:
            assert time.monotonic() < until
            time.sleep(0.002)
    assert app.written == written


@contextmanager
def small_reader(running: uvicorn.Server) -> Iterator[socket.socket]:
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(TIMEOUT)
        raw.connect(running.servers[0].sockets[0].getsockname())
        raw.sendall(get())
        yield raw


def test_reader_that_stops_reading_is_cut_off_and_little_is_buffered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "UNREAD_SECONDS", 0.3)
    app = Endless()
    with serving_app(app) as running, small_reader(running):
        assert app.gone.wait(TIMEOUT)
        assert app.sent <= 8 * PIECE


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="the system has no such option")
def test_an_answer_that_is_never_read_to_its_end_holds_no_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Less than what makes us wait, more than the system takes: all is written, and it is closed."""
    monkeypatch.setattr(connections, "UNREAD_SECONDS", 0.3)
    written = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await Response(b"x" * 150_000)(scope, receive, send)
        written.set()

    with serving_app(app) as running, small_reader(running):
        assert written.wait(TIMEOUT)
        until = time.monotonic() + TIMEOUT
        while running.server_state.connections:
            assert time.monotonic() < until
            time.sleep(0.002)


def test_slow_reader_is_not_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "UNREAD_SECONDS", 3.0)
    app = Endless()
    with serving_app(app) as running, small_reader(running) as raw:
        until = time.monotonic() + 4.0
        while time.monotonic() < until:
            assert raw.recv(4096)
            time.sleep(0.02)  # a slow reader is what is tested
        assert not app.gone.is_set()


# -- many connections -----------------------------------------------------------------------------


IDLE = 5_000


@pytest.fixture
def files() -> Iterator[None]:
    """As many files as both ends of the idle connections need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * IDLE + 1_000
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"only {hard} files may be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads what Linux counts")
def test_thousands_of_idle_connections_keep_nobody_out_and_cost_little(
    serve: Serve, character: str, files: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 3_600.0)  # a busy machine takes its time
    service, process = serve(), Path("/proc/self")
    assert service.turn(character).last["type"] == "complete"
    before = resident(process)
    with ExitStack() as idle:
        for _ in range(IDLE):
            idle.enter_context(connected(service))
        service.wait_for(lambda: service.open_connections >= IDLE)
        assert service.turn(character).last["type"] == "complete"
        assert resident(process) - before < 150 * MIB


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="reads limits as Linux has them")
def test_the_command_may_open_as_many_files_as_the_system_lets_it(
    tmp_path: Path, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    with remote(tmp_path, environment(model, journey_log)) as service:
        limits = Path(f"/proc/{service.process.pid}/limits").read_text()
    (soft, hard) = re.findall(r"^Max open files +(\S+) +(\S+)", limits, re.MULTILINE)[0]
    assert soft == hard


def resident(process: Path) -> int:
    """Bytes of memory, as Linux counts them."""
    lines = (process / "status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


class Frames:
    """Sends a message the usual way, one by the extension of the scope, one the usual way.

    `written`: what the extension returned, before the socket is accepted, while it is open, and at its end.
    """

    def __init__(self, end: str) -> None:
        self._end = end
        self.written: list[bool] = []
        self.done = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        write = scope["extensions"][WRITE_FRAMES]
        self.written.append(write(text_frame(b"zero")))
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "one"})
        self.written.append(write(text_frame(b"two" * 30) + text_frame(b"three" * 99)))
        await send({"type": "websocket.send", "text": "four"})
        if self._end == "ours":
            await send({"type": "websocket.close"})
        else:
            while (await receive())["type"] != "websocket.disconnect":
                pass
        self.written.append(write(text_frame(b"five")))
        self.done.set()


@pytest.mark.parametrize("end", ["ours", "theirs", "cut"])
def test_write_through_frames_messages_as_uvicorn_does(end: str) -> None:
    app = Frames(end)
    with serving_app(app) as running:
        port = running.servers[0].sockets[0].getsockname()[1]
        with dialled(f"ws://127.0.0.1:{port}/") as ws:
            heard = [ws.recv(timeout=TIMEOUT) for _ in range(4)]
            if end == "theirs":
                ws.close()
            elif end == "cut":
                ws.socket.close()
            assert app.done.wait(TIMEOUT)
            if end == "ours":
                with pytest.raises(ConnectionClosedOK):
                    ws.recv(timeout=TIMEOUT)
    assert heard == ["one", "two" * 30, "three" * 99, "four"]
    assert app.written == [False, True, False]


def test_frames_are_not_written_to_a_client_that_does_not_read() -> None:
    left = threading.Event()
    written: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        frame = text_frame(b"x" * PIECE)
        while len(written) < FLOOD // PIECE and all(written):
            written.append(scope["extensions"][WRITE_FRAMES](frame))
        left.set()

    with serving_app(app) as running:
        port = running.servers[0].sockets[0].getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as raw:
            raw.sendall(handshake())
            assert left.wait(TIMEOUT)
    assert written[-1] is False
    assert len(written) * PIECE < TAKEN_AT_MOST


class Held:
    """Says what uvicorn holds for its request, and what became of it."""

    def __init__(self) -> None:
        self.kinds: list[type] = []
        self.headers: list[int] = []
        self.gone = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = scope["extensions"][CONNECTION]
        cycle, protocol = connection._cycle(), connection._protocol()
        usual = FlowControl(cycle.transport)
        self.kinds = [
            type(cycle.message_event),
            type(cycle.flow._is_writable_event),
            type(usual._is_writable_event),
            type(protocol.pipeline),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        self.headers.append(len(scope["headers"]))
        connection.forget_request()
        self.headers.append(len(scope["headers"]))
        left = asyncio.Event()
        connection.when_lost(left.set)
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await left.wait()
        connection.when_lost(self.gone.set)  # at once: it is gone already


def test_a_connection_holds_little_for_a_stream_and_says_when_it_is_lost() -> None:
    app = Held()
    with serving_app(app) as running:
        with small_reader(running) as raw:
            found = b""
            while not found.endswith(b"one\r\n"):
                found += raw.recv(4096)
        assert app.gone.wait(TIMEOUT)
    assert app.kinds == [SmallEvent, SmallEvent, asyncio.Event, SmallPipeline]
    assert app.headers[0] > app.headers[1] == 0


def test_a_small_event_wakes_all_who_wait_and_forgets_who_gave_up() -> None:
    async def work() -> list[object]:
        event = SmallEvent()
        waiting = [asyncio.create_task(event.wait()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[1].cancel()
        event.set()
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        event.clear()
        return [*map(type, ended), event.is_set(), *event._waiters]

    assert asyncio.run(work()) == [bool, asyncio.CancelledError, bool, False]


@pytest.mark.parametrize("peer", ["127.0.0.1", "10.0.0.9"])
def test_headers_of_a_trusted_proxy_are_read_before_the_application_begins(peer: str) -> None:
    seen: list[Any] = []

    def application(scope: Any, receive: Any, send: Any) -> str:
        seen.extend((scope["client"], scope["scheme"]))
        return "what the application returned"

    headers = [(b"x-forwarded-for", b"192.0.2.7"), (b"x-forwarded-proto", b"https")]
    scope = {"type": "http", "client": (peer, 9), "scheme": "http", "headers": headers}
    returned: Any = ProxyHeaders(cast(Any, application), ["127.0.0.1"])(
        scope, cast(Any, 0), cast(Any, 0)
    )
    assert returned == "what the application returned"
    trusted = peer == "127.0.0.1"
    assert seen == ([("192.0.2.7", 0), "https"] if trusted else [(peer, 9), "http"])
