"""What a real server of llama.cpp answered, replayed; `local_model_run.py --record` has written it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from app.adapters.openai.probing import ProbedOpenAIModel
from app.core.messages import Message, Prompt
from app.core.prompt import OUTCOME_SCHEMA
from app.doctor.at_start import StartProbe
from app.ports.call import CallMeta
from app.ports.model import FailureKind, Flow, ModelFailed, ModelRequest
from openai import AsyncOpenAI

from fakes.server import Connection, FakeServer, Request, to_json
from serving import Served

MODELS: Final = ("smollm2", "random")
ROOM: Final = 3_000
"""Characters of a request that the replayed server takes."""
REQUEST: Final = ModelRequest(
    Prompt((Message("user", "Greet the player."),), schema=OUTCOME_SCHEMA), CallMeta("1")
)
FORMS: Final = ("json_object_schema", "json_object", "prompt")


def recorded(model: str) -> dict[str, Any]:
    file = Path(__file__).parent / "recorded" / f"{model}.json"
    return dict(json.loads(file.read_text("utf-8")))


def text_of(answer: dict[str, Any]) -> str:
    """As simply as possible."""
    if not answer["type"].startswith("text/event-stream"):
        return str(json.loads(answer["body"])["choices"][0]["message"]["content"])
    events = [json.loads(line[6:]) for line in answer["body"].splitlines() if "{" in line]
    return "".join(one["choices"][0]["delta"].get("content", "") for one in events)


class Replayed(FakeServer):
    """Answers each request as the real one has answered one of that form. `then` names answers for the next
    requests; what is longer than `room` overflows the context."""

    def __init__(self, model: str) -> None:
        super().__init__()
        self.answers = recorded(model)
        self.then: list[str] = []
        self.room = 10**6

    async def respond(self, request: Request, connection: Connection) -> None:
        if request.method == "GET":
            found = {"id": "m", "object": "model", "owned_by": "me", "permissions": []}
            connection.reply(
                200 if request.path == "/v1/models" else 404,
                to_json({"object": "list", "data": [found]}),
            )
            return
        answer = self.answers[self.then.pop(0) if self.then else self._name(request)]
        headers = {"content-type": answer["type"]}
        if answer["type"] == "application/json":
            connection.reply(answer["status"], answer["body"].encode(), headers)
            return
        connection.begin_chunks(answer["status"], headers)
        connection.chunk(answer["body"].encode(), last=not answer["broken"])
        if answer["broken"]:
            await connection.flushed()
            connection.drop()

    def _name(self, request: Request) -> str:
        asked = request.json()
        form = asked.get("response_format", {"type": "prompt"})
        name = "json_object_schema" if "schema" in form else form["type"]
        how = "streamed" if asked["stream"] else "whole"
        return f"{'overflow' if len(request.body) > self.room else name}, {how}"


@pytest.fixture(params=MODELS)
def server(request: pytest.FixtureRequest) -> Iterator[Replayed]:
    with Replayed(request.param) as one:
        yield one


@pytest.fixture
def smollm2() -> Iterator[Replayed]:
    with Replayed("smollm2") as one:
        yield one


def asked(server: FakeServer, work: Callable[[ProbedOpenAIModel], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        url = f"{server.url}/v1"
        async with AsyncOpenAI(api_key="k", base_url=url, max_retries=0) as client:
            return await work(ProbedOpenAIModel(client, "m", "chat"))

    return asyncio.run(run())


async def heard(model: ProbedOpenAIModel) -> tuple[str, FailureKind | None]:
    """The text of a stream, and how it failed."""
    parts: list[str] = []

    def read(deltas: list[str]) -> Flow:
        parts.extend(deltas)
        return Flow.STREAM

    try:
        await model.stream(REQUEST, read)
    except ModelFailed as failure:
        return "".join(parts), failure.kind
    return "".join(parts), None


async def failure_of_whole(model: ProbedOpenAIModel) -> ModelFailed | None:
    try:
        await model.complete(REQUEST)
    except ModelFailed as failure:
        return failure
    return None


def finish_of(answer: dict[str, Any]) -> FailureKind | None:
    return FailureKind.CUT_OFF if '"finish_reason": "length"' in answer["body"] else None


@pytest.mark.parametrize("form", FORMS)
def test_streams_in_every_form_are_read_to_their_end(server: Replayed, form: str) -> None:
    answer = server.answers[f"{form}, streamed"]
    found = asked(server, lambda model: heard(model.pinned(form)))
    assert found == (text_of(answer), finish_of(answer))


@pytest.mark.parametrize("form", FORMS)
def test_whole_answers_that_were_cut_off_are_known_as_such(server: Replayed, form: str) -> None:
    failure = asked(server, lambda model: failure_of_whole(model.pinned(form)))
    assert failure.kind is FailureKind.CUT_OFF
    assert failure.usage.output_tokens in (24, 26)


def test_a_form_that_is_refused_with_500_is_left_out_for_good(server: Replayed) -> None:
    async def twice(model: ProbedOpenAIModel) -> str | None:
        await heard(model)
        await heard(model)
        return model.form

    assert asked(server, twice) == "json_object_schema"
    forms = [request.json()["response_format"]["type"] for request in server.requests]
    assert forms == ["json_schema", "json_object", "json_object"]


def test_an_overflow_is_an_empty_stream_and_a_refusal_of_the_whole(server: Replayed) -> None:
    server.room = 0
    assert asked(server, heard)[0] == ""
    failure = asked(server, failure_of_whole)
    assert failure.kind is FailureKind.CONTEXT_FULL
    assert failure.window in (2_048, 4_096)
    assert failure.prompt_tokens > failure.window


def test_probe_finds_the_capabilities_of_the_server(server: Replayed) -> None:
    async def probed(model: ProbedOpenAIModel) -> StartProbe:
        probe = StartProbe(model, stream=True, busy=lambda: False, learn=lambda _: None)
        await probe.run()
        return probe

    found = asked(server, probed).found
    assert (found.state, found.capabilities.form) == ("known", "json_object_schema")
    assert found.capabilities.forms["json_object_schema"] == "followed"
    assert (found.capabilities.streaming, found.capabilities.usage) == (True, False)


# -- the service ----------------------------------------------------------------------------------


def served(server: Replayed, folder: Path) -> Served:
    return Served(
        store_url=f"sqlite:///{folder}/store.db",
        openai_base_url=f"{server.url}/v1",
        llm_max_retries=0,
        max_turns_per_character_per_second=100,
        chat_context_messages=200,
        chat_context_tokens=100_000,
    )


def say(service: Served, message: str) -> Any:
    body = {"username": "ann", "message": message, "cache": False}
    return service.stream("POST", "/chat", body, Accept="text/event-stream").last


def test_a_long_chat_goes_on_in_a_small_context(smollm2: Replayed, tmp_path: Path) -> None:
    smollm2.room = ROOM
    with served(smollm2, tmp_path) as service:
        ends = [say(service, f"{number} " + "over the bridge " * 40) for number in range(8)]
        assert [end["type"] for end in ends] == ["complete"] * 8
    sizes = [len(request.body) for request in smollm2.requests]
    assert max(sizes) > ROOM
    assert sizes[-1] <= ROOM
    refused = sum(size > ROOM for size in sizes)
    assert refused <= 4


def test_a_server_that_dies_in_mid_answer_leaves_no_trace(
    smollm2: Replayed, tmp_path: Path
) -> None:
    smollm2.then = ["killed"]
    with served(smollm2, tmp_path) as service:
        end = say(service, "hello")
        assert end["type"] == "error"
        assert end["partial_narrative"].strip() == text_of(smollm2.answers["killed"]).strip()
        assert service.call("GET", "/context").json()["context"] == []
        assert say(service, "hello again")["type"] == "complete"
