"""Turns of `commit: manual` over HTTP and WebSocket: awaited, retold, committed, cancelled."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from fakes.journey_log import FakeJourneyLog
from fakes.model import NARRATIVE, FakeModel, Script, outcome_text
from serving import TIMEOUT, Live, Served, aside, refused, turn_body

Serve = Callable[..., Served]
AGAIN = "The bell is silent."
STEADY = {"quest_trigger_prob": 0, "poi_trigger_prob": 0}


@pytest.fixture
def steady(serve: Serve) -> Served:
    return serve(**STEADY)


@contextmanager
def awaiting(service: Served, character: str, **fields: Any) -> Iterator[Live]:
    """A turn's stream, read until it awaits its commit."""
    with service.live(character, commit="manual", **fields) as live:
        live.until("metadata", phase="awaiting_commit")
        yield live


def choose(service: Served, turn_id: str, choice: str, body: Any = None) -> Any:
    reply = service.call("POST", f"/turns/{turn_id}/{choice}", body)
    assert reply.status == 202, reply.body
    return reply.json()


def stories(journey_log: FakeJourneyLog, character: str) -> list[str]:
    sent = [request for request in journey_log.requests if request.path.endswith("/narrative")]
    return [
        one.json()["ai_response"] for one in sent if one.method == "POST" and character in one.path
    ]


def test_retold_turn_is_written_as_it_was_chosen(
    steady: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    with awaiting(steady, character) as live:
        model.then(Script(text=outcome_text(AGAIN)))
        reply = choose(steady, live.turn_id, "retell", {"guidance": "quieter"})
        assert reply == {"turn_id": live.turn_id, "status": "retelling"}
        live.until("metadata", phase="awaiting_commit")
        shown = steady.call("GET", f"/turns/{live.turn_id}").json()
        assert (shown["status"], shown["phase"]) == ("running", "awaiting_commit")
        assert (shown["narrative"], shown["until"] > "2026") == (AGAIN, True)
        assert stories(journey_log, character) == []
        assert choose(steady, live.turn_id, "commit")["status"] == "committed"
        stream = live.rest()
    assert stream.last["type"] == "complete"
    assert stories(journey_log, character) == [AGAIN]
    assert "quieter" in model.requests[-1].body.decode()
    assert choose(steady, live.turn_id, "commit")["status"] == "committed"
    whole = steady.stream("GET", f"/turns/{live.turn_id}/events")
    assert whole.frames == stream.frames
    phases = [event["phase"] for event in whole.of("metadata")][3:]
    assert phases == [
        *("narrative", "validation", "awaiting_commit"),
        *("retelling", "validation", "awaiting_commit", "writes"),
    ]
    assert steady.call("GET", f"/turns/{live.turn_id}").json()["narrative"] == AGAIN


def test_a_whole_turn_is_answered_when_it_awaits_its_commit(
    steady: Served, journey_log: FakeJourneyLog, character: str
) -> None:
    body = turn_body(character, commit="manual", idempotency_key="k")
    reply = steady.call("POST", "/turn", body)
    assert (reply.status, reply.json()["phase"]) == (202, "awaiting_commit")
    turn_id = reply.json()["turn_id"]
    assert reply.header("Location") == f"/turns/{turn_id}/events"
    assert steady.call("POST", "/turn", body).json()["turn_id"] == turn_id
    with steady.events(turn_id) as live:
        choose(steady, turn_id, "commit")
        assert live.rest().last["type"] == "complete"
    again = steady.call("POST", "/turn", body)
    assert (again.status, again.json()["narrative"]) == (200, NARRATIVE)
    assert stories(journey_log, character) == [NARRATIVE]
    other = steady.call("POST", "/turn", turn_body(character, idempotency_key="k"))
    refused(other, 422, "idempotency_key_reused")


def test_held_turn_keeps_its_character_until_it_is_cancelled(
    steady: Served, journey_log: FakeJourneyLog, character: str
) -> None:
    with awaiting(steady, character) as live:
        refused(steady.call("POST", "/turn", turn_body(character)), 409, "turn_in_progress")
        assert steady.cancel(live.turn_id).status == 202
        assert live.rest().last["type"] == "cancelled"
    assert stories(journey_log, character) == []
    for choice in ("commit", "retell"):
        late = steady.call("POST", f"/turns/{live.turn_id}/{choice}")
        assert refused(late, 409, "not_awaiting_commit")["phase"] == "cancelled"


def test_held_turn_is_cancelled_at_its_deadline(serve: Serve, character: str) -> None:
    service = serve(commit_timeout_seconds=1)
    with awaiting(service, character) as live:
        assert live.rest().last["phase"] == "awaiting_commit"
    assert service.call("GET", f"/turns/{live.turn_id}").json()["status"] == "cancelled"


def test_failed_retelling_brings_the_earlier_outcome_back(
    steady: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    with awaiting(steady, character) as live:
        model.then(*[Script(text="no JSON at all")] * 2)
        choose(steady, live.turn_id, "retell")
        failed = live.until("metadata", error_type="llm_response_error")
        assert failed["phase"] == "retelling"
        live.until("metadata", phase="awaiting_commit")
        choose(steady, live.turn_id, "commit")
        assert live.rest().last["type"] == "complete"
    assert stories(journey_log, character) == [NARRATIVE]


def test_one_of_a_simultaneous_commit_and_cancel_wins(
    steady: Served, journey_log: FakeJourneyLog, character: str
) -> None:
    for number in range(1, 6):
        with awaiting(steady, character, action=f"step {number}") as live:
            path = f"/turns/{live.turn_id}"
            wishes = [aside(steady.call, "POST", f"{path}/{how}") for how in ("commit", "cancel")]
            taken = [wish.result(300).status for wish in wishes]
            assert sorted(taken) == [202, 409]
            end = live.rest().last["type"]
            assert end == ("complete" if taken[0] == 202 else "cancelled")


@pytest.mark.parametrize("choice", ["commit", "retell"])
def test_only_its_user_may_choose(steady: Served, character: str, choice: str) -> None:
    with awaiting(steady, character) as live:
        path = f"/turns/{live.turn_id}/{choice}"
        refused(steady.call("POST", path, X_User_Id="mallory"), 404, "turn_not_found")
        refused(steady.call("POST", f"/turns/{character}/{choice}"), 404, "turn_not_found")
        assert steady.cancel(live.turn_id).status == 202


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b'{"guidance": "' + b"x" * 1_001 + b'"}', "guidance"),
        (b'{"guidence": "x"}', "guidance"),
        (b'{"guidance": 1}', "guidance"),
    ],
)
def test_a_wrong_wish_is_named(steady: Served, character: str, body: bytes, named: str) -> None:
    with awaiting(steady, character) as live:
        reply = steady.call("POST", f"/turns/{live.turn_id}/retell", body)
        assert named in refused(reply, 422, "validation_error")["detail"]
        assert steady.cancel(live.turn_id).status == 202


def test_socket_commits_and_retells(
    steady: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    with steady.socket() as socket:

        def until(kind: str, **fields: Any) -> dict[str, Any]:
            while True:
                event: dict[str, Any] = json.loads(socket.recv(TIMEOUT))
                if event["type"] == kind and fields.items() <= event.items():
                    return event

        socket.send(json.dumps({"type": "commit"}))
        assert until("error")["error_type"] == "turn_not_found"
        socket.send(json.dumps(turn_body(character, commit="manual")))
        until("metadata", phase="awaiting_commit")
        model.then(Script(text=outcome_text(AGAIN)))
        socket.send(json.dumps({"type": "retell", "guidance": "quieter"}))
        until("metadata", phase="awaiting_commit")
        socket.send(json.dumps({"type": "commit"}))
        until("complete")
    assert stories(journey_log, character) == [AGAIN]


def test_a_retelling_is_streamed_as_it_forms_and_read_by_others(
    steady: Served, model: FakeModel, character: str
) -> None:
    with awaiting(steady, character) as live:
        gate = threading.Event()
        model.then(Script(text=outcome_text(AGAIN), gate=gate, gate_after=6))
        choose(steady, live.turn_id, "retell")
        live.until("metadata", phase="retelling")
        live.until("token")
        refused(steady.call("POST", f"/turns/{live.turn_id}/commit"), 409, "not_awaiting_commit")
        gate.set()
        live.until("metadata", phase="awaiting_commit")
        choose(steady, live.turn_id, "commit")
        whole = live.rest()
    late = steady.stream("GET", f"/turns/{live.turn_id}/events", last_event_id=f"{live.turn_id}:9")
    assert late.frames == whole.frames[9:]
