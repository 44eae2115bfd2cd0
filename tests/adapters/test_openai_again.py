"""Further requests repeat the first one that the SDK made: the same but for body and ids."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from app.adapters.openai.model import OpenAIModel
from app.adapters.openai.requests import ApiFormat, ChatFormat, ResponsesFormat
from app.core.encoding import encode
from app.core.messages import Message, Prompt
from app.ports.call import CallMeta
from app.ports.model import FailureKind, ModelRequest
from openai import AsyncOpenAI
from openai_calls import APIS, KEY, META, REQUEST, Answer, Api, complete, error_body, stream, using

from fakes.model import MODEL, FakeModel, Script
from loops import in_loop

OTHER = CallMeta("0b3b5a52-8f2c-4d1e-9d57-0f6a3a0c9a11", "00-" + "1" * 32 + "-" + "2" * 16 + "-01")
REFUSALS = {
    "key": Script(status=401, error_body=error_body("Incorrect API key")),
    "key, a text": Script(status=403, error_body=b"  no entry\n"),
    "busy": Script(status=429, error_body=error_body("slow"), headers={"Retry-After": "7"}),
    "spent": Script(status=429, error_body=error_body("quota", code="insufficient_quota")),
    "away": Script(status=503, error_body=b"<html>back soon</html>"),
    "moved": Script(status=302, error_body=b"", headers={"Location": "http://192.0.2.1/"}),
    "no bytes of a text": Script(status=401, error_body=b"\xff\xfe"),
}


def asked(server: FakeModel, api: Api, *scripts: Script) -> list[Answer]:
    """One streamed call after the other, of one model."""
    server.then(*scripts)

    async def work(model: OpenAIModel) -> list[Answer]:
        return [await stream(model) for _ in scripts]

    return using(server, api, work)


@pytest.mark.parametrize("api", APIS)
def test_a_repetition_differs_in_its_body_and_its_ids(model: FakeModel, api: Api) -> None:
    async def work(asked: OpenAIModel) -> None:
        await stream(asked)
        await complete(asked)
        await asked.complete(replace(REQUEST, meta=OTHER))
        await asked.complete(replace(REQUEST, meta=CallMeta("x")))

    using(model, api, work)
    first, *others = (dict(request.headers) for request in model.requests)
    assert first["authorization"] == f"Bearer {KEY}"
    assert first["user-agent"].startswith("AsyncOpenAI/")
    assert first["accept-encoding"] == "identity"
    sent = [first, *others]
    assert [headers.pop("x-request-id") for headers in sent] == [
        META.request_id,
        META.request_id,
        OTHER.request_id,
        "x",
    ]
    assert [headers.pop("traceparent", None) for headers in sent] == [
        META.traceparent,
        META.traceparent,
        OTHER.traceparent,
        None,
    ]
    lengths = [int(headers.pop("content-length")) for headers in sent]
    assert lengths == [len(request.body) for request in model.requests]
    assert others == [first] * 3
    assert {(request.method, request.path) for request in model.requests} == {
        ("POST", model.requests[0].path)
    }


@pytest.mark.parametrize("name", REFUSALS)
@pytest.mark.parametrize("api", APIS)
def test_a_refusal_is_the_same_to_a_first_request_and_to_a_repetition(
    model: FakeModel, api: Api, name: str
) -> None:
    (first,) = asked(model, api, REFUSALS[name])
    fine, again, after = asked(model, api, Script(), REFUSALS[name], Script())
    assert fine.end
    assert after.end
    assert vars(again.failed) == vars(first.failed)
    assert str(again.failed) == str(first.failed)


class Scripted(httpx2.AsyncBaseTransport):
    """Answers the first request, and raises in each repetition."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        text = {"choices": [{"message": {"content": "{}"}, "finish_reason": "stop"}]}
        return httpx2.Response(200, json=text, extensions={"again": self._again})

    async def _again(self, *_: Any) -> httpx2.Response:
        raise self._error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx2.ReadTimeout("late"), FailureKind.TIMED_OUT),
        (httpx2.PoolTimeout("full"), FailureKind.TIMED_OUT),
        (httpx2.ConnectError("refused"), FailureKind.TRANSIENT),
        (httpx2.RemoteProtocolError("no HTTP"), FailureKind.TRANSIENT),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value,
)
@in_loop
async def test_repeated_request_raises_as_a_first_one_would(
    error: Exception, kind: FailureKind
) -> None:
    http = httpx2.AsyncClient(transport=Scripted(error), trust_env=False)
    client = AsyncOpenAI(
        api_key=KEY, base_url="http://192.0.2.1/v1", max_retries=0, http_client=http
    )
    model = OpenAIModel(client, MODEL, "chat")
    assert (await complete(model)).failure is None
    assert (await complete(model)).failed.kind is kind
    assert not await model.available()
    await model.aclose()


@pytest.mark.parametrize("form", [ChatFormat, ResponsesFormat])
def test_a_request_leaves_nothing_with_the_texts_of_its_prompt(form: type[ApiFormat]) -> None:
    """An encoded string keeps its UTF-8, and an idle stream keeps its prompt."""
    prompt = Prompt((Message("system", "Sé breve."), Message("user", "“Wer da?” " * 99)))
    before = [sys.getsizeof(message.content) for message in prompt.messages]
    draft = form(MODEL).draft(ModelRequest(prompt, META), True, frozenset(), None)
    assert prompt.messages[1].content in str(json.loads(encode(draft.body)))
    assert [sys.getsizeof(message.content) for message in prompt.messages] == before
