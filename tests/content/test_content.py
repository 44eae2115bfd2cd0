"""The endpoints under `/api/v2` over a real socket, with a scripted model."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from asking import (
    CHARACTER,
    KINDS,
    NPC,
    NPC_WRITTEN,
    TEXT,
    THEME,
    THEME_WRITTEN,
    VALIDATION,
    ask,
    scripted,
    stream,
)
from fakes.model import FakeModel
from serving import Served

SHAPES: dict[str, set[str]] = {
    "character": {"content"},
    "story": {"element_type", "content", "summary", "parent_element_id", "child_elements"},
    "npc": {
        "name",
        "role",
        "description",
        "personality",
        "motivations",
        "secrets",
        "relationships",
    },
    "location": {
        "name",
        "location_type",
        "description",
        "points_of_interest",
        "occupants",
        "secrets",
        "hooks",
    },
    "theme": {
        "analysis",
        "primary_category",
        "secondary_categories",
        "category_confidence",
        "confidences",
        "elements",
        "compatibility",
        "suggested_parameters",
    },
    "validation": {"overall_score", "passed", "results", "summary", "analysis"},
}
every_kind = pytest.mark.parametrize("name", list(KINDS))


def ruled(**limits: Any) -> dict[str, Any]:
    """A change of a validation: one rule with limits."""
    return {"rules": [{"category": "quality", "name": "limits", "parameters": limits}]}


@every_kind
def test_an_answer_has_the_shape_that_older_clients_read(
    service: Served, model: FakeModel, name: str
) -> None:
    path, body, written = KINDS[name]
    scripted(model, written)
    reply = ask(service, path, body)
    assert reply.status == 200, reply.body
    answer = reply.json()
    assert set(answer) == SHAPES[name] | {"content_id", "metadata"}
    metadata = answer["metadata"]
    assert (metadata["content_type"], metadata["model_used"]) == (name, "gpt-5.1")
    usage = metadata["token_usage"]
    assert usage["prompt_tokens"] + usage["completion_tokens"] == usage["total_tokens"] > 0
    (asked,) = model.calls
    assert asked["temperature"] == body.get("model", {}).get("temperature", 0.7)
    form = asked["response_format"]["json_schema"] if "response_format" in asked else asked["text"]
    assert "additionalProperties" in str(form)


@every_kind
def test_stream_gives_the_same_as_the_whole_answer(
    service: Served, model: FakeModel, name: str
) -> None:
    path, body, written = KINDS[name]
    scripted(model, written)
    streamed = stream(service, path, body)
    assert streamed.phases == ["start", "context", "narrative", "validation"]
    tokens = [event for event in streamed.events if event["type"] == "token"]
    (text,) = {event["field"] for event in tokens}
    answer = {text: "".join(event["content"] for event in tokens)}
    for event in streamed.events:
        if event["type"] == "field":
            assert event["field"] not in answer
            answer[event["field"]] = event["value"]
    content = streamed.last["content"]
    known = {**content, text: answer[text]}
    assert {name: known[name] for name in answer} == answer
    assert set(answer) == SHAPES[name]
    kept = service.call("GET", f"/api/v2/content/{streamed.turn_id}").json()
    assert {key: kept[key] for key in known} == known
    assert (kept["kind"], kept["children"]) == (name, [])
    again = service.stream("GET", f"/turns/{streamed.turn_id}/events")
    assert again.frames == streamed.frames
    shown = service.call("GET", f"/turns/{streamed.turn_id}").json()
    assert (shown["narrative"], shown["content"]) == (known[text], content)


def test_fields_are_shown_as_soon_as_they_are_whole(service: Served, model: FakeModel) -> None:
    gate = threading.Event()
    scripted(model, NPC_WRITTEN, gate=gate, gate_after=1, token_chars=64)
    with service.open("POST", "/api/v2/campaign/npc", NPC, Accept="text/event-stream") as response:
        while b"Silver" not in (line := response.readline()):
            assert line, "the stream has ended"
        gate.set()
        rest = response.read().decode()
    order = [rest.index(f'"field":"{name}"') for name in ("personality", "motivations", "secrets")]
    assert order == sorted(order)
    assert rest.index('"type":"complete"') > order[-1]


def test_a_stream_is_resumed_where_it_broke(service: Served, model: FakeModel) -> None:
    scripted(model, NPC_WRITTEN)
    streamed = stream(service, "/campaign/npc", NPC)
    rest = service.stream(
        "GET", f"/turns/{streamed.turn_id}/events", Last_Event_ID=f"{streamed.turn_id}:5"
    )
    assert rest.frames == streamed.frames[5:]
    assert rest.last["type"] == "complete"


def test_the_same_key_is_the_same_content(service: Served, model: FakeModel) -> None:
    scripted(model, {"content": TEXT})
    first = ask(service, "/text/character", CHARACTER, Idempotency_Key="k1")
    again = ask(service, "/text/character", CHARACTER, Idempotency_Key="k1")
    assert again.json() == first.json()
    other = {**CHARACTER, "type": "personality"}
    reused = ask(service, "/text/character", other, Idempotency_Key="k1")
    assert (reused.status, reused.json()["error"]["type"]) == (422, "idempotency_key_reused")
    assert len(model.calls) == 1


def test_parameters_is_another_name_of_the_character_s_context(
    service: Served, model: FakeModel
) -> None:
    scripted(model, {"content": TEXT})
    body = {"type": "combat", "parameters": {"character_class": "Bard", "weapon": "a lute"}}
    assert ask(service, "/text/character", body).status == 200
    said = model.calls[0]["messages"][-1]["content"]
    assert '"character_context":{"character_class":"Bard","weapon":"a lute"}' in said


@pytest.mark.parametrize(
    ("path", "change", "field"),
    [
        ("/text/character", {"type": "poem"}, "type"),
        ("/text/character", {"character_context": {"character_level": 21}}, "character_context"),
        ("/text/character", {"model": {"temperature": 2.1}}, "model.temperature"),
        ("/text/character", {"model": {"max_tokens": 0}}, "model.max_tokens"),
        ("/text/character", {"typ": "plot"}, "typ"),
        ("/campaign/story", {"element_type": "song"}, "element_type"),
        ("/campaign/npc", {"context": {"party_level": 0}}, "context.party_level"),
        ("/campaign/location", {"location_type": "moon"}, "location_type"),
        ("/text/character", {"theme": {"x": [{"y": float("inf")}]}}, "theme"),
        ("/text/character", {"additional_context": {"x": float("nan")}}, "additional_context"),
        ("/validation/content", ruled(max_length="10"), "rules.0.parameters.max_length"),
        ("/validation/content", ruled(min_words=-1), "rules.0.parameters.min_words"),
        ("/validation/content", ruled(must_include={"x": 1}), "rules.0.parameters.must_include"),
        ("/validation/content", ruled(forbidden_words=["x", ""]), "rules.0.parameters.forbidden"),
        ("/theme/analyze", {"content": " \u200b"}, "content"),
        ("/theme/analyze", {"elements": ["taste"]}, "elements.0"),
        ("/validation/content", {"rules": [{"category": "law", "name": "x"}]}, "rules.0.category"),
        ("/campaign/npc", {"parent_content_id": "x"}, "parent_content_id"),
    ],
)
def test_invalid_request_is_answered_flat_and_nested(
    service: Served, path: str, change: dict[str, Any], field: str
) -> None:
    body = next(example for known, example, _ in KINDS.values() if known == path)
    reply = ask(service, path, {**body, **change})
    assert reply.status == 422
    problem = reply.json()
    assert problem["code"] == problem["error"]["code"] == "INVALID_REQUEST"
    assert problem["details"] == problem["error"]["details"]
    assert problem["details"]["field"].startswith(field)
    assert problem["message"].startswith(field)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/text/character", "TEXT_GENERATION_FAILED"),
        ("/campaign/npc", "CONTENT_GENERATION_FAILED"),
        ("/theme/analyze", "THEME_ERROR"),
    ],
)
def test_failed_model_is_answered_with_the_code_of_the_operation(
    serve: Callable[..., Served], model: FakeModel, path: str, code: str
) -> None:
    service = serve(llm_max_retries=0)
    body = next(example for known, example, _ in KINDS.values() if known == path)
    for _ in range(4):
        scripted(model, "no document")
    reply = ask(service, path, body)
    assert (reply.status, reply.json()["code"]) == (502, code)
    assert service.call("GET", "/api/v2/content").json() == {"contents": [], "next": None}


def test_lineage_is_the_owner_s_alone(service: Served, model: FakeModel) -> None:
    scripted(model, {"content": TEXT})
    first = ask(service, "/text/character", CHARACTER).json()["content_id"]
    child = {**NPC, "parent_content_id": first.upper()}
    scripted(model, NPC_WRITTEN)
    second = ask(service, "/campaign/npc", child).json()
    assert second["parent_content_id"] == first
    assert "Silverclaw" in model.calls[-1]["messages"][-1]["content"]
    found = service.call("GET", f"/api/v2/content/{first}").json()
    assert found["children"] == [second["content_id"]]
    listed = service.call("GET", f"/api/v2/content?parent_content_id={first}").json()
    assert [one["content_id"] for one in listed["contents"]] == found["children"]
    page = service.call("GET", "/api/v2/content?limit=1").json()
    assert page["next"] == second["content_id"]
    page = service.call("GET", f"/api/v2/content?limit=1&before={page['next']}").json()
    assert ([one["content_id"] for one in page["contents"]], page["next"]) == ([first], None)
    for method, path in (
        ("GET", f"/api/v2/content/{first}"),
        ("DELETE", f"/api/v2/content/{first}"),
        ("GET", f"/api/v2/content?parent_content_id={first}"),
    ):
        assert service.call(method, path, X_User_Id="ben").status == 404
    assert ask(service, "/campaign/npc", child, X_User_Id="ben").status == 404
    assert service.call("DELETE", f"/api/v2/content/{first}").status == 204
    assert service.call("GET", f"/api/v2/content/{first}").status == 404
    assert service.call("GET", f"/api/v2/content/{second['content_id']}").status == 200


# -- theme ----------------------------------------------------------------------------------------


def test_scores_are_bounded_and_confidences_add_up(service: Served, model: FakeModel) -> None:
    wild = {
        **THEME_WRITTEN,
        "elements": [
            {"element": "Tone", "score": 7, "description": "", "suggestions": "one, two"},
            {"element": "mood", "score": "80%"},
            {"element": "setting", "score": -3},
            {"element": "smell", "score": 1},
        ],
        "categories": [{"category": name, "confidence": 1} for name in ("fantasy", "dark", "odd")],
    }
    scripted(model, wild)
    answer = ask(service, "/theme/analyze", THEME).json()
    assert [(one["element"], one["score"]) for one in answer["elements"]] == [
        ("tone", 1.0),
        ("mood", 0.8),
        ("setting", 0.0),
    ]
    assert sum(answer["confidences"].values()) == pytest.approx(1, abs=1e-9)
    assert (answer["primary_category"], answer["secondary_categories"]) == ("fantasy", ["dark"])
    assert answer["category_confidence"] == answer["confidences"]["fantasy"] == 0.5
    assert answer["compatibility"]["transition_steps"] == ["Let night fall."]
    assert len(model.calls) == 1


def test_elements_that_the_model_left_out_are_asked_for_once_more(
    service: Served, model: FakeModel
) -> None:
    first, second, _ = THEME_WRITTEN["elements"]
    scripted(model, {**THEME_WRITTEN, "elements": [first], "compatibility": []})
    scripted(model, {**THEME_WRITTEN, "elements": [second, second | {"score": 0}]})
    answer = ask(service, "/theme/analyze", THEME).json()
    asked = model.calls[1]["messages"][-1]["content"]
    assert '"elements":["mood","setting"]' in asked
    assert [one["score"] for one in answer["elements"][:2]] == [0.8, 0.7]
    assert answer["elements"][2]["description"] == "Estimated from the words of the text."
    assert answer["compatibility"]["score"] == 0.6
    assert len(model.calls) == 2


# -- validation -----------------------------------------------------------------------------------


def verdicts(*scores: tuple[Any, Any]) -> dict[str, Any]:
    rows = [{"rule": number, "score": score, "issues": []} for number, score in scores]
    return {"analysis": "Read.", "verdicts": rows}


def rules(*names: str, **fields: Any) -> list[dict[str, Any]]:
    return [{"category": "custom", "name": name, "rule_id": name, **fields} for name in names]


def test_verdicts_stay_with_their_rules_whatever_the_order(
    service: Served, model: FakeModel
) -> None:
    scripted(model, verdicts((3, 0.1), ("rule 1", 0.7), (2, 0.69), (9, 1), (3, 1)))
    body = {**VALIDATION, "rules": rules("a", "b") + rules("c", is_required=False)}
    answer = ask(service, "/validation/content", body).json()
    results = [(one["rule_id"], one["passed"], one["score"]) for one in answer["results"]]
    assert results == [("a", True, 0.7), ("b", False, 0.69), ("c", False, 0.1)]
    assert (answer["passed"], answer["overall_score"]) == (False, 0.695)
    assert answer["summary"] == "1 of 3 rules are met. Not met: b, c (optional)."
    for one in answer["results"][1:]:
        assert [issue["rule_id"] for issue in one["issues"]] == [one["rule_id"]]


def test_a_rule_without_a_verdict_is_asked_about_once_more_and_then_an_issue(
    service: Served, model: FakeModel
) -> None:
    scripted(model, verdicts((1, 1), (2, None)))
    scripted(model, verdicts((3, 0.8), (1, 0)))
    body = {**VALIDATION, "rules": rules("a", "b", "c")}
    answer = ask(service, "/validation/content", body).json()
    asked = model.calls[1]["messages"][-1]["content"]
    assert '"rule":2' in asked
    assert '"rule":1' not in asked
    assert [one["score"] for one in answer["results"]] == [1, 0, 0.8]
    (issue,) = answer["results"][1]["issues"]
    assert (issue["severity"], issue["rule_id"]) == ("error", "b")
    assert "not judged" in issue["message"]
    assert answer["passed"] is False
    assert len(model.calls) == 2


def test_limits_are_checked_without_a_model(service: Served, model: FakeModel) -> None:
    limits = {"max_words": 4, "must_include": ["friendship", "dragon"]}
    body = {**VALIDATION, "rules": rules("short", parameters=limits)}
    answer = ask(service, "/validation/content", body).json()
    assert model.calls == []
    (result,) = answer["results"]
    assert [issue["message"] for issue in result["issues"]] == [
        "It has 5 words; at most 4 are allowed.",
        "“dragon” is missing.",
    ]
    assert answer["passed"] is False
    fine = {**VALIDATION, "rules": rules("short", parameters={"max_words": 5})}
    assert ask(service, "/validation/content", fine).json()["passed"] is True
    whole = {**VALIDATION, **ruled(min_length=32_000), "content": "竜" * 32_000}
    assert ask(service, "/validation/content", whole).json()["passed"] is True
    none = {**VALIDATION, "rules": []}
    answer = ask(service, "/validation/content", none).json()
    assert (answer["passed"], answer["overall_score"], answer["results"]) == (True, 1, [])
    assert model.calls == []


@pytest.mark.parametrize(("text", "calls"), [("Hm, no.", 0), ("竜の城の暗い物語が始まった。", 1)])
def test_a_text_of_few_words_needs_no_model_and_is_known_then(
    service: Served, model: FakeModel, text: str, calls: int
) -> None:
    path, body, written = KINDS["theme"]
    scripted(model, written)
    cached = [ask(service, path, {**body, "content": text}).header("x-cache") for _ in range(2)]
    assert (cached, len(model.calls)) == (["miss", "hit"], calls)
