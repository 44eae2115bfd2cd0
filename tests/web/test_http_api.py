"""What holds for every request: ids, guards, limits, forms that clients get wrong."""

from __future__ import annotations

import json
import re
import socket
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel, Script
from serving import Reply, Served, Stream, aside, dialled, refused, turn_body

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    held = threading.Event()
    yield held
    held.set()


# -- request ids ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["X_Request_Id", "X_Trace_Id"])
@pytest.mark.parametrize("value", ["a", "Az09._-", "r" * 128])
def test_a_request_id_of_the_strict_form_is_echoed(service: Served, name: str, value: str) -> None:
    reply = service.call("GET", "/live", **{name: value})
    assert reply.header("x-request-id") == value


@pytest.mark.parametrize("value", ["", "r" * 129, "a b", "é", "a/b", "a;b", "{}", "a\tb"])
def test_any_other_request_id_is_replaced_by_a_new_one(service: Served, value: str) -> None:
    replies = [service.call("GET", "/live", X_Request_Id=value) for _ in range(2)]
    ids = [reply.header("x-request-id") or "" for reply in replies]
    assert all(UUID.fullmatch(one) for one in ids)
    assert ids[0] != ids[1]


def test_the_request_id_beats_the_trace_id_unless_it_is_malformed(service: Served) -> None:
    both = service.call("GET", "/live", X_Request_Id="mine", X_Trace_Id="theirs")
    assert both.header("x-request-id") == "mine"
    bad = service.call("GET", "/live", X_Request_Id="not mine", X_Trace_Id="theirs")
    assert bad.header("x-request-id") == "theirs"


def test_every_answer_carries_a_request_id(service: Served, character: str) -> None:
    calls: list[tuple[str, str, Any, dict[str, str]]] = [
        ("GET", "/", None, {}),
        ("GET", "/static/play.js", None, {}),
        ("GET", "/nope", None, {}),
        ("PUT", "/turn", None, {}),
        ("POST", "/turn", b"{", {}),
        ("GET", "/live", None, {"Host": "evil.example"}),
        ("POST", "/turn", {}, {"Origin": "http://evil.example"}),
        ("POST", "/turn/stream", turn_body(character), {}),
    ]
    for method, path, body, headers in calls:
        reply = service.call(method, path, body, X_Request_Id="me-7", **headers)
        assert reply.header("x-request-id") == "me-7", path


def test_the_request_id_and_the_trace_go_on_to_both_upstreams(
    service: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    service.call(
        "POST", "/turn", turn_body(character), X_Request_Id="me-7", traceparent=TRACEPARENT
    )
    asked = journey_log.requests + [r for r in model.requests if r.method == "POST"]
    assert {request.headers.get("x-request-id") for request in asked} == {"me-7"}
    assert {request.headers.get("traceparent") for request in asked} == {TRACEPARENT}
    assert len(asked) >= 3


@pytest.mark.parametrize("traceparent", ["00-xyz", "evil\tvalue", TRACEPARENT.upper()])
def test_a_malformed_trace_is_not_sent_on(
    service: Served, journey_log: FakeJourneyLog, character: str, traceparent: str
) -> None:
    service.call("GET", f"/characters/{character}", traceparent=traceparent)
    assert "traceparent" not in journey_log.requests[-1].headers


def test_a_trace_id_in_the_body_names_the_request_where_no_header_does(
    service: Served, journey_log: FakeJourneyLog, character: str
) -> None:
    body = turn_body(character, trace_id="from-the-body")
    assert service.call("POST", "/turn", body).header("x-request-id") == "from-the-body"
    assert journey_log.requests[-1].headers["x-request-id"] == "from-the-body"
    named = service.call("POST", "/turn", body, X_Request_Id="from-the-header")
    assert named.header("x-request-id") == "from-the-header"
    unfit = turn_body(character, trace_id="not an id")
    assert UUID.fullmatch(service.call("POST", "/turn", unfit).header("x-request-id") or "")


# -- who may call ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:8080"]
)
def test_every_name_of_loopback_is_served(service: Served, host: str) -> None:
    assert service.call("GET", "/live", Host=host).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", ""]
)
@pytest.mark.parametrize("path", ["/", "/health", "/nope", "/static/play.js"])
def test_any_other_host_is_a_bad_request(lasting: Served, host: str, path: str) -> None:
    refused(lasting.call("GET", path, Host=host), 400, "bad_request")


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://localhost"]
)
@pytest.mark.parametrize("path", ["/turn", "/turn/stream", "/characters", "/admin/policy/reload"])
def test_a_post_of_another_site_is_forbidden(lasting: Served, origin: str, path: str) -> None:
    refused(lasting.call("POST", path, {}, Origin=origin), 403, "forbidden")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_so_is_every_other_call_that_changes_something(service: Served, method: str) -> None:
    refused(service.call(method, "/turn", Origin="http://evil.example"), 403, "forbidden")


def test_a_post_of_the_own_site_is_served_and_reading_is_not_asked_for_its_origin(
    service: Served, character: str
) -> None:
    own = service.call("POST", "/turn", turn_body(character), Origin=service.url)
    assert own.status == 200
    assert service.call("GET", "/live", Origin="http://evil.example").status == 200


def test_hosts_and_origins_can_be_allowed(serve: Callable[..., Served], character: str) -> None:
    service = serve(
        allowed_hosts="game.example,127.0.0.1",
        allowed_origins="https://play.example, http://b.example",
    )
    body = turn_body(character)
    assert service.call("GET", "/live", Host="game.example:443").status == 200
    refused(service.call("GET", "/health", Host="localhost"), 400, "bad_request")
    for origin in ("https://play.example", "http://b.example"):
        assert service.call("POST", "/turn", body, Origin=origin).status == 200
    refused(service.call("POST", "/turn", body, Origin="http://play.example"), 403, "forbidden")


@pytest.mark.parametrize(
    ("headers", "status", "kind"),
    [
        ({"Origin": "http://evil.example"}, 403, "forbidden"),
        ({"Host": "evil.example"}, 400, "bad_request"),
        ({"X-User-Id": " "}, 400, "bad_request"),
    ],
)
def test_a_websocket_is_refused_in_its_handshake(
    service: Served, headers: dict[str, str], status: int, kind: str
) -> None:
    reply = shake_hands(service, {"X-Request-Id": "me-7", **headers})
    refused(reply, status, kind)
    assert reply.header("x-request-id") == "me-7"


@pytest.mark.parametrize(
    "path",
    ["/nope", "/ws", "/ws/1/", "/turn", "/metrics", "/static/play.js", "/journey-log/health"],
)
def test_a_websocket_is_told_that_nothing_takes_one_there(service: Served, path: str) -> None:
    reply = shake_hands(service, {"X-Request-Id": "me-7"}, path)
    refused(reply, 404, "not_found", path)
    assert reply.header("x-request-id") == "me-7"


def test_a_websocket_of_the_own_site_opens_and_names_its_request(service: Served) -> None:
    with service.socket(Origin=service.url, X_Request_Id="me-7") as socket_:
        assert socket_.response is not None
        assert socket_.response.headers["x-request-id"] == "me-7"


def shake_hands(service: Served, headers: dict[str, str], path: str = "/turn/ws") -> Reply:
    """The answer to a handshake, written by hand: clients insist on a Host of their own."""
    sent = {
        "Host": f"127.0.0.1:{service.port}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
        **headers,
    }
    return service.call("GET", path, **sent)


# -- forms ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        str.upper,
        lambda one: one.replace("-", ""),
        lambda one: f"{{{one}}}",
        lambda one: f"urn:uuid:{one}",
    ],
)
def test_every_spelling_of_a_uuid_is_the_same_character(
    service: Served, journey_log: FakeJourneyLog, form: Callable[[str], str]
) -> None:
    character = journey_log.seed_character(character_id=str(uuid.UUID(int=0xABCDEF << 64)))
    first = service.turn(form(character))
    assert first.events[0]["character_id"] == character
    assert service.call("GET", f"/characters/{form(character)}").json()["character_id"] == character
    recent = f"/admin/characters/{form(character)}/recent_turns"
    assert service.call("GET", recent).json()["total_count"] == 1


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON; charset=utf-8", "application/vnd.turn+json"],
)
def test_json_by_any_of_its_names_is_taken(
    service: Served, character: str, content_type: str
) -> None:
    reply = service.call("POST", "/turn", turn_body(character), Content_Type=content_type)
    assert reply.status == 200


@pytest.mark.parametrize("escape", [r"\ud800", r"\udc00 x", r"\udc00\ud800"])
def test_a_lone_surrogate_is_no_text(
    service: Served, journey_log: FakeJourneyLog, character: str, escape: str
) -> None:
    body = f'{{"character_id": "{character}", "user_action": "I say {escape}"}}'.encode()
    refused(service.call("POST", "/turn", body), 422, "validation_error")
    assert journey_log.writes == []


def test_an_action_of_the_greatest_length_is_taken_whole(
    service: Served, journey_log: FakeJourneyLog, character: str
) -> None:
    action = "🔥" * 8000
    assert service.call("POST", "/turn", turn_body(character, action)).status == 200
    assert journey_log.writes[-1].body is not None
    assert journey_log.writes[-1].body["user_action"] == action


def test_a_body_in_chunks_is_held_to_the_same_limit(service: Served) -> None:
    head = (
        "POST /turn HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", service.port), timeout=200) as client:
        client.sendall(head.encode())
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        for _ in range(5):
            client.sendall(chunk)
        assert client.recv(64).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("path", ["/live", "/health", "/", "/openapi.json", "/characters"])
def test_head_is_get_without_its_body(service: Served, path: str) -> None:
    got, head = service.call("GET", path), service.call("HEAD", path)
    assert (head.status, head.body) == (200, b"")
    assert head.header("content-type") == got.header("content-type")


def test_no_answer_may_be_sniffed(service: Served) -> None:
    for path in ("/", "/live", "/nope", "/static/play.js"):
        assert service.call("GET", path).header("x-content-type-options") == "nosniff"


# -- how much at once -----------------------------------------------------------------------------


def open_streams(service: Served) -> float:
    return service.metric("dungeon_master_streams_active")


@pytest.mark.parametrize(
    ("settings", "status", "kind"),
    [
        ({"max_streams": 1}, 503, "overloaded"),
        ({"max_streams_per_client": 1}, 429, "rate_limit_exceeded"),
    ],
)
def test_one_stream_too_many_is_refused_until_another_ends(
    serve: Callable[..., Served],
    model: FakeModel,
    journey_log: FakeJourneyLog,
    gate: threading.Event,
    settings: dict[str, int],
    status: int,
    kind: str,
) -> None:
    service = serve(**settings)
    first, second = journey_log.seed_character(), journey_log.seed_character(name="Bo")
    model.then(Script(gate=gate))
    with service.live(first) as live:
        live.until("metadata", phase="narrative")
        refused(service.turn(second), status, kind)
        refused(service.call("GET", f"/turns/{live.turn_id}/events"), status, kind)
        refused(open_character(service), status, kind)
        refused(shake_hands(service, {}), status, kind)
        assert service.call("POST", "/turn", turn_body(second)).status == 200
        gate.set()
        live.rest()
    service.wait_for(lambda: open_streams(service) == 0)
    assert service.turn(second).last["type"] == "complete"


def open_character(service: Served) -> Stream:
    body = {"name": "Cy", "race": "Elf", "class_name": "Bard"}
    return service.stream("POST", "/characters", body, Accept="text/event-stream")


def test_a_refused_stream_leaves_no_turn_behind(
    serve: Callable[..., Served],
    model: FakeModel,
    journey_log: FakeJourneyLog,
    gate: threading.Event,
) -> None:
    service = serve(max_streams=1)
    first, second = journey_log.seed_character(), journey_log.seed_character(name="Bo")
    model.then(Script(gate=gate))
    with service.live(first) as live:
        live.until("metadata", phase="narrative")
        refused(service.turn(second), 503, "overloaded")
        refused(open_character(service), 503, "overloaded")
    assert service.call("GET", f"/admin/characters/{second}/recent_turns").json()["turns"] == []
    assert len(service.call("GET", "/characters").json()["characters"]) == 2


def test_a_reader_that_goes_away_gives_its_place_back(
    serve: Callable[..., Served],
    model: FakeModel,
    journey_log: FakeJourneyLog,
    gate: threading.Event,
) -> None:
    service = serve(max_streams=1)
    first, second = journey_log.seed_character(), journey_log.seed_character(name="Bo")
    model.then(Script(gate=gate))
    with service.live(first) as live:
        live.until("metadata", phase="narrative")
    service.wait_for(lambda: open_streams(service) == 0)
    assert service.turn(second).last["type"] == "complete"


def test_a_websocket_gives_its_place_back(serve: Callable[..., Served], character: str) -> None:
    service = serve(max_streams=1)
    with service.socket():
        refused(service.turn(character), 503, "overloaded")
        with pytest.raises(InvalidStatus) as refusal:
            dialled(f"ws://127.0.0.1:{service.port}/turn/ws")
        assert refusal.value.response.status_code == 503
    service.wait_for(lambda: open_streams(service) == 0)
    assert service.turn(character).status == 200


def test_a_refused_request_gives_its_place_back(
    serve: Callable[..., Served], character: str
) -> None:
    service = serve(max_streams=1)
    refused(service.turn(str(uuid.uuid4())), 404, "character_not_found")
    refused(service.call("GET", f"/turns/{uuid.uuid4()}/events"), 404, "turn_not_found")
    assert service.turn(character).last["type"] == "complete"


def test_a_model_call_too_many_waits_and_is_then_turned_away(
    serve: Callable[..., Served],
    model: FakeModel,
    journey_log: FakeJourneyLog,
    gate: threading.Event,
) -> None:
    service = serve(max_concurrent_llm_calls=1, llm_slot_wait_seconds=0.1)
    first, second = journey_log.seed_character(), journey_log.seed_character(name="Bo")
    model.then(Script(gate=gate))
    with service.live(first) as live:
        live.until("metadata", phase="narrative")
        refused(service.call("POST", "/turn", turn_body(second)), 503, "overloaded")
        assert service.turn(second).last["error_type"] == "overloaded"
        gate.set()
        assert live.rest().last["type"] == "complete"
    assert len(model.calls) == 1
    assert service.turn(second).last["type"] == "complete"


def test_a_model_call_that_waits_gets_the_place_that_becomes_free(
    serve: Callable[..., Served],
    model: FakeModel,
    journey_log: FakeJourneyLog,
    gate: threading.Event,
) -> None:
    service = serve(max_concurrent_llm_calls=1, llm_slot_wait_seconds=20)
    first, second = journey_log.seed_character(), journey_log.seed_character(name="Bo")
    model.then(Script(gate=gate))
    with service.live(first) as live:
        live.until("metadata", phase="narrative")
        waiting = aside(service.turn, second)
        service.wait_for(lambda: service.metric("dungeon_master_model_slots_waiting") == 1)
        assert service.call("GET", "/health").json()["rate_limits"]["concurrent_llm_calls"] == 0
        gate.set()
        live.rest()
    assert waiting.result(300).last["type"] == "complete"
    assert "Bo" in json.dumps(model.calls[-1])
