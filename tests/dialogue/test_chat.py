"""`POST /chat`, `GET /context` and `DELETE /context` over a real socket."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from app.core.conversation import cleared
from app.dialogue.answer import PATIENCE
from app.dialogue.asked import MAX_WAITING
from app.dialogue.npcs import Npcs
from app.dialogue.service import DialogueService
from app.dialogue.settings import DialogueSettings
from app.ports.clock import Clock
from app.ports.conversations import ConversationKey

from fakes.model import FakeModel, Script
from fakes.store.journal import Journal
from fakes.store.store import MemoryTurnStore
from journal import Hands
from passes import WITH_SECRET, token
from serving import Reply, Served, Stream, aside, refused

STREAM = {"Accept": "text/event-stream"}
HELLO = "Hey ann, go left!"


@pytest.fixture(autouse=True)
def model_talks(model: FakeModel) -> None:
    model.default = Script(text=HELLO)


def say(service: Served, message: str = "left or right?", who: str = "ann", **fields: Any) -> Reply:
    headers = fields.pop("headers", {})
    body = {"username": who, "message": message, **fields}
    return service.call("POST", "/chat", body, **headers)


def stream(service: Served, message: str = "left or right?", **fields: Any) -> Stream:
    headers = {**STREAM, **fields.pop("headers", {})}
    body = {"username": "ann", "message": message, **fields}
    return service.stream("POST", "/chat", body, **headers)


def context(service: Served, query: str = "", **headers: str) -> dict[str, Any]:
    reply = service.call("GET", f"/context{query}", **headers)
    assert reply.status == 200
    found: dict[str, Any] = reply.json()
    return found


def test_a_message_is_answered_in_the_shape_of_older_clients(
    service: Served, model: FakeModel
) -> None:
    reply = say(service, "over the bridge?", emotes=["wave", "heart"])
    assert reply.status == 200
    body = reply.json()
    assert (body["response"], body["error"], body["context_summary"]) == (HELLO, None, "")
    assert body["current_topics"] == ["bridge"]
    assert (body["conversation_id"], body["speaker"], body["cached"]) == ("default", "", False)
    at = datetime.fromisoformat(body["timestamp"])
    assert abs(at.timestamp() - datetime.now(at.tzinfo).timestamp()) < 20
    (asked,) = model.calls
    assert asked["messages"][-1] == {
        "role": "user",
        "content": "ann: over the bridge? [emotes: wave, heart]",
    }
    assert (asked["temperature"], asked["top_p"]) == (0.7, 0.95)
    assert 1000 in (asked.get("max_completion_tokens"), asked.get("max_tokens"))


def test_the_same_answer_streams_as_a_turn_does(service: Served) -> None:
    streamed = stream(service)
    assert streamed.header("content-type") == "text/event-stream; charset=utf-8"
    assert streamed.narrative == HELLO
    assert streamed.phases == ["start", "context", "narrative", "validation"]
    assert streamed.last["type"] == "complete"
    assert streamed.last["chat"]["conversation_id"] == "default"
    assert streamed.body.endswith(b"data: [DONE]\n\n")
    start = streamed.events[0]
    assert (start["user_action"], start["speaker"]) == ("left or right?", "")
    again = service.stream("GET", f"/turns/{streamed.turn_id}/events")
    assert again.frames == streamed.frames
    shown = service.call("GET", f"/turns/{streamed.turn_id}").json()
    assert (shown["status"], shown["narrative"], shown["character_id"]) == ("complete", HELLO, None)
    assert shown["chat"] == streamed.last["chat"]


@pytest.mark.parametrize(
    ("accept", "streamed"),
    [
        ("TEXT/Event-Stream", True),
        ("application/json, text/event-stream;q=0.5", True),
        ("*/*", False),
        ("text/event-stream;q=0, */*", False),
    ],
)
def test_a_stream_is_sent_to_who_accepts_one(service: Served, accept: str, streamed: bool) -> None:
    kind = say(service, headers={"Accept": accept}).header("content-type") or ""
    assert kind.startswith("text/event-stream") == streamed


def read_in_two(service: Served, model: FakeModel, first: str, second: str) -> bytes:
    """The rest of a stream whose second piece the model writes once the first is visible."""
    gate = threading.Event()
    model.then(Script(pieces=[first, second], gate=gate, gate_after=1))
    body = {"username": "ann", "message": "left or right?", "cache": False}
    with service.open("POST", "/chat", body, **STREAM) as response:
        for line in iter(response.readline, b""):
            if first.encode() in line:
                break
        gate.set()
        return response.read()


def test_the_first_delta_is_visible_before_the_second_is_written(
    service: Served, model: FakeModel
) -> None:
    assert b"[DONE]" in read_in_two(service, model, "Left", " it is.")


def test_a_model_that_once_ended_reasoning_it_had_not_begun_is_held_for_a_few_answers_only(
    service: Served, model: FakeModel
) -> None:
    model.default = Script(text=HELLO)
    rest = read_in_two(service, model, "They greet.", "</think>Hey!")
    assert b"llm_response_error" in rest
    model.then(Script(text="They greet.</think>Hey!"))
    assert say(service, cache=False).json()["response"] == "Hey!"
    for number in range(PATIENCE):
        assert say(service, conversation_id=f"c{number}", cache=False).json()["response"] == HELLO
    assert b"[DONE]" in read_in_two(service, model, "Left", " it is.")


def test_context_holds_the_exchanges(service: Served, model: FakeModel) -> None:
    say(service, "left or right?", emotes=["wave"])
    found = context(service)
    assert set(found) >= {"context", "metadata", "system_prompt"}
    first, second = found["context"]
    assert (first["role"], first["content"]) == ("user", "ann: left or right? [emotes: wave]")
    assert first["metadata"]["username"] == "ann"
    assert first["metadata"]["emotes"] == ["wave"]
    assert second == {"role": "assistant", "content": HELLO}
    assert found["metadata"]["last_update"] is not None
    say(service, "and now?", who="ben")
    roles = [message["role"] for message in model.calls[-1]["messages"]]
    assert roles == ["system", "user", "assistant", "user"]


def test_a_restart_keeps_the_conversation(serve: Callable[..., Served]) -> None:
    service = serve()
    say(service)
    before = context(service)
    service.close()
    assert context(serve()) == before


def test_clearing_forgets_and_says_so(service: Served, model: FakeModel) -> None:
    say(service)
    reply = service.call("DELETE", "/context")
    assert (reply.status, reply.json()["status"]) == (200, "success")
    assert set(reply.json()) == {"status", "message", "timestamp"}
    assert context(service)["context"] == []
    say(service)
    assert len(model.calls[-1]["messages"]) == 2


def test_an_answer_under_way_is_not_kept_in_a_cleared_conversation(
    service: Served, model: FakeModel
) -> None:
    gate = threading.Event()
    model.then(Script(text=HELLO, gate=gate, gate_after=1))
    answer = aside(say, service)
    service.wait_for(lambda: model.calls)
    service.call("DELETE", "/context")
    gate.set()
    assert answer.result(300).status == 200
    assert context(service)["context"] == []


def test_conversations_are_apart_by_user_and_by_id(service: Served) -> None:
    say(service, "one", headers={"X-User-Id": "ayla"})
    say(service, "two", conversation_id="raid", headers={"X-User-Id": "ayla"})
    contents = {
        query: [m["content"] for m in context(service, query, X_User_Id=user)["context"][:1]]
        for user, query in (("ayla", ""), ("ayla", "?conversation_id=raid"), ("bran", "?"))
    }
    assert contents == {"": ["ann: one"], "?conversation_id=raid": ["ann: two"], "?": []}


@pytest.mark.parametrize(
    "script",
    [
        Script(text="<think>what to say"),
        Script(text="<think>hm</think>  \n"),
        Script(text="As an AI, I have no words."),
    ],
)
def test_an_empty_answer_is_asked_for_once_more_then_fails_and_leaves_no_trace(
    service: Served, model: FakeModel, script: Script
) -> None:
    model.then(script, script)
    refused(say(service), 502, "llm_response_error")
    assert len(model.calls) == 2
    assert context(service)["context"] == []
    model.then(script)
    assert say(service).json()["response"] == HELLO


def test_a_failed_answer_leaves_no_trace(service: Served, model: FakeModel) -> None:
    model.then(Script(text=HELLO, drop_after=2))
    streamed = stream(service)
    assert streamed.last["type"] == "error"
    assert streamed.last["partial_narrative"]
    assert context(service)["context"] == []


def test_an_answer_cut_at_its_bound_is_kept(service: Served, model: FakeModel) -> None:
    model.then(Script(text="A long story", finish="length"))
    assert say(service).json()["response"] == "A long story"
    model.then(Script(text="<think>so long", finish="length"))
    assert "CHAT_MAX_TOKENS" in refused(say(service), 502, "llm_response_error")["detail"]


def test_cancelling_leaves_no_trace(service: Served, model: FakeModel) -> None:
    gate = threading.Event()
    model.then(Script(text=HELLO, gate=gate, gate_after=1))
    body = {"username": "ann", "message": "left?"}
    with service.open("POST", "/chat", body, **STREAM) as response:
        turn_id = dict(response.getheaders())["x-turn-id"]
        assert service.cancel(turn_id).status == 202
        assert b'"type":"cancelled"' in response.read()
    gate.set()
    assert context(service)["context"] == []


def test_an_idempotency_key_attaches_and_is_kept(service: Served, model: FakeModel) -> None:
    first = say(service, idempotency_key="k")
    assert say(service, idempotency_key="k").body == first.body
    assert len(model.calls) == 1
    assert len(context(service)["context"]) == 2
    refused(say(service, "else", idempotency_key="k"), 422, "idempotency_key_reused")
    refused(say(service, who="ben", idempotency_key="k"), 422, "idempotency_key_reused")


def test_messages_to_one_conversation_wait_for_each_other(
    serve: Callable[..., Served], model: FakeModel
) -> None:
    service = serve(max_turns_per_character_per_second=100)
    gate = threading.Event()
    model.then(Script(text=HELLO, gate=gate))
    answers = [aside(say, service, "first")]
    service.wait_for(lambda: model.calls)
    answers += [aside(say, service, f"next {number}") for number in range(MAX_WAITING + 2)]
    service.wait_for(lambda: sum(answer.done() for answer in answers) == 2)
    gate.set()
    replies = [answer.result(300) for answer in answers]
    assert [reply.status for reply in replies].count(200) == 1 + MAX_WAITING
    for reply in replies:
        if reply.status != 200:
            assert "wait for this conversation" in refused(reply, 409, "turn_in_progress")["detail"]
    assert len(context(service)["context"]) == 10


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"message": "hi"}, "username"),
        ({"username": "ann"}, "message"),
        ({"username": " ", "message": "hi"}, "username"),
        ({"username": "ann", "message": " "}, "message"),
        ({"username": "ann", "message": "x" * 8001}, "message"),
        ({"username": "ann", "message": "hi", "emotes": "wave"}, "emotes"),
        ({"username": "ann", "message": "hi", "emotes": [""]}, "emotes.0"),
        ({"username": "ann", "message": "hi", "conversation_id": "../x"}, "conversation_id"),
        ({"username": "ann", "message": "hi", "conversationId": "x"}, "conversation_id"),
    ],
)
def test_bad_input_names_its_field(service: Served, body: dict[str, Any], field: str) -> None:
    problem = refused(service.call("POST", "/chat", body), 422, "validation_error")
    assert field in problem["detail"]


def test_a_bad_conversation_id_of_a_query_is_named(service: Served) -> None:
    for method in ("GET", "DELETE"):
        reply = service.call(method, "/context?conversation_id=a%2Fb")
        assert "conversation_id" in refused(reply, 422, "validation_error")["detail"]


def test_chat_has_a_scope_of_its_own(serve: Callable[..., Served], model: FakeModel) -> None:
    service = serve(**WITH_SECRET)

    def bearer(scope: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token(scope=scope)}"}

    refused(say(service, headers=bearer("turns")), 403, "forbidden")
    streamed = stream(service, headers=bearer("chat"))
    path = f"/turns/{streamed.turn_id}/events"
    assert service.stream("GET", path, **bearer("chat")).frames == streamed.frames
    refused(service.call("GET", path, **bearer("turns")), 404, "turn_not_found")
    refused(service.call("GET", path, **bearer("tables")), 403, "forbidden")


def test_the_window_is_bounded_by_count_and_by_tokens_in_whole_pairs(
    serve: Callable[..., Served], model: FakeModel
) -> None:
    limits = {"max_turns_per_character_per_second": 100, "chat_summary": "extract"}
    service = serve(chat_context_messages=4, **limits)
    for number in range(5):
        say(service, f"question {number}")
    asked = model.calls[-1]["messages"]
    assert [m["content"] for m in asked[1::2]] == [f"ann: question {n}" for n in (2, 3, 4)]
    kept = context(service)
    assert [m["content"] for m in kept["context"][::2]] == ["ann: question 3", "ann: question 4"]
    for number in range(3):  # in short, as soon as they are not read whole
        line = f"ann: question {number} / co-host: {HELLO}"
        assert line in kept["metadata"]["context_summary"]
        assert (number < 2) == (line.replace("\n", "\\n") in asked[0]["content"])
    service.close()
    service = serve(chat_context_tokens=100, **limits)
    say(service, "x " * 200)
    say(service, "last")
    asked = model.calls[-1]["messages"]
    assert [m["content"] for m in asked[1:]] == ["ann: last"]
    assert "ann: x x x" in asked[0]["content"]


def test_exchanges_that_leave_the_context_are_summarised(
    serve: Callable[..., Served], model: FakeModel
) -> None:
    service = serve(
        max_turns_per_character_per_second=100, chat_context_messages=2, chat_context_tokens=2000
    )

    def answer(request: Any) -> Script:
        summing = "memory of a conversation" in json.dumps(request.json())
        return Script(text="<think>so</think>Ann asks much." if summing else HELLO)

    model.default = answer
    for number in range(24):
        say(service, f"question {number} about the endless staircase and its keeper " + "x" * 60)
    service.wait_for(lambda: context(service)["metadata"]["context_summary"].startswith("Ann asks"))
    reply = say(service).json()
    assert reply["context_summary"].startswith("Ann asks much.")
    assert "<think>" not in reply["context_summary"]
    prompts = [call["messages"][0]["content"] for call in model.calls]
    # another summary may be under way already
    assert "Ann asks much." in [one for one in prompts if "memory of a" not in one][-1]
    assert "staircase" in " ".join(context(service)["metadata"]["current_topics"])


def test_the_offline_storyteller_chats(serve: Callable[..., Served]) -> None:
    service = serve(openai_base_url=None, openai_api_key=None, storyteller_tokens_per_second=0)
    assert say(service).json()["response"]


def test_conversations_that_nobody_continues_are_removed_an_hour_s_look_at_a_time() -> None:
    asyncio.run(_expired())


async def _expired() -> None:
    clock, journal = Hands(), Journal()
    store = MemoryTurnStore(clock, journal)
    settings = DialogueSettings(_env_file=None, chat_retention_days=1)
    service = DialogueService(store, Clock(now=clock), settings, (), Npcs(store.tables))
    for name, days in (("old", 3.0), ("new", 0.0)):
        key, at = ConversationKey("mara", name), clock.now - days * 86_400
        await store.change_conversation(key, lambda one, at=at: cleared(one, at))  # type: ignore[misc]
    await service.expire()
    assert [key.conversation_id for key in journal.conversations] == ["new"]
    clock.now += 3 * 86_400
    await service.expire()
    assert not journal.conversations
    late = ConversationKey("mara", "late")
    await store.change_conversation(late, lambda one: cleared(one, 0.0))
    await service.expire()
    assert late in journal.conversations, "it was looked a moment ago"
