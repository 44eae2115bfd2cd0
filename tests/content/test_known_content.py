"""The cache of content, requests for the same at the same time, and what the limits leave."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from app.ports.clock import Clock

from asking import (
    CHARACTER,
    KINDS,
    NPC,
    NPC_WRITTEN,
    TEXT,
    THEME,
    VALIDATION,
    ask,
    scripted,
    stream,
)
from fakes.model import FakeModel, Script
from journal import Hands
from passes import WITH_SECRET, token
from serving import Served, aside

PATH, TIMEOUT = "/text/character", 300.0
ANSWER = {"content": TEXT}


def left(reply: Any) -> tuple[int, int]:
    """Of the limits: how many there are, how many of them are left."""
    return int(reply.header("x-ratelimit-limit")), int(reply.header("x-ratelimit-remaining"))


def test_the_same_request_is_answered_from_the_cache(service: Served, model: FakeModel) -> None:
    scripted(model, ANSWER)
    first = ask(service, PATH, CHARACTER)
    assert first.header("x-cache") == "miss"
    facts = {**CHARACTER["character_context"], "character_class": "  PALADIN"}
    again = ask(service, PATH, {**CHARACTER, "character_context": facts})
    assert (again.header("x-cache"), again.json()) == ("hit", first.json())
    assert again.header("cache-control") == "no-store"
    assert len(model.calls) == 1
    assert service.metric("dungeon_master_content_cache_hits") == 1
    assert service.metric("dungeon_master_content_cache_hit_rate") == 0.5


def test_request_with_the_same_bytes_still_belongs_to_its_user_and_its_question(
    service: Served, model: FakeModel
) -> None:
    model.default = Script(text='{"content": "New."}')
    made = ask(service, PATH, CHARACTER)
    spelled = [ask(service, PATH, CHARACTER) for _ in range(3)]
    assert [reply.json() for reply in spelled] == [made.json()] * 3
    assert {reply.header("x-cache") for reply in spelled} == {"hit"}
    assert service.metric("dungeon_master_content_cache_hits") == 3
    assert ask(service, PATH, CHARACTER, Cache_Control="x-no-cache").header("x-cache") == "hit"
    others: list[dict[str, str]] = [{"X_User_Id": "ben"}, {"Cache_Control": "no-cache"}]
    for headers in others:
        assert ask(service, PATH, CHARACTER, **headers).header("x-cache") == "miss"
    assert ask(service, PATH, CHARACTER, Idempotency_Key="").status == 422
    assert stream(service, PATH, CHARACTER).last["type"] == "complete"
    newest = ask(service, PATH, CHARACTER).json()["content_id"]
    assert newest != made.json()["content_id"]
    service.call("DELETE", f"/api/v2/content/{newest}")
    assert ask(service, PATH, CHARACTER).header("x-cache") == "miss"
    child = {**CHARACTER, "parent_content_id": made.json()["content_id"]}
    assert [ask(service, PATH, child).status for _ in range(3)] == [200] * 3
    service.call("DELETE", f"/api/v2/content/{made.json()['content_id']}")
    assert ask(service, PATH, child).status == 404


@pytest.mark.parametrize(
    "change",
    [
        {"type": "personality"},
        {"model": {"temperature": 0.9}},
        {"model": {"temperature": 0.8, "max_tokens": 900}},
        {"theme": None},
        {"headers": {"X-User-Id": "ben"}},
        {"headers": {"Cache-Control": "max-age=0, no-cache"}},
        {"headers": {"Cache-Control": "No-Cache"}},
    ],
)
def test_different_request_or_no_cache_asks_the_model(
    service: Served, model: FakeModel, change: dict[str, Any]
) -> None:
    model.default = Script(text='{"content": "New."}')
    ask(service, PATH, CHARACTER)
    headers = change.pop("headers", {})
    reply = ask(service, PATH, {**CHARACTER, **change}, **headers)
    assert reply.header("x-cache") == "miss"
    assert len(model.calls) == 2


def test_a_parent_makes_another_request(service: Served, model: FakeModel) -> None:
    model.default = Script(text='{"content": "New."}')
    first = ask(service, PATH, CHARACTER).json()["content_id"]
    ask(service, PATH, {**CHARACTER, "parent_content_id": first})
    assert len(model.calls) == 2


def test_a_validation_in_another_spelling_is_another_one(service: Served, model: FakeModel) -> None:
    model.default = Script(text='{"analysis": "x", "verdicts": [{"rule": 1, "score": 1}]}')
    body = {**VALIDATION, "rules": VALIDATION["rules"][:1]}
    ask(service, "/validation/content", body)
    ask(service, "/validation/content", body)
    ask(service, "/validation/content", {**body, "content": body["content"].upper()})
    assert len(model.calls) == 2


def test_a_new_answer_replaces_the_known_one(service: Served, model: FakeModel) -> None:
    for text in ("One.", "Two."):
        scripted(model, {"content": text})
        ask(service, PATH, CHARACTER, Cache_Control="no-cache")
    assert ask(service, PATH, CHARACTER).json()["content"] == "Two."


def test_known_answer_streams_unchanged(service: Served, model: FakeModel) -> None:
    scripted(model, NPC_WRITTEN)
    first = stream(service, "/campaign/npc", NPC)
    again = stream(service, "/campaign/npc", NPC)
    assert again.frames == first.frames
    assert (first.header("x-cache"), again.header("x-cache")) == ("miss", "hit")
    whole = ask(service, "/campaign/npc", NPC)
    assert whole.json()["content_id"] == first.turn_id
    assert len(model.calls) == 1


def test_a_key_makes_content_of_its_own_without_asking_the_model_again(
    service: Served, model: FakeModel
) -> None:
    scripted(model, ANSWER)
    first = ask(service, PATH, CHARACTER).json()
    keyed = ask(service, PATH, CHARACTER, Idempotency_Key="k")
    again = ask(service, PATH, CHARACTER, Idempotency_Key="k")
    assert keyed.header("x-cache") == "hit"
    assert keyed.json() == again.json()
    assert keyed.json()["content_id"] != first["content_id"]
    assert (keyed.json()["content"], keyed.json()["metadata"]["model_used"]) == (TEXT, "gpt-5.1")
    assert len(model.calls) == 1


def test_answers_expire_by_their_kind(serve: Callable[..., Served], model: FakeModel) -> None:
    ahead = Hands(0)
    clock = Clock(monotonic=lambda: time.monotonic() + ahead())
    service = serve(clock=clock, content_cache_ttl_seconds=60_000, theme_cache_ttl_seconds=600_000)
    for name in ("character", "theme"):
        path, body, written = KINDS[name]
        scripted(model, written)
        ask(service, path, body)
    ahead.now += 60_001
    scripted(model, ANSWER)
    assert ask(service, PATH, CHARACTER).header("x-cache") == "miss"
    assert ask(service, "/theme/analyze", THEME).header("x-cache") == "hit"


def test_removed_content_is_given_to_nobody(service: Served, model: FakeModel) -> None:
    model.default = Script(text='{"content": "New."}')
    first = ask(service, PATH, CHARACTER).json()["content_id"]
    service.call("DELETE", f"/api/v2/content/{first}")
    assert ask(service, PATH, CHARACTER).json()["content_id"] != first
    assert len(model.calls) == 2


def test_an_incomplete_or_failed_answer_is_not_kept(service: Served, model: FakeModel) -> None:
    scripted(model, {"analysis": "x", "verdicts": []})
    scripted(model, {"analysis": "x", "verdicts": []})
    assert ask(service, "/validation/content", VALIDATION).json()["passed"] is False
    scripted(model, KINDS["validation"][2])
    assert ask(service, "/validation/content", VALIDATION).json()["passed"] is True


def test_other_users_get_known_answers_only_where_the_settings_say_so(
    serve: Callable[..., Served], model: FakeModel
) -> None:
    service = serve(content_cache_shared=True)
    scripted(model, ANSWER)
    first = ask(service, PATH, CHARACTER, X_User_Id="mara").json()
    other = ask(service, PATH, CHARACTER, X_User_Id="ben")
    assert (other.header("x-cache"), other.json()["content"]) == ("hit", TEXT)
    own = other.json()["content_id"]
    assert own != first["content_id"]
    assert service.call("GET", f"/api/v2/content/{own}", X_User_Id="ben").status == 200
    assert service.call("GET", f"/api/v2/content/{own}", X_User_Id="mara").status == 404
    streamed = stream(service, PATH, CHARACTER, X_User_Id="cid")
    assert (streamed.narrative, streamed.header("x-cache")) == (TEXT, "hit")
    assert len(model.calls) == 1


def test_a_user_has_one_copy_of_somebody_else_s_answer(
    serve: Callable[..., Served], model: FakeModel
) -> None:
    service = serve(content_cache_shared=True)

    def copy(user: str = "ben") -> str:
        reply = ask(service, PATH, CHARACTER, X_User_Id=user)
        assert (reply.header("x-cache"), reply.json()["content"]) == ("hit", TEXT)
        return str(reply.json()["content_id"])

    def own(user: str = "ben") -> list[str]:
        listed = service.call("GET", "/api/v2/content", X_User_Id=user).json()["contents"]
        return [one["content_id"] for one in listed]

    def remove(content_id: str, user: str) -> None:
        path = f"/api/v2/content/{content_id}"
        assert service.call("DELETE", path, X_User_Id=user).status == 204

    scripted(model, ANSWER)
    original = ask(service, PATH, CHARACTER, X_User_Id="mara").json()["content_id"]
    at_once = {one.result(TIMEOUT) for one in [aside(copy) for _ in range(8)]}
    assert [*at_once] == own() == [copy()]
    assert copy("cid") not in (original, copy())
    removed = copy()
    remove(removed, "ben")
    assert copy() != removed
    assert [copy()] == own()
    streams = [stream(service, PATH, CHARACTER, X_User_Id="dan") for _ in range(2)]
    assert [streams[0].turn_id] == [streams[1].turn_id] == [copy("dan")] == own("dan")
    assert service.metric("dungeon_master_content_cache_entries") == 1
    remove(original, "mara")
    scripted(model, {"content": "New."})
    assert ask(service, PATH, CHARACTER, X_User_Id="ben").header("x-cache") == "miss"
    assert len(model.calls) == 2


def test_five_hundred_identical_requests_make_one_call(service: Served, model: FakeModel) -> None:
    gate = threading.Event()
    scripted(model, ANSWER, gate=gate, gate_after=0)
    waiting = [aside(ask, service, PATH, CHARACTER) for _ in range(200)]
    streams = [aside(stream, service, PATH, CHARACTER) for _ in range(10)]
    service.wait_for(lambda: model.calls)
    gate.set()
    waiting += [aside(ask, service, PATH, CHARACTER) for _ in range(290)]
    replies = [one.result(300) for one in waiting]
    assert [reply.status for reply in replies] == [200] * 490
    first = replies[0].json()
    assert all(reply.json() == first for reply in replies)
    answers = [one.result(300) for one in streams]
    assert {one.turn_id for one in answers} == {first["content_id"]}
    assert {one.narrative for one in answers} == {TEXT}
    assert len(model.calls) == 1
    assert sum(reply.header("x-cache") == "miss" for reply in replies) <= 1
    assert left(replies[-1]) == (100, 99)


# -- limits ---------------------------------------------------------------------------------------


def test_every_answer_says_how_much_is_left(serve: Callable[..., Served], model: FakeModel) -> None:
    model.default = Script(text='{"content": "New."}')
    service = serve(limit_text_per_minute=3, limit_theme_per_minute=5)

    def new(**headers: str) -> Any:
        return ask(service, PATH, CHARACTER, Cache_Control="no-cache", **headers)

    assert left(new()) == (3, 2)
    assert left(ask(service, PATH, CHARACTER)) == (3, 2)
    assert left(ask(service, PATH, {"type": "poem"})) == (3, 2)
    assert left(ask(service, PATH, {**CHARACTER, "parent_content_id": "x"})) == (3, 2)
    assert left(stream(service, PATH, CHARACTER, Cache_Control="no-cache")) == (3, 1)
    assert left(new()) == (3, 0)
    over = new()
    assert (over.status, left(over)) == (429, (3, 0))
    problem = over.json()
    assert problem["code"] == problem["error"]["code"] == "RATE_LIMIT_EXCEEDED"
    assert (problem["details"]["limit"], problem["details"]["window"]) == (3, "60 seconds")
    assert int(over.header("retry-after")) in range(1, 61)
    assert left(ask(service, "/theme/analyze", {"content": "Hm."})) == (5, 4)
    assert left(new(X_User_Id="ben")) == (3, 2)
    assert ask(service, PATH, CHARACTER).status == 200, "what is known costs nothing"


def test_the_scope_of_content_is_needed_and_its_turns_are_read_with_it(
    serve: Callable[..., Served], model: FakeModel
) -> None:
    service = serve(**WITH_SECRET)
    scripted(model, ANSWER)
    allowed = {"Authorization": f"Bearer {token(scope='content')}"}
    other = {"Authorization": f"Bearer {token(scope='turns')}"}
    assert ask(service, PATH, CHARACTER, **other).status == 403
    streamed = stream(service, PATH, CHARACTER, **allowed)
    assert streamed.narrative == TEXT
    shown = service.call("GET", f"/turns/{streamed.turn_id}", **allowed)
    assert (shown.status, shown.json()["narrative"]) == (200, TEXT)
    assert service.call("GET", f"/turns/{streamed.turn_id}", **other).status == 404
    assert service.call("GET", f"/api/v2/content/{streamed.turn_id}", **other).status == 403
