"""Characters: made, opened, listed, shown."""

from __future__ import annotations

import json
import signal
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from app.core.opening import DEFAULT_ADVENTURE, OPENING_ACTION

from fakes.journey_log import FakeJourneyLog, Fault, answers, drops, hangs, proxy_error
from fakes.model import NARRATIVE, POI_CREATE, QUEST_OFFER, FakeModel, Script, outcome_text
from remote import environment, remote
from serving import SOON, Live, Reply, Served, aside, refused

WHO = {"name": "Maren", "race": "Human", "class_name": "Ranger"}


def create(service: Served, accept: str = "*/*", **fields: Any) -> Reply:
    return service.call("POST", "/characters", {**WHO, **fields}, Accept=accept)


def test_a_character_is_created_with_its_opening(
    service: Served, journey_log: FakeJourneyLog
) -> None:
    reply = create(service)
    assert reply.status == 201
    assert set(reply.json()) == {"character_id", "narrative"}
    character = reply.json()["character_id"]
    assert reply.json()["narrative"] == NARRATIVE
    identity = journey_log.character(character)["player_state"]["identity"]
    assert identity == {"name": "Maren", "race": "Human", "class": "Ranger"}
    opening = journey_log.writes[-1]
    assert (opening.kind, opening.character_id) == ("narrative", character)
    assert opening.body is not None
    assert opening.body["ai_response"] == NARRATIVE


@pytest.mark.parametrize("name", ["adventure_prompt", "custom_prompt"])
def test_an_adventure_prompt_is_taken_by_both_of_its_names(
    service: Served, model: FakeModel, journey_log: FakeJourneyLog, name: str
) -> None:
    assert create(service, **{name: "A lighthouse burns black."}).status == 201
    asked = next(r for r in journey_log.requests if r.method == "POST")
    assert asked.json()["adventure_prompt"] == "A lighthouse burns black."
    assert "A lighthouse burns black." in json.dumps(model.calls)


@pytest.mark.parametrize("prompt", [{}, {"adventure_prompt": None}, {"adventure_prompt": "  "}])
def test_without_an_adventure_prompt_there_is_a_default(
    service: Served, journey_log: FakeJourneyLog, prompt: dict[str, Any]
) -> None:
    assert create(service, **prompt).status == 201
    asked = next(r for r in journey_log.requests if r.method == "POST")
    assert asked.json()["adventure_prompt"] == DEFAULT_ADVENTURE


@pytest.mark.parametrize("field", ["name", "race", "class_name"])
@pytest.mark.parametrize("value", ["", "   ", "\t\n", "x" * 65, None, 7])
def test_a_name_that_is_blank_or_too_long_makes_no_character(
    service: Served, journey_log: FakeJourneyLog, field: str, value: Any
) -> None:
    problem = refused(create(service, **{field: value}), 422, "validation_error")
    assert [row["field"] for row in problem["errors"]] == [field]
    assert journey_log.requests == []


@pytest.mark.parametrize("field", list(WHO))
def test_a_name_of_64_characters_is_taken_and_trimmed(service: Served, field: str) -> None:
    assert create(service, **{field: f"  {'é' * 64} "}).status == 201


def test_a_missing_name_is_named(service: Served) -> None:
    problem = refused(service.call("POST", "/characters", {"name": "A"}), 422, "validation_error")
    assert [row["field"] for row in problem["errors"]] == ["race", "class_name"]


def test_an_adventure_prompt_that_is_too_long_is_refused(service: Served) -> None:
    refused(create(service, adventure_prompt="x" * 8001), 422, "validation_error")


def test_the_opening_streams_on_request(service: Served, journey_log: FakeJourneyLog) -> None:
    stream = service.stream("POST", "/characters", WHO, Accept="text/event-stream")
    assert stream.status == 200
    assert (stream.header("content-type") or "").startswith("text/event-stream")
    character = stream.header("x-character-id")
    assert stream.header("location") == f"/turns/{stream.turn_id}/events"
    assert stream.events[0]["character_id"] == character
    assert stream.narrative == NARRATIVE
    assert stream.last["type"] == "complete"
    assert journey_log.writes[-1].character_id == character
    again = service.stream("GET", f"/turns/{stream.turn_id}/events")
    assert again.frames == stream.frames


def test_the_same_character_cannot_be_made_twice(service: Served) -> None:
    assert create(service).status == 201
    problem = refused(create(service), 409, "character_exists")
    assert problem["error"]["recoverable"] is False
    stream = service.stream("POST", "/characters", WHO, Accept="text/event-stream")
    refused(stream, 409, "character_exists")
    assert service.call("POST", "/characters", WHO, X_User_Id="ann").status == 201


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        (answers(500), 502, "journey_log_error"),
        (proxy_error(503), 502, "journey_log_error"),
        (drops(), 502, "journey_log_error"),
        (hangs(), 504, "journey_log_timeout"),
    ],
)
def test_a_journey_log_that_fails_makes_no_character(
    serve: Callable[..., Served],
    model: FakeModel,
    journey_log: FakeJourneyLog,
    accept: str,
    fault: Fault,
    status: int,
    kind: str,
) -> None:
    service = serve(timeout=SOON)
    journey_log.fail("create", fault)
    refused(create(service, accept), status, kind)
    assert len(journey_log.requests) == 1
    assert model.calls == []


def test_a_character_stays_when_its_opening_fails_and_the_error_names_it(
    service: Served, model: FakeModel
) -> None:
    model.then(*[Script(text="no outcome")] * 2)
    character = refused(create(service), 502, "llm_response_error")["character_id"]
    assert service.turn(character).last["type"] == "complete"


def test_a_caller_sees_only_characters_of_its_own(service: Served) -> None:
    mine = create(service).json()["character_id"]
    theirs = service.call("POST", "/characters", WHO, X_User_Id="ann").json()["character_id"]
    listed = service.call("GET", "/characters").json()
    assert listed["count"] == 1
    assert [row["character_id"] for row in listed["characters"]] == [mine]
    row = listed["characters"][0]
    assert (row["name"], row["race"], row["class"]) == ("Maren", "Human", "Ranger")
    assert row["status"] == "Healthy"
    of_ann = service.call("GET", "/characters", X_User_Id="ann").json()["characters"]
    assert [row["character_id"] for row in of_ann] == [theirs]
    refused(service.call("GET", f"/characters/{theirs}"), 403, "forbidden")


def test_nobody_has_characters_at_first(service: Served) -> None:
    assert service.call("GET", "/characters").json() == {"characters": [], "count": 0}


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [(answers(500), 502, "journey_log_error"), (hangs(), 504, "journey_log_timeout")],
)
def test_a_list_that_cannot_be_read_is_an_error(
    serve: Callable[..., Served],
    journey_log: FakeJourneyLog,
    fault: Fault,
    status: int,
    kind: str,
) -> None:
    service = serve(timeout=SOON, journey_log_max_retries=0)
    journey_log.always("list", fault)
    refused(service.call("GET", "/characters"), status, kind)


def test_a_character_is_shown_with_its_context(
    service: Served, journey_log: FakeJourneyLog
) -> None:
    character = journey_log.seed_character(name="Arin", status="Wounded")
    shown = service.call("GET", f"/characters/{character}").json()
    assert (shown["name"], shown["status"], shown["turns"]) == ("Arin", "Wounded", 0)
    context = shown["context"]
    assert context["location"]["display_name"]
    assert context["quest"] is None
    assert context["combat"] == {"active": False, "state": None}
    assert context["narrative"]["recent_turns"] == []


def test_fields_that_journey_log_lacks_are_shown_with_the_character(
    serve: Callable[..., Served], model: FakeModel, character: str
) -> None:
    service = serve(quest_trigger_prob=1, poi_trigger_prob=1, rng_seed="x")
    moved = {
        "action": "update_minor",
        "location_id": "town:vault",
        "location_display_name": "The Vault",
        "minor_location": "By the door",
    }
    progress = {"action": "advance", "progress_update": "The clapper is found."}
    model.then(
        Script(text=outcome_text(quest=QUEST_OFFER, poi=POI_CREATE)),
        Script(text=outcome_text(quest=progress, location=moved)),
    )
    for _ in range(2):
        assert service.turn(character).last["type"] == "complete"
    shown = service.call("GET", f"/characters/{character}").json()
    assert shown["turns"] == 2
    context = shown["context"]
    assert context["quest"]["name"] == QUEST_OFFER["quest_title"]
    assert context["quest"]["progress"] == ["The clapper is found."]
    assert context["location"] == {
        "id": "town:vault",
        "display_name": "The Vault",
        "minor_location": "By the door",
    }
    assert [place["name"] for place in context["world"]["pois_sample"]] == [POI_CREATE["name"]]
    assert len(context["narrative"]["recent_turns"]) == 2


def test_an_unknown_character_is_not_found(service: Served) -> None:
    refused(service.call("GET", f"/characters/{uuid.uuid4()}"), 404, "character_not_found")


# -- what the player said, and what not -------------------------------------------------------------


@pytest.mark.parametrize("wish", [{}, {"adventure_prompt": None}, {"custom_prompt": " \n "}])
def test_default_adventure_is_never_shown_as_words_of_the_player(
    service: Served, model: FakeModel, journey_log: FakeJourneyLog, wish: dict[str, Any]
) -> None:
    stream = service.stream("POST", "/characters", {**WHO, **wish}, Accept="text/event-stream")
    character = stream.header("x-character-id") or ""
    assert stream.events[0]["user_action"] is None
    written = journey_log.writes[-1].body or {}
    assert written["user_action"] == OPENING_ACTION
    assert "ADVENTURE WISHED FOR" not in prompt_of(model, -1)
    assert service.turn(character, "I listen.").last["type"] == "complete"
    assert DEFAULT_ADVENTURE not in prompt_of(model, -1)
    assert OPENING_ACTION not in prompt_of(model, -1)
    for path in (f"/characters/{character}", f"/turns/{stream.turn_id}"):
        shown = service.call("GET", path).body.decode()
        assert DEFAULT_ADVENTURE not in shown
        assert OPENING_ACTION not in shown


def test_wish_is_shown_as_words_of_the_player(
    service: Served, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    wished = {**WHO, "adventure_prompt": "A lighthouse burns black."}
    stream = service.stream("POST", "/characters", wished, Accept="text/event-stream")
    assert stream.events[0]["user_action"] == "A lighthouse burns black."
    written = journey_log.writes[-1].body or {}
    assert written["user_action"] == "A lighthouse burns black."
    assert "ADVENTURE WISHED FOR" in prompt_of(model, -1)


def test_default_adventure_that_an_older_release_wrote_is_not_shown(
    service: Served, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    opening = {"user_action": DEFAULT_ADVENTURE, "ai_response": "Rain falls."}
    character = journey_log.seed_character(turns=[opening])
    assert DEFAULT_ADVENTURE not in service.call("GET", f"/characters/{character}").body.decode()
    assert service.turn(character).last["type"] == "complete"
    assert DEFAULT_ADVENTURE not in prompt_of(model, -1)
    assert "Rain falls." in prompt_of(model, -1)


def test_offline_storyteller_does_not_quote_the_default_adventure(
    serve: Callable[..., Served],
) -> None:
    service = serve(openai_base_url=None, openai_api_key=None, storyteller_tokens_per_second=0)
    narrative = create(service).json()["narrative"]
    for phrase in ("classic fantasy", "quiet place with a secret", "someone who needs help"):
        assert phrase not in narrative
    assert "“”" not in narrative


def prompt_of(model: FakeModel, call: int) -> str:
    """Everything that the model was sent in one of its calls, as one text."""
    return json.dumps(model.calls[call])


def test_steps_and_rewards_of_quests_are_shown_and_outlive_them(
    serve: Callable[..., Served], model: FakeModel, character: str
) -> None:
    service = serve(quest_trigger_prob=1, rng_seed="x", quest_cooldown_turns=0)
    advance = {"action": "advance", "progress_update": "Something is found."}
    model.then(
        Script(text=outcome_text(quest=QUEST_OFFER)),
        Script(text=outcome_text(quest=advance)),
        Script(text=outcome_text(quest={"action": "complete"})),
    )
    for _ in range(2):
        assert service.turn(character).last["type"] == "complete"
    quest = service.call("GET", f"/characters/{character}").json()["context"]["quest"]
    details = QUEST_OFFER["quest_details"]
    assert [step["text"] for step in quest["steps"]] == details["requirements"]
    assert quest["steps"][0]["done"] is (len(details["requirements"]) > 1)
    assert quest["rewards"]["items"] == details["rewards"]["items"]
    assert service.turn(character).last["type"] == "complete"
    context = service.call("GET", f"/characters/{character}").json()["context"]
    assert context["quest"] is None
    (past,) = context["past_quests"]
    assert (past["name"], past["outcome"]) == (QUEST_OFFER["quest_title"], "completed")
    assert context["earned"]["items"] == details["rewards"]["items"]


# -- an opening that did not succeed ------------------------------------------------------------


def opened(service: Served, character: str, accept: str = "*/*", **fields: Any) -> Reply:
    return service.call("POST", f"/characters/{character}/opening", fields, Accept=accept)


def with_failed_opening(
    service: Served, model: FakeModel, wish: str | None = None, key: str = "k"
) -> str:
    """The id of a character whose opening has failed."""
    model.then(*[Script(text="no outcome")] * 2)
    reply = service.call(
        "POST", "/characters", {**WHO, "adventure_prompt": wish}, Idempotency_Key=key
    )
    character: str = refused(reply, 502, "llm_response_error")["character_id"]
    return character


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
def test_opening_that_failed_is_tried_again(
    service: Served, model: FakeModel, journey_log: FakeJourneyLog, accept: str
) -> None:
    character = with_failed_opening(service, model)
    reply = service.stream("POST", f"/characters/{character}/opening", Accept=accept)
    assert reply.header("x-character-id") == character
    if accept == "application/json":
        assert reply.status == 201
        assert reply.json() == {"character_id": character, "narrative": NARRATIVE}
    else:
        assert (reply.status, reply.narrative) == (200, NARRATIVE)
        assert reply.last["type"] == "complete"
    assert journey_log.narratives(character) == [NARRATIVE]
    refused(opened(service, character), 409, "character_exists")
    assert journey_log.narratives(character) == [NARRATIVE]


@pytest.mark.parametrize("headers", [{}, {"Idempotency_Key": "k"}, {"Idempotency_Key": "other"}])
def test_repeated_creation_tries_the_opening_again(
    service: Served, model: FakeModel, journey_log: FakeJourneyLog, headers: dict[str, str]
) -> None:
    character = with_failed_opening(service, model)
    reply = service.call("POST", "/characters", {**WHO, "adventure_prompt": None}, **headers)
    assert reply.status == 201
    assert reply.json() == {"character_id": character, "narrative": NARRATIVE}
    assert service.call("GET", "/characters").json()["count"] == 1
    if headers:
        again = service.call("POST", "/characters", {**WHO, "adventure_prompt": None}, **headers)
        assert (again.status, again.json()) == (201, reply.json())
    problem = refused(create(service), 409, "character_exists")
    assert problem["character_id"] == character


def test_cancelled_opening_is_tried_again(service: Served, model: FakeModel) -> None:
    gate = threading.Event()
    model.then(Script(gate=gate, gate_after=8))
    with service.open("POST", "/characters", WHO, Accept="text/event-stream") as response:
        live = Live(response)
        live.until("token")
        cancelled = service.call("POST", f"/turns/{live.turn_id}/cancel")
        assert cancelled.status == 202
        assert live.rest().last["type"] == "cancelled"
    gate.set()
    assert opened(service, live.seen.header("x-character-id") or "").status == 201


def test_opening_that_a_dead_process_left_is_tried_again(
    tmp_path: Path, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    settings = environment(model, journey_log)
    gate = threading.Event()
    model.then(Script(gate=gate, gate_after=8))
    with remote(tmp_path, settings) as server:
        with server.open("POST", "/characters", WHO, Accept="text/event-stream") as response:
            live = Live(response)
            live.until("token")
            server.process.signal(signal.SIGKILL)
            server.process.exit_code()
        gate.set()
    character = live.seen.header("x-character-id") or ""
    with remote(tmp_path, settings) as server:
        reply = server.call("POST", "/characters", WHO)
        assert reply.status == 201
        assert reply.json()["character_id"] == character


def test_wish_outlives_a_failed_opening(
    service: Served, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    character = with_failed_opening(service, model, "A lighthouse burns black.")
    assert opened(service, character).status == 201
    assert "A lighthouse burns black." in prompt_of(model, -1)
    assert (journey_log.writes[-1].body or {})["user_action"] == "A lighthouse burns black."


def test_new_wish_beats_the_old_one(service: Served, model: FakeModel) -> None:
    character = with_failed_opening(service, model, "A lighthouse burns black.")
    assert opened(service, character, custom_prompt="A bell under ice.").status == 201
    assert "A bell under ice." in prompt_of(model, -1)
    assert "A lighthouse burns black." not in prompt_of(model, -1)


def test_opening_while_one_runs_is_refused_and_names_it(service: Served, model: FakeModel) -> None:
    gate = threading.Event()
    model.then(Script(gate=gate, gate_after=8))
    with service.open("POST", "/characters", WHO, Accept="text/event-stream") as response:
        live = Live(response)
        live.until("token")
        character = live.seen.header("x-character-id") or ""
        for again in (opened(service, character), create(service)):
            problem = refused(again, 409, "turn_in_progress")
            assert again.header("location") == f"/turns/{live.turn_id}/events"
            assert problem["turn_id"] == live.turn_id
        gate.set()
        assert live.rest().last["type"] == "complete"


def test_one_of_many_simultaneous_openings_is_played(
    service: Served, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    character = with_failed_opening(service, model)
    asked = [aside(opened, service, character) for _ in range(20)]
    statuses = Counter(reply.result(300).status for reply in asked)
    assert statuses == {201: 1, 409: 19}
    assert journey_log.narratives(character) == [NARRATIVE]


def test_one_of_several_queued_openings_is_played(
    serve: Callable[..., Served], model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    service = serve(turn_conflict="queue")
    character = with_failed_opening(service, model)
    asked = [aside(opened, service, character) for _ in range(4)]
    statuses = Counter(reply.result(300).status for reply in asked)
    assert statuses == {201: 1, 409: 3}
    assert journey_log.narratives(character) == [NARRATIVE]


def test_character_with_a_story_from_elsewhere_has_no_opening(
    service: Served, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    turns = [{"user_action": "I wake.", "ai_response": "Rain falls."}]
    character = journey_log.seed_character(turns=turns)
    problem = refused(opened(service, character), 409, "character_exists")
    assert problem["character_id"] == character
    assert model.calls == []


def test_opening_of_a_foreign_or_unknown_character_is_refused(
    service: Served, journey_log: FakeJourneyLog, model: FakeModel
) -> None:
    refused(opened(service, str(uuid.uuid4())), 404, "character_not_found")
    refused(opened(service, "no-uuid"), 422, "validation_error")
    theirs = journey_log.seed_character(user="ann")
    refused(opened(service, theirs), 403, "forbidden")
    assert model.calls == []


# -- outages -------------------------------------------------------------------------------------


def test_key_is_free_again_after_an_opening_met_an_outage(
    serve: Callable[..., Served], model: FakeModel
) -> None:
    service = serve(llm_max_retries=0)
    for status in (429, 503, 504):
        model.then(Script(status=status))
        assert service.call("POST", "/characters", WHO, Idempotency_Key="k").status >= 500
    reply = service.call("POST", "/characters", WHO, Idempotency_Key="k")
    assert (reply.status, reply.json()["narrative"]) == (201, NARRATIVE)
