"""The rules that hold for every turn, seen from both ends: the client's and journey-log's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from fakes.journey_log import FakeJourneyLog, answers, late, parse_time
from fakes.model import (
    COMBAT_START,
    NARRATIVE,
    POI_CREATE,
    QUEST_OFFER,
    FakeModel,
    Json,
    Script,
    outcome_text,
)
from serving import SOON, Served, Stream, aside, turn_body

Serve = Callable[..., Served]
GRANTED = {
    "quest_trigger_prob": 1,
    "poi_trigger_prob": 1,
    "quest_cooldown_turns": 0,
    "poi_cooldown_turns": 0,
    "rng_seed": "x",
}
DENIED = {"quest_trigger_prob": 0, "poi_trigger_prob": 0, "rng_seed": "x"}
EVERYTHING: Json = {"quest": QUEST_OFFER, "combat": COMBAT_START, "poi": POI_CREATE}
NOTHING: Json = {"action": "none", "success": None, "error": None}
ACTIVE_QUEST: Json = {
    "name": "The Ninth Bell",
    "description": "Silence it.",
    "rewards": {},
    "completion_state": "in_progress",
    "updated_at": "2026-01-02T03:04:05Z",
}
ACTIVE_COMBAT: Json = {
    "combat_id": "c-1",
    "started_at": "2026-01-02T03:04:05Z",
    "turn": 4,
    "enemies": [
        {
            "enemy_id": "e-1",
            "name": "Rat",
            "status": "Wounded",
            "weapon": "teeth",
            "traits": ["swift"],
            "metadata": {"threat": "low"},
        }
    ],
    "player_conditions": {"wet": True},
}


@pytest.fixture
def granting(serve: Serve) -> Served:
    """Every roll passes."""
    return serve(**GRANTED)


@pytest.fixture
def denying(serve: Serve) -> Served:
    """No roll passes."""
    return serve(**DENIED)


def play_turn(service: Served, model: FakeModel, character: str, **intents: Any) -> Stream:
    model.then(Script(text=outcome_text(**intents)))
    return service.turn(character)


def changes(stream: Stream) -> dict[str, Any]:
    summary = stream.last["subsystem_summary"]
    return {name: summary[f"{name}_change"] for name in ("quest", "combat", "poi")}


def marker(body: Json) -> str:
    found = body.get("timestamp") or body.get("updated_at") or body["combat_state"]["started_at"]
    return str(found)


def prompt_of(model: FakeModel, call: int = -1) -> str:
    return "\n".join(str(message["content"]) for message in model.calls[call]["messages"])


# -- writes ---------------------------------------------------------------------------------------


def test_writes_reach_journey_log_in_order_with_their_bodies(
    granting: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    play_turn(granting, model, character, **EVERYTHING)
    assert journey_log.kinds() == ["quest", "combat", "poi", "narrative"]
    quest, combat, poi, narrative = ({**(write.body or {})} for write in journey_log.writes)
    quest.pop("updated_at")
    assert quest == {
        "name": "The Ninth Bell",
        "description": "Silence the bell under the vault.",
        "requirements": ["Find the bell"],
        "rewards": {"items": ["Clapper"], "currency": {"gold": 40}, "experience": 9},
        "completion_state": "not_started",
    }
    state = combat["combat_state"]
    (enemy,) = state["enemies"]
    assert (state["turn"], enemy["name"], enemy["status"]) == (1, "Chain Warden", "Healthy")
    assert state["combat_id"]
    assert enemy["enemy_id"]
    poi.pop("timestamp")
    assert poi == {
        "name": "The Humming Vault",
        "description": "Its stones hum like a slow heart.",
        "tags": ["vault"],
    }
    narrative.pop("timestamp")
    assert narrative == {"user_action": "I open the door.", "ai_response": NARRATIVE}


def test_the_times_of_writes_are_iso_and_always_increase(
    granting: Served, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    ahead = "2199-01-01T00:00:00.123456Z"
    past = {"user_action": "Wait.", "ai_response": "You wait.", "timestamp": ahead}
    character = journey_log.seed_character(turns=[past])
    play_turn(granting, model, character, **EVERYTHING)
    play_turn(granting, model, character, combat={"action": "end"})
    stamps = [
        marker(write.body)
        for write in journey_log.writes
        if write.body and write.body != {"combat_state": None}
    ]
    assert len(stamps) == 6
    assert all(stamp.endswith("Z") and datetime.fromisoformat(stamp) for stamp in stamps)
    assert all(parse_time(one) < parse_time(other) for one, other in pairwise([ahead, *stamps]))


@pytest.mark.parametrize("verb", ["complete", "abandon"])
def test_an_ended_quest_is_deleted(
    denying: Served, model: FakeModel, journey_log: FakeJourneyLog, verb: str
) -> None:
    character = journey_log.seed_character(quest=ACTIVE_QUEST)
    stream = play_turn(denying, model, character, quest={"action": verb})
    done = {"complete": "completed", "abandon": "abandoned"}[verb]
    assert journey_log.kinds() == ["quest_delete", "narrative"]
    assert changes(stream)["quest"] == {"action": done, "success": True, "error": None}


def test_a_fight_goes_on_as_it_was_one_turn_later(
    denying: Served, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    character = journey_log.seed_character(combat=ACTIVE_COMBAT)
    stream = play_turn(denying, model, character, combat={"action": "continue"})
    assert journey_log.kinds() == ["combat", "narrative"]
    sent = (journey_log.writes[0].body or {})["combat_state"]
    assert sent == {**ACTIVE_COMBAT, "turn": 5}
    assert changes(stream)["combat"]["action"] == "continued"


def test_the_end_of_a_fight_clears_it(
    denying: Served, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    character = journey_log.seed_character(combat=ACTIVE_COMBAT)
    stream = play_turn(denying, model, character, combat={"action": "end"})
    assert journey_log.writes[0].body == {"combat_state": None}
    assert changes(stream)["combat"]["action"] == "ended"


@pytest.mark.parametrize("number", [1, 5, 7])
def test_a_fight_has_at_most_five_enemies(
    denying: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str, number: int
) -> None:
    foes = [{"name": f"Foe {n}", "description": None, "threat": None} for n in range(number)]
    play_turn(denying, model, character, combat={"action": "start", "enemies": foes})
    sent = (journey_log.writes[0].body or {})["combat_state"]["enemies"]
    assert [foe["name"] for foe in sent] == [f"Foe {n}" for n in range(min(number, 5))]
    assert len({foe["enemy_id"] for foe in sent}) == len(sent)


@pytest.mark.parametrize(
    ("state", "intents"),
    [
        ({"quest": ACTIVE_QUEST}, {"quest": QUEST_OFFER}),
        ({}, {"quest": {"action": "complete"}}),
        ({}, {"quest": {"action": "advance", "progress_update": "x"}}),
        ({"combat": ACTIVE_COMBAT}, {"combat": COMBAT_START}),
        ({}, {"combat": {"action": "start", "enemies": []}}),
        ({}, {"combat": {"action": "continue"}}),
        ({}, {"combat": {"action": "end"}}),
        ({}, {"quest": {"action": "none"}, "poi": {"action": "none"}}),
    ],
    ids=[
        "offer_while_active",
        "complete_without",
        "advance_without",
        "start_while_active",
        "start_without_enemies",
        "continue_without",
        "end_without",
        "explicit_none",
    ],
)
def test_an_intent_that_does_not_fit_is_not_written(
    granting: Served, model: FakeModel, journey_log: FakeJourneyLog, state: Json, intents: Json
) -> None:
    character = journey_log.seed_character(**state)
    keep = {"quest": {"action": "none"}, "poi": {"action": "none"}}
    stream = play_turn(granting, model, character, **{**keep, **intents})
    assert journey_log.kinds() == ["narrative"]
    assert changes(stream) == dict.fromkeys(("quest", "combat", "poi"), NOTHING)


def test_without_a_passed_roll_no_quest_or_place_is_made(
    denying: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    stream = play_turn(denying, model, character, quest=QUEST_OFFER, poi=POI_CREATE)
    assert journey_log.kinds() == ["narrative"]
    assert changes(stream) == dict.fromkeys(("quest", "combat", "poi"), NOTHING)


def test_a_reference_to_a_place_succeeds_without_a_write(
    denying: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    stream = play_turn(denying, model, character, poi={"action": "reference", "name": "The Vault"})
    assert journey_log.kinds() == ["narrative"]
    assert changes(stream)["poi"] == {"action": "reference", "success": True, "error": None}


# -- normalisation --------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["offer", "start"])
def test_a_blank_offer_is_filled(
    granting: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str, action: str
) -> None:
    blank = {"action": action, "quest_title": "  ", "quest_summary": "", "quest_details": None}
    stream = play_turn(granting, model, character, quest=blank, poi={"action": "none"})
    body = journey_log.writes[0].body or {}
    assert journey_log.kinds() == ["quest", "narrative"]
    assert body["name"].strip()
    assert body["description"].strip()
    assert (body["requirements"], body["completion_state"]) == ([], "not_started")
    assert changes(stream)["quest"]["action"] == "offered"
    assert stream.last["validation"]["intents_normalized"] is True


def test_null_intents_are_triggered_when_their_rolls_passed(
    granting: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    stream = play_turn(granting, model, character)
    assert journey_log.kinds() == ["quest", "poi", "narrative"]
    place = journey_log.writes[1].body or {}
    assert place["name"] == "The Nexus"
    assert place["description"] == "An interesting location worth remembering."
    assert place["tags"] == []
    assert stream.last["intents"]["quest_intent"]["action"] == "offer"
    assert stream.last["intents"]["poi_intent"]["action"] == "create"


def test_null_intents_stay_null_when_their_rolls_failed(
    denying: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    stream = play_turn(denying, model, character)
    assert journey_log.kinds() == ["narrative"]
    assert stream.last["intents"]["quest_intent"] is None
    assert stream.last["intents"]["poi_intent"] is None


def test_fields_of_a_place_are_cut_to_the_limits_of_journey_log(
    granting: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    long = {
        "action": "create",
        "name": "n" * 300,
        "description": "d" * 2500,
        "reference_tags": ["", " ", "t" * 60, *(f"tag {n}" for n in range(30))],
    }
    stream = play_turn(granting, model, character, quest={"action": "none"}, poi=long)
    body = journey_log.writes[0].body or {}
    assert (len(body["name"]), len(body["description"])) == (200, 2000)
    assert len(body["tags"]) == 20
    assert body["tags"][0] == "t" * 50
    assert changes(stream)["poi"]["success"] is True


# -- disconnecting and cancelling -----------------------------------------------------------------


@pytest.fixture
def gate(model: FakeModel) -> threading.Event:
    """Holds the model back in the middle of its next narrative."""
    held = threading.Event()
    model.then(Script(gate=held, gate_after=8))
    return held


def test_a_client_that_leaves_does_not_stop_the_turn(
    service: Served, journey_log: FakeJourneyLog, character: str, gate: threading.Event
) -> None:
    with service.live(character) as live:
        live.until("token")
        turn_id = live.turn_id
    service.wait_for(lambda: service.metric("dungeon_master_streams_active") == 0)
    gate.set()
    with service.events(turn_id) as again:
        stream = again.rest()
    assert stream.last["type"] == "complete"
    assert [stream.narrative] == journey_log.narratives(character) == [NARRATIVE]


def test_a_client_of_the_whole_turn_that_leaves_does_not_stop_it(
    service: Served,
    model: FakeModel,
    journey_log: FakeJourneyLog,
    character: str,
    gate: threading.Event,
) -> None:
    connection = service.send("POST", "/turn", turn_body(character))
    model.wait_for(lambda: model.stats.open == 1)
    connection.close()
    gate.set()
    journey_log.wait_for(lambda: journey_log.narratives(character) == [NARRATIVE])


def test_cancelling_in_phase_1_ends_the_turn_there_and_then(
    service: Served,
    model: FakeModel,
    journey_log: FakeJourneyLog,
    character: str,
    gate: threading.Event,
) -> None:
    with service.live(character) as live:
        live.until("token")
        reply = service.cancel(live.turn_id)
        stream = live.rest()
    assert reply.status == 202
    assert stream.last["type"] == "cancelled"
    assert set(stream.last) == {"type", "timestamp", "phase", "partial_narrative"}
    assert stream.last["phase"] == "narrative"
    assert NARRATIVE.startswith(stream.narrative)
    assert stream.last["partial_narrative"] == stream.narrative != NARRATIVE
    assert stream.body.endswith(b"data: [DONE]\n\n")
    model.wait_for(lambda: model.stats.aborted == 1)
    gate.set()
    assert journey_log.writes == []
    assert service.call("GET", f"/turns/{stream.turn_id}").json()["status"] == "cancelled"
    assert service.turn(character).last["type"] == "complete"


def test_202_means_that_the_cancelled_event_is_already_there(
    service: Served, character: str, gate: threading.Event
) -> None:
    with service.live(character) as live:
        live.until("token")
        assert service.cancel(live.turn_id).status == 202
        with service.events(live.turn_id) as after:
            seen = after.rest()
        assert live.rest().frames == seen.frames


def test_cancel_while_the_context_is_read_is_answered_with_a_status(
    service: Served, journey_log: FakeJourneyLog, model: FakeModel, character: str
) -> None:
    gate = threading.Event()
    journey_log.fail("context", late(gate))
    waiting = aside(service.turn, character)
    journey_log.wait_for(lambda: journey_log.requests)
    busy = service.call("POST", "/turn", turn_body(character))
    turn_id = str(busy.header("location")).split("/")[2]
    assert service.cancel(turn_id).status == 202
    reply = waiting.result(300)
    gate.set()
    assert (reply.status, reply.error["type"]) == (409, "turn_cancelled")
    assert model.calls == []


@pytest.mark.parametrize("kind", ["quest", "narrative"])
def test_from_validation_on_a_turn_cannot_be_cancelled(
    granting: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str, kind: str
) -> None:
    gate = threading.Event()
    journey_log.fail(kind, late(gate))
    model.then(Script(text=outcome_text(**EVERYTHING)))
    with granting.live(character) as live:
        live.until("metadata", phase="writes")
        reply = granting.cancel(live.turn_id)
        gate.set()
        stream = live.rest()
    assert (reply.status, reply.error["type"]) == (409, "not_cancellable")
    assert reply.json()["phase"] == "writes"
    assert stream.last["type"] == "complete"
    assert journey_log.kinds() == ["quest", "combat", "poi", "narrative"]


def test_a_turn_that_is_over_cannot_be_cancelled(
    service: Served, character: str, model: FakeModel
) -> None:
    model.then(Script(), *[Script(text="no outcome")] * 2)
    for status in ("complete", "error"):
        reply = service.cancel(service.turn(character).turn_id)
        assert (reply.status, reply.error["type"]) == (409, "not_cancellable")
        assert reply.json()["phase"] == status


def test_only_its_owner_can_cancel_a_turn(
    service: Served, character: str, gate: threading.Event
) -> None:
    with service.live(character) as live:
        path = f"/turns/{live.turn_id}/cancel"
        foreign = service.call("POST", path, X_User_Id="somebody-else")
        unknown = service.call("POST", "/turns/nowhere/cancel")
        gate.set()
        assert live.rest().last["type"] == "complete"
    for reply in (foreign, unknown):
        assert (reply.status, reply.error["type"]) == (404, "turn_not_found")


@pytest.mark.parametrize("head_start", range(8))
def test_cancel_and_validation_never_both_win(
    service: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str, head_start: int
) -> None:
    gate = threading.Event()
    pieces = [outcome_text()[:40], outcome_text()[40:]]
    model.then(Script(pieces=pieces, gate=gate, gate_after=1))
    with service.live(character) as live:
        live.until("token")
        gate.set()
        for _ in range(head_start):
            service.call("GET", "/live")
        reply = service.cancel(live.turn_id)
        stream = live.rest()
    if reply.status == 202:
        assert stream.last["type"] == "cancelled"
        assert journey_log.writes == []
    else:
        assert reply.status == 409
        assert stream.last["type"] == "complete"
        assert journey_log.narratives(character) == [NARRATIVE]


def test_cancelling_cannot_roll_again(
    serve: Serve, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    service = serve(quest_trigger_prob=0.5, poi_trigger_prob=0.5, rng_seed="x")
    rolls = []
    for character in [journey_log.seed_character() for _ in range(16)]:
        gate = threading.Event()
        model.then(Script(gate=gate, gate_after=8))
        with service.live(character) as live:
            live.until("token")
            assert service.cancel(live.turn_id).status == 202
            first = live.rest()
        gate.set()
        second = service.turn(character)
        assert rolled(first) == rolled(second)
        rolls.append(rolled(first))
    assert {quest for quest, _ in rolls} == {poi for _, poi in rolls} == {True, False}


def rolled(stream: Stream) -> tuple[bool, bool]:
    (policy,) = [event for event in stream.of("metadata") if event["phase"] == "policy"]
    return policy["quest"]["passed"], policy["poi"]["passed"]


# -- answers that are no outcome ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "partial"),
    [
        ('{"narrative": "A bell.", "intents": {', "A bell."),
        ('{"narrative": "", "intents": {}}', None),
        ("Once upon a time there was no JSON.", None),
        ("", None),
    ],
    ids=["cut_off", "empty_narrative", "prose", "nothing"],
)
def test_an_invalid_answer_writes_nothing_and_is_counted(
    granting: Served,
    model: FakeModel,
    journey_log: FakeJourneyLog,
    character: str,
    text: str,
    partial: str | None,
) -> None:
    model.default = Script(text=text)
    stream = granting.turn(character)
    assert (stream.last["type"], stream.last["error_type"]) == ("error", "llm_response_error")
    assert stream.last.get("partial_narrative") == partial
    assert stream.last["committed"] == []
    assert journey_log.writes == []
    assert granting.metric("turn_parse_failures_total") == 1
    shown = granting.call("GET", f"/turns/{stream.turn_id}").json()
    assert (shown["status"], shown["error"]["type"]) == ("error", "llm_response_error")


CUT = outcome_text()[:-20]


@pytest.mark.parametrize(
    "script",
    [
        Script(text=CUT, finish="length"),
        Script(incomplete_after=10),
        Script(text=CUT, finish="content_filter"),
    ],
    ids=["length", "incomplete", "filtered"],
)
def test_a_truncated_answer_writes_nothing(
    service: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str, script: Script
) -> None:
    model.then(script)
    stream = service.turn(character)
    assert stream.last["error_type"] == "llm_response_error"
    assert stream.last["partial_narrative"] == stream.narrative != ""
    assert journey_log.writes == []
    assert len(model.calls) == 1


def test_a_refusal_writes_nothing(
    service: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    model.then(Script(refusal="I will not."))
    stream = service.turn(character)
    assert stream.last["error_type"] == "llm_response_error"
    assert journey_log.writes == []
    assert b"I will not" not in stream.body


def test_a_failed_turn_leaves_the_character_free_and_its_rolls_as_they_were(
    granting: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    model.then(*[Script(text="no outcome")] * 2)
    failed = granting.turn(character)
    assert failed.last["type"] == "error"
    assert rolled(granting.turn(character)) == rolled(failed)


# -- writes that fail -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "verb"), [("quest", "offered"), ("combat", "started"), ("poi", "create")]
)
def test_a_failed_write_does_not_stop_the_later_ones(
    granting: Served,
    model: FakeModel,
    journey_log: FakeJourneyLog,
    character: str,
    kind: str,
    verb: str,
) -> None:
    journey_log.fail(kind, answers(422))
    stream = play_turn(granting, model, character, **EVERYTHING)
    others = [name for name in ("quest", "combat", "poi") if name != kind]
    assert journey_log.kinds() == [*others, "narrative"]
    assert (changes(stream)[kind]["action"], changes(stream)[kind]["success"]) == (verb, False)
    assert changes(stream)[kind]["error"]
    assert all(changes(stream)[name]["success"] is True for name in others)
    assert stream.last["subsystem_summary"]["narrative_persisted"] is True
    receipts = {event["subsystem"]: event["success"] for event in stream.of("write")}
    assert receipts == {name: name != kind for name in ("quest", "combat", "poi", "narrative")}


def test_refused_narrative_is_reported(
    service: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    journey_log.fail("narrative", answers(422))
    stream = service.turn(character)
    summary = stream.last["subsystem_summary"]
    assert stream.last["type"] == "complete"
    assert summary["narrative_persisted"] is False
    assert summary["narrative_error"]
    assert journey_log.narratives(character) == []


def test_a_quest_that_is_in_the_way_makes_the_offer_skipped(
    granting: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    journey_log.fail("quest", answers(409))
    stream = play_turn(granting, model, character, **EVERYTHING)
    assert changes(stream)["quest"]["action"] == "skipped"
    assert changes(stream)["quest"]["success"] is False
    assert journey_log.kinds() == ["combat", "poi", "narrative"]
    assert stream.of("write")[0]["action"] == "skipped"


# -- length ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "fits", "more"),
    [
        ({"max_narrative_bytes": 1000}, "é" * 500, "x"),
        ({"max_narrative_bytes": 1_000_000}, "🔥" * 32_000, "x"),
    ],
    ids=["bytes", "code_points"],
)
def test_too_long_is_too_long_while_streaming(
    serve: Serve,
    model: FakeModel,
    journey_log: FakeJourneyLog,
    character: str,
    settings: Json,
    fits: str,
    more: str,
) -> None:
    service, gate = serve(**settings), threading.Event()
    model.then(
        Script(text=outcome_text(fits), token_chars=4000),
        Script(pieces=['{"narrative": "', fits, more, "never asked for"], gate=gate, gate_after=3),
    )
    assert service.turn(character).last["type"] == "complete"
    assert journey_log.narratives(character) == [fits]
    stream = service.turn(character)
    model.wait_for(lambda: model.stats.aborted == 1)
    gate.set()
    assert stream.last["error_type"] == "llm_response_error"
    partial = stream.last.get("partial_narrative", "")  # of a long one, as much as an event holds
    assert stream.narrative.startswith(partial)
    assert partial == stream.narrative or stream.last["truncated"]
    assert len(stream.narrative) <= len(fits)
    assert journey_log.narratives(character) == [fits]


# -- the dead, rehearsals and places --------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "intents"),
    [
        ({}, EVERYTHING),
        ({}, {}),
        ({"quest": ACTIVE_QUEST}, {"quest": {"action": "complete"}}),
        ({"combat": ACTIVE_COMBAT}, {"combat": {"action": "continue"}}),
        ({"combat": ACTIVE_COMBAT}, {"combat": {"action": "end"}}),
    ],
)
def test_for_the_dead_only_the_narrative_is_written(
    granting: Served, model: FakeModel, journey_log: FakeJourneyLog, state: Json, intents: Json
) -> None:
    character = journey_log.seed_character(status="Dead", **state)
    stream = play_turn(granting, model, character, **intents)
    assert journey_log.kinds() == ["narrative"]
    assert stream.last["type"] == "complete"
    assert stream.last["subsystem_summary"]["narrative_persisted"] is True
    assert all(change["success"] is None for change in changes(stream).values())


def test_a_dry_run_does_everything_but_sparks_and_writes(
    serve: Serve, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    service = serve(**GRANTED, poi_memory_spark_enabled=True, memory_spark_probability=1)
    model.then(*[Script(text=outcome_text(**EVERYTHING))] * 2)
    stream = service.turn(character, dry_run=True)
    assert stream.narrative == NARRATIVE
    assert stream.of("write") == []
    assert changes(stream) == {
        "quest": {"action": "offered", "success": None, "error": None},
        "combat": {"action": "started", "success": None, "error": None},
        "poi": {"action": "create", "success": None, "error": None},
    }
    assert stream.last["subsystem_summary"]["dry_run"] is True
    assert stream.last["subsystem_summary"]["narrative_persisted"] is False
    assert [request.path.rpartition("/")[2] for request in journey_log.requests] == ["context"]
    real = service.turn(character)
    assert rolled(real) == rolled(stream)
    assert journey_log.kinds() == ["quest", "combat", "poi", "narrative"]


def test_sparks_are_fetched_beside_the_context_and_shown_to_the_model(
    serve: Serve, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    service = serve(**DENIED, poi_memory_spark_enabled=True, memory_spark_probability=1)
    places = [{"name": f"Cave {n}", "description": "Damp."} for n in range(12)]
    character = journey_log.seed_character(pois=places)
    journey_log.fail("pois_random", None, answers(500))
    service.turn(character)
    assert "REMEMBERED PLACES" in prompt_of(model)
    assert service.turn(character).last["type"] == "complete"
    assert "REMEMBERED PLACES" not in prompt_of(model)
    assert [r.query for r in journey_log.requests if r.path.endswith("random")] == [{"n": "3"}] * 2


def renamed(name: str) -> Json:
    return {**POI_CREATE, "name": name}


def test_a_place_of_an_earlier_turn_is_not_made_again(
    granting: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    quiet = {"quest": {"action": "none"}}
    play_turn(granting, model, character, poi=renamed("Straße"), **quiet)
    journey_log.seed_character(character_id=character)  # its context shows no place any more
    stream = play_turn(granting, model, character, poi=renamed(" STRASSE "), **quiet)
    assert journey_log.kinds() == ["poi", "narrative", "narrative"]
    assert changes(stream)["poi"]["action"] == "skipped"


def test_a_place_that_the_context_shows_is_not_made_again(
    granting: Served, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    character = journey_log.seed_character(
        pois=[{"name": "THE HUMMING VAULT", "description": "It hums."}]
    )
    stream = play_turn(granting, model, character, quest={"action": "none"}, poi=POI_CREATE)
    assert journey_log.kinds() == ["narrative"]
    assert changes(stream)["poi"]["action"] == "skipped"


def test_a_place_that_was_not_written_may_be_tried_again(
    granting: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    journey_log.fail("poi", answers(422))
    for _ in range(2):
        stream = play_turn(granting, model, character, quest={"action": "none"}, poi=POI_CREATE)
    assert changes(stream)["poi"] == {"action": "create", "success": True, "error": None}


def test_a_cooldown_is_counted_in_turns_across_a_restart(
    serve: Serve, model: FakeModel, character: str
) -> None:
    settings = {"quest_trigger_prob": 0, "poi_trigger_prob": 1, "poi_cooldown_turns": 2}
    service, eligible = serve(**settings), []
    for number in range(4):
        if number == 2:
            service.close()
            service = serve(**settings)
        stream = play_turn(service, model, character, poi=renamed(f"Place {number}"))
        eligible.append(changes(stream)["poi"]["success"])
    assert eligible == [True, None, None, True]


# -- what journey-log has no place for ------------------------------------------------------------


def test_progress_of_a_quest_is_kept_and_shown(
    denying: Served, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    character = journey_log.seed_character(quest=ACTIVE_QUEST)
    advance = {"action": "advance", "progress_update": "The rope is cut."}
    stream = play_turn(denying, model, character, quest=advance)
    assert journey_log.kinds() == ["narrative"]
    assert changes(stream)["quest"] == {"action": "advanced", "success": True, "error": None}
    shown = denying.call("GET", f"/characters/{character}").json()
    assert shown["context"]["quest"]["progress"] == ["The rope is cut."]
    denying.turn(character)
    assert "The rope is cut." not in prompt_of(model, 0)
    assert "The rope is cut." in prompt_of(model, 1)


@pytest.mark.parametrize(
    ("intent", "location"),
    [
        (
            {"action": "update_minor", "minor_location": "the crypt stair"},
            ("origin:nexus", "The Nexus", "the crypt stair"),
        ),
        (
            {"action": "leave_poi", "location_id": "r-2", "location_display_name": "The Low Road"},
            ("r-2", "The Low Road", None),
        ),
    ],
    ids=["within", "away"],
)
def test_new_location_of_the_character_is_kept_and_shown(
    denying: Served,
    model: FakeModel,
    journey_log: FakeJourneyLog,
    character: str,
    intent: Json,
    location: tuple[str, str, str | None],
) -> None:
    play_turn(denying, model, character, location=intent)
    assert journey_log.kinds() == ["narrative"]
    shown = denying.call("GET", f"/characters/{character}").json()["context"]["location"]
    assert (shown["id"], shown["display_name"], shown["minor_location"]) == location
    denying.turn(character)
    new = location[2] or location[1]
    assert new not in prompt_of(model, 0)
    assert new in prompt_of(model, 1)


# -- models that fail -----------------------------------------------------------------------------


def test_without_streaming_the_story_is_one_token_event(
    serve: Serve, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    stream = serve(llm_streaming=False).turn(character)
    (token,) = stream.of("token")
    assert (token["content"], token["index"]) == (NARRATIVE, 0)
    assert stream.phases == ["start", "context", "policy", "narrative", "validation", "writes"]
    assert journey_log.narratives(character) == [NARRATIVE]
    assert [call.get("stream", False) for call in model.calls] == [False]


def test_model_without_streaming_gives_the_same_turn(
    service: Served, model: FakeModel, character: str
) -> None:
    refusal = {"error": {"message": "stream is not supported by this model", "param": "stream"}}
    model.then(Script(status=400, error_body=refusal), Script())
    stream = service.turn(character)
    assert [token["content"] for token in stream.of("token")] == [NARRATIVE]
    assert [call.get("stream", False) for call in model.calls] == [True, False]


BREAKS: dict[str, Callable[[int], Script]] = {
    "drop": lambda after: Script(drop_after=after),
    "reset": lambda after: Script(reset_after=after),
    "error": lambda after: Script(error_after=after),
}


@pytest.mark.parametrize("how", BREAKS)
def test_a_stream_that_breaks_before_the_story_is_tried_once_without_streaming(
    service: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str, how: str
) -> None:
    model.then(BREAKS[how](2), Script())
    stream = service.turn(character)
    assert [token["content"] for token in stream.of("token")] == [NARRATIVE]
    assert stream.last["type"] == "complete"
    assert journey_log.narratives(character) == [NARRATIVE]
    assert [call.get("stream", False) for call in model.calls] == [True, False]
    assert model.calls[0]["messages"] == model.calls[1]["messages"]


@pytest.mark.parametrize("how", BREAKS)
def test_a_stream_that_breaks_within_the_story_is_not_tried_again(
    service: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str, how: str
) -> None:
    model.then(BREAKS[how](8))
    stream = service.turn(character)
    assert (stream.last["type"], stream.last["error_type"]) == ("error", "llm_error")
    assert stream.last["partial_narrative"] == stream.narrative
    assert NARRATIVE.startswith(stream.narrative)
    assert stream.narrative
    assert len(model.calls) == 1
    assert journey_log.writes == []


def test_a_fallback_that_fails_too_ends_the_turn(
    service: Served, model: FakeModel, character: str
) -> None:
    model.then(Script(drop_after=2), Script(status=500))
    stream = service.turn(character)
    assert stream.last["error_type"] == "llm_error"
    assert len(model.calls) == 2


def test_retries_wait_twice_as_long_each_time(
    service: Served, model: FakeModel, character: str
) -> None:
    model.then(Script(status=503), Script(status=429), Script(status=502))
    stream = service.turn(character)
    assert stream.last["type"] == "complete"
    gaps = [other.at - one.at for one, other in pairwise(model.requests)]
    assert [gap >= least for gap, least in zip(gaps, (0.1, 0.2, 0.4), strict=True)] == [True] * 3


@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize("status", [429, 502, 503])
def test_retries_end_after_their_number(
    serve: Serve, model: FakeModel, character: str, retries: int, status: int
) -> None:
    model.default = Script(status=status)
    stream = serve(llm_max_retries=retries).turn(character)
    assert stream.last["error_type"] == "llm_error"
    assert len(model.calls) == retries + 1


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refused_request_is_not_retried(
    service: Served, model: FakeModel, character: str, status: int
) -> None:
    model.default = Script(status=status)
    stream = service.turn(character)
    assert stream.last["error_type"] == "llm_error"
    assert stream.last["upstream"]["status"] == status
    assert stream.last["upstream"]["hint"]
    asked = [str(call) for call in model.calls]
    assert len(set(asked)) == len(asked), "the same request was made twice"
    assert len(asked) == 1 or status not in (401, 403)


@pytest.mark.parametrize(("base", "after"), [(0.1, 1.0), (10.0, 0.0)], ids=["longer", "shorter"])
def test_the_providers_retry_after_is_honoured(
    serve: Serve, model: FakeModel, character: str, base: float, after: float
) -> None:
    model.then(Script(status=429, headers={"retry-after": f"{after:.0f}"}))
    service = serve(llm_retry_delay_base=base, llm_retry_delay_max=30)
    assert service.turn(character).last["type"] == "complete"
    first, second = model.requests
    assert after <= second.at - first.at < after + 5


def test_a_silent_model_is_a_timeout(serve: Serve, model: FakeModel, character: str) -> None:
    model.default = Script(hang=True)
    stream = serve(llm_max_retries=0, timeout=SOON).turn(character)
    assert (stream.last["error_type"], stream.last["recoverable"]) == ("llm_timeout", True)
    assert len(model.calls) == 1
