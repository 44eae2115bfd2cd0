"""How far the verdicts on the corpus agree with those of a reader."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from app.core.rules import THRESHOLD

from asking import ask
from corpus import RULED, THEMED, Ruled
from fakes.model import FakeModel, Script
from serving import Served

LEAST_AGREEMENT = 0.95
UNJUDGED = ("no contradiction", "classes", "tone", "vivid", "no adverbs", "house style", "era")
"""Rules that limits alone do not decide."""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    store = tmp_path_factory.mktemp("alone") / "store.db"
    settings: dict[str, Any] = {"limit_theme_per_minute": 0, "limit_validation_per_minute": 0}
    settings |= {"openai_stub_mode": True, "storyteller_tokens_per_second": 0}
    with Served(store_url=f"sqlite:///{store}", **settings) as service:
        yield service


def test_the_corpus_is_large_enough_and_says_nothing_twice() -> None:
    texts = [one.text for one in (*THEMED, *RULED)]
    assert len(THEMED) + len(RULED) >= 40
    assert len({(one.text, one.rule["name"]) for one in RULED}) == len(RULED)
    assert len(set(texts)) > 40


def test_themes_by_words_agree_with_a_reader(alone: Served) -> None:
    agreed = 0
    for one in THEMED:
        answer = ask(alone, "/theme/analyze", {"content": one.text, "elements": ["tone"]}).json()
        same = answer["primary_category"] == one.primary
        same = same and (not one.also or one.also in answer["secondary_categories"])
        agreed += same
        if not same:
            print(f"{one}: {answer['confidences']}")
    print(f"themes: {agreed} of {len(THEMED)} agree")
    assert agreed >= LEAST_AGREEMENT * len(THEMED)


def by_limits(one: Ruled) -> bool:
    return one.rule["name"] not in UNJUDGED


def judged(service: Served, one: Ruled) -> dict[str, Any]:
    body = {"content": one.text, "content_type": "scene", "rules": [one.rule]}
    answer = ask(service, "/validation/content", body).json()
    (result,) = answer["results"]
    assert (result["rule_id"], answer["passed"]) == (one.rule["rule_id"], result["passed"])
    assert result["passed"] == (result["score"] >= THRESHOLD)
    assert result["passed"] or result["issues"]
    found: dict[str, Any] = result
    return found


def test_limits_decide_without_a_model(service: Served, model: FakeModel) -> None:
    known = [one for one in RULED if by_limits(one)]
    agreed = sum(judged(service, one)["passed"] == one.kept for one in known)
    print(f"limits: {agreed} of {len(known)} agree")
    assert agreed == len(known) >= 14
    assert model.calls == []


def test_a_model_s_verdicts_are_read_as_it_means_them(service: Served, model: FakeModel) -> None:
    known, agreed = [one for one in RULED if not by_limits(one)], 0
    for one in known:
        verdict = {"rule": 1, "score": one.judged, "issues": []}
        rows = [] if one.judged is None else [verdict]
        model.default = Script(text=json.dumps({"analysis": "Read.", "verdicts": rows}))
        result = judged(service, one)
        agreed += result["passed"] == one.kept
    print(f"judged: {agreed} of {len(known)} agree")
    assert agreed == len(known)
