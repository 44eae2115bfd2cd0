"""What is found out about a model server when the service starts."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from app.adapters.openai.listing import native_context
from app.adapters.openai.probing import ProbedOpenAIModel
from app.addresses import is_private
from app.bootstrap import load_settings
from app.doctor.at_start import WAITS, Found, StartProbe
from app.doctor.capabilities import Form, followed
from app.ports.model import ModelFailed
from openai import AsyncOpenAI
from openai_calls import REQUEST

from fakes.model import MODEL, FakeModel, Script, Usage, outcome_text
from fakes.server import Connection, Request
from serving import Served

Answers = Callable[[Request], Script]
HI = Script(text="Hello there, traveller!")


class Server(FakeModel):
    """Answers GETs from a table, where that has the path."""

    def __init__(self, **rows: Any) -> None:
        super().__init__()
        self.pages: dict[str, Any] = {"/v1/models": {"data": [{"id": MODEL, **rows}]}}

    async def respond(self, request: Request, connection: Connection) -> None:
        if request.method == "GET" and request.path in self.pages:
            connection.reply(200, json.dumps(self.pages[request.path]).encode())
        elif request.method == "GET":
            connection.reply(404, b"{}")
        else:
            await super().respond(request, connection)


@pytest.fixture
def server() -> Any:
    with Server() as one:
        yield one


class Seen(NamedTuple):
    """`form`: in which a turn is asked for afterwards. `learnt`: contexts."""

    found: Found
    form: str | None
    learnt: list[int]


async def no_wait(_: float) -> None: ...


def probed(server: FakeModel, **options: Any) -> Seen:
    learnt: list[int] = []

    async def probe() -> Seen:
        async with AsyncOpenAI(api_key="k", base_url=server.base_url, max_retries=0) as client:
            model = ProbedOpenAIModel(client, MODEL, "chat")
            given = {"stream": True, "busy": lambda: False, "sleep": no_wait, **options}
            one = StartProbe(model, learn=learnt.append, **given)
            await one.run()
            with suppress(ModelFailed):
                await model.complete(REQUEST)
            return Seen(one.found, model.form, learnt)

    return asyncio.run(probe())


def greetings(server: FakeModel) -> int:
    """Requests of the probe."""
    return sum("Greet" in json.dumps(call) for call in server.calls)


def by_form(**answers: Script) -> Answers:
    """Answers by the form that is asked for; 400 for every other one."""

    def answer(request: Request) -> Script:
        asked = request.json().get("response_format", {})
        kind = asked.get("type", "prompt")
        form = "json_object_schema" if "schema" in asked else kind
        refusal = {"error": {"message": "response_format: no"}}
        return answers.get(form, Script(status=400, error_body=refusal))

    return answer


FORMS: dict[str, tuple[Answers, str, list[Form], int]] = {
    "a schema": (by_form(json_schema=Script()), "json_schema", ["followed"], 1),
    "a cut-off answer": (
        by_form(json_schema=Script(text='{"narrative": "Hel', finish="length")),
        "json_schema",
        ["followed"],
        1,
    ),
    "reasoning first": (
        by_form(json_schema=Script(text="<think>A greeting", finish="length")),
        "json_schema",
        ["taken"],
        1,
    ),
    "nothing but hidden reasoning": (
        by_form(json_schema=Script(text="", reasoning="A greeting", finish="length")),
        "json_schema",
        ["taken"],
        1,
    ),
    "a schema that is ignored": (
        by_form(json_schema=HI, json_object_schema=Script()),
        "json_object_schema",
        ["ignored", "followed"],
        2,
    ),
    "another schema": (
        by_form(json_schema=Script(text='{"greeting": "Hello"}'), json_object_schema=Script()),
        "json_object_schema",
        ["ignored", "followed"],
        2,
    ),
    "JSON mode only": (
        by_form(json_object=Script()),
        "json_object",
        ["refused", "refused", "followed"],
        3,
    ),
    "JSON mode with fields of its own": (
        by_form(json_object=Script(text='{"greeting": "Hello"}')),
        "json_object",
        ["refused", "refused", "followed"],
        3,
    ),
    "no form": (
        by_form(prompt=Script()),
        "prompt",
        ["refused", "refused", "refused", "followed"],
        4,
    ),
    "prose in every form": (
        lambda _: HI,
        "prompt",
        ["ignored", "ignored", "ignored", "ignored"],
        4,
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_the_best_form_that_is_followed_is_chosen(server: Server, name: str) -> None:
    server.default, best, states, calls = FORMS[name]
    seen = probed(server)
    known = seen.found.capabilities
    assert (seen.found.state, known.form, seen.form) == ("known", best, best)
    assert [state for state in known.forms.values() if state != "untried"] == states
    assert (known.streaming, known.usage) == (True, True)
    assert greetings(server) == calls


@pytest.mark.parametrize(
    ("script", "streaming", "usage"),
    [
        (Script(usage=Usage(9, 2)), True, True),
        (Script(usage=None), True, False),
        (Script(ignores_stream=True), True, True),
    ],
)
def test_streaming_and_usage_are_found_out(
    server: Server, script: Script, streaming: bool, usage: bool
) -> None:
    server.default = script
    known = probed(server).found.capabilities
    assert (known.streaming, known.usage) == (streaming, usage)


def test_a_server_that_cannot_stream_is_asked_whole(server: Server) -> None:
    def answer(request: Request) -> Script:
        words = {"error": {"message": "streaming is not supported"}}
        refused = request.json()["stream"]
        return Script(status=400, error_body=words) if refused else Script()

    server.default = answer
    assert probed(server).found.capabilities.streaming is False
    server.default = Script()
    assert probed(server, stream=False).found.capabilities.streaming is None


CONTEXTS: dict[str, tuple[dict[str, Any], dict[str, Any], int | None]] = {
    "vLLM": ({"max_model_len": 40960}, {}, 40960),
    "llama.cpp": (
        {"owned_by": "llamacpp", "meta": {"n_ctx_train": 131072}},
        {"/props": {"default_generation_settings": {"n_ctx": 8192}, "total_slots": 1}},
        8192,
    ),
    "Ollama": (
        {"owned_by": "library"},
        {
            "/api/ps": {
                "models": [
                    {"name": "other:1b", "context_length": 2048},
                    {"name": f"{MODEL}:latest", "context_length": 4096},
                ]
            }
        },
        4096,
    ),
    "LM Studio": (
        {"owned_by": "organization_owner"},
        {
            "/api/v0/models": {
                "data": [
                    {
                        "id": MODEL,
                        "state": "loaded",
                        "max_context_length": 131072,
                        "loaded_context_length": 6144,
                    }
                ]
            }
        },
        6144,
    ),
    "LM Studio before it has loaded the model": (
        {},
        {"/api/v0/models": {"data": [{"id": MODEL, "max_context_length": 131072}]}},
        None,
    ),
    "llama-cpp-python": ({"owned_by": "me", "permissions": []}, {}, None),
}


@pytest.mark.parametrize("name", CONTEXTS)
def test_each_server_names_its_context_in_its_own_field(name: str) -> None:
    row, pages, context = CONTEXTS[name]
    with Server(**row) as server:
        server.pages |= pages
        seen = probed(server)
        assert seen.found.capabilities.context_tokens == context
        assert seen.learnt == ([context] if context else [])


@pytest.mark.parametrize("answer", [None, [], "x", {}, {"models": 3}, {"data": [None, {"id": 3}]}])
def test_foreign_answer_names_no_context(answer: Any) -> None:
    assert native_context(answer, MODEL) is None


def test_an_unknown_model_is_reported_with_what_fetches_it(server: Server) -> None:
    words = {"error": {"message": "model 'm' not found, try pulling it first"}}
    server.default = Script(status=404, error_body=words)
    found = probed(server).found
    assert found.state == "refused"
    assert "OPENAI_MODEL" in (found.hint or "")
    assert found.capabilities.models == (MODEL,)


def test_a_server_without_a_list_of_models_is_asked_nothing_else(server: Server) -> None:
    server.pages.clear()
    assert probed(server).found.state == "unreachable"
    assert greetings(server) == 0


def test_a_server_that_comes_late_is_asked_again(server: Server) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            server.pages["/v1/models"] = {"data": [{"id": MODEL}]}

    server.pages.clear()
    assert probed(server, sleep=sleep).found.state == "known"
    assert waited == list(WAITS[:3])
    server.default = Script(status=503)
    assert probed(server).found.state == "unreachable"


def test_nothing_is_asked_while_turns_are_under_way(server: Server) -> None:
    found = probed(server, busy=lambda: True).found
    assert (found.state, greetings(server)) == ("pending", 0)


def test_the_probe_gives_way_to_a_turn(server: Server) -> None:
    """Some servers end an answer when the next request comes."""
    gate = threading.Event()  # never opened: only giving up ends the probe
    server.then(Script(gate=gate, gate_after=1))
    found = probed(server, busy=lambda: len(server.calls) > 0).found
    assert (found.state, greetings(server)) == ("pending", 1)
    server.default = HI
    assert probed(server, busy=lambda: len(server.calls) > 3).found.state == "pending"


@pytest.mark.parametrize(
    ("text", "form", "state"),
    [
        ('{"narr', "json_schema", "followed"),
        (' {"intents": null', "json_schema", "followed"),
        ("{", "json_schema", "taken"),
        ('```json\n{"narrative"', "prompt", "followed"),
        ("", "json_schema", "taken"),
        ("◁think▷", "json_schema", "taken"),
        ("Sure! {", "json_object", "ignored"),
    ],
)
def test_the_beginning_of_an_answer_shows_its_form(text: str, form: str, state: Form) -> None:
    assert followed(text, form) == state


@pytest.mark.parametrize(
    ("address", "setting", "asked"),
    [
        (None, "auto", False),
        (None, "on", True),
        ("https://api.openai.com/v1", "auto", False),
        ("https://openrouter.ai/api/v1", "auto", False),
        ("http://localhost:11434/v1", "auto", True),
        ("http://localhost:11434/v1", "off", False),
        ("http://127.0.0.1:8080/v1", "auto", True),
        ("http://[::1]:8080/v1", "auto", True),
        ("http://192.168.1.7:8080/v1", "auto", True),
        ("http://host.docker.internal:11434/v1", "auto", True),
        ("http://8.8.8.8/v1", "auto", False),
        ("http://8.8.8.8/v1", "on", True),
    ],
)
def test_a_server_that_may_cost_money_is_asked_only_on_demand(
    address: str | None, setting: str, asked: bool
) -> None:
    settings = load_settings(
        _env_file=None, openai_api_key="k", openai_base_url=address, llm_probe=setting
    )
    assert settings.probes_model is asked
    offline = load_settings(_env_file=None, openai_stub_mode=True, llm_probe="on")
    assert not offline.probes_model


def test_names_within_a_private_network() -> None:
    assert is_private("vllm")
    assert is_private("vllm.default.svc.cluster.local")
    assert not is_private("models.example")


def test_health_shows_what_was_found_and_turns_are_asked_for_in_that_form(
    tmp_path: Path, server: Server
) -> None:
    server.pages["/v1/models"] = {"data": [{"id": MODEL, "max_model_len": 9_000}]}
    server.default = by_form(json_schema=HI, json_object=Script(text=outcome_text("Left.")))
    settings = {"store_url": f"sqlite:///{tmp_path}/store.db", "openai_base_url": server.base_url}
    with Served(**settings, llm_probe="auto") as service:

        def health() -> Any:
            return service.call("GET", "/health").json()

        assert health()["status"] == "healthy"
        service.wait_for(lambda: health()["model_server"]["state"] == "known")
        found = health()
        assert found["model_context_tokens"] == 9_000
        assert found["model_server"] == {
            "state": "known",
            "form": "json_object",
            "forms": {
                "json_schema": "ignored",
                "json_object_schema": "refused",
                "json_object": "followed",
                "prompt": "untried",
            },
            "streaming": True,
            "usage": True,
            "context_tokens": 9_000,
            "hint": None,
        }
        hero = {"name": "A", "race": "Elf", "class_name": "Bard"}
        made = service.call("POST", "/characters", hero)
        assert made.status == 201
        assert server.calls[-1]["response_format"] == {"type": "json_object"}
    with Served(**settings) as service:
        assert service.call("GET", "/health").json()["model_server"]["state"] == "off"
