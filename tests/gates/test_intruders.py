"""Clients that mean harm, or are broken: each is bounded, and the others are served meanwhile."""

from __future__ import annotations

import gzip
import json
import logging
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import repeat
from typing import Any

import pytest
from app.web import connections, inputs
from app.web.inputs import MAX_BODY
from app.web.middleware import HYGIENE
from app.web.sockets import MAX_REFUSED
from websockets.exceptions import ConnectionClosed

from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel, Script, outcome_text
from passes import SECRET, WITH_SECRET, bearer, dial, token
from serving import TIMEOUT, Reply, Served, refused, turn_body
from wire import connected, handshake, heard, received

Serve = Callable[..., Served]
HOST = b"Host: localhost\r\n"
GET_LIVE = b"GET /live HTTP/1.1\r\n" + HOST + b"\r\n"


@pytest.fixture(autouse=True)
def _no_traceback(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a client does is no error of the service."""
    yield
    found = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR or r.exc_info]
    assert found == []


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads, bodies and readers get a moment only."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    monkeypatch.setattr(connections, "UNREAD_SECONDS", 0.2)
    monkeypatch.setattr(inputs, "BODY_SECONDS", 0.2)


def others_are_served(service: Served, character: str | None = None) -> None:
    assert service.call("GET", "/live").status == 200
    if character is not None:
        assert service.turn(character).last["type"] == "complete"


# -- heads ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [b"", b"G", b"GET /live HTTP/1.1\r\n", b"GET /live HTTP/1.1\r\nHost: loc", b"\r\n"],
    ids=["nothing", "a letter", "a line", "half a header", "an empty line"],
)
def test_a_head_that_does_not_end_is_given_up(service: Served, hasty: None, sent: bytes) -> None:
    with connected(service, sent) as raw:
        assert received(raw) == b""


def dribble(raw: socket.socket, pieces: Iterator[bytes]) -> None:
    """Sends piece by piece, a moment apart, and does not mind what is answered."""
    raw.settimeout(0.01)
    for piece in pieces:
        raw.sendall(piece)
        with suppress(TimeoutError):
            raw.recv(1)


def test_a_head_that_comes_letter_by_letter_is_given_up(service: Served, hasty: None) -> None:
    with connected(service, b"GET /live HTTP/1.1\r\nX: ") as raw, pytest.raises(ConnectionError):
        dribble(raw, repeat(b"X"))


def test_the_second_head_of_a_connection_is_bounded_too(service: Served, hasty: None) -> None:
    with connected(service, GET_LIVE) as raw:
        assert heard(raw).startswith(b"HTTP/1.1 200")
        raw.sendall(b"GET /live HT")
        assert b"HTTP" not in received(raw)


def test_endless_headers_are_cut_off_before_their_time(
    service: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 600.0)
    pieces = (b"X-%d: %s\r\n" % (number, b"x" * 1_000) for number in range(1_000))
    with connected(service, b"GET /live HTTP/1.1\r\n") as raw, pytest.raises(ConnectionError):
        dribble(raw, pieces)
    others_are_served(service)


@pytest.mark.parametrize(
    "headers",
    [
        [b"X-Long: " + b"x" * 9_000],
        [b"Sec-WebSocket-Protocol: bearer, " + b"x" * 9_000],
        [b"X-%d: 1" % number for number in range(200)],
        [b"Content-Length: 3"],
    ],
    ids=["a long header", "a long token", "many headers", "a body"],
)
def test_a_handshake_that_cannot_be_read_is_answered_and_closed(
    service: Served, headers: list[bytes]
) -> None:
    with connected(service, handshake(*headers)) as raw:
        assert received(raw).startswith(b"HTTP/1.1 400 ")
    service.wait_for(lambda: service.open_connections == 0)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET http://localhost HTTP/1.1\r\n" + HOST + b"\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST /turn HTTP/1.1\r\nContent-Length: -1\r\n" + HOST + b"\r\n",
        b"POST /turn HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n"
        + HOST
        + b"\r\n0\r\n\r\n",
        b"POST /turn HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n" + HOST + b"\r\n",
        b"GET /live HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
        handshake(path=b"/turn/ws?\xc3\xa9"),
    ],
    ids=["path", "absolute", "h2", "tls", "length", "smuggled", "lengths", "nul", "handshake"],
)
def test_invalid_http_gets_400_and_the_connection_closes(service: Served, sent: bytes) -> None:
    with connected(service, sent) as raw:
        assert received(raw).startswith(b"HTTP/1.1 400 ")
    others_are_served(service)


# -- bodies ---------------------------------------------------------------------------------------


def post(path: str, *headers: bytes) -> bytes:
    lines = [f"POST {path} HTTP/1.1".encode(), b"Host: localhost"]
    return b"\r\n".join([*lines, b"Content-Type: application/json", *headers, b"", b""])


@pytest.mark.parametrize("path", ["/turn", "/turn/stream", "/characters", "/debug/parse_llm"])
@pytest.mark.parametrize("header", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
def test_a_body_that_does_not_come_is_given_up(
    service: Served, hasty: None, path: str, header: bytes
) -> None:
    with connected(service, post(path, header) + b"1") as raw:
        answered = heard(raw)
        assert answered.startswith(b"HTTP/1.1 400 ")
        assert b"application/problem+json" in answered


def test_a_body_that_nobody_reads_holds_no_connection(service: Served, hasty: None) -> None:
    sent = b"GET /live HTTP/1.1\r\nContent-Length: 1000000\r\n" + HOST + b"\r\n"
    with connected(service, sent) as raw:
        assert heard(raw).startswith(b"HTTP/1.1 200")
        raw.sendall(b"x")
        assert b"HTTP" not in received(raw)


@pytest.mark.parametrize(
    "further", [b"", b"Expect: 100-continue\r\n"], ids=["", "asks before it sends"]
)
def test_a_huge_body_is_refused_before_it_is_there(service: Served, further: bytes) -> None:
    with connected(service, post("/turn", further + b"Content-Length: 1000000000")) as raw:
        assert heard(raw).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("length", [b"", b"+5", b"5, 5", b"0x5", b"1" * 30])
def test_a_length_that_is_none_is_refused(service: Served, length: bytes) -> None:
    with connected(service, post("/turn", b"Content-Length: " + length)) as raw:
        assert heard(raw).startswith(b"HTTP/1.1 400")


def test_a_body_at_the_limit_is_read(service: Served, character: str) -> None:
    body = json.dumps(turn_body(character)).encode()
    assert service.call("POST", "/turn", body.ljust(MAX_BODY)).status == 200
    refused(service.call("POST", "/turn", body.ljust(MAX_BODY + 1)), 413, "payload_too_large")


DEEP: dict[str, bytes] = {
    "arrays": b"[" * 100_000,
    "closed arrays": b"[" * 50_000 + b"]" * 50_000,
    "objects": b'{"a":' * 40_000,
    "in a field": b'{"user_action":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "in an unknown field": b'{"other":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "a long number": b'{"user_action":' + b"9" * 100_000 + b"}",
    "in the policy": b'{"config":{"a":' + b"[" * 50_000 + b"]" * 50_000 + b"}}",
}


@pytest.mark.parametrize(
    "path", ["/turn", "/turn/stream", "/characters", "/admin/policy/reload", "/debug/parse_llm"]
)
def test_deep_json_is_only_wrong(service: Served, path: str) -> None:
    wrong = ("validation_error", "bad_request", "config_validation_failed")
    for kind, body in DEEP.items():
        reply = service.call("POST", path, body)
        assert reply.status in (400, 422), kind
        assert reply.error["type"] in wrong, kind


def test_a_deep_answer_of_a_model_is_only_invalid(service: Served) -> None:
    for deep in (
        "[" * 50_000,
        '{"narrative":' * 10_000,
        '{"narrative":"x","intents":' + "[" * 9999,
    ):
        reply = service.call("POST", "/debug/parse_llm", {"llm_response": deep})
        assert reply.status == 200
        assert reply.json()["is_valid"] is False


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip"])
def test_a_compressed_body_is_not_unpacked(service: Served, character: str, encoding: str) -> None:
    bomb = gzip.compress(json.dumps(turn_body(character, "x" * 1_000_000)).encode())
    reply = service.call("POST", "/turn", bomb, Content_Encoding=encoding)
    refused(reply, 422, "validation_error")


# -- many -----------------------------------------------------------------------------------------

IDLE = 1_000
SPARE = 200


@pytest.fixture
def files() -> Iterator[None]:
    """As many files as both ends of the idle connections need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * IDLE + SPARE
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"only {hard} files may be open")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_thousand_idle_connections_keep_nobody_out(
    service: Served, files: None, character: str
) -> None:
    with ExitStack() as idle:
        for number in range(IDLE):
            idle.enter_context(connected(service, b"GET /li" if number % 2 else b""))
        service.wait_for(lambda: service.open_connections >= IDLE)
        others_are_served(service, character)
    service.wait_for(lambda: service.open_connections == 0)


# -- readers that do not read ---------------------------------------------------------------------

STORY = "🔥" * 31_000  # 12 bytes each in an event, and more than all the buffers hold


@contextmanager
def deaf(service: Served, sent: bytes) -> Iterator[socket.socket]:
    """A client with a small buffer that reads nothing of the answer."""
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(TIMEOUT)
        raw.connect(("127.0.0.1", service.port))
        raw.sendall(sent)
        yield raw


@pytest.fixture
def long_stories(serve: Serve, model: FakeModel) -> Served:
    model.default = Script(text=outcome_text(STORY), token_chars=500)
    return serve(max_narrative_bytes=1_000_000)


def with_body(path: str, body: Any) -> bytes:
    data = json.dumps(body).encode()
    return post(path, b"Content-Length: %d" % len(data)) + data


def masked(text: bytes) -> bytes:
    """A WebSocket text frame of a client."""
    assert 125 < len(text) < 65_536
    return b"\x81\xfe" + len(text).to_bytes(2, "big") + b"\x00" * 4 + text


def readers_gone(service: Served) -> bool:
    return service.open_connections == 0 and service.metric("dungeon_master_streams_active") == 0


@pytest.mark.parametrize("how", ["live", "replay", "websocket"])
def test_a_reader_that_does_not_read_is_dropped_and_the_turn_completes(
    long_stories: Served, journey_log: FakeJourneyLog, character: str, hasty: None, how: str
) -> None:
    service, body = long_stories, turn_body(character, "I wait. " * 20)
    if how == "replay":
        turn_id = service.turn(character).turn_id
        sent = f"GET /turns/{turn_id}/events HTTP/1.1\r\n".encode() + HOST + b"\r\n"
    else:
        sent = with_body("/turn/stream", body) if how == "live" else handshake()
    with deaf(service, sent) as raw:
        if how == "websocket":
            assert heard(raw).startswith(b"HTTP/1.1 101 ")
            raw.sendall(masked(json.dumps(body).encode()))
        journey_log.wait_for(lambda: journey_log.narratives(character) == [STORY], TIMEOUT)
        service.wait_for(lambda: readers_gone(service))
    others_are_served(service)


def test_a_slow_reader_that_reads_is_not_dropped(
    long_stories: Served, character: str, hasty: None
) -> None:
    sent = with_body("/turn/stream", turn_body(character)).replace(
        b"Content-Type", b"Connection: close\r\nContent-Type"
    )
    with deaf(long_stories, sent) as raw:
        assert received(raw).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


# -- WebSocket floods -----------------------------------------------------------------------------


@pytest.mark.parametrize("message", ["nonsense", b"\x00", "{}", '{"type":"cancel"}', "[" * 9_000])
def test_a_flood_of_bad_messages_ends_with_1008(service: Served, message: str | bytes) -> None:
    with service.socket() as flood:
        for _ in range(MAX_REFUSED):
            flood.send(message)
            assert json.loads(flood.recv(TIMEOUT))["type"] == "error"
        with pytest.raises(ConnectionClosed) as caught:
            flood.recv(TIMEOUT)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1008
    others_are_served(service)


def test_a_message_that_is_too_long_ends_the_socket(service: Served) -> None:
    with service.socket() as flood:
        flood.send("x" * 1_100_000)
        with pytest.raises(ConnectionClosed) as caught:
            flood.recv(TIMEOUT)
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1009
    others_are_served(service)


def test_text_that_is_no_text_ends_the_socket(service: Served) -> None:
    with connected(service, handshake()) as raw:
        assert heard(raw).startswith(b"HTTP/1.1 101 ")
        raw.sendall(masked(b"\xff" * 200))
        assert b"\x03\xef" in received(raw)
    others_are_served(service)


def test_places_of_closed_sockets_are_given_back(serve: Serve) -> None:
    service = serve(max_streams_per_client=3)
    for _ in range(10):
        with service.socket():
            pass
        service.wait_for(lambda: service.open_connections == 0)


# -- origins --------------------------------------------------------------------------------------

PAGE = "https://play.example"


@pytest.fixture
def shared(serve: Serve) -> Served:
    return serve(**WITH_SECRET, allowed_origins=PAGE)


def preflight(service: Served, origin: str, path: str = "/turn") -> Reply:
    return service.call(
        "OPTIONS",
        path,
        Origin=origin,
        Access_Control_Request_Method="POST",
        Access_Control_Request_Headers="authorization,content-type,idempotency-key",
    )


EXPOSED_HEADERS = {
    *("Allow", "Link", "Location", "Retry-After", "Upgrade", "WWW-Authenticate"),
    *("X-Character-Id", "X-Request-Id", "X-Turn-Id"),
    *("RateLimit", "RateLimit-Policy"),
    *("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"),
}


def test_a_listed_origin_may_ask_and_read(shared: Served) -> None:
    asked = preflight(shared, PAGE)
    assert asked.status == 200
    assert asked.header("access-control-allow-origin") == PAGE
    assert "authorization" in (asked.header("access-control-allow-headers") or "").lower()
    assert asked.header("access-control-allow-credentials") is None
    for sent in ({}, bearer(token())):
        reply = shared.call("GET", "/usage", Origin=PAGE, **sent)
        assert reply.header("access-control-allow-origin") == PAGE
        exposed = reply.header("access-control-expose-headers") or ""
        assert set(exposed.split(", ")) == EXPOSED_HEADERS


def test_a_listed_origin_may_read_why_it_was_refused(shared: Served) -> None:
    mistyped = {"Content_Type": "text/plain", **bearer(token())}
    for sent in (mistyped, {"Host": "elsewhere.example"}):
        reply = shared.call("POST", "/turn", b"{}", Origin=PAGE, **sent)
        refused(reply, 400, "bad_request")
        assert reply.header("access-control-allow-origin") == PAGE


def test_a_star_lets_any_origin_ask_read_and_change(serve: Serve, model: FakeModel) -> None:
    service = serve(**WITH_SECRET, allowed_origins="*")
    for origin in (PAGE, "https://evil.example"):
        assert preflight(service, origin).header("access-control-allow-origin") == "*"
        changed = service.call("POST", "/turn", {}, Origin=origin, **bearer(token()))
        refused(changed, 422, "validation_error")
        assert changed.header("access-control-allow-origin") == "*"
        with dial(service, "bearer", token(), Origin=origin):
            pass


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:{port}", 422),
        ("http://127.0.0.1:{port}", 422),
        ("http://[::1]:{port}", 422),
        ("HTTP://LocalHost:{port}", 422),
        ("http://localhost", 403),
        ("http://localhost:1", 403),
        ("http://localhost:{port}.evil.example", 403),
        ("http://localhost.evil.example:{port}", 403),
        ("http://localhost:{port}@evil.example", 403),
        ("http://[::1", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_its_own_pages_may_change_under_any_name_of_loopback(
    service: Served, origin: str, status: int
) -> None:
    sent = origin.format(port=service.port)
    assert service.call("POST", "/turn", {}, Origin=sent).status == status


OTHERS = (
    "https://evil.example",
    "http://play.example",
    "https://play.example:8443",
    "https://play.example.evil.example",
    "https://xplay.example",
    "null",
    "*",
)


@pytest.mark.parametrize("origin", OTHERS)
def test_other_origins_may_neither_ask_nor_read_nor_change(shared: Served, origin: str) -> None:
    asked = preflight(shared, origin)
    refused(asked, 400, "bad_request")
    assert asked.header("access-control-allow-origin") is None
    reply = shared.call("GET", "/usage", Origin=origin, **bearer(token()))
    assert reply.header("access-control-allow-origin") is None
    changed = shared.call("POST", "/turn", {}, Origin=origin, **bearer(token()))
    refused(changed, 403, "forbidden")
    assert changed.header("access-control-allow-origin") is None


def test_without_listed_origins_there_is_no_sharing(service: Served) -> None:
    asked = preflight(service, PAGE)
    assert asked.status == 405
    assert not [name for name in asked.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize("listed", ["https://play.example/", "HTTPS://Play.Example"])
def test_a_listed_origin_may_be_spelled_as_people_do(serve: Serve, listed: str) -> None:
    service = serve(**WITH_SECRET, allowed_origins=listed)
    assert preflight(service, PAGE).status == 200
    reply = service.call("GET", "/usage", Origin=PAGE, **bearer(token()))
    assert reply.header("access-control-allow-origin") == PAGE


# -- headers --------------------------------------------------------------------------------------

ANSWERS: list[tuple[str, str, dict[str, str], int]] = [
    ("GET", "/", {}, 200),
    ("GET", "/static/play.css", {}, 200),
    ("GET", "/live", {}, 200),
    ("GET", "/metrics", {}, 200),
    ("GET", "/openapi.json", {}, 200),
    ("GET", "/usage", {}, 401),
    ("GET", "/usage", {"Authorization": "Bearer x"}, 401),
    ("GET", "/nope", {}, 401),
    ("GET", "/static/nope", {}, 404),
    ("DELETE", "/live", {}, 405),
    ("GET", "/health", {"Host": "evil.example"}, 400),
    ("POST", "/turn", {"Origin": "https://evil.example"}, 403),
    ("OPTIONS", "/turn", {"Origin": PAGE, "Access_Control_Request_Method": "POST"}, 200),
]


@pytest.mark.parametrize(("method", "path", "sent", "status"), ANSWERS)
def test_every_answer_carries_the_security_headers(
    shared: Served, method: str, path: str, sent: dict[str, str], status: int
) -> None:
    reply = shared.call(method, path, **sent)
    assert reply.status == status
    for name, value in HYGIENE:
        assert reply.header(name) == value
    assert reply.header("server") is None
    assert reply.header("x-powered-by") is None


def test_streams_and_handshakes_carry_the_security_headers(service: Served, character: str) -> None:
    streamed = service.turn(character)
    with dial(service, "bearer", SECRET) as socket:
        assert socket.response is not None
        shaken = socket.response.headers
        for name, value in HYGIENE:
            assert streamed.header(name) == shaken[name] == value
        assert "server" not in shaken
    assert streamed.header("server") is None


def test_a_page_may_not_be_framed_and_runs_its_own_scripts_only(service: Served) -> None:
    for path in ("/", "/docs"):
        policy = service.call("GET", path).header("content-security-policy") or ""
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy


def test_a_turn_runs_on_while_its_intruders_are_cut_off(
    service: Served, model: FakeModel, character: str, hasty: None
) -> None:
    gate = threading.Event()
    model.then(Script(gate=gate, gate_after=8))
    with service.live(character) as live, connected(service, b"GET / HT") as raw:
        live.until("token")
        assert received(raw) == b""
        gate.set()
        assert live.rest().last["type"] == "complete"
