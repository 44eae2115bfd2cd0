"""What real clients and proxies send, over a real socket."""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
from typing import Any

import pytest
from app.bootstrap import load_settings
from app.errors import ValidationError
from app.requirements import names_of
from app.settings import BadSetting
from app.turns.service import TurnService
from app.web.bodies import RequestBody, parse_model

from fakes.journey_log import FakeJourneyLog, answers
from fakes.model import NARRATIVE, FakeModel, Script, outcome_text
from serving import TIMEOUT, Reply, Served, aside, payload, refused, turn_body

DONE = b"data: [DONE]\n\n"
PAGE = "https://play.example"


def raw(service: Served, request: bytes) -> bytes:
    """The whole answer, up to the end of the connection."""
    with socket.create_connection(("127.0.0.1", service.port), TIMEOUT) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


# -- request bodies -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "nearest"),
    [
        ("dryRun", "dry_run"),
        ("DRY-RUN", "dry_run"),
        ("dryrun", "dry_run"),
        ("userAction", "user_action"),
        ("action", "user_action"),
        ("idempotencyKey", "idempotency_key"),
        ("traceId", "trace_id"),
    ],
)
@pytest.mark.parametrize("path", ["/turn", "/turn/stream"])
def test_an_unknown_field_is_refused_and_its_neighbour_named(
    service: Served,
    journey_log: FakeJourneyLog,
    character: str,
    path: str,
    field: str,
    nearest: str,
) -> None:
    reply = service.call("POST", path, {**turn_body(character), field: True})
    detail = refused(reply, 422, "validation_error")["detail"]
    assert detail == f"{field}: there is no such field; did you mean {nearest}?"
    assert journey_log.writes == []


@pytest.mark.parametrize(
    "fields",
    [
        {"dry_run": "yes"},
        {"dry_run": "true"},
        {"dry_run": 1},
        {"dry_run": []},
        {"user_action": 5},
        {"user_action": ["I go."]},
        {"trace_id": 7},
        {"idempotency_key": 7},
        {"character_id": 7},
        {"user_action": None},
        {"nobody": None},
    ],
)
def test_a_field_of_another_type_is_refused(
    service: Served, journey_log: FakeJourneyLog, character: str, fields: dict[str, Any]
) -> None:
    reply = service.call("POST", "/turn", {**turn_body(character), **fields})
    assert next(iter(fields)) in refused(reply, 422, "validation_error")["detail"]
    assert journey_log.writes == []


TURN, MADE = "/turn", "/characters"
WHO = {"name": "Maren", "race": "Human", "class_name": "Ranger"}


@pytest.mark.parametrize(
    ("path", "changes", "message"),
    [
        (TURN, {"character_id": "x"}, "character_id: must be a UUID"),
        (TURN, {"character_id": None}, "character_id: is required, and must be a UUID"),
        (TURN, {"user_action": 5}, "user_action: must be text of 1 to 8000 characters"),
        (TURN, {"user_action": ""}, "user_action: must be text of 1 to 8000 characters"),
        (TURN, {"user_action": "x" * 8001}, "user_action: must be text of 1 to 8000 characters"),
        (TURN, {"user_action": " "}, "user_action: must have a visible character"),
        (TURN, {"dry_run": "yes"}, "dry_run: must be true or false"),
        (TURN, {"trace_id": {}}, "trace_id: must be text of at most 255 characters"),
        (TURN, {"idempotency_key": 1.5}, "idempotency_key: must be text of 1 to 255 characters"),
        (MADE, {"race": None}, "race: is required, and must be text of 1 to 64 characters"),
        (MADE, {"class_name": []}, "class_name: must be text of 1 to 64 characters"),
        (
            MADE,
            {"adventure_prompt": 1},
            "adventure_prompt: must be text of at most 8000 characters",
        ),
        (
            MADE,
            {"adventure_prompt": "A well.", "custom_prompt": "A wall."},
            "custom_prompt: is another name of adventure_prompt; give one of them",
        ),
        (MADE, {"custom_prompt": 1}, "custom_prompt: must be text of at most 8000 characters"),
        ("/admin/policy/reload", {"config": "x"}, "config: must be a JSON object"),
        ("/admin/policy/reload", {"config": {"quest_trigger_prob": "x"}}, "a number from 0 to 1"),
        ("/debug/parse_llm", {}, "llm_response: is required, and must be text"),
    ],
)
def test_message_names_the_field_and_its_valid_values(
    service: Served, character: str, path: str, changes: dict[str, Any], message: str
) -> None:
    body = {TURN: turn_body(character), MADE: WHO}.get(path, {})
    reply = service.call("POST", path, {**body, **changes})
    assert reply.status in (400, 422)
    assert reply.error["message"].endswith(message)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "body: is not valid JSON"),
        (b'{"user_action": ', "body: is not valid JSON"),
        (b"[1]", "body: must be a JSON object"),
        (b'"text"', "body: must be a JSON object"),
        (b"null", "body: must be a JSON object"),
    ],
)
def test_a_body_that_is_no_object_is_said_to_be_none(
    service: Served, body: bytes, message: str
) -> None:
    reply = service.call("POST", "/turn", body, Content_Type="application/json")
    assert refused(reply, 422, "validation_error")["detail"] == message


ANY_VALUES: tuple[Any, ...] = (7, 1.5, "x" * 9000, "", [], {}, True, "\ud800")


STRICT = [
    model for model in RequestBody.__subclasses__() if model.model_config["extra"] == "forbid"
]


@pytest.mark.parametrize("model", STRICT, ids=lambda model: model.__name__)
def test_no_message_about_a_body_is_pydantic_s(model: type[RequestBody]) -> None:
    for name in (*names_of(model), "nobody"):
        for value in ANY_VALUES:
            with pytest.raises(ValidationError) as refusal:
                parse_model(json.dumps({name: value, "unknown": 1}), model)
            message = str(refusal.value)
            assert "nput" not in message
            assert "Field required" not in message


BLANK = [" ", "\n\t", "\u200b", "\u00a0", "\u3164", "\u2800", "\ufeff", "\u0000", "\u00ad \u2060"]


@pytest.mark.parametrize("text", BLANK)
def test_text_without_a_visible_character_is_refused(
    service: Served, journey_log: FakeJourneyLog, character: str, text: str
) -> None:
    refused(service.call("POST", "/turn", turn_body(character, text)), 422, "validation_error")
    wished = {"name": text, "race": "Elf", "class_name": "Ranger"}
    refused(service.call("POST", "/characters", wished), 422, "validation_error")
    assert journey_log.writes == []


def test_null_is_absent_and_a_byte_order_mark_is_ignored(service: Served, character: str) -> None:
    absent = dict.fromkeys(("dry_run", "trace_id", "idempotency_key"))
    body = json.dumps({**turn_body(character), **absent}).encode()
    assert service.call("POST", "/turn", b"\xef\xbb\xbf" + body).status == 200
    wished = {"name": "Ada", "race": "Elf", "class_name": "Ranger", "adventure_prompt": None}
    marked = b"\xef\xbb\xbf" + json.dumps(wished).encode()
    assert service.call("POST", "/characters", marked).status == 201


def test_a_character_with_an_unknown_field_is_not_made(service: Served) -> None:
    wished = {"name": "Ada", "race": "Elf", "class": "Ranger", "class_name": "Ranger"}
    refused(service.call("POST", "/characters", wished), 422, "validation_error")
    assert service.call("GET", "/characters").json()["count"] == 0


# -- WebSocket ------------------------------------------------------------------------------------


def said(service: Served, *messages: str | bytes, answers: int) -> list[dict[str, Any]]:
    with service.socket() as opened:
        for message in messages:
            opened.send(message)
        return [json.loads(opened.recv(timeout=TIMEOUT)) for _ in range(answers)]


@pytest.mark.parametrize("ping", [{"type": "ping"}, {"type": "ping", "id": 7}])
def test_heartbeats_of_a_client_never_close_its_socket(
    service: Served, ping: dict[str, Any]
) -> None:
    answered = said(service, *[json.dumps(ping)] * 250, answers=250)
    assert {event["type"] for event in answered} == {"pong"}


def test_a_pong_is_not_answered(service: Served) -> None:
    (event,) = said(service, *['{"type":"pong"}'] * 150, '{"type":"ping"}', answers=1)
    assert event["type"] == "pong"


@pytest.mark.parametrize("form", [str.encode, lambda text: "\ufeff" + text])
def test_json_in_a_binary_frame_or_behind_a_mark_is_read(
    service: Served, character: str, form: Any
) -> None:
    (event,) = said(service, form(json.dumps(turn_body(character))), answers=1)
    assert (event["type"], event["phase"]) == ("metadata", "start")


@pytest.mark.parametrize("message", ['{"type":"cancel","why":1}', '{"type":"resume","turn":"x"}'])
def test_an_unknown_field_of_a_message_is_refused(service: Served, message: str) -> None:
    (event,) = said(service, message, answers=1)
    assert (event["type"], event["error_type"]) == ("error", "validation_error")


def test_a_resume_at_the_end_gets_the_terminal_event(service: Served, character: str) -> None:
    stream = service.turn(character)
    resume = {"type": "resume", "turn_id": stream.turn_id, "after": len(stream.frames)}
    (event,) = said(service, json.dumps(resume), answers=1)
    assert event == stream.last


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_websocket_path_without_upgrade_names_the_proxy(service: Served, method: str) -> None:
    reply = service.call(method, "/turn/ws")
    assert reply.status == 426
    assert reply.header("upgrade") == "websocket"
    if method == "GET":
        assert "proxy" in refused(reply, 426, "bad_request")["detail"]


# -- cancel ---------------------------------------------------------------------------------------


def test_cancel_after_the_end_names_the_status_of_the_turn(service: Served, character: str) -> None:
    turn_id = service.turn(character).turn_id
    problem = refused(service.call("POST", f"/turns/{turn_id}/cancel"), 409, "not_cancellable")
    assert (problem["detail"], problem["phase"]) == ("The turn is complete already.", "complete")


# -- CORS, caches, HTTP/1.0, health checkers ------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    ["cache-control", "last-event-id,pragma", "x-stainless-os,x-stainless-lang", "x-my-own"],
)
def test_pages_of_a_listed_origin_may_send_headers_of_their_library(serve: Any, names: str) -> None:
    service = serve(allowed_origins=PAGE)
    asked = service.call(
        "OPTIONS",
        "/turn/stream",
        Origin=PAGE,
        Access_Control_Request_Method="POST",
        Access_Control_Request_Headers=names,
    )
    assert asked.status == 200
    assert asked.header("access-control-allow-headers") == names


def test_no_answer_of_the_api_may_be_kept_by_a_cache(service: Served, character: str) -> None:
    stream = service.turn(character)
    events, turn = f"/turns/{stream.turn_id}/events", f"/turns/{stream.turn_id}"
    last = f"{stream.turn_id}:{len(stream.frames)}"
    replies: list[Reply] = [
        service.call("GET", turn),
        service.call("GET", events, Last_Event_ID=last),
        service.call("GET", "/characters"),
        service.call("GET", "/usage"),
        service.call("GET", "/health"),
        service.call("GET", "/metrics"),
        service.call("GET", "/openapi.json"),
        service.call("GET", "/nope"),
        service.call("GET", "/static/nope"),
        service.call("DELETE", "/turn"),
        service.call("POST", "/turn", b"{"),
        service.call("POST", f"{turn}/cancel"),
        service.call("POST", f"{turn}/ticket"),
        service.call("GET", "/live", Host="a b"),
    ]
    assert [reply.status for reply in replies][:2] == [200, 204]
    assert {reply.header("cache-control") for reply in replies} == {"no-store"}
    assert stream.header("cache-control") == "no-store, no-transform"
    assert service.call("GET", "/").header("cache-control") == "no-cache"
    assert service.call("GET", "/static/play.js").header("cache-control") == "no-cache"
    assert b"\r\ncache-control: no-store\r\n" in raw(service, b"nonsense\r\n\r\n").lower()


def test_a_client_of_http_1_0_gets_no_chunk_sizes(service: Served, character: str) -> None:
    body = json.dumps(turn_body(character)).encode()
    head = b"Host: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    answer = raw(service, b"POST /turn/stream HTTP/1.0\r\n" + head % len(body) + body)
    top, _, text = answer.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in top.lower()
    assert text.startswith(b"retry: 2000\nid: ")
    assert text.endswith(b"data: [DONE]\n\n")
    lines = text.split(b"\n")
    assert all(not line or line.startswith((b"retry: ", b"id: ", b"data: ")) for line in lines)
    again = raw(service, b"GET /live HTTP/1.0\r\nHost: localhost\r\n\r\n")
    assert b'{"status":"alive"' in again


@pytest.mark.parametrize("path", [b"/live", b"/ready"])
@pytest.mark.parametrize("host", [b"", b"Host: 10.0.0.7:8080\r\n", b"Host: pod\r\n"])
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_health_checkers_need_no_host(
    service: Served, method: bytes, path: bytes, host: bytes
) -> None:
    answer = raw(service, b"%b %b HTTP/1.0\r\n%b\r\n" % (method, path, host))
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_origin_whose_port_the_proxy_lost_is_refused_with_the_reason(serve: Any) -> None:
    service = serve(allowed_hosts="game.example,127.0.0.1")
    reply = service.call(
        "POST", "/turn", {}, Host="game.example", Origin="https://game.example:8443"
    )
    detail = refused(reply, 403, "forbidden")["detail"]
    assert "proxy" in detail
    assert "ALLOWED_ORIGINS" in detail
    other = service.call("POST", "/turn", {}, Host="game.example", Origin="https://evil.example")
    assert "proxy" not in refused(other, 403, "forbidden")["detail"]


# -- the position of a reader ---------------------------------------------------------------------


def test_the_retry_line_is_in_the_block_of_the_first_event(service: Served, character: str) -> None:
    stream = service.turn(character)
    path = f"/turns/{stream.turn_id}/events"
    for reply in (stream, service.stream("GET", path), service.stream("GET", f"{path}?after=3")):
        assert reply.body.startswith(b"retry: 2000\nid: ")
        assert reply.body.count(b"retry: ") == 1


def test_the_header_beats_after_which_beats_last_event_id_of_the_query(
    service: Served, character: str
) -> None:
    stream = service.turn(character)
    turn_id, frames = stream.turn_id, stream.frames
    path = f"/turns/{turn_id}/events"
    by_query = service.stream("GET", f"{path}?lastEventId={turn_id}:4")
    assert by_query.frames == frames[4:]
    assert service.stream("GET", f"{path}?lastEventId={turn_id}:4&after=6").frames == frames[6:]
    third = service.stream(
        "GET", f"{path}?lastEventId={turn_id}:4&after=6", Last_Event_ID=f"{turn_id}:2"
    )
    assert third.frames == frames[2:]
    assert service.stream("GET", f"{path}?lastEventId=other:4").frames == frames
    end = service.call("GET", f"{path}?lastEventId={turn_id}:{len(frames)}")
    assert (end.status, end.body) == (204, b"")
    assert stream.narrative == NARRATIVE


# -- clients that send a POST again by themselves -------------------------------------------------


@pytest.mark.parametrize("key", [{}, {"Idempotency_Key": "k-1"}])
def test_a_repeated_post_goes_on_behind_the_last_event(
    service: Served, model: FakeModel, character: str, key: dict[str, str]
) -> None:
    body = turn_body(character)
    stream = service.stream("POST", "/turn/stream", body, **key)
    for seen in range(1, len(stream.frames)):
        again = service.stream(
            "POST", "/turn/stream", body, Last_Event_ID=f"{stream.turn_id}:{seen}", **key
        )
        assert again.frames == stream.frames[seen:]
        assert again.turn_id == stream.turn_id
    last = f"{stream.turn_id}:{len(stream.frames)}"
    for _ in range(3):
        end = service.call("POST", "/turn/stream", body, Last_Event_ID=last, **key)
        assert (end.status, end.body) == (204, b"")
    assert len(model.calls) == 1


def test_a_repeated_post_goes_on_while_the_turn_runs(
    service: Served, model: FakeModel, character: str
) -> None:
    gate = threading.Event()
    model.then(Script(gate=gate, gate_after=8))
    body = turn_body(character)
    with service.live(character) as first:
        first.until("token")
        seen = first.seen.frames
        last = f"{first.turn_id}:{len(seen)}"
        with service.open("POST", "/turn/stream", body, Last_Event_ID=last) as again:
            gate.set()
            rest = again.read()
        whole = first.rest()
    assert rest.removeprefix(b"retry: 2000\n") == b"".join(whole.frames[len(seen) :]) + DONE
    assert len(model.calls) == 1


@pytest.mark.parametrize("shape", ["nonsense", "{}:0", "{}:x", "{}:9999999999", ":3", "other:3"])
def test_a_malformed_or_foreign_id_begins_a_turn(
    service: Served, model: FakeModel, character: str, shape: str
) -> None:
    stream = service.turn(character)
    again = service.stream(
        "POST", "/turn/stream", turn_body(character), Last_Event_ID=shape.format(stream.turn_id)
    )
    assert again.turn_id != stream.turn_id
    assert len(model.calls) == 2


def test_an_id_of_another_body_user_or_key_begins_a_turn(
    service: Served, journey_log: FakeJourneyLog, model: FakeModel, character: str
) -> None:
    stream = service.stream("POST", "/turn/stream", turn_body(character), Idempotency_Key="a")
    last = f"{stream.turn_id}:{len(stream.frames)}"
    others: list[tuple[dict[str, Any], dict[str, str]]] = [
        (turn_body(character, "I close the door."), {}),
        (turn_body(character, dry_run=True), {}),
        (turn_body(journey_log.seed_character("mara")), {"X_User_Id": "mara"}),
        (turn_body(character), {"Idempotency_Key": "b"}),
    ]
    for body, sent in others:
        again = service.stream("POST", "/turn/stream", body, Last_Event_ID=last, **sent)
        assert again.status == 200
        assert again.turn_id != stream.turn_id
    assert len(model.calls) == 1 + len(others)


def test_a_repeated_post_of_a_character_goes_on_with_its_opening(
    service: Served, model: FakeModel
) -> None:
    wished = {"name": "Ada", "race": "Elf", "class_name": "Ranger"}
    sent = {"Accept": "text/event-stream"}
    stream = service.stream("POST", "/characters", wished, **sent)
    again = service.stream(
        "POST", "/characters", wished, Last_Event_ID=f"{stream.turn_id}:5", **sent
    )
    assert again.frames == stream.frames[5:]
    assert again.header("x-character-id") == stream.header("x-character-id")
    last = f"{stream.turn_id}:{len(stream.frames)}"
    assert service.call("POST", "/characters", wished, Last_Event_ID=last, **sent).status == 204
    assert len(model.calls) == 1


# -- limits say what they are ---------------------------------------------------------------------


def test_a_limit_on_new_characters_names_new_characters(serve: Any) -> None:
    service = serve(max_turns_per_character_per_second=0.1)
    wished = {"race": "Elf", "class_name": "Ranger"}
    assert service.call("POST", "/characters", {"name": "Ada", **wished}).status == 201
    reply = service.call("POST", "/characters", {"name": "Bea", **wished})
    detail = refused(reply, 429, "rate_limit_exceeded")["detail"]
    assert "at most 1 new characters of one user in 10 s" in detail


def test_a_limit_on_streams_names_streams(serve: Any, model: FakeModel, character: str) -> None:
    service = serve(max_streams_per_client=1)
    gate = threading.Event()
    model.then(Script(gate=gate, gate_after=8))
    with service.live(character) as live:
        live.until("token")
        reply = service.call("GET", f"/turns/{live.turn_id}/events")
        gate.set()
    detail = refused(reply, 429, "rate_limit_exceeded")["detail"]
    assert detail == "At most 1 streams may be open from one address; close one first."


# -- readiness ------------------------------------------------------------------------------------


def readiness(service: Served) -> tuple[int, str]:
    return (
        service.call("GET", "/ready").status,
        service.call("GET", "/health").json()["status"],
    )


def test_a_service_that_sheds_load_is_not_ready(
    serve: Any, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    service = serve(max_concurrent_llm_calls=1)
    gate = threading.Event()
    model.default = Script(gate=gate, gate_after=8)
    turns = [aside(service.turn, journey_log.seed_character()) for _ in range(2)]
    model.wait_for(lambda: model.stats.open)
    while service.metric("dungeon_master_model_slots_waiting") < 1:
        pass
    refused(
        service.call("POST", "/turn", turn_body(journey_log.seed_character())), 503, "overloaded"
    )
    assert readiness(service) == (503, "degraded")
    gate.set()
    assert [turn.result(TIMEOUT).status for turn in turns] == [200, 200]
    assert readiness(service) == (200, "healthy")


@pytest.mark.parametrize("down", ["model", "journey_log"])
def test_a_service_with_an_open_circuit_is_not_ready(
    serve: Any, model: FakeModel, journey_log: FakeJourneyLog, character: str, down: str
) -> None:
    service = serve(breaker_failures=1, llm_max_retries=0, journey_log_max_retries=0)
    assert readiness(service) == (200, "healthy")
    if down == "model":
        model.then(Script(status=502))
    else:
        journey_log.fail("context", answers(502))
    assert service.call("POST", "/turn", turn_body(character)).status in (502, 503)
    assert readiness(service) == (503, "degraded")


def test_a_service_whose_store_takes_no_writes_is_not_ready(
    service: Served, journey_log: FakeJourneyLog
) -> None:
    engine: Any = service.application.services.get(TurnService)._store._engine  # type: ignore[attr-defined]
    really, full = engine._commit, sqlite3.OperationalError("database or disk is full")

    def commit() -> None:
        raise full

    engine._commit = commit
    body = turn_body(journey_log.seed_character())
    assert service.call("POST", "/turn", body).status == 503
    assert readiness(service) == (503, "degraded")
    engine._commit = really
    assert readiness(service) == (200, "healthy")


# -- bounds of a client's buffer ------------------------------------------------------------------


def test_no_event_of_a_stream_is_longer_than_a_small_buffer(
    serve: Any, model: FakeModel, character: str
) -> None:
    service = serve(llm_streaming=False, max_narrative_bytes=100_000)
    narrative = "\U0001f409" * 9_000 + "x" * 9_000  # twelve bytes of JSON for each dragon
    model.then(Script(text=outcome_text(narrative)))
    stream = service.turn(character, "\u0436" * 8_000)
    assert stream.last["type"] == "complete"
    assert max(len(payload(frame)) for frame in stream.frames) <= 32 * 1024
    assert stream.narrative == narrative
    assert service.call("GET", f"/turns/{stream.turn_id}").json()["narrative"] == narrative
    (start,) = [event for event in stream.events if event.get("phase") == "start"]
    assert start["truncated"] is True
    assert start["user_action"] == "\u0436" * len(start["user_action"]) != ""
    assert [event for event in stream.events if "truncated" in event] == [start]


def test_a_long_partial_narrative_is_cut_and_the_turn_has_it_whole(
    serve: Any, model: FakeModel, character: str
) -> None:
    service = serve(llm_max_retries=0, max_narrative_bytes=100_000)
    narrative = "\u0436" * 20_000
    model.then(Script(text=outcome_text(narrative), token_chars=2_000, drop_after=8))
    stream = service.turn(character)
    assert stream.last["type"] == "error"
    assert max(len(payload(frame)) for frame in stream.frames) <= 32 * 1024
    assert stream.last["truncated"] is True
    partial = stream.last["partial_narrative"]
    assert stream.narrative.startswith(partial)
    assert 1_000 < len(partial) < len(stream.narrative)
    whole = service.call("GET", f"/turns/{stream.turn_id}").json()["narrative"]
    assert whole == stream.narrative


def test_a_stream_says_that_it_is_not_to_be_compressed(service: Served, character: str) -> None:
    assert service.turn(character).header("content-encoding") == "identity"


# -- proxies --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trusted", "counted_apart"), [("127.0.0.0/8", True), ("10.0.0.1", False), ("*", True)]
)
def test_clients_of_a_trusted_proxy_count_one_by_one(
    serve: Any, model: FakeModel, character: str, trusted: str, counted_apart: bool
) -> None:
    service = serve(max_streams_per_client=1, forwarded_allow_ips=trusted)
    gate = threading.Event()
    model.then(Script(gate=gate, gate_after=8))
    sent, body = {"X_Forwarded_For": "203.0.113.7"}, turn_body(character)
    with service.open("POST", "/turn/stream", body, **sent) as response:
        path = f"/turns/{response.headers['X-Turn-Id']}/events"
        with service.open("GET", path, X_Forwarded_For="203.0.113.8") as other:
            assert other.status == (200 if counted_apart else 429)
            gate.set()
            other.read()
        response.read()


@pytest.mark.parametrize("value", ["proxy.example", "10.0.0.0/33", "10.0.0.1/8"])
def test_a_proxy_that_is_no_address_stops_the_start(value: str) -> None:
    with pytest.raises(BadSetting, match=r"^FORWARDED_ALLOW_IPS: .*addresses or networks"):
        load_settings(_env_file=None, forwarded_allow_ips=value)
