"""Answers of the corpus over real sockets: a model server, a service process, and what is stored."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from app.core.outcome import parse_outcome

from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel, Script
from processes import running
from serving import TIMEOUT, Stream, turn_body

CORPUS = Path(__file__).parent.parent / "corpus"
CHANGES = {("quest", "offer"), ("combat", "start"), ("poi", "create")}


def chosen() -> Iterator[Any]:
    """Of each family the first answer, the first that changes the world, and one that is no outcome."""
    for path in sorted(CORPUS.glob("*.json")):
        rows = json.loads(path.read_text("utf-8"))
        kinds = {
            "unchanged": [row for row in rows if row["narrative"] and not row["actions"]],
            "written": [row for row in rows if set(row["actions"].items()) & CHANGES],
            "refused": [row for row in rows if row["narrative"] is None],
        }
        for rows in kinds.values():
            if rows:
                yield pytest.param(rows[0], id=f"{path.stem}: {rows[0]['name']}")


class Played(NamedTuple):
    """A service process with what it talks to."""

    port: int
    model: FakeModel
    journey_log: FakeJourneyLog

    def turn(self, character: str) -> Stream:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            headers = {"Content-Type": "application/json"}
            body = json.dumps(turn_body(character))
            connection.request("POST", "/turn/stream", body, headers)
            answer = connection.getresponse()
            return Stream(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()


@pytest.fixture(scope="module", params=["chat", "responses"])
def played(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Played]:
    """One process for all answers of an API."""
    with FakeModel() as model, FakeJourneyLog() as journey_log:
        settings = {
            "LLM_API": request.param,
            "OPENAI_BASE_URL": model.base_url,
            "JOURNEY_LOG_BASE_URL": journey_log.url,
            # policy grants a quest and a place each turn, and names them where the answer does not
            "QUEST_TRIGGER_PROB": "1",
            "POI_TRIGGER_PROB": "1",
        }
        with running(tmp_path_factory.mktemp("home"), **settings) as process:
            yield Played(process.port(), model, journey_log)


@pytest.mark.parametrize("row", list(chosen()))
def test_an_answer_is_streamed_stored_and_written_as_it_is_meant(
    played: Played, row: dict[str, Any]
) -> None:
    played.model.default = Script(text=row["content"])
    character = played.journey_log.seed_character()
    stream = played.turn(character)
    if row["narrative"] is None:
        assert stream.last["error_type"] == "llm_response_error"
        assert played.journey_log.kinds(character) == []
        return
    assert stream.last["type"] == "complete", stream.last
    assert stream.narrative == row["narrative"]
    assert played.journey_log.narratives(character) == [row["narrative"]]
    fights = ["combat"] if ("combat", "start") in row["actions"].items() else []
    assert played.journey_log.kinds(character) == ["quest", *fights, "poi", "narrative"]
    names = {w.kind: (w.body or {}).get("name") for w in played.journey_log.writes[-4:]}
    intents = parse_outcome(row["content"]).intents
    if quest := row["actions"].get("quest") == "offer" and intents.quest_intent:
        assert names["quest"] == quest.quest_title
    if place := row["actions"].get("poi") == "create" and intents.poi_intent:
        assert names["poi"] == place.name
