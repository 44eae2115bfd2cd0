"""Intents that are asked for alone: the request, and what is read of its answer."""

from __future__ import annotations

import json

import pytest
from app.core.context import CharacterProgress
from app.core.outcome import Intents, PoiIntent
from app.core.prompt import Scene
from app.core.repair import MAX_NARRATIVE, intents_prompt, read_intents
from scenes import GRANTED, seen

from fakes.model import POI_CREATE, outcome, outcome_text

ALONE = json.dumps({"intents": outcome(poi=POI_CREATE)["intents"]})


@pytest.mark.parametrize(
    ("text", "intents"),
    [
        (ALONE, Intents.model_validate(outcome(poi=POI_CREATE)["intents"])),
        (json.dumps(outcome(poi=POI_CREATE)["intents"]), None),
        (outcome_text(poi=POI_CREATE), None),
        (f"<think>hm</think>\n```json\n{ALONE}\n```", None),
        (f"Here it is: {ALONE} Enjoy!", None),
        ('{"intents": null}', Intents()),
        (
            '{"intents": {"poi_intent": {"action": "none"},}}',
            Intents(poi_intent=PoiIntent(action="none")),
        ),
    ],
)
def test_intents_are_read_in_the_shapes_that_models_write(
    text: str, intents: Intents | None
) -> None:
    expected = intents or Intents.model_validate(outcome(poi=POI_CREATE)["intents"])
    assert read_intents(text) == expected


@pytest.mark.parametrize("text", ["", "no", "[]", "{}", '{"intents": 7}', '{"a": 1}', "<think>{}"])
def test_text_without_intents_gives_none(text: str) -> None:
    assert read_intents(text) is None


def test_the_request_is_small_whatever_the_story_holds() -> None:
    prompt = intents_prompt(
        Scene(seen(), CharacterProgress(), GRANTED, [], "I ring it."), "x" * 30_000
    )
    assert prompt.length < MAX_NARRATIVE + 6_000
    assert prompt.schema is not None
    assert list(prompt.schema.schema["properties"]) == ["intents"]
