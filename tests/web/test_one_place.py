"""A character plays alone or at a table, at one place at a time."""

from __future__ import annotations

import threading

from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel, Script, outcome_text
from serving import Served, aside, refused, turn_body
from tabling import Guest, script_of


def test_character_in_a_turn_at_a_table_takes_none_alone(
    service: Served, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    character, gate = journey_log.seed_character("mara"), threading.Event()
    model.then(Script(script_of().text, gate=gate, gate_after=6), Script(outcome_text()))
    mara = Guest(service, "mara")
    table = mara.opens(character_id=character)
    other = mara.opens(character_id=character)
    with mara.follows(table) as stream:
        stream.until("metadata", phase="live")
        acted = aside(mara.acts, table)
        stream.until("token")
        body = turn_body(character)
        problem = refused(
            service.call("POST", "/turn", body, **mara.headers), 409, "turn_in_progress"
        )
        assert "turn_id" not in problem
        refused(mara.acts(other), 409, "turn_in_progress")
        gate.set()
        assert acted.result(300).status == 200
    assert service.call("POST", "/turn", body, **mara.headers).status == 200


def test_character_in_a_turn_alone_takes_none_at_a_table(
    service: Served, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    character, gate = journey_log.seed_character("mara"), threading.Event()
    model.then(Script(outcome_text(), gate=gate, gate_after=6), script_of())
    mara = Guest(service, "mara")
    table = mara.opens(character_id=character)
    alone = aside(service.call, "POST", "/turn", turn_body(character), **mara.headers)
    service.wait_for(lambda: service.metric("dungeon_master_turns_running") == 1)
    refused(mara.acts(table), 409, "turn_in_progress")
    gate.set()
    assert alone.result(300).status == 200
    assert mara.acts(table).status == 200
