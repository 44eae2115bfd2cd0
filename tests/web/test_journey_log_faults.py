"""Writes that something else answers, or that journey-log's database does not store."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fakes.journey_log import FakeJourneyLog, answers, proxy_error
from fakes.model import COMBAT_START, POI_CREATE, QUEST_OFFER, FakeModel, Script, outcome_text
from serving import Served

Serve = Callable[..., Served]
LOGIN = b"<html><form action='/login'>Sign in</form></html>"


def circuit(service: Served) -> str:
    found: str = service.call("GET", "/health").json()["circuits"]["journey_log"]
    return found


@pytest.mark.parametrize("committed", [True, False], ids=["committed", "not committed"])
def test_a_login_page_in_place_of_an_answer_is_read_back(
    service: Served, journey_log: FakeJourneyLog, character: str, committed: bool
) -> None:
    journey_log.fail("narrative", proxy_error(200, LOGIN, commit=committed))
    turn = service.turn(character)
    assert ("settling" in turn.phases) is not committed
    assert turn.last["subsystem_summary"]["narrative_persisted"] is True
    assert journey_log.narratives(character) == [turn.narrative]


def test_a_lasting_login_page_leaves_the_narrative_unpersisted(
    service: Served, journey_log: FakeJourneyLog, character: str
) -> None:
    journey_log.always("narrative", proxy_error(200, LOGIN))
    summary = service.turn(character).last["subsystem_summary"]
    assert summary["narrative_persisted"] is False
    assert summary["narrative_error"] == "unknown"
    assert journey_log.narratives(character) == []
    journey_log.heal()
    assert service.turn(character).last["subsystem_summary"]["narrative_persisted"] is True


@pytest.mark.parametrize("kind", ["quest", "combat", "poi", "narrative"])
def test_a_body_that_lastingly_gets_500_is_refused_and_nothing_else_suffers(
    serve: Serve, model: FakeModel, journey_log: FakeJourneyLog, character: str, kind: str
) -> None:
    service = serve(
        quest_trigger_prob=1,
        poi_trigger_prob=1,
        breaker_failures=1,
        write_deadline_seconds=900,
        journey_log_settle_seconds=0.1,
    )
    model.default = Script(
        text=outcome_text(quest=QUEST_OFFER, combat=COMBAT_START, poi=POI_CREATE)
    )
    journey_log.always(kind, answers(500))
    turn = service.turn(character)
    receipts = {event["subsystem"]: event for event in turn.of("write")}
    assert receipts[kind]["error"] == "journey-log refused it (500)"
    others = [event["success"] for name, event in receipts.items() if name != kind]
    assert others == [True] * 3
    assert turn.last["type"] == "complete"
    assert circuit(service) == "closed"
    assert service.call("GET", f"/characters/{character}").json()["active_turn"] is None
    journey_log.heal()
    assert service.turn(character).last["subsystem_summary"]["narrative_persisted"] is True


NOT_STORABLE = [
    {"name": "__gold__", "amount": 5},
    {"name": "gold", "amount": 7},
    {"name": "____", "amount": 2**53},
    {"name": "g" * 200 + "a", "amount": 1},
    {"name": "g" * 200 + "b", "amount": 2},
]


def test_text_that_the_database_cannot_store_is_repaired_before_it_is_sent(
    serve: Serve, model: FakeModel
) -> None:
    """On the embedded journey-log, which refuses what the real one refuses."""
    service = serve(journey_log_base_url=None, quest_trigger_prob=1, journey_log_settle_seconds=30)
    rewards = {"items": ["Clapper"], "currency": NOT_STORABLE, "experience": 9}
    details = {"requirements": ["Find the bell"], "rewards": rewards}
    model.default = Script(text=outcome_text(quest={**QUEST_OFFER, "quest_details": details}))
    hero = {"name": "Ayla", "race": "Elf", "class_name": "Mage"}
    made = service.call("POST", "/characters", hero).json()["character_id"]
    turn = service.turn(made)
    assert turn.last["type"] == "complete"
    shown = service.call("GET", f"/journey-log/characters/{made}/quest").json()["quest"]
    assert shown["rewards"]["currency"] == {"gold": 12, "unnamed": 2**53, "g" * 200: 3}
