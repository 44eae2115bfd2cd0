"""Model answers in the shapes that real model families write: what is read and what is shown of each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from app.adapters.openai.chat import ChatParser
from app.adapters.openai.responses import ResponsesParser
from app.core.narrative import NarrativeBuffer
from app.core.outcome import DungeonMasterOutcome, InvalidOutcome, parse_outcome
from app.core.prose import SpoiledNarrative

CORPUS = Path(__file__).parent.parent / "corpus"
ROWS: dict[str, dict[str, Any]] = {
    f"{path.stem}: {row['name']}": row
    for path in sorted(CORPUS.glob("*.json"))
    for row in json.loads(path.read_text("utf-8"))
}
each = pytest.mark.parametrize("name", list(ROWS))
SIZES = (1, 3, 8, 100_000)


def pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def chat(text: str, size: int) -> str:
    """The text as Chat Completions streams it, read by the parser."""
    events = [
        {"choices": [{"index": 0, "delta": {"content": part}}]} for part in pieces(text, size)
    ]
    return "".join(ChatParser("m").feed([json.dumps(event).encode() for event in events]))


def responses(text: str, size: int) -> str:
    """The text as Responses streams it, read by the parser."""
    item = {"type": "message", "id": "i", "role": "assistant", "content": []}
    events: list[dict[str, Any]] = [
        {"type": "response.output_item.added", "output_index": 0, "item": item}
    ]
    events += [
        {"type": "response.output_text.delta", "output_index": 0, "delta": part}
        for part in pieces(text, size)
    ]
    return "".join(ResponsesParser("m").feed([json.dumps(event).encode() for event in events]))


def shown(text: str, size: int) -> tuple[str, bool]:
    """What players see while it streams, and whether it was spoiled."""
    buffer, seen = NarrativeBuffer(), ""
    try:
        for part in pieces(text, size):
            seen += buffer.feed(part)
    except SpoiledNarrative:
        return seen, True
    return seen, False


def read(text: str) -> DungeonMasterOutcome | None:
    try:
        return parse_outcome(text)
    except InvalidOutcome:
        return None


def test_the_corpus_is_large_enough() -> None:
    assert len(ROWS) >= 80


@each
@pytest.mark.parametrize("api", [chat, responses], ids=["chat", "responses"])
def test_both_apis_bring_the_text_as_it_was_written(name: str, api: Any) -> None:
    text = ROWS[name]["content"]
    for size in SIZES:
        assert api(text, size) == text


@each
def test_an_answer_is_read_as_a_person_would_read_it(name: str) -> None:
    row = ROWS[name]
    outcome = read(row["content"])
    assert (outcome and outcome.narrative) == row["narrative"]
    if outcome is not None:
        found = {
            "quest": outcome.intents.quest_intent,
            "combat": outcome.intents.combat_intent,
            "poi": outcome.intents.poi_intent,
        }
        actions = {kind: (part and part.action) or "none" for kind, part in found.items()}
        assert actions == {"quest": "none", "combat": "none", "poi": "none"} | row["actions"]


@each
def test_only_certain_text_is_shown_while_it_streams(name: str) -> None:
    row = ROWS[name]
    for size in SIZES:
        seen, _ = shown(row["content"], size)
        if "shown" in row:
            assert row["shown"].startswith(seen)
        elif row["narrative"] is None or row["live"] is False:
            assert seen == ""
        elif row["live"]:
            assert seen == row["narrative"]
        if "draft" not in str(row.get("shown")):
            assert "a draft" not in seen
