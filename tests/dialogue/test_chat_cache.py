"""Answers that are known already."""

from __future__ import annotations

from typing import Any

import pytest
from app.core.messages import Message
from app.generation.answer_cache import cache_key
from app.ports.model import Sampling

from fakes.model import FakeModel, Script
from serving import Served

SAMPLING = Sampling(0.7, 0.95)
SAID = (Message("system", "Be kind."), Message("user", "ann: Hello  there"))


def ask(service: Served, message: str = "Left or right?", user: str = "ann", **fields: Any) -> Any:
    headers = {"X-User-Id": fields.pop("caller", "mara")}
    reply = service.call(
        "POST", "/chat", {"username": user, "message": message, **fields}, **headers
    )
    return reply.json()


def forget(service: Served, caller: str = "mara") -> None:
    assert service.call("DELETE", "/context", X_User_Id=caller).status == 200


def test_the_same_question_in_the_same_conversation_hits(service: Served, model: FakeModel) -> None:
    model.default = Script(text="Left!")
    first = ask(service)
    assert first["cached"] is False
    forget(service)
    again = ask(service, "left  OR right?")
    assert (again["response"], again["cached"]) == ("Left!", True)
    assert again["usage"]["total_tokens"] == 0
    assert len(model.calls) == 1
    assert ask(service)["cached"] is False, "the conversation has gone on"
    assert service.metric("dungeon_master_chat_cache_hits") == 1
    assert service.call("GET", "/health").json()["components"]["cache"] == "healthy"


def test_a_known_answer_streams_and_is_kept_as_any(service: Served, model: FakeModel) -> None:
    model.default = Script(text="Left!")
    ask(service)
    forget(service)
    body = {"username": "ann", "message": "Left or right?"}
    headers = {"Accept": "text/event-stream", "X-User-Id": "mara"}
    streamed = service.stream("POST", "/chat", body, **headers)
    assert (streamed.narrative, streamed.last["chat"]["cached"]) == ("Left!", True)
    context = service.call("GET", "/context", X_User_Id="mara").json()["context"]
    assert context[-1]["content"] == "Left!"


@pytest.mark.parametrize(
    "changes", [{"cache": False}, {"user": "ben"}, {"caller": "bran"}, {"message": "Left?"}]
)
def test_different_request_or_no_cache_is_answered_anew(
    service: Served, model: FakeModel, changes: dict[str, Any]
) -> None:
    model.default = Script(text="Left!")
    ask(service)
    forget(service)
    assert ask(service, **changes)["cached"] is False
    assert len(model.calls) == 2


def test_failures_are_not_kept(service: Served, model: FakeModel) -> None:
    model.default = Script(text="Left!")
    model.then(Script(text="<think>", finish="stop"), Script(text="<think>", finish="stop"))
    assert ask(service)["error"]["type"] == "llm_response_error"
    assert ask(service)["response"] == "Left!"


def test_keys_differ_by_everything_but_time_case_and_space() -> None:
    key = cache_key("mara", "m", SAMPLING, 100, SAID)
    assert key == cache_key(
        "mara", "m", SAMPLING, 100, (SAID[0], Message("user", "ANN: hello there "))
    )
    others = [
        cache_key("bran", "m", SAMPLING, 100, SAID),
        cache_key("mara", "n", SAMPLING, 100, SAID),
        cache_key("mara", "m", Sampling(0.8, 0.95), 100, SAID),
        cache_key("mara", "m", SAMPLING, 101, SAID),
        cache_key("mara", "m", SAMPLING, 100, SAID[1:]),
        cache_key("mara", "m", SAMPLING, 100, (Message("system", "Be rude."), SAID[1])),
        cache_key("mara", "m", SAMPLING, 100, (SAID[0], Message("assistant", SAID[1].content))),
    ]
    assert len({key, *others}) == len(others) + 1
