"""`POST /turn`: the same turn, read to its end and answered whole."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from fakes.journey_log import FakeJourneyLog, Fault, answers, hangs, late
from fakes.model import (
    COMBAT_START,
    NARRATIVE,
    POI_CREATE,
    QUEST_OFFER,
    FakeModel,
    Script,
    outcome_text,
)
from serving import SOON, Reply, Served, Stream, aside, refused, turn_body

Serve = Callable[..., Served]
FIELDS = ("turn_id", "narrative", "intents", "subsystem_summary", "timing", "usage")
EVERYTHING = Script(text=outcome_text(quest=QUEST_OFFER, combat=COMBAT_START, poi=POI_CREATE))
UNKNOWN = "7b6f1f34-6a0e-4f5a-9a53-0d6e6d3f6f10"


def whole(service: Served, character: str, **fields: Any) -> Reply:
    return service.call("POST", "/turn", turn_body(character, **fields))


def events_of(service: Served, turn_id: str) -> Stream:
    return service.stream("GET", f"/turns/{turn_id}/events")


def test_answer_equals_the_events_of_the_turn(
    serve: Serve, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    service = serve(quest_trigger_prob=1, poi_trigger_prob=1, rng_seed="x")
    model.then(EVERYTHING)
    reply = whole(service, character)
    body = reply.json()
    assert (reply.status, tuple(body)) == (200, FIELDS)
    assert reply.header("content-type") == "application/json"
    assert reply.header("x-turn-id") == body["turn_id"]
    assert reply.header("location") == f"/turns/{body['turn_id']}/events"
    stream = events_of(service, body["turn_id"])
    assert body["narrative"] == stream.narrative == NARRATIVE
    for name in FIELDS:
        assert name == "narrative" or body[name] == stream.last[name]
    assert journey_log.kinds() == ["quest", "combat", "poi", "narrative"]
    assert journey_log.narratives(character) == [NARRATIVE]


def test_synchronous_and_streamed_turns_are_the_same(
    service: Served, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    first, second = journey_log.seed_character(), journey_log.seed_character()
    streamed = service.turn(first)
    replayed = events_of(service, whole(service, second).json()["turn_id"])
    assert replayed.narrative == streamed.narrative
    assert replayed.phases == streamed.phases
    assert [set(event) for event in replayed.of("metadata")] == [
        set(event) for event in streamed.of("metadata")
    ]
    assert model.calls[0]["stream"] is model.calls[1]["stream"] is True


def test_a_dry_run_is_answered_without_a_write(
    service: Served, journey_log: FakeJourneyLog, character: str
) -> None:
    body = whole(service, character, dry_run=True).json()
    assert body["narrative"] == NARRATIVE
    assert body["subsystem_summary"]["dry_run"] is True
    assert journey_log.writes == []


@pytest.mark.parametrize(
    ("script", "status", "kind"),
    [
        (Script(text="no outcome"), 502, "llm_response_error"),
        (Script(text=outcome_text()[:-20], finish="length"), 502, "llm_response_error"),
        (Script(status=500), 502, "llm_error"),
        (Script(status=401), 502, "llm_error"),
        (Script(drop_after=8), 502, "llm_error"),
        (Script(hang=True), 504, "llm_timeout"),
    ],
    ids=["invalid", "truncated", "failing", "refusing", "broken", "silent"],
)
def test_a_failure_of_the_model_is_a_status(
    serve: Serve,
    model: FakeModel,
    journey_log: FakeJourneyLog,
    character: str,
    script: Script,
    status: int,
    kind: str,
) -> None:
    model.default = script
    service = serve(llm_max_retries=0, timeout=SOON)
    refused(whole(service, character), status, kind)
    model.default = Script()
    assert journey_log.writes == []
    assert whole(service, character).status == 200  # the character is free


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        (answers(500), 502, "journey_log_error"),
        (answers(404), 404, "character_not_found"),
        (answers(403), 403, "forbidden"),
        (hangs(), 504, "journey_log_timeout"),
    ],
    ids=["failing", "unknown", "foreign", "silent"],
)
def test_a_failure_to_read_the_context_is_a_status(
    serve: Serve,
    model: FakeModel,
    journey_log: FakeJourneyLog,
    character: str,
    fault: Fault,
    status: int,
    kind: str,
) -> None:
    journey_log.fail("context", fault)
    service = serve(journey_log_max_retries=0, timeout=SOON)
    refused(whole(service, character), status, kind)
    assert model.calls == []
    assert whole(service, character).status == 200


def test_an_unknown_character_is_not_found(service: Served, model: FakeModel) -> None:
    refused(whole(service, UNKNOWN), 404, "character_not_found")
    assert model.calls == []


def test_a_failed_write_is_part_of_the_summary_and_no_status(
    service: Served, journey_log: FakeJourneyLog, character: str
) -> None:
    journey_log.fail("narrative", answers(422))
    reply = whole(service, character)
    assert reply.status == 200
    assert reply.json()["subsystem_summary"]["narrative_persisted"] is False


@pytest.mark.parametrize("where", ["context", "narrative"])
def test_waiting_caller_of_a_cancelled_turn_gets_its_status(
    service: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str, where: str
) -> None:
    gate = threading.Event()
    if where == "context":
        journey_log.fail("context", late(gate))
    model.then(Script(gate=gate, gate_after=8))
    waiting = aside(whole, service, character)
    journey_log.wait_for(lambda: journey_log.requests)
    if where == "narrative":
        model.wait_for(lambda: model.stats.open == 1)
    busy = whole(service, character)
    refused(busy, 409, "turn_in_progress")
    turn_id = str(busy.header("location")).split("/")[2]
    assert service.cancel(turn_id).status == 202
    refused(waiting.result(300), 409, "turn_cancelled")
    gate.set()
    assert journey_log.writes == []
