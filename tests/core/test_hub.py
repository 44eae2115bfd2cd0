"""Events for other services: names, subjects, what a reader wants."""

from __future__ import annotations

import re
from typing import Any

import pytest
from app.core.hub import (
    EVENT_TYPES,
    MAX_TOKEN,
    about_turn,
    content_event,
    event_id,
    is_wanted,
    scope_of_subject,
    subject_token,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("character_id", "exclusive", "subject", "scope"),
    [
        ("c1", None, "characters/c1", "turns"),
        ("c1", "table:7", "sessions/7", "tables"),
        ("", "table:7", "sessions/7", "tables"),
        ("chat:raid night", None, "conversations/raid night", "chat"),
        ("content:npc", "content:x", "content/t1", "content"),
    ],
)
def test_subject_of_a_turn_is_the_resource_that_it_changes(
    character_id: str, exclusive: str | None, subject: str, scope: str
) -> None:
    assert about_turn("t1", character_id, exclusive) == subject
    assert scope_of_subject(subject) == scope


@pytest.mark.parametrize(
    ("wanted", "kind", "so"),
    [
        ((), "turn.failed", True),
        (("turn.failed",), "turn.failed", True),
        (("turn.*",), "turn.failed", True),
        (("*",), "turn.failed", True),
        (("turn",), "turn.failed", False),
        (("session.*", "turn.failed"), "turn.completed", False),
    ],
)
def test_a_reader_names_types_or_their_beginnings(
    wanted: tuple[str, ...], kind: str, so: bool
) -> None:
    assert is_wanted(kind, wanted) is so


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_an_id_of_an_event_has_no_dot(kind: Any) -> None:
    assert event_id(kind, "7c9e6679") == f"{kind.replace('.', '-')}-7c9e6679"


@given(st.text())
def test_any_text_becomes_one_token_of_a_subject(text: str) -> None:
    token = subject_token(text)
    assert re.fullmatch(r"[A-Za-z0-9_=-]+", token)
    assert len(token) <= MAX_TOKEN


@given(st.text(max_size=40), st.text(max_size=40))
def test_different_texts_become_different_tokens(one: str, other: str) -> None:
    assert (subject_token(one) == subject_token(other)) is (one == other)


def test_long_texts_become_different_tokens_too() -> None:
    assert subject_token("a" * 300) != subject_token("a" * 301)


def test_events_hold_no_text_of_players_or_models() -> None:
    metadata = {
        "content_type": "theme",
        "model_used": "m",
        "token_usage": {"total_tokens": 3},
        "created_at": "2030",
    }
    answer = {
        "content_id": "x",
        "metadata": metadata,
        "primary_category": "horror",
        "category_confidence": 0.7,
        "elements": ["a secret"],
    }
    event = content_event("theme.analyzed", "mara", answer)
    assert event.data == {
        "content_id": "x",
        "content_type": "theme",
        "user_id": "mara",
        "metadata": {"model_used": "m", "token_usage": {"total_tokens": 3}},
        "theme_category": "horror",
        "confidence": 0.7,
    }
    assert (event.id, event.subject) == ("theme-analyzed-x", "content/x")
