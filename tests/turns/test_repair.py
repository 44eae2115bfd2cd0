"""A whole narrative whose intents are missing or broken: one more call, or the story without changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from app.adapters.event_log.memory import MemoryEventLog
from app.turns.replay import replay
from parts import House, events

from fakes.journey_log import FakeJourneyLog
from fakes.model import POI_CREATE, FakeModel, Script, outcome
from loops import in_virtual_time
from serving import Served, Stream

PROSE = "A bell rings. “Nine,” says the warden."
BROKEN = {
    "no intents": json.dumps({"narrative": PROSE}),
    "text": json.dumps({"narrative": PROSE, "intents": "a quest"}),
    "a number": json.dumps({"narrative": PROSE, "intents": 7}),
    "no JSON": f'{{"narrative": {json.dumps(PROSE)}, "intents": {{"poi_intent": ][ }} }}',
}
ALONE = json.dumps({"intents": outcome(poi=POI_CREATE)["intents"]})
ASKED = "NARRATIVE\n"


@pytest.fixture
def granting(serve: Callable[..., Served]) -> Served:
    return serve(poi_trigger_prob=1, poi_cooldown_turns=0, quest_trigger_prob=0)


def kept(stream: Stream, journey_log: FakeJourneyLog) -> dict[str, Any]:
    """The terminal event of a turn whose story was kept as it was streamed."""
    assert stream.last["type"] == "complete"
    assert stream.narrative == PROSE
    (story,) = [write for write in journey_log.writes if write.kind == "narrative"]
    assert story.body is not None
    assert story.body["ai_response"] == PROSE
    return stream.last


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_one_small_call_supplies_the_intents_and_the_story_stays(
    granting: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str, text: str
) -> None:
    model.then(Script(text=text), Script(text=ALONE))
    complete = kept(granting.turn(character), journey_log)
    assert complete["intents"]["poi_intent"]["name"] == POI_CREATE["name"]
    assert complete["subsystem_summary"]["poi_change"]["action"] == "create"
    assert complete["validation"]["schema_valid"] is False
    first, second = model.calls
    assert second["stream"] is False
    assert ASKED in json.dumps(second).replace("\\n", "\n")
    assert len(json.dumps(second)) < len(json.dumps(first)) + 2 * len(PROSE)
    assert granting.metric("dungeon_master_intent_repairs_total") == 1
    assert granting.metric("turn_parse_failures_total") == 0


@pytest.mark.parametrize(
    "repair",
    [
        Script(text="I do not know."),
        Script(text='{"intents": 7}'),
        Script(text='{"intents": {'),
        Script(status=500),
        Script(drop_after=1),
    ],
    ids=["prose", "wrong type", "cut off", "refused", "dropped"],
)
def test_failed_repair_keeps_the_narrative_without_changes(
    granting: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str, repair: Script
) -> None:
    model.then(Script(text=BROKEN["no intents"]))
    model.default = repair
    complete = kept(granting.turn(character), journey_log)
    assert complete["intents"]["quest_intent"] is None
    metrics = granting.call("GET", "/metrics").body.decode()
    assert 'intent_repairs_total{model="gpt-5.1",outcome="dropped"} 1.0' in metrics


@pytest.mark.parametrize("repair", [ALONE, "I do not know."])
@in_virtual_time
async def test_a_repaired_turn_is_replayed_with_its_repair(repair: str) -> None:
    house = House(text=BROKEN["text"])
    house.model.whole = repair
    turn = await house.play()
    stored = await house.store.turn(turn.turn_id, recording=True)
    entries = await house.store.entries(turn.turn_id)
    assert stored is not None
    assert entries is not None
    assert events(turn)[-1]["type"] == "complete"
    assert (await replay(stored, entries, MemoryEventLog())).differences == []


def test_the_repair_is_paid_for(granting: Served, model: FakeModel, character: str) -> None:
    model.then(Script(text=BROKEN["text"]), Script(text=ALONE))
    stream = granting.turn(character)
    usage = granting.call("GET", "/usage").json()
    assert usage["tokens_used"] > stream.last["usage"]["total_tokens"]
