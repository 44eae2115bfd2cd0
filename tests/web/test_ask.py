"""Questions about a character's story, out of character."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from fakes.journey_log import FakeJourneyLog, answers
from fakes.model import FakeModel, Script
from serving import Served, aside, refused

Serve = Callable[..., Served]


def ask(service: Served, character: str, question: str = "Who rang it?", **headers: str) -> Any:
    body = {"character_id": character, "question": question}
    return service.call("POST", "/turns/ask", body, **headers)


def test_a_question_is_answered_from_the_story_and_leaves_no_trace(
    service: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    turn = service.turn(character, "I ring the bell.")
    written = journey_log.kinds(character)
    model.then(Script(text=" Nobody has said so yet. "))
    reply = ask(service, character)
    assert (reply.status, reply.json()) == (200, {"answer": "Nobody has said so yet."})
    asked = model.requests[-1].body.decode()
    assert all(words in asked for words in ("I ring the bell.", "Who rang it?"))
    assert journey_log.kinds(character) == written
    turns = service.call("GET", f"/characters/{character}/turns").json()["turns"]
    assert [each["turn_id"] for each in turns] == [turn.turn_id]


def test_question_waits_for_no_turn(service: Served, model: FakeModel, character: str) -> None:
    gate = threading.Event()
    model.then(Script(gate=gate, gate_after=6), Script(text="Yes."))
    with service.live(character) as live:
        live.until("token")
        assert ask(service, character).json() == {"answer": "Yes."}
        gate.set()
        assert live.rest().last["type"] == "complete"


def test_its_tokens_count_in_the_budget_of_the_day(
    serve: Serve, model: FakeModel, character: str
) -> None:
    service = serve(tokens_per_user_per_day=3_000)
    model.then(Script(text="Yes."), Script(text="Yes."), Script(text="Yes."))
    for expected in (901, 1802):
        assert ask(service, character).status == 200
        assert service.call("GET", "/usage").json()["tokens_used"] == expected
    model.then(Script(text="Yes."))
    assert ask(service, character).status == 200
    refused(ask(service, character), 429, "token_budget_exceeded")


def test_questions_have_a_window_of_their_own(
    service: Served, model: FakeModel, character: str
) -> None:
    model.default = Script(text="Yes.")
    replies = [aside(ask, service, character) for _ in range(25)]
    statuses = sorted(reply.result(300).status for reply in replies)
    assert statuses == [200] * 20 + [429] * 5


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"question": "?"}, "character_id"),
        ({"character_id": "x", "question": "?"}, "character_id"),
        ({"question": " "}, "question"),
        ({"question": "x" * 1_001}, "question"),
        ({"question": "?", "shared": True}, "shared"),
    ],
)
def test_a_wrong_question_is_named(
    service: Served, character: str, body: dict[str, Any], named: str
) -> None:
    whole = body if named == "character_id" else {"character_id": character} | body
    reply = service.call("POST", "/turns/ask", whole)
    assert named in refused(reply, 422, "validation_error")["detail"]


def test_nobody_asks_about_the_character_of_another(service: Served, character: str) -> None:
    refused(ask(service, character, X_User_Id="mallory"), 403, "forbidden")


def test_failures_are_those_of_a_turn(
    service: Served, journey_log: FakeJourneyLog, character: str
) -> None:
    journey_log.always("context", answers(500))
    refused(ask(service, character), 502, "journey_log_error")
