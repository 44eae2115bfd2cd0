"""Content without a model: useful, honest, and the same for the same request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from asking import CHARACTER, KINDS, LOCATION, NPC, THEME, VALIDATION, ask, stream
from serving import Served

TYPES = (
    "backstory",
    "personality",
    "combat",
    "equipment",
    "plot",
    "location",
    "quest",
    "dialogue",
    "event",
    "story",
)


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    store = tmp_path_factory.mktemp("offline") / "store.db"
    settings: dict[str, Any] = {"store_url": f"sqlite:///{store}", "limit_text_per_minute": 0}
    settings |= {"openai_stub_mode": True, "storyteller_tokens_per_second": 0}
    with Served(**settings) as service:
        yield service


@pytest.mark.parametrize("name", list(KINDS))
def test_every_kind_is_answered_honestly_and_the_same_again(offline: Served, name: str) -> None:
    path, body, _ = KINDS[name]
    first = ask(offline, path, body, Cache_Control="no-cache").json()
    again = ask(offline, path, body, Cache_Control="no-cache").json()
    assert first["metadata"]["model_used"] == "offline"
    for own in ("content_id", "metadata"):
        del first[own], again[own]
    assert first == again
    streamed = stream(offline, path, body, Cache_Control="no-cache")
    assert streamed.last["type"] == "complete"
    assert streamed.narrative in first.values()


def test_every_type_has_texts_of_its_own(offline: Served) -> None:
    texts = {
        name: ask(offline, "/text/character", {**CHARACTER, "type": name}).json()["content"]
        for name in TYPES
    }
    assert len(set(texts.values())) == len(TYPES)
    assert all(len(text) > 150 for text in texts.values()), texts
    assert "dragonborn paladin" in texts["backstory"] + texts["personality"]


def test_other_requests_get_other_answers(offline: Served) -> None:
    classes = ("Bard", "Cleric", "Druid", "Monk", "Rogue")
    answers = {
        ask(
            offline,
            "/text/character",
            {"type": "backstory", "parameters": {"character_class": name}},
        ).json()["content"]
        for name in classes
    }
    assert len(answers) == len(classes)
    names = {
        ask(offline, "/campaign/npc", {**NPC, "traits": {"age": age}}).json()["name"]
        for age in range(8)
    }
    assert len(names) > 3


def test_given_fields_are_kept(offline: Served) -> None:
    place = ask(offline, "/campaign/location", LOCATION).json()
    assert place["occupants"] == ["the keeper"]
    assert len(place["points_of_interest"]) == 3
    related = {**NPC, "relationships": {"Ina": "sister"}}
    assert ask(offline, "/campaign/npc", related).json()["relationships"] == {"Ina": "sister"}


@pytest.mark.parametrize(
    ("content", "category"),
    [
        ("The wizard raised his wand, and the dragon slept under the spell.", "fantasy"),
        ("A scream, a corpse in the crypt, and rotting flesh under her nails.", "horror"),
        ("The detective found a clue: the murdered man's letter was missing.", "mystery"),
        ("The jester slipped on custard, and the goose ran off with his hat.", "comedy"),
    ],
)
def test_themes_are_recognised_by_their_words(offline: Served, content: str, category: str) -> None:
    answer = ask(offline, "/theme/analyze", {"content": content}).json()
    assert answer["primary_category"] == category
    assert len(answer["elements"]) == 8
    assert all(0 <= one["score"] <= 1 for one in answer["elements"])
    assert "compatibility" not in answer


def test_themes_are_compared_by_their_categories(offline: Served) -> None:
    same = {**THEME, "target_theme": THEME["current_theme"]}
    answer = ask(offline, "/theme/analyze", same).json()["compatibility"]
    assert answer == {"score": 1.0, "conflicts": [], "enhancements": [], "transition_steps": []}
    apart = {**THEME, "current_theme": {"genre": "comedy"}, "target_theme": {"genre": "horror"}}
    answer = ask(offline, "/theme/analyze", apart).json()["compatibility"]
    assert (answer["score"], answer["conflicts"]) == (0.1, ["comedy against horror"])
    assert len(answer["transition_steps"]) == 3


@pytest.mark.parametrize(
    ("content", "passed"),
    [
        ("The jester tripped, and everybody laughed at the pie on his hat.", True),
        ("Blood ran down the crypt wall; the corpse screamed in the cold darkness.", False),
    ],
)
def test_a_rule_about_the_theme_is_judged_by_words(
    offline: Served, content: str, passed: bool
) -> None:
    body = {**VALIDATION, "content": content, "rules": VALIDATION["rules"][:1]}
    answer = ask(offline, "/validation/content", body).json()
    assert answer["passed"] is passed, answer
