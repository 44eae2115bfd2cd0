"""What servers refuse, in words known and unknown, is left out and remembered."""

from __future__ import annotations

import asyncio
import re
import ssl
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from app.adapters.openai.model import OpenAIModel
from app.adapters.openai.refusals import Refusal, read_refusal
from app.bootstrap.models import language_models
from app.ports.call import CallMeta
from app.ports.model import FailureKind
from app.settings import BadSetting, ModelSettings, read_settings
from openai_calls import APIS, PROMPT, REQUEST, Answer, Api, complete, error_body, stream, using

from fakes.model import FakeModel, Json, Script, outcome_text
from fakes.server import Request

TEXT = outcome_text()


def form_of(body: Json) -> str:
    """The form that a chat request asks for."""
    form = body.get("response_format")
    if form is None:
        return "prompt"
    return str(form["type"]) + ("+schema" if "schema" in form else "")


def taking(accepts: Callable[[Json], bool], refusal: Script) -> FakeModel:
    def answer(request: Request) -> Script:
        return Script() if accepts(request.json()) else refusal

    return FakeModel(answer)


async def twice(openai: OpenAIModel) -> tuple[Answer, Answer]:
    return await stream(openai), await stream(openai)


WORDS = {
    "known words": (400, error_body("response_format is not supported")),
    "a list of pydantic": (
        422,
        b'{"detail": [{"loc": ["body", "response_format"], "msg": "Input should be text"}]}',
    ),
    "unknown words": (400, error_body("Das kann ich nicht.")),
    "a server error": (500, error_body("internal error")),
    "a server error without a body": (500, b""),
    "a gateway": (404, error_body("No endpoints found that can handle this")),
    "not implemented": (501, error_body("nope")),
    "unprocessable": (422, b"{}"),
    "a teapot": (418, b"short and stout"),
}
FORMS = ["json_object+schema", "json_object", "prompt"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("how", WORDS)
def test_a_refused_form_gives_way_to_the_next_one_whatever_the_words(form: str, how: str) -> None:
    status, body = WORDS[how]
    refusal = Script(status=status, error_body=body)
    with taking(lambda asked: form_of(asked) == form, refusal) as server:
        first, second = using(server, "chat", twice)
        assert (first.text, second.text) == (TEXT, TEXT)
        asked = [form_of(call) for call in server.calls]
    assert asked[-2:] == [form, form]
    assert asked[:-2] == ["json_schema", *FORMS][: len(asked) - 2]


def test_responses_go_down_to_json_mode_and_to_the_prompt_alone() -> None:
    for kind in ("json_object", None):

        def accepts(asked: Json, kind: str | None = kind) -> bool:
            return ((asked.get("text") or {}).get("format") or {}).get("type") == kind

        with taking(accepts, Script(status=400, error_body=error_body("?"))) as server:
            first, second = using(server, "responses", twice)
            assert (first.text, second.text) == (TEXT, TEXT)
            assert accepts(server.calls[-1])


@pytest.mark.parametrize("form", FORMS)
def test_the_schema_is_in_the_prompt_only_where_the_request_does_not_carry_it(form: str) -> None:
    refusal = Script(status=400, error_body=error_body("?"))
    assert PROMPT.schema is not None
    text = PROMPT.schema.as_text()
    with taking(lambda asked: form_of(asked) == form, refusal) as server:
        using(server, "chat", stream)
        for call in server.calls:
            carried = form_of(call) in ("json_schema", "json_object+schema")
            assert (text in call["messages"][0]["content"]) is not carried


PARTS: dict[Api, dict[str, Callable[[Json], bool]]] = {
    "chat": {
        "stream_options": lambda asked: "stream_options" in asked,
        "a name for the cache": lambda asked: "prompt_cache_key" in asked,
        "the system role": lambda asked: asked["messages"][0]["role"] == "system",
        "max_tokens": lambda asked: "max_tokens" in asked,
        "any bound": lambda asked: any("tokens" in name for name in asked),
    },
    "responses": {
        "a name for the cache": lambda asked: "prompt_cache_key" in asked,
        "store": lambda asked: "store" in asked,
        "instructions": lambda asked: "instructions" in asked,
        "max_output_tokens": lambda asked: "max_output_tokens" in asked,
    },
}


async def bounded(openai: OpenAIModel) -> list[Answer]:
    answers = []
    for _ in range(3):
        answer = Answer()
        answer.end = await openai.stream(replace(REQUEST, max_output_tokens=500), answer.hear)
        answers.append(answer)
    return answers


@pytest.mark.parametrize("words", ["?", "Unsupported parameter"])
@pytest.mark.parametrize(
    ("api", "part"), [(api, part) for api, parts in PARTS.items() for part in parts]
)
def test_only_the_part_that_was_refused_is_left_out_for_good(
    api: Api, part: str, words: str
) -> None:
    offends = PARTS[api][part]
    refusal = Script(status=400, error_body=error_body(words))
    with taking(lambda asked: not offends(asked), refusal) as server:
        assert [answer.text for answer in using(server, api, bounded)] == [TEXT] * 3
        last, form = server.calls[-1], "response_format" if api == "chat" else "text"
    assert form in last, "the schema was not at fault"
    assert not offends(server.calls[-1])
    asked = (last["messages"][0]["content"], "") if api == "chat" else (str(last["input"]), "")
    if "system" in part or part == "instructions":
        assert PROMPT.messages[0].content in asked[0]


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize(("status", "kind"), [(400, "REFUSED"), (500, "TRANSIENT")])
def test_a_refusal_that_stays_ends_the_call_and_is_not_walked_again_at_once(
    model: FakeModel, api: Api, status: int, kind: str
) -> None:
    model.default = Script(status=status, error_body=error_body("?"))
    asked: list[int] = []

    async def as_turns_do(openai: OpenAIModel) -> list[Answer]:
        answers = []
        for call in (stream, complete, stream):
            answers.append(await call(openai))
            asked.append(len(model.calls))
        return answers

    first, second, third = using(model, api, as_turns_do)
    assert first.failed.kind is FailureKind.CANNOT_STREAM
    assert second.failed.kind is third.failed.kind is FailureKind[kind]
    assert 1 < asked[0] <= 8
    assert asked[2] == asked[1] + 1
    assert "response_format" not in model.calls[asked[1] - 1]


@pytest.mark.parametrize("how", WORDS)
@pytest.mark.parametrize("api", APIS)
def test_a_refusal_to_stream_is_found_whatever_the_words(api: Api, how: str) -> None:
    status, body = WORDS[how]

    async def as_turns_do(openai: OpenAIModel) -> list[Answer]:
        return [await stream(openai), await complete(openai), await stream(openai)]

    with taking(
        lambda asked: not asked["stream"], Script(status=status, error_body=body)
    ) as server:
        first, second, third = using(server, api, as_turns_do)
        assert first.failed.kind is third.failed.kind is FailureKind.CANNOT_STREAM
        assert second.text == TEXT
        assert not server.calls[-1]["stream"], "known by now"
        assert ("response_format" if api == "chat" else "text") in server.calls[-1]


@pytest.mark.parametrize("known", [True, False], ids=["after a UUID", "at once"])
@pytest.mark.parametrize("api", APIS)
def test_a_server_that_takes_only_uuids_as_request_ids_is_not_sent_others(
    api: Api, known: bool
) -> None:
    """As one does that answers 400 without a word."""

    def answer(request: Request) -> Script:
        sent = request.headers.get("x-request-id")
        refused = sent is not None and not re.fullmatch(r"[0-9a-f-]{36}", sent)
        return Script(status=400, error_body=b"") if refused else Script()

    async def work(openai: OpenAIModel) -> None:
        if known:
            mine = replace(REQUEST, meta=CallMeta(str(uuid.UUID(int=7))))
            await openai.stream(mine, Answer().hear)
        assert [(await stream(openai)).text for _ in range(3)] == [TEXT] * 3

    with FakeModel(answer) as server:
        using(server, api, work)
        assert "x-request-id" not in server.requests[-1].headers
        form = "response_format" if api == "chat" else "text"
        assert form in server.calls[-1]
        assert server.calls[-1].keys() == server.calls[-2].keys()
        assert len(server.calls) <= (5 if known else 12)


@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize("api", APIS)
def test_streaming_that_has_worked_is_not_doubted(model: FakeModel, api: Api, status: int) -> None:
    model.then(Script())
    model.default = Script(status=status, error_body=error_body("?"))
    first, second = using(model, api, twice)
    assert first.text == TEXT
    assert second.failed.kind is not FailureKind.CANNOT_STREAM


UNKNOWN_MODELS = {
    "openai": (404, error_body("The model `x` does not exist", code="model_not_found")),
    "ollama": (404, error_body('model "x" not found, try pulling it first')),
    "vllm": (404, b'{"object": "error", "message": "The model `x` does not exist.", "code": 404}'),
    "openrouter": (400, error_body("x is not a valid model ID")),
    "azure": (404, error_body("The API deployment is missing", code="DeploymentNotFound")),
}


@pytest.mark.parametrize("who", UNKNOWN_MODELS)
@pytest.mark.parametrize("api", APIS)
def test_an_unknown_model_is_refused_at_once_and_said(model: FakeModel, api: Api, who: str) -> None:
    status, body = UNKNOWN_MODELS[who]
    model.default = Script(status=status, error_body=body)
    answer = using(model, api, stream)
    assert answer.failed.kind is FailureKind.REFUSED
    assert answer.failed.upstream is not None
    assert "OPENAI_MODEL" in (answer.failed.upstream.hint or "")
    assert len(model.calls) == 1


@pytest.mark.parametrize("api", APIS)
def test_a_model_that_has_taken_a_form_is_not_doubted_for_an_outage(
    model: FakeModel, api: Api
) -> None:
    model.then(Script(), Script(status=500, error_body=error_body("?")), Script())

    async def work(openai: OpenAIModel) -> tuple[Answer, Answer, Answer]:
        return await stream(openai), await stream(openai), await stream(openai)

    first, second, third = using(model, api, work)
    assert second.failed.kind is FailureKind.TRANSIENT
    assert (first.text, third.text) == (TEXT, TEXT)
    assert len(model.calls) == 3
    assert model.calls[2].keys() == model.calls[0].keys()


# -- refused values -------------------------------------------------------------------------------

VALUES = {
    "openai": ("{name} is too large: 8000. This model supports at most 4096 tokens", 4096),
    "deepseek": ("Invalid {name} value, the valid range of {name} is [1, 2048]", 2048),
    "anthropic": ("{name}: 8000 > 4096, which is the maximum allowed number of output", 4096),
    "groq": ("`{name}` must be less than or equal to `1024`", 1024),
    "nothing named": ("{name} is too large", None),
    "the window": (
        "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens "
        "(1000 in the messages, 8000 in the completion).",
        None,
    ),
}


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("who", VALUES)
def test_a_bound_above_the_servers_is_lowered_and_remembered(api: Api, who: str) -> None:
    name = "max_tokens" if api == "chat" else "max_output_tokens"
    words, most = VALUES[who]
    refusal = Script(status=400, error_body=error_body(words.format(name=name)))

    def accepts(asked: Json) -> bool:
        bound = asked.get(name)
        return bound is None or (most is not None and bound <= most)

    async def work(openai: OpenAIModel) -> None:
        for _ in range(2):
            answer = Answer()
            await openai.stream(replace(REQUEST, max_output_tokens=8000), answer.hear)
            assert answer.text == TEXT

    with taking(accepts, refusal) as server:
        using(server, api, work)
        assert [call.get(name) for call in server.calls] == [8000, most, most]
        assert all("response_format" in call or "text" in call for call in server.calls)


@pytest.mark.parametrize(
    ("asked", "bound", "lowered"),
    [(17_022, 40, None), (4_090, 100, None), (1_000, 8_000, 0)],
)
def test_a_prompt_that_overflows_is_no_reason_to_drop_the_bound(
    asked: int, bound: int, lowered: int | None
) -> None:
    words = (
        "This model's maximum context length is 4096 tokens. However, you requested "
        f"{asked + bound} tokens ({asked} in the messages, {bound} in the completion)."
    )
    refusal = Refusal(400, "context_length_exceeded", words)
    assert refusal.bound_for("max_tokens", bound) == lowered
    assert refusal.context_full


# -- when to come again ---------------------------------------------------------------------------

WAITS: dict[str, tuple[dict[str, str], Any, float]] = {
    "seconds": ({"retry-after": "7"}, {}, 7),
    "milliseconds": ({"retry-after-ms": "1500"}, {}, 1.5),
    "RetryInfo": ({}, [{"error": {"details": [{"retryDelay": "17s"}]}}], 17),
    "RetryInfo with a fraction": ({}, {"error": {"details": [{"retryDelay": "0.5s"}]}}, 0.5),
    "RetryInfo as an object": (
        {},
        {"error": {"details": [{"retryDelay": {"seconds": 9}}]}},
        9,
    ),
    "words": ({}, {"error": {"message": "Please try again in 1m3.5s."}}, 63.5),
    "words with ms": ({}, {"error": {"message": "Please try again in 120ms."}}, 0.12),
    "a past date": ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, {}, 0),
}


@pytest.mark.parametrize("how", WAITS)
def test_the_time_that_a_server_asks_for_is_read_in_every_form(how: str) -> None:
    headers, body, seconds = WAITS[how]
    assert read_refusal(429, body, headers).retry_after == pytest.approx(seconds)


CONTEXTS = {
    "llama.cpp": (
        {"error": {"code": 400, "type": "exceed_context_size_error", "n_ctx": 4096,
                   "n_prompt_tokens": 5200, "message": "the request exceeds the available context"}},
        4096,
        5200,
    ),
    "openai": (
        {"error": {"code": "context_length_exceeded", "message": "This model's maximum context "
                   "length is 8192 tokens. However, your messages resulted in 9000 tokens."}},
        8192,
        None,
    ),
    "llama-cpp-python": (
        {"error": {"message": "Requested tokens (5000) exceed context window of 2048"}},
        2048,
        5000,
    ),
    "gemini": ({"error": {"message": "The input token count (9) exceeds the maximum"}}, None, None),
    "anthropic": ({"error": {"message": "prompt is too long: 210000 tokens > 200000"}}, None, None),
}  # fmt: skip


@pytest.mark.parametrize("who", CONTEXTS)
def test_a_full_context_is_known_by_the_servers_words(who: str) -> None:
    body, window, prompt = CONTEXTS[who]
    refusal = read_refusal(400, body)
    assert refusal.context_full
    assert (refusal.window, refusal.prompt_tokens) == (window, prompt)


@pytest.mark.parametrize(
    "words",
    [
        "Rate limit reached: tokens per min exceeds the limit of 9000 tokens",
        "response_format is not supported",
        "The model does not exist",
    ],
)
def test_other_refusals_are_no_full_context(words: str) -> None:
    assert not read_refusal(413, {"error": {"message": words}}).context_full


ENVIRONMENT = {
    "OPENAI_CUSTOM_HEADERS": "X-Leak: secret\nX-Other: secret",
    "OPENAI_ORG_ID": "org-of-somebody",
    "OPENAI_PROJECT_ID": "project-of-somebody",
    "OPENAI_ADMIN_KEY": "admin-key-of-somebody",
}


@pytest.mark.parametrize("ours", [{}, {"openai_org_id": "org-ours", "openai_project_id": "p-1"}])
def test_no_call_takes_anything_from_the_environment_but_settings(
    model: FakeModel, monkeypatch: pytest.MonkeyPatch, ours: dict[str, str]
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    unset = {"openai_org_id": None, "openai_project_id": None}
    values: dict[str, Any] = {"openai_base_url": model.base_url, **unset, **ours}
    openai, *_ = language_models(ModelSettings(**values), ssl.create_default_context())

    async def ask() -> None:
        answer = Answer()
        await openai.stream(REQUEST, answer.hear)
        await openai.aclose()
        assert answer.text == TEXT

    asyncio.run(ask())
    sent = model.requests[0].headers
    assert "somebody" not in str(sent)
    assert "x-leak" not in sent
    assert sent.get("openai-organization") == ours.get("openai_org_id")
    assert sent.get("openai-project") == ours.get("openai_project_id")


BAD = {
    "openai_api_key": ["sk-a\nb", "sk-a ", "schlüssel", "a\tb"],
    "openai_base_url": [
        "http://a/v1%20",
        "http://a/v1 ",
        "http://a/v1/chat/completions",
        "http://a/v1/responses",
        "a/v1",
    ],
    "openai_model": [" gpt", "gpt\n", "g\u200bpt"],
    "openai_org_id": ["a b", "a\nb"],
}


@pytest.mark.parametrize(("name", "value"), [(name, v) for name in BAD for v in BAD[name]])
def test_impossible_setting_stops_the_start_and_is_named(name: str, value: str) -> None:
    with pytest.raises(BadSetting) as caught:
        read_settings(ModelSettings, **{name: value})
    assert str(caught.value).startswith(name.upper())
    assert value not in str(caught.value)
