"""Approved changes reach the events, the stored record and the writes."""

from __future__ import annotations

from typing import Any

import pytest
from app.core.approval import Changes, approved
from app.core.tables import NewLine

from journal import planned, record

BODY = {"user_action": "I knock.", "ai_response": "The bell answers.\n\nYou wait."}


@pytest.mark.parametrize(
    ("changes", "text", "options"),
    [
        ({}, "The bell answers.\n\nYou wait.", ["a", "b", "c"]),
        ({"narrative": "It is still."}, "It is still.\n\nYou wait.", ["a", "b", "c"]),
        ({"player_response": "You run."}, "The bell answers.\n\nYou run.", ["a", "b", "c"]),
        ({"player_response": ""}, "The bell answers.", ["a", "b", "c"]),
        ({"player_options": ("x", "y", "z")}, "The bell answers.\n\nYou wait.", ["x", "y", "z"]),
    ],
)
def test_a_change_is_everywhere(changes: dict[str, Any], text: str, options: list[str]) -> None:
    quest = planned(1, "quest", body={"name": "The Bell"})
    original = planned(2, "narrative", body=BODY)
    lines = (
        NewLine("Ada", BODY["ai_response"], "dm", turn_id="t1"),
        NewLine("Ada", "Something else.", "system"),
    )
    extras = {"player_response": "You wait.", "player_options": ["a", "b", "c"]}
    found = approved(record("t1", quest, original, lines=lines, extras=extras), Changes(**changes))
    assert found.narrative == text.partition("\n\n")[0]
    assert list(found.extras["player_options"]) == options
    assert [write.body for write in found.plan.writes] == [
        {"name": "The Bell"},
        {**BODY, "ai_response": text},
    ]
    assert [line.content for line in found.lines] == [text, "Something else."]
