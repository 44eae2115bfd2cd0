"""What a reloaded page or a second phone finds: the character's turns and the one that runs."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from app.core.opening import DEFAULT_ADVENTURE

from fakes.journey_log import FakeJourneyLog, answers
from fakes.model import NARRATIVE, FakeModel, Script, outcome_text
from serving import TIMEOUT, Served, aside, refused
from tabling import NARRATIVE as TOLD
from tabling import party, script_of

Serve = Callable[..., Served]
FIELDS = {"turn_id", "status", "user_action", "narrative", "intents", "created_at"}


def page(service: Served, character: str, query: str = "", **headers: str) -> Any:
    reply = service.call("GET", f"/characters/{character}/turns{query}", **headers)
    assert reply.status == 200, reply.body
    return reply.json()


def whole_story(service: Served, character: str, limit: int) -> list[dict[str, Any]]:
    """All pages, oldest turn first."""
    found: list[dict[str, Any]] = []
    query = f"?limit={limit}"
    while True:
        answer = page(service, character, query)
        assert len(answer["turns"]) <= limit
        found += answer["turns"]
        if answer["next"] is None:
            return found[::-1]
        query = f"?limit={limit}&before={answer['next']}"


def stored_turn(number: int) -> dict[str, str]:
    """A turn that journey-log has and this service has not."""
    stamp = f"2026-01-01T00:{number // 60:02d}:{number % 60:02d}Z"
    return {"user_action": f"old {number}", "ai_response": f"Old {number}.", "timestamp": stamp}


def play(service: Served, model: FakeModel, character: str, number: int) -> str:
    model.then(Script(outcome_text(f"New {number}.")))
    stream = service.turn(character, f"new {number}")
    assert stream.last["type"] == "complete"
    return stream.turn_id


def test_turns_are_newest_first_with_their_texts(
    service: Served, model: FakeModel, character: str
) -> None:
    turn_ids = [play(service, model, character, number) for number in range(3)]
    answer = page(service, character)
    assert answer["next"] is None
    assert [turn["turn_id"] for turn in answer["turns"]] == turn_ids[::-1]
    newest = answer["turns"][0]
    assert set(newest) == FIELDS
    assert (newest["user_action"], newest["narrative"]) == ("new 2", "New 2.")
    assert newest["status"] == "complete"
    assert newest["intents"] == service.call("GET", f"/turns/{turn_ids[2]}").json()["intents"]


@pytest.mark.parametrize("limit", [1, 3, 4, 7, 100])
def test_pages_lead_back_to_the_first_turn_in_journey_log(
    service: Served, model: FakeModel, journey_log: FakeJourneyLog, limit: int
) -> None:
    character = journey_log.seed_character(turns=[stored_turn(number) for number in range(5)])
    for number in range(3):
        play(service, model, character, number)
    story = whole_story(service, character, limit)
    assert [turn["narrative"] for turn in story] == [
        *(f"Old {number}." for number in range(5)),
        *(f"New {number}." for number in range(3)),
    ]
    assert [turn["user_action"] for turn in story[:5]] == [f"old {number}" for number in range(5)]
    assert {turn["status"] for turn in story} == {"complete"}
    assert story[0]["intents"] is None
    assert story[0]["created_at"].startswith("2026-01-01T00:00:00")


def test_story_of_a_character_that_never_played_here_is_that_of_journey_log(
    service: Served, journey_log: FakeJourneyLog
) -> None:
    turns = [{"user_action": DEFAULT_ADVENTURE, "ai_response": "Rain."}, stored_turn(1)]
    character = journey_log.seed_character(turns=turns[:1])
    (turn,) = page(service, character)["turns"]
    assert (turn["user_action"], turn["narrative"]) == (None, "Rain.")


def test_turns_without_a_narrative_are_shown_with_their_status(
    service: Served, model: FakeModel, character: str
) -> None:
    play(service, model, character, 0)
    model.then(*[Script(text="no outcome")] * 2)
    assert service.turn(character, "it fails").last["type"] == "error"
    gate = threading.Event()
    model.then(Script(gate=gate, gate_after=8))
    with service.live(character, "it runs") as live:
        live.until("token")
        running, failed, complete = page(service, character)["turns"]
        assert (running["turn_id"], running["status"]) == (live.turn_id, "running")
        assert running["user_action"] == "it runs"
        assert NARRATIVE.startswith(running["narrative"])
        assert running["narrative"] != ""
        assert (failed["status"], failed["intents"]) == ("error", None)
        assert complete["narrative"] == "New 0."
        gate.set()
        live.until("complete")


def test_first_page_of_an_opened_character_does_not_ask_journey_log(
    service: Served, journey_log: FakeJourneyLog
) -> None:
    body = {"name": "Maren", "race": "Human", "class_name": "Ranger"}
    character = service.call("POST", "/characters", body).json()["character_id"]
    before = len(journey_log.requests)
    (turn,) = page(service, character)["turns"]
    assert (turn["user_action"], turn["narrative"]) == (None, NARRATIVE)
    assert len(journey_log.requests) == before


def test_turns_at_a_table_are_paged_and_show_nothing_that_does_not_count_yet(
    service: Served, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    model.default = script_of()
    character = journey_log.seed_character("mara")
    table, (owner, mara) = party(service, "olga", "mara")
    assert mara.joins(table, character_id=character).status == 200
    for action in ("one", "two"):
        assert mara.acts(table, action).status == 200
    owner.call("PUT", f"/{table}", {"approval_seconds": 600})
    with owner.follows(table) as stream:
        acting = aside(mara.acts, table, "three")
        stream.until("metadata", phase="approval")
        newest = page(service, character, "?limit=2", **mara.headers)
        (two_older,) = page(service, character, f"?before={newest['next']}", **mara.headers)[
            "turns"
        ]
        assert owner.call("POST", f"/{table}/approval").status == 202
        assert acting.result(TIMEOUT).status == 200
    shown = [(turn["user_action"], turn["status"], turn["narrative"]) for turn in newest["turns"]]
    assert shown == [("three", "running", None), ("two", "complete", TOLD)]
    assert (two_older["user_action"], two_older["narrative"]) == ("one", TOLD)


def test_foreign_unknown_and_malformed_ones_are_refused(
    service: Served, model: FakeModel, character: str, journey_log: FakeJourneyLog
) -> None:
    turn_id = play(service, model, character, 0)
    path = f"/characters/{character}/turns"
    refused(service.call("GET", path, X_User_Id="ann"), 403, "forbidden")
    refused(service.call("GET", f"/characters/{uuid.uuid4()}/turns"), 404, "character_not_found")
    refused(service.call("GET", "/characters/no-uuid/turns"), 422, "validation_error")
    refused(service.call("GET", f"{path}?before={uuid.uuid4()}"), 404, "turn_not_found")
    other = journey_log.seed_character()
    elsewhere = f"/characters/{other}/turns?before={turn_id}"
    refused(service.call("GET", elsewhere), 404, "turn_not_found")
    theirs = journey_log.seed_character(user="ann")
    stolen = f"/characters/{theirs}/turns?before={turn_id}"
    refused(service.call("GET", stolen, X_User_Id="ann"), 404, "turn_not_found")
    for limit in ("0", "101", "-1", "x", ""):
        refused(service.call("GET", f"{path}?limit={limit}"), 400, "invalid_limit")


def test_failing_journey_log_is_an_error_where_it_is_needed(
    serve: Serve, journey_log: FakeJourneyLog, character: str
) -> None:
    service = serve(journey_log_max_retries=0)
    journey_log.always("narrative_get", answers(500))
    path = f"/characters/{character}/turns"
    refused(service.call("GET", path), 502, "journey_log_error")


# -- the turn that runs ---------------------------------------------------------------------------


def active(service: Served, character: str) -> Any:
    return service.call("GET", f"/characters/{character}").json()["active_turn"]


def test_active_turn_is_the_one_that_runs(serve: Serve, model: FakeModel, character: str) -> None:
    service = serve(turn_conflict="queue")
    assert active(service, character) is None
    gate = threading.Event()
    model.then(Script(gate=gate, gate_after=8), Script(gate=gate, gate_after=8))
    with service.live(character) as live, service.live(character) as waiting:
        live.until("token")
        waiting.until("metadata", phase="queued")
        assert active(service, character) == {"turn_id": live.turn_id, "status": "running"}
        gate.set()
        live.until("complete")
        waiting.until("complete")
        assert active(service, character) is None
