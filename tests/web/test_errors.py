"""Every error by its name, as a plain answer and, where a stream has begun, as an event."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import app.turns.routes
import app.turns.story
import pytest
from app.turns.executor import TurnExecutor
from app.turns.service import TurnService

from fakes.journey_log import FakeJourneyLog, Fault, answers, drops, hangs, proxy_error
from fakes.model import FakeModel, Script
from serving import SOON, Reply, Served, aside, refused, turn_body

NO_RETRIES: dict[str, Any] = {"llm_max_retries": 0, "journey_log_max_retries": 0}
SOMEBODY = str(uuid.UUID(int=7))


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    held = threading.Event()
    yield held
    held.set()


def take(service: Served, character: str, path: str = "/turn", **headers: str) -> Reply:
    return service.call("POST", path, turn_body(character), **headers)


# -- the caller's ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"user_action": "Go."}, "character_id"),
        ({"character_id": "no uuid", "user_action": "Go."}, "character_id"),
        ({"character_id": 7, "user_action": "Go."}, "character_id"),
        ({"character_id": SOMEBODY}, "user_action"),
        ({"character_id": SOMEBODY, "user_action": ""}, "user_action"),
        ({"character_id": SOMEBODY, "user_action": "x" * 8001}, "user_action"),
        ({"character_id": SOMEBODY, "user_action": ["Go."]}, "user_action"),
        ({"character_id": SOMEBODY, "user_action": "Go.", "dry_run": "perhaps"}, "dry_run"),
        ({"character_id": SOMEBODY, "user_action": "Go.", "trace_id": "t" * 256}, "trace_id"),
        (
            {"character_id": SOMEBODY, "user_action": "Go.", "idempotency_key": ""},
            "idempotency_key",
        ),
        (["a list"], "body"),
        (b'{"character_id": ', "body"),
        (b"", "body"),
        (b"\xff\xfe", "body"),
    ],
)
@pytest.mark.parametrize("path", ["/turn", "/turn/stream"])
def test_a_body_that_is_not_valid_names_its_field(
    lasting: Served, path: str, body: Any, field: str
) -> None:
    problem = refused(lasting.call("POST", path, body), 422, "validation_error")
    assert field in [row["field"] for row in problem["errors"]]
    assert field in problem["detail"]


def test_validation_error_never_echoes_the_request(service: Served) -> None:
    secret = "sk-live-hunter2"
    body = {"character_id": secret, "user_action": [secret], "dry_run": secret}
    reply = service.call("POST", "/turn", body, Idempotency_Key="key")
    assert [row["field"] for row in refused(reply, 422, "validation_error")["errors"]] == [
        "character_id",
        "user_action",
        "dry_run",
    ]
    assert secret.encode() not in reply.body


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_an_idempotency_key_that_is_none_is_refused(service: Served, key: str) -> None:
    reply = take(service, SOMEBODY, Idempotency_Key=key)
    assert "Idempotency-Key" in refused(reply, 422, "validation_error")["detail"]


def test_two_different_idempotency_keys_are_refused(service: Served) -> None:
    body = {**turn_body(SOMEBODY), "idempotency_key": "one"}
    reply = service.call("POST", "/turn", body, Idempotency_Key="two")
    assert "idempotency_key" in refused(reply, 422, "validation_error")["detail"]


def test_a_path_that_holds_no_uuid_is_a_validation_error(service: Served) -> None:
    refused(service.call("GET", "/characters/nobody"), 422, "validation_error")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_must_be_json_by_its_content_type(service: Served, content_type: str) -> None:
    body = turn_body(SOMEBODY)
    reply = service.call("POST", "/turn", body, Content_Type=content_type)
    assert "Content-Type" in refused(reply, 400, "bad_request")["detail"]


@pytest.mark.parametrize("user", [" ", "u" * 129, "tab\tbed", "\xfc"])
def test_a_user_id_that_is_none_is_a_bad_request(service: Served, user: str) -> None:
    refused(take(service, SOMEBODY, X_User_Id=user), 400, "bad_request")


@pytest.mark.parametrize("path", ["/turn", "/turn/stream", "/characters", "/debug/parse_llm"])
def test_a_body_beyond_the_limit_is_too_large(service: Served, path: str) -> None:
    body = json.dumps({"user_action": "x" * (256 * 1024)}).encode()
    refused(service.call("POST", path, body), 413, "payload_too_large")


@pytest.mark.parametrize("path", ["/nope", "/turn/", "/turns", "/static/nope.js", "/admin", "/%00"])
def test_an_unknown_address_is_not_found(service: Served, path: str) -> None:
    assert refused(service.call("GET", path), 404, "not_found")["error"]["recoverable"] is False


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/turn", {"POST"}),
        ("DELETE", "/turn/stream", {"POST"}),
        ("PUT", "/characters", {"GET", "HEAD", "POST"}),
        ("POST", "/health", {"GET", "HEAD"}),
        ("PATCH", "/turns/7", {"GET", "HEAD"}),
        ("GET", "/admin/policy/reload", {"POST"}),
        ("POST", "/static/play.js", {"GET", "HEAD"}),
    ],
)
def test_wrong_method_is_answered_with_the_allowed_ones(
    service: Served, method: str, path: str, allowed: set[str]
) -> None:
    reply = service.call(method, path)
    refused(reply, 405, "method_not_allowed")
    assert set((reply.header("allow") or "").split(", ")) == allowed


@pytest.mark.parametrize("path", ["/turn", "/turn/stream"])
def test_an_unknown_character_is_not_found(service: Served, path: str) -> None:
    refused(take(service, SOMEBODY, path), 404, "character_not_found")
    refused(service.call("GET", f"/characters/{SOMEBODY}"), 404, "character_not_found")


@pytest.mark.parametrize("path", ["/turn", "/turn/stream"])
def test_the_character_of_somebody_else_is_forbidden(
    service: Served, journey_log: FakeJourneyLog, path: str
) -> None:
    theirs = journey_log.seed_character(user="ann")
    refused(take(service, theirs, path, X_User_Id="bob"), 403, "forbidden")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("GET", "/events"), ("POST", "/cancel")],
)
def test_an_unknown_turn_and_the_turn_of_somebody_else_are_not_found(
    service: Served, character: str, method: str, path: str
) -> None:
    turn_id = service.turn(character).turn_id
    other = service.call(method, f"/turns/{turn_id}{path}", X_User_Id="bob")
    unknown = service.call(method, f"/turns/{SOMEBODY}{path}")
    assert refused(other, 404, "turn_not_found")["detail"] == unknown.error["message"]
    refused(unknown, 404, "turn_not_found")


def test_a_second_turn_of_a_character_is_in_progress_and_names_the_first(
    service: Served, model: FakeModel, character: str, gate: threading.Event
) -> None:
    model.then(Script(gate=gate))
    with service.live(character) as live:
        live.until("metadata", phase="narrative")
        reply = take(service, character)
        problem = refused(reply, 409, "turn_in_progress")
        assert reply.header("location") == f"/turns/{live.turn_id}/events"
        assert int(reply.header("retry-after") or "") > 0
        assert problem["turn_id"] == live.turn_id
        assert problem["error"]["recoverable"] is True


def test_cancelled_turn_is_reported_to_the_waiting_caller(
    service: Served, model: FakeModel, character: str, gate: threading.Event
) -> None:
    model.then(Script(gate=gate, gate_after=4))
    waiting = aside(take, service, character)
    model.wait_for(lambda: model.calls)
    running = service.call("GET", f"/admin/characters/{character}/recent_turns").json()
    turn_id = running["turns"][0]["turn_id"]
    assert service.cancel(turn_id).status == 202
    refused(waiting.result(300), 409, "turn_cancelled")


def test_a_finished_turn_cannot_be_cancelled(service: Served, character: str) -> None:
    turn_id = service.turn(character).turn_id
    problem = refused(service.cancel(turn_id), 409, "not_cancellable")
    assert problem["phase"] == "complete"


def test_the_events_of_an_old_turn_are_gone_but_the_turn_is_not(
    service: Served, character: str
) -> None:
    turn_id = service.turn(character).turn_id
    two_days_on = time.time() + 2 * 86_400
    _forget(service, two_days_on)
    reply = service.call("GET", f"/turns/{turn_id}/events")
    assert refused(reply, 410, "turn_expired")["turn"] == f"/turns/{turn_id}"
    assert f"</turns/{turn_id}>" in (reply.header("link") or "")
    assert service.call("GET", f"/turns/{turn_id}").json()["status"] == "complete"


def _forget(service: Served, now: float) -> None:
    assert service.loop is not None
    store = service.application.services.get(TurnExecutor)._store
    asyncio.run_coroutine_threadsafe(store.expire(now), service.loop).result(300)


def test_an_idempotency_key_cannot_name_another_body(service: Served, character: str) -> None:
    assert take(service, character, Idempotency_Key="once").status == 200
    body = turn_body(character, "Something else.")
    reply = service.call("POST", "/turn", body, Idempotency_Key="once")
    refused(reply, 422, "idempotency_key_reused")


# -- the upstreams' -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "status", "kind"),
    [
        (Script(status=400), 502, "llm_error"),
        (Script(status=401), 502, "llm_error"),
        (Script(drop_after=0), 502, "llm_error"),
        (Script(text="Once upon a time."), 502, "llm_response_error"),
        (Script(text='{"narrative": "Hello.", "int'), 502, "llm_response_error"),
        (Script(text='{"narrative": "", "intents": {}}'), 502, "llm_response_error"),
        (Script(incomplete_after=5), 502, "llm_response_error"),
        (Script(refusal="I cannot."), 502, "llm_response_error"),
    ],
)
def test_a_model_that_fails_is_a_status_on_turn_and_an_event_on_its_stream(
    serve: Callable[..., Served],
    model: FakeModel,
    journey_log: FakeJourneyLog,
    character: str,
    script: Script,
    status: int,
    kind: str,
) -> None:
    service = serve(**NO_RETRIES)
    model.default = script
    error = refused(take(service, character), status, kind)["error"]
    event = service.turn(character).last
    assert (event["type"], event["error_type"]) == ("error", kind)
    assert event["message"] == error["message"]
    assert event["recoverable"] is error["recoverable"]
    assert journey_log.writes == []


def test_a_model_that_does_not_answer_is_a_timeout(
    serve: Callable[..., Served], model: FakeModel, character: str
) -> None:
    service = serve(timeout=SOON, llm_streaming=False, llm_max_retries=0)
    model.default = Script(hang=True)
    problem = refused(take(service, character), 504, "llm_timeout")
    assert problem["error"]["recoverable"] is True


@pytest.mark.parametrize("path", ["/turn", "/turn/stream"])
@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        (answers(500), 502, "journey_log_error"),
        (answers(422), 502, "journey_log_error"),
        (proxy_error(502), 502, "journey_log_error"),
        (proxy_error(404), 502, "journey_log_error"),
        (drops(), 502, "journey_log_error"),
        (hangs(), 504, "journey_log_timeout"),
    ],
)
def test_a_journey_log_that_cannot_be_read_is_a_status_on_the_stream_too(
    serve: Callable[..., Served],
    model: FakeModel,
    journey_log: FakeJourneyLog,
    character: str,
    path: str,
    fault: Fault,
    status: int,
    kind: str,
) -> None:
    service = serve(timeout=SOON, **NO_RETRIES)
    journey_log.always("context", fault)
    refused(take(service, character, path), status, kind)
    assert model.calls == []


def test_a_journey_log_that_is_not_there_is_an_error_of_journey_log(
    serve: Callable[..., Served], journey_log: FakeJourneyLog, character: str
) -> None:
    service = serve(**NO_RETRIES)
    journey_log.close()
    refused(take(service, character), 502, "journey_log_error")
    refused(service.call("GET", "/characters"), 502, "journey_log_error")


@pytest.mark.parametrize(
    ("fault", "known", "kind"),
    [
        (answers(500), True, "journey_log_error"),
        (Fault(), False, "character_not_found"),
    ],
)
def test_after_the_head_was_sent_the_same_failure_is_an_event(
    serve: Callable[..., Served],
    journey_log: FakeJourneyLog,
    character: str,
    gate: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
    known: bool,
    kind: str,
) -> None:
    monkeypatch.setattr(app.turns.routes, "HEAD_SECONDS", 0.05)
    service = serve(**NO_RETRIES)
    journey_log.fail("context", replace(fault, gate=gate))
    with service.live(character if known else SOMEBODY) as live:
        live.until("metadata", phase="start")
        gate.set()
        stream = live.rest()
    assert stream.last["type"] == "error"
    assert stream.last["error_type"] == kind
    assert stream.last["request_id"] == stream.header("x-request-id")
    assert stream.body.endswith(b"data: [DONE]\n\n")


# -- ours -----------------------------------------------------------------------------------------


def test_defect_in_a_turn_is_an_internal_error_without_details(
    service: Served, character: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.turns.story, "build_prompt", _broken)
    reply = take(service, character)
    refused(reply, 500, "internal_error")
    assert b"hunter2" not in reply.body
    event = service.turn(character).last
    assert event["error_type"] == "internal_error"
    assert "hunter2" not in json.dumps(event)


def test_defect_in_a_route_is_an_internal_error_without_details(
    service: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TurnService, "describe", _broken)
    reply = service.call("GET", f"/turns/{SOMEBODY}")
    refused(reply, 500, "internal_error")
    assert b"hunter2" not in reply.body


def _broken(*_: Any) -> None:
    raise RuntimeError("the password is hunter2")


def test_a_character_is_free_again_after_every_failure(
    serve: Callable[..., Served], model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    service = serve(**NO_RETRIES)
    journey_log.fail("context", answers(500))
    refused(take(service, character), 502, "journey_log_error")
    model.then(*[Script(text="no outcome")] * 2)
    refused(take(service, character), 502, "llm_response_error")
    assert take(service, character).status == 200
