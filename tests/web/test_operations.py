"""Health, metrics, admin and debug: their shapes, their switches, and what changes them."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from app import __version__
from app.core.policy import PolicyConfig
from app.turns.policy_source import PolicySource
from app.turns.service import TurnService

from fakes.journey_log import FakeJourneyLog, answers, drops, proxy_error
from fakes.model import NARRATIVE, FakeModel, Script, outcome_text
from serving import Reply, Served, refused

UNKNOWN = "0a3ccf2c-6a5e-4d0c-9f4e-2f1f6b8f7a11"

DEFAULTS = PolicyConfig().model_dump()

# -- health ---------------------------------------------------------------------------------------


def test_health_shows_every_part(service: Served, character: str) -> None:
    service.turn(character)
    health = service.call("GET", "/health").json()
    assert health["status"] == "healthy"
    assert (health["service"], health["version"]) == ("dungeon-master", __version__)
    names = {"llm", "journey_log", "store", "event_log", "message_hub", "cache", "openai", "db"}
    assert set(health["components"]) == names
    assert all(isinstance(word, str) for word in health["components"].values())
    assert set(health["metrics"]) == {"request_rate", "error_rate", "p95_latency"}
    assert health["metrics"]["request_rate"] > 0
    assert health["rate_limits"]["concurrent_llm_calls"] == 200
    assert health["journey_log_accessible"] is health["llm_available"] is True


@pytest.mark.parametrize("fault", [answers(500), drops()])
def test_health_is_degraded_when_the_probed_journey_log_fails(
    serve: Callable[..., Served], journey_log: FakeJourneyLog, fault: Any
) -> None:
    service = serve(health_check_journey_log=True)
    journey_log.always("health", fault)
    reply = service.call("GET", "/health")
    assert (reply.status, reply.json()["status"]) == (200, "degraded")
    assert reply.json()["components"]["journey_log"] == "unhealthy"
    assert reply.json()["journey_log_accessible"] is False
    journey_log.heal()
    assert service.call("GET", "/health").json()["status"] == "healthy"


@pytest.mark.parametrize("fault", [answers(500), proxy_error(404), drops()])
def test_health_is_degraded_from_the_first_turn_that_journey_log_fails(
    serve: Callable[..., Served], journey_log: FakeJourneyLog, fault: Any
) -> None:
    service, character = serve(journey_log_max_retries=0), journey_log.seed_character()
    journey_log.always("context", fault)
    assert service.turn(character).status == 502
    health = service.call("GET", "/health").json()
    assert (health["status"], health["journey_log_accessible"]) == ("degraded", False)
    journey_log.heal()
    assert service.turn(character).status == 200
    assert service.call("GET", "/health").json()["status"] == "healthy"


def test_journey_log_is_not_probed_unless_asked_for(
    service: Served, journey_log: FakeJourneyLog
) -> None:
    service.call("GET", "/health")
    assert journey_log.requests == []


def test_health_names_the_offline_storyteller(serve: Callable[..., Served]) -> None:
    service = serve(openai_base_url=None, openai_api_key=None)
    assert service.call("GET", "/health").json()["model"] == "offline storyteller"


def test_readiness_and_liveness_are_one_word(service: Served) -> None:
    for path, status in (("/ready", "ready"), ("/live", "alive")):
        shown = service.call("GET", path).json()
        assert (shown["status"], shown.keys()) == (status, {"status", "timestamp"})


def test_a_service_that_shuts_down_is_alive_but_not_ready(service: Served) -> None:
    service.application.services.get(TurnService).draining = True
    reply = service.call("GET", "/ready")
    assert (reply.status, reply.json()["status"]) == (503, "not_ready")
    assert int(reply.header("retry-after") or "") > 0
    assert service.call("GET", "/live").status == 200
    assert service.call("GET", "/health").json()["draining"] is True


# -- metrics --------------------------------------------------------------------------------------


@pytest.mark.parametrize("accept", ["*/*", "text/plain", "text/html"])
def test_metrics_are_prometheus_text(service: Served, character: str, accept: str) -> None:
    service.turn(character)
    reply = service.call("GET", "/metrics", Accept=accept)
    assert (reply.header("content-type") or "").startswith("text/plain; version=0.0.4")
    assert b"# TYPE dungeon_master_turns_total counter" in reply.body
    assert service.metric("dungeon_master_turns_total") == 1


def test_metrics_are_openmetrics_when_asked_for(service: Served) -> None:
    reply = service.call("GET", "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert (reply.header("content-type") or "").startswith("application/openmetrics-text")
    assert reply.body.endswith(b"# EOF\n")


def test_metrics_are_json_when_asked_for(service: Served, model: FakeModel, character: str) -> None:
    service.turn(character)
    model.then(*[Script(text="no outcome")] * 2)
    service.turn(character)
    report = service.call("GET", "/metrics", Accept="application/json").json()
    streaming = report["streaming"]
    assert (streaming["total_streams"], streaming["completed_streams"]) == (2, 2)
    assert (streaming["client_disconnects"], streaming["parse_failures"]) == (0, 1)
    tokens = streaming["tokens_per_stream"]
    assert {"count", "avg", "min", "max", "avg_ms", "min_ms", "max_ms"} == set(tokens)
    assert {"count", "avg_ms", "min_ms", "max_ms"} == set(streaming["stream_duration"])
    assert report["requests"]["total"] >= 2
    assert report["turns"]["by_outcome"] == {"complete": 1, "error": 1}
    assert report["schema_conformance"]["failed_parses"] == 1
    assert service.metric("turn_parse_failures_total") == 1


def test_metrics_can_be_switched_off(serve: Callable[..., Served]) -> None:
    service = serve(enable_metrics=False)
    for accept in ("*/*", "application/json"):
        refused(service.call("GET", "/metrics", Accept=accept), 404, "not_found")


def test_no_id_is_a_label_of_a_metric(service: Served, character: str) -> None:
    stream = service.turn(character)
    service.call("GET", f"/turns/{stream.turn_id}")
    service.call("GET", f"/secret-{character}")
    text = service.call("GET", "/metrics").body.decode()
    assert character not in text
    assert stream.turn_id not in text


# -- switches -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/admin/turns/{UNKNOWN}"),
        ("GET", f"/admin/characters/{UNKNOWN}/recent_turns"),
        ("GET", "/admin/policy/config"),
        ("POST", "/admin/policy/reload"),
        ("POST", "/debug/parse_llm"),
    ],
)
def test_routes_for_operators_are_absent_unless_enabled(
    serve: Callable[..., Served], method: str, path: str
) -> None:
    service = serve(admin_endpoints_enabled=False, enable_debug_endpoints=False)
    body = b"not even JSON" if method == "POST" else None
    unknown = service.call("GET", "/nope")
    problem = refused(service.call(method, path, body), 404, "not_found")
    assert problem["detail"] == unknown.json()["detail"]


# -- admin: turns ---------------------------------------------------------------------------------


def test_operator_sees_the_decisions_of_a_turn(
    serve: Callable[..., Served], model: FakeModel, character: str
) -> None:
    service = serve(quest_trigger_prob=1, poi_trigger_prob=0, rng_seed="x")
    stream = service.turn(character, "I listen.")
    shown = service.call("GET", f"/admin/turns/{stream.turn_id}").json()
    assert (shown["turn_id"], shown["character_id"]) == (stream.turn_id, character)
    assert shown["user_action"] == "I listen."
    assert shown["llm_narrative"] == NARRATIVE
    assert shown["policy_decisions"]["quest"] == {"eligible": True, "passed": True}
    assert shown["policy_decisions"]["poi"]["passed"] is False
    assert shown["context_snapshot"]["status"] == "Healthy"
    assert shown["journey_log_writes"] == stream.last["subsystem_summary"]
    assert shown["llm_intents"]["meta"]["player_mood"] == "curious"
    assert (shown["errors"], shown["redacted"]) == ([], False)
    assert shown["latency_ms"] == stream.last["timing"]["total_duration_ms"]


def test_a_long_narrative_is_cut_and_said_to_be(
    service: Served, model: FakeModel, character: str
) -> None:
    model.then(Script(text=outcome_text("x" * 2001), token_chars=500))
    shown = service.call("GET", f"/admin/turns/{service.turn(character).turn_id}").json()
    assert (len(shown["llm_narrative"]), shown["redacted"]) == (2000, True)


def test_an_operator_sees_why_a_turn_failed(
    service: Served, model: FakeModel, character: str
) -> None:
    model.then(*[Script(text="no outcome")] * 2)
    shown = service.call("GET", f"/admin/turns/{service.turn(character).turn_id}").json()
    assert shown["status"] == "error"
    assert [error["type"] for error in shown["errors"]] == ["llm_response_error"]


def test_an_unknown_turn_is_not_found(service: Served) -> None:
    refused(service.call("GET", f"/admin/turns/{uuid.uuid4()}"), 404, "turn_not_found")


def recent(service: Served, character: str, query: str = "") -> Reply:
    return service.call("GET", f"/admin/characters/{character}/recent_turns{query}")


def test_the_recent_turns_of_a_character_come_newest_first(service: Served, character: str) -> None:
    ids = [service.turn(character).turn_id for _ in range(3)]
    shown = recent(service, character).json()
    assert [turn["turn_id"] for turn in shown["turns"]] == ids[::-1]
    assert (shown["total_count"], shown["limit"]) == (3, 20)
    assert shown["character_id"] == character
    two = recent(service, character, "?limit=2").json()
    assert [turn["turn_id"] for turn in two["turns"]] == ids[:0:-1]


@pytest.mark.parametrize("limit", ["1", "100"])
def test_the_bounds_of_the_limit_are_taken(service: Served, character: str, limit: str) -> None:
    assert recent(service, character, f"?limit={limit}").json()["limit"] == int(limit)


@pytest.mark.parametrize("limit", ["0", "101", "abc", "", "-1", "1.5", "%C2%B2", "9" * 5000])
def test_any_other_limit_is_invalid(service: Served, character: str, limit: str) -> None:
    refused(recent(service, character, f"?limit={limit}"), 400, "invalid_limit")


# -- admin: policy --------------------------------------------------------------------------------


def config(service: Served) -> dict[str, Any]:
    shown: dict[str, Any] = service.call("GET", "/admin/policy/config").json()
    return shown


def reload(service: Served, body: Any = None) -> Reply:
    return service.call("POST", "/admin/policy/reload", body)


def test_the_policy_shows_its_six_values_and_their_time(service: Served) -> None:
    shown = config(service)
    assert shown.pop("last_updated").endswith("Z")
    assert shown == DEFAULTS


def test_new_policy_values_count_from_the_next_turn(service: Served, character: str) -> None:
    reply = reload(service, {"config": {"quest_trigger_prob": 1, "poi_trigger_prob": 0}})
    assert reply.status == 200
    shown = reply.json()
    assert (shown["success"], shown["error"]) == (True, None)
    assert shown["config"] == {**DEFAULTS, "quest_trigger_prob": 1.0, "poi_trigger_prob": 0.0}
    rolled = next(e for e in service.turn(character).of("metadata") if e["phase"] == "policy")
    assert (rolled["quest"]["passed"], rolled["poi"]["passed"]) == (True, False)


def test_values_that_are_left_out_stay(service: Served) -> None:
    reload(service, {"config": {"quest_cooldown_turns": 9}})
    reload(service, {"config": {"poi_cooldown_turns": 8}, "actor": "ops"})
    shown = config(service)
    assert (shown["quest_cooldown_turns"], shown["poi_cooldown_turns"]) == (9, 8)
    assert shown["quest_trigger_prob"] == DEFAULTS["quest_trigger_prob"]


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"quest_trigger_prob": 1.1}, "quest_trigger_prob"),
        ({"quest_trigger_prob": -0.1}, "quest_trigger_prob"),
        ({"poi_trigger_prob": "often"}, "poi_trigger_prob"),
        ({"poi_cooldown_turns": -1}, "poi_cooldown_turns"),
        ({"poi_cooldown_turns": 1.5}, "poi_cooldown_turns"),
        ({"quest_prob": 1}, "quest_prob"),
        ({"quest_trigger_prob": None}, "quest_trigger_prob"),
        ({"poi_trigger_prob": 0.9, "memory_spark_probability": 7}, "memory_spark_probability"),
    ],
)
def test_bad_policy_values_change_nothing(
    service: Served, values: dict[str, Any], name: str
) -> None:
    before = config(service)
    reply = reload(service, {"config": values})
    assert name in refused(reply, 400, "config_validation_failed")["detail"]
    assert config(service) == before


def test_a_probability_that_is_no_number_changes_nothing(service: Served) -> None:
    reply = reload(service, b'{"config": {"quest_trigger_prob": NaN}}')
    refused(reply, 400, "config_validation_failed")
    assert config(service)["quest_trigger_prob"] == DEFAULTS["quest_trigger_prob"]


@pytest.mark.parametrize("body", [None, {}, {"config": None}])
def test_without_values_the_file_is_read_again(
    serve: Callable[..., Served], tmp_path: Path, body: Any
) -> None:
    file = tmp_path / "policy.json"
    file.write_text('{"quest_cooldown_turns": 7}')
    service = serve(policy_config_file=str(file))
    assert config(service)["quest_cooldown_turns"] == 7
    file.write_text('{"quest_cooldown_turns": 8}')
    assert reload(service, body).json()["config"]["quest_cooldown_turns"] == 8


@pytest.mark.parametrize("content", [None, "{", "[]", '{"quest_cooldown_turns": -1}', "\x00"])
def test_a_file_that_cannot_be_used_changes_nothing(
    serve: Callable[..., Served], tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "policy.json"
    file.write_text('{"quest_cooldown_turns": 7}')
    service = serve(policy_config_file=str(file))
    file.unlink() if content is None else file.write_text(content)
    refused(reload(service), 400, "config_validation_failed")
    assert config(service)["quest_cooldown_turns"] == 7


def test_without_values_and_without_a_file_there_is_nothing_to_reload(service: Served) -> None:
    refused(reload(service, {}), 400, "config_validation_failed")


def test_a_changed_file_is_taken_over_by_itself_and_a_broken_one_is_not(tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    source = PolicySource(PolicyConfig(), file, lambda: 1.0)
    source.poll()
    assert source.current() == PolicyConfig()
    for step, (content, expected) in enumerate(
        [("3", 5), ('{"quest_cooldown_turns": 6}', 6), ("{", 6)]
    ):
        file.write_text(content)
        os.utime(file, (1_000 + step, 1_000 + step))
        source.poll()
        assert source.current().quest_cooldown_turns == expected


# -- debug ----------------------------------------------------------------------------------------


def parse(service: Served, text: Any) -> Reply:
    return service.call("POST", "/debug/parse_llm", {"llm_response": text, "trace_id": "t"})


def test_a_valid_answer_is_read(service: Served) -> None:
    shown = parse(service, f"```json\n{outcome_text()}\n```").json()
    assert shown["is_valid"] is shown["has_outcome"] is True
    assert shown["narrative"] == NARRATIVE
    assert shown["intents_summary"]["quest"] == "none"
    assert (shown["error_type"], shown["error_details"]) == (None, None)
    assert shown["schema_version"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "json_decode_error"),
        ("Once upon a time", "json_decode_error"),
        ('{"narrative": "x"', "json_decode_error"),
        ('{"narrative": "x"}', "validation_error"),
        ('{"narrative": "x", "intents": "to eat"}', "validation_error"),
    ],
)
def test_an_invalid_answer_is_explained(service: Served, text: str, kind: str) -> None:
    reply = parse(service, text)
    assert reply.status == 200
    assert (reply.json()["is_valid"], reply.json()["error_type"]) == (False, kind)
    assert reply.json()["error_details"]


def test_response_to_parse_must_be_a_string(service: Served) -> None:
    for body in ({}, {"llm_response": None}, {"llm_response": json.loads(outcome_text())}):
        reply = service.call("POST", "/debug/parse_llm", body)
        refused(reply, 422, "validation_error")
