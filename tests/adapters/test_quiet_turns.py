"""A turn in which nothing happens, however a model spells it and whatever form its server takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai_calls import Api, error_body

from fakes.journey_log import FakeJourneyLog
from fakes.model import NARRATIVE, FakeModel, Json, Script
from fakes.server import Request
from serving import Served

SECTIONS = ("quest_intent", "combat_intent", "poi_intent", "location_intent")
SPELLINGS: dict[str, Any] = {
    "null": None,
    "an empty object": {},
    "each part null": dict.fromkeys((*SECTIONS, "meta")),
    "some parts absent": {"combat_intent": None},
    "each action none": {name: {"action": "none"} for name in SECTIONS},
    "each field spelled out": {
        "quest_intent": {
            "action": "none",
            "quest_title": None,
            "quest_summary": "",
            "quest_details": {"requirements": [], "rewards": None},
            "progress_update": None,
        },
        "combat_intent": {"action": "none", "enemies": [], "combat_notes": ""},
        "poi_intent": {"action": "none", "name": "", "description": "", "reference_tags": []},
        "location_intent": {"action": "none", "location_id": "", "minor_location": None},
        "meta": {"player_mood": None, "pacing_hint": None, "user_is_wandering": False},
    },
    "the word none": "none",
}
FORMS: list[tuple[Api, str]] = [
    ("chat", "json_schema"),
    ("chat", "json_object+schema"),
    ("chat", "json_object"),
    ("chat", "prompt"),
    ("responses", "json_schema"),
    ("responses", "json_object"),
    ("responses", "prompt"),
]


def form_of(body: Json) -> str:
    form = body.get("response_format") or (body.get("text") or {}).get("format")
    return str(form["type"]) + ("+schema" * ("schema" in form)) if form else "prompt"


class Server:
    """A model server that takes one form alone, for a service of its own."""

    def __init__(self, api: Api, form: str, directory: Path) -> None:
        self.form = form
        self.text = ""
        self.model = FakeModel(self._answer)
        self.journey_log = FakeJourneyLog()
        self._settings = {
            "llm_api": api,
            "openai_api_key": "sk-test",
            "store_url": f"sqlite:///{directory}/store.db",
            "quest_trigger_prob": 0,
            "poi_trigger_prob": 0,
        }

    def _answer(self, request: Request) -> Script:
        asked = form_of(request.json()).replace("json_schema+schema", "json_schema")
        if asked != self.form:
            return Script(status=400, error_body=error_body("?"))
        return Script(text=self.text)

    def __enter__(self) -> Server:
        self.model.__enter__()
        self.journey_log.__enter__()
        addresses = {
            "openai_base_url": self.model.base_url,
            "journey_log_base_url": self.journey_log.url,
        }
        self.service = Served(timeout=5, **self._settings, **addresses)
        self.service.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.service.__exit__(None, None, None)
        self.journey_log.__exit__(None, None, None)
        self.model.__exit__(None, None, None)

    def written(self, intents: Any) -> list[tuple[str, Json]]:
        """What journey-log is sent for a turn with these intents, times left out."""
        self.text = json.dumps({"narrative": NARRATIVE, "intents": intents}, ensure_ascii=False)
        character, before = self.journey_log.seed_character(), len(self.journey_log.writes)
        stream = self.service.turn(character)
        assert stream.last["type"] == "complete", stream.last
        assert stream.narrative == NARRATIVE
        return [
            (row.kind, {**(row.body or {}), "timestamp": ""})
            for row in self.journey_log.writes[before:]
        ]


@pytest.fixture(params=FORMS, ids="-".join)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    api, form = request.param
    with Server(api, form, tmp_path) as running:
        yield running


def test_each_spelling_of_nothing_writes_the_narrative_alone(server: Server) -> None:
    found = {name: server.written(intents) for name, intents in SPELLINGS.items()}
    (first, *others) = found.values()
    assert [kind for kind, _ in first] == ["narrative"]
    assert others == [first] * len(others), found
