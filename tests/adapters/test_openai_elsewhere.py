"""Answers that come where none is expected, failures inside a 200, usage that cannot be true."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from app.adapters.openai.model import OpenAIModel
from app.ports.model import FailureKind
from openai_calls import APIS, KEY, Answer, Api, ask, ask_whole, sse, stream, using

from fakes.journey_log import FakeJourneyLog
from fakes.model import NARRATIVE, FakeModel, Json, Script, outcome_text
from fakes.server import Request
from serving import Served

TEXT = outcome_text()
HALVES = TEXT[:20], TEXT[20:]
STOP: Json = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def chunk(**delta: Any) -> Json:
    return {"choices": [{"index": 0, "delta": delta}]}


def call(arguments: str) -> Json:
    return {"tool_calls": [{"index": 0, "function": {"arguments": arguments}}]}


PLACES = {
    "text parts": [chunk(content=[{"type": "text", "text": half}]) for half in HALVES],
    "a part that thinks": [
        chunk(content=[{"type": "thinking", "thinking": "{}"}, {"type": "text", "text": TEXT}])
    ],
    "reasoning_content": [chunk(content=None, reasoning_content=half) for half in HALVES],
    "reasoning": [chunk(content="", reasoning=half) for half in HALVES],
    "a tool call": [chunk(**call(half)) for half in HALVES],
    "a function call": [chunk(function_call={"name": "x", "arguments": half}) for half in HALVES],
    "a message": [{"choices": [{"message": {"content": TEXT}}]}],
    "a text": [{"choices": [{"text": half}]} for half in HALVES],
}


@pytest.mark.parametrize("place", PLACES)
def test_an_outcome_elsewhere_in_a_chat_stream_is_the_answer(model: FakeModel, place: str) -> None:
    answer = ask(model, "chat", Script(raw_stream=sse(*PLACES[place], STOP)))
    assert (answer.failure, answer.text) == (None, TEXT)


@pytest.mark.parametrize(
    "message",
    [
        {"content": [{"type": "text", "text": TEXT}]},
        {"content": None, "reasoning_content": TEXT},
        {"content": "", **call(TEXT)},
        {"content": None, "function_call": {"arguments": TEXT}},
    ],
)
def test_an_outcome_elsewhere_in_a_whole_chat_answer_is_the_answer(
    model: FakeModel, message: Json
) -> None:
    body = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
    script = Script(raw_stream=body, headers={"content-type": "application/json"})
    answer = ask(model, "chat", script)
    assert (answer.failure, answer.text) == (None, TEXT)


def test_a_text_that_the_server_has_decoded_is_the_answer(model: FakeModel) -> None:
    answer = ask(model, "chat", Script(raw_stream=sse(chunk(content=json.loads(TEXT)), STOP)))
    assert (answer.failure, json.loads(answer.text)) == (None, json.loads(TEXT))


@pytest.mark.parametrize("thought", ["I plan {", "Plan: " + TEXT, TEXT[:-3], "{}{}", "[1]"])
def test_reasoning_that_is_no_whole_document_is_never_text(model: FakeModel, thought: str) -> None:
    assert ask(model, "chat", Script(raw_stream=sse(chunk(reasoning=thought), STOP))).text == ""


def item(text: str, **more: Any) -> Json:
    return {"type": "message", "content": [{"type": "output_text", "text": text}], **more}


AT: Json = {"output_index": 0, "content_index": 0}
COMPLETED: Json = {"type": "response.completed", "response": {"status": "completed"}}
EVENTS = {
    "output_text.done": [{"type": "response.output_text.done", **AT, "text": TEXT}],
    "content_part.done": [
        {"type": "response.content_part.done", **AT, "part": item(TEXT)["content"][0]}
    ],
    "output_item.done": [{"type": "response.output_item.done", **AT, "item": item(TEXT)}],
    "all of them": [
        {"type": "response.output_text.done", **AT, "text": TEXT},
        {"type": "response.content_part.done", **AT, "part": item(TEXT)["content"][0]},
        {"type": "response.output_item.done", **AT, "item": item(TEXT)},
    ],
    "a function call": [
        {
            "type": "response.output_item.done",
            **AT,
            "item": {"type": "function_call", "arguments": TEXT},
        }
    ],
    "a reasoning item": [
        {
            "type": "response.output_item.done",
            **AT,
            "item": {"type": "reasoning", "content": [{"type": "reasoning_text", "text": TEXT}]},
        }
    ],
}


@pytest.mark.parametrize("place", EVENTS)
def test_an_outcome_elsewhere_in_a_responses_stream_is_the_answer(
    model: FakeModel, place: str
) -> None:
    answer = ask(model, "responses", Script(raw_stream=sse(*EVENTS[place], COMPLETED)))
    assert (answer.failure, answer.text) == (None, TEXT)


@pytest.mark.parametrize("phase", ["commentary", None, "final_answer"])
@pytest.mark.parametrize("begun", [{"phase": None}, {"phase": "unknown"}])
def test_message_whose_phase_comes_at_its_end_is_held_until_then(
    model: FakeModel, phase: str | None, begun: Json
) -> None:
    events: list[Json] = []
    for index, (text, last) in enumerate([("draft", phase), (TEXT, "final_answer")]):
        at = {"output_index": index}
        added = {"type": "message", "content": [], **begun}
        events += [
            {"type": "response.output_item.added", **at, "item": added},
            {"type": "response.output_text.delta", **at, "delta": text},
            {"type": "response.output_item.done", **at, "item": item(text, phase=last)},
        ]
    answer = ask(model, "responses", Script(raw_stream=sse(*events, COMPLETED)))
    assert answer.text == (TEXT if phase == "commentary" else "draft" + TEXT)


def draft_then_final(**begun: Any) -> Script:
    """A draft whose phase is known at its end only, all in one write."""
    draft = outcome_text("A draft.")
    events: list[Json] = []
    for index, (text, phase) in enumerate([(draft, "commentary"), (TEXT, "final_answer")]):
        at = {"output_index": index}
        events += [
            {"type": "response.output_item.added", **at, "item": {"type": "message", **begun}},
            {"type": "response.output_text.delta", **at, "delta": text},
            {"type": "response.output_item.done", **at, "item": item(text, phase=phase)},
        ]
    return Script(raw_stream=sse(*events, COMPLETED))


def test_a_draft_that_is_named_so_at_its_end_fails_once_and_is_held_then(
    serve: Callable[..., Served], model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    model.default = draft_then_final()
    service = serve(llm_api="responses")
    first = service.turn(journey_log.seed_character())
    assert (first.last["type"], first.last["error_type"]) == ("error", "llm_response_error")
    assert not journey_log.writes
    second = service.turn(journey_log.seed_character())
    assert (second.last["type"], second.narrative) == ("complete", NARRATIVE)


@pytest.mark.parametrize("prose", ["Let me see.", "I look at [the door] <first>."])
def test_prose_that_is_named_commentary_at_its_end_costs_nothing(
    model: FakeModel, prose: str
) -> None:
    at = {"output_index": 0}
    events = [
        {"type": "response.output_item.added", **at, "item": {"type": "message"}},
        {"type": "response.output_text.delta", **at, "delta": prose},
        {"type": "response.output_item.done", **at, "item": item(prose, phase="commentary")},
        {"type": "response.output_text.delta", "output_index": 1, "delta": TEXT},
    ]
    answer = ask(model, "responses", Script(raw_stream=sse(*events, COMPLETED)))
    assert (answer.failure, answer.text) == (None, prose + TEXT)


# -- failures inside a 200 ------------------------------------------------------------------------

ERRORS: dict[str, list[Json]] = {
    "an error object": [{"error": {"message": "overloaded", "code": 529}}],
    "a text": [{"error": "overloaded"}],
    "flat": [{"object": "error", "message": "overloaded", "code": 503}],
    "a detail": [{"detail": "overloaded"}],
    "a msg": [{"code": 1234, "msg": "overloaded"}],
    "in the choice": [{"choices": [{"delta": {}, "error": {"message": "x", "code": 502}}]}],
    "finish_reason": [{"choices": [{"delta": {"content": ""}, "finish_reason": "error"}]}],
}


@pytest.mark.parametrize("how", ERRORS)
@pytest.mark.parametrize("whole", [True, False])
def test_a_failure_inside_a_200_before_any_text_may_pass(
    model: FakeModel, how: str, whole: bool
) -> None:
    body = json.dumps(ERRORS[how][0]).encode()
    script = Script(raw_stream=sse(*ERRORS[how]))
    if whole:
        script = Script(raw_stream=body, headers={"content-type": "application/json"})
    assert ask(model, "chat", script).failed.kind is FailureKind.TRANSIENT


@pytest.mark.parametrize(
    "data",
    [
        b'data: {"message": "overloaded", "code": "busy"}',
        b"data: overloaded",
        b"data: the model\ndata: is overloaded",
        b'data: "overloaded"',
        b"data:",
        b"id: 7\ndata: \xff",
    ],
)
@pytest.mark.parametrize("api", APIS)
def test_an_event_named_error_may_pass(model: FakeModel, api: Api, data: bytes) -> None:
    raw = b"event: error\n" + data + b"\n\n"
    assert ask(model, api, Script(raw_stream=raw)).failed.kind is FailureKind.TRANSIENT


@pytest.mark.parametrize("how", ERRORS)
def test_a_turn_survives_a_failure_inside_a_200(
    serve: Callable[..., Served],
    model: FakeModel,
    journey_log: FakeJourneyLog,
    how: str,
) -> None:
    model.then(Script(raw_stream=sse(*ERRORS[how])))
    service = serve(llm_api="chat", llm_max_retries=1, llm_retry_delay_base=0.1)
    assert service.turn(journey_log.seed_character()).narrative == NARRATIVE
    assert [call["stream"] for call in model.calls] == [True, True]


LASTING: dict[str, tuple[Json, str]] = {
    "a wrong key": ({"message": "no such key: " + KEY[:-2], "code": 401}, "OPENAI_API_KEY"),
    "an unknown model": ({"message": "x", "code": "model_not_found"}, "OPENAI_MODEL"),
    "an empty account": ({"message": "Add credits", "code": 402}, "quota"),
}


@pytest.mark.parametrize("what", LASTING)
def test_a_lasting_refusal_inside_a_200_has_its_hint_and_shows_in_health(
    serve: Callable[..., Served],
    model: FakeModel,
    journey_log: FakeJourneyLog,
    what: str,
) -> None:
    error, hint = LASTING[what]
    model.default = Script(raw_stream=sse({"error": error}))
    service = serve(llm_api="chat", openai_api_key=KEY)
    last = service.turn(journey_log.seed_character()).last
    assert hint in last["upstream"]["hint"]
    assert service.call("GET", "/health").json()["llm_available"] is False
    assert KEY[3:-2] not in json.dumps(last)


# -- usage ----------------------------------------------------------------------------------------

UNTRUE: list[Any] = [
    {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    {"prompt_tokens": None, "completion_tokens": None},
    {"prompt_tokens": "900", "completion_tokens": "33"},
    {"prompt_tokens": -5, "completion_tokens": -1},
    {"prompt_tokens": 10**15, "completion_tokens": 10**15},
    {"prompt_tokens": True, "completion_tokens": 1.5},
    [],
    "many",
    7,
]


@pytest.mark.parametrize("usage", UNTRUE, ids=str)
def test_usage_that_cannot_be_true_is_none(model: FakeModel, usage: Any) -> None:
    events = [chunk(content=TEXT), {**STOP, "usage": usage}]
    answer = ask(model, "chat", Script(raw_stream=sse(*events)))
    assert answer.end is not None
    assert answer.end.usage is None


# -- a full context -------------------------------------------------------------------------------

FULL = b'{"error": {"code": 400, "type": "exceed_context_size_error", "message": "too long"}}'


@pytest.mark.parametrize("limit", [9_500, 8_500])
@pytest.mark.parametrize("api", APIS)
def test_a_full_context_shrinks_the_prompt_and_the_game_goes_on(
    serve: Callable[..., Served],
    model: FakeModel,
    journey_log: FakeJourneyLog,
    api: Api,
    limit: int,
) -> None:
    long, refused = "The bell rings. " * 200, list[int]()

    def answer(request: Request) -> Script:
        if len(request.body) > limit:  # what is not of a story takes half of it
            refused.append(len(request.body))
            return Script(status=400, error_body=FULL)
        return Script(outcome_text(long + str(len(model.calls))))

    model.default = answer
    service, character = serve(llm_api=api), journey_log.seed_character()
    for _ in range(10):
        stream = service.turn(character)
        assert stream.last["type"] == "complete"
    assert refused
    newest = str(model.calls[-1])
    assert long.strip() in newest, "the newest turn stays whole"


def test_a_context_that_is_too_small_for_anything_says_so(
    serve: Callable[..., Served], model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    model.default = Script(status=400, error_body=FULL)
    last = serve().turn(journey_log.seed_character()).last
    assert last["upstream"] == {
        "status": 400,
        "code": "exceed_context_size_error",
        "hint": last["upstream"]["hint"],
    }
    assert "context" in last["upstream"]["hint"]


def test_the_context_of_the_settings_is_kept_from_the_first_turn(
    serve: Callable[..., Served], model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    model.default = Script(outcome_text("The bell rings. " * 60))
    service, character = serve(llm_context_tokens=2_000), journey_log.seed_character()
    for _ in range(12):
        assert service.turn(character).last["type"] == "complete"
    lengths = [
        sum(len(str(v)) for v in (c.get("input", ""), c.get("messages", ""))) for c in model.calls
    ]
    assert lengths[-1] < 8_000


# -- misconfiguration -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [401, 402, 403, 404, 308])
def test_health_says_that_the_model_cannot_be_used(
    serve: Callable[..., Served], model: FakeModel, journey_log: FakeJourneyLog, status: int
) -> None:
    service, character = serve(), journey_log.seed_character()
    model.default = Script(status=status, error_body=b'{"error": {"message": "model not found"}}')
    last = service.turn(character).last
    assert last["recoverable"] is False
    assert last["upstream"]["status"] == status
    assert "OPENAI_" in last["upstream"]["hint"]
    assert service.call("GET", "/health").json()["llm_available"] is False
    model.default = Script()
    assert service.turn(character).last["type"] == "complete"
    assert service.call("GET", "/health").json()["llm_available"] is True


@pytest.mark.parametrize("status", [429, 503, 502])
def test_an_outage_is_recoverable_and_carries_its_time(
    serve: Callable[..., Served], model: FakeModel, journey_log: FakeJourneyLog, status: int
) -> None:
    model.default = Script(status=status, headers={"retry-after": "3600"})
    last = serve(llm_max_retries=3).turn(journey_log.seed_character()).last
    assert last["recoverable"] is True
    assert last["retry_after_seconds"] == 3600
    assert len(model.calls) == 1


def test_an_empty_body_is_empty(model: FakeModel) -> None:
    script = Script(raw_stream=b"", headers={"content-type": "application/json"})
    assert ask(model, "chat", script).failed.kind is FailureKind.EMPTY
    assert ask_whole(model, "chat", Script()).text == TEXT


@pytest.mark.parametrize("busy", [Script(status=503), Script(hang=True)], ids=["503", "late"])
def test_a_server_that_answers_one_call_at_a_time_is_not_at_fault(
    model: FakeModel, busy: Script
) -> None:
    model.then(Script(pace=0.02), busy)

    async def work(openai: OpenAIModel) -> tuple[Answer, Answer]:
        first = asyncio.create_task(stream(openai))
        await model.eventually(lambda: model.stats.open == 1)
        second = await stream(openai)
        return await first, second

    first, second = using(model, "chat", work, timeout=0.5)
    assert first.text == TEXT
    assert second.failed.busy
    model.then(busy)
    assert not using(model, "chat", stream, timeout=0.5).failed.busy


@pytest.mark.parametrize(
    ("status", "seconds", "busy"), [(503, 2, True), (429, 2, True), (503, 0, False)]
)
def test_a_server_that_reads_a_long_prompt_meanwhile_is_not_at_fault(
    model: FakeModel, status: int, seconds: float, busy: bool
) -> None:
    ahead = 0.0
    model.then(Script(hang=True), Script(status=status))

    async def work(openai: OpenAIModel) -> Answer:
        nonlocal ahead
        first = asyncio.create_task(stream(openai))
        await model.eventually(lambda: model.stats.open == 1)
        ahead = seconds
        second = await stream(openai)
        first.cancel()
        return second

    answer = using(model, "chat", work, now=lambda: ahead)
    assert answer.failed.busy is busy
