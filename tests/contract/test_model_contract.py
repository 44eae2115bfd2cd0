"""What every `LanguageModel` does. An adapter joins by one line in `ADAPTERS`."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager

import httpx2
import pytest
from app.adapters.openai.model import OpenAIModel
from app.core.breaker import BreakerRule, CircuitBreaker
from app.core.context import CharacterProgress, Context, PlayerState
from app.core.messages import Message, Prompt
from app.core.outcome import parse_outcome
from app.core.policy import PolicyDecision, Roll
from app.core.prompt import Scene, build_prompt
from app.generation.guarded import GuardedModel
from app.http1 import transport_for
from app.ports.call import CallMeta
from app.ports.model import Flow, LanguageModel, ModelRequest
from app.standins.storyteller import Storyteller
from openai import AsyncOpenAI

from fakes.model import MODEL, FakeModel
from loops import in_loop

META = CallMeta("request-1")
TEXT = build_prompt(
    Scene(
        Context(character_id="c", player_state=PlayerState()),
        CharacterProgress(),
        PolicyDecision(Roll(False, False), Roll(False, False)),
        (),
        "I ring the bell.",
    )
)
FREE = Prompt((Message("system", "Be brief."), Message("user", "Name a place.")))


def storyteller(_: ExitStack) -> LanguageModel:
    return Storyteller(0, "seed")


def openai_chat(stack: ExitStack) -> LanguageModel:
    return OpenAIModel(_client(stack), MODEL, "chat")


def openai_again(stack: ExitStack) -> LanguageModel:
    """All requests but the first one repeat it."""
    transport = transport_for(httpx2, limit=10, tls=ssl.create_default_context())
    return OpenAIModel(_client(stack, transport), MODEL, "responses")


def openai_responses(stack: ExitStack) -> LanguageModel:
    return OpenAIModel(_client(stack), MODEL, "responses")


def guarded(stack: ExitStack) -> LanguageModel:
    return GuardedModel(openai_chat(stack), CircuitBreaker(BreakerRule()))


def _client(stack: ExitStack, transport: httpx2.AsyncBaseTransport | None = None) -> AsyncOpenAI:
    server = stack.enter_context(FakeModel())
    http = httpx2.AsyncClient(trust_env=False, transport=transport)
    return AsyncOpenAI(api_key="sk-test", base_url=server.base_url, max_retries=0, http_client=http)


ADAPTERS: dict[str, Callable[[ExitStack], LanguageModel]] = {
    "storyteller": storyteller,
    "openai-chat": openai_chat,
    "openai-responses": openai_responses,
    "openai-again": openai_again,
    "guarded": guarded,
}


class Opener:
    """Opens the adapter inside the test's loop."""

    def __init__(self, adapter: str, stack: ExitStack) -> None:
        self._make: Callable[[], LanguageModel] = lambda: ADAPTERS[adapter](stack)
        self._repeats = adapter == "openai-again"

    @asynccontextmanager
    async def open(self) -> AsyncIterator[LanguageModel]:
        model = self._make()
        try:
            if self._repeats:
                await model.complete(ModelRequest(FREE, META))
            yield model
        finally:
            await model.aclose()


@pytest.fixture(params=list(ADAPTERS))
def opener(request: pytest.FixtureRequest) -> Iterator[Opener]:
    with ExitStack() as stack:
        yield Opener(request.param, stack)


class Deltas:
    """Collects what a stream brings."""

    def __init__(self) -> None:
        self.reads: list[list[str]] = []

    def __call__(self, deltas: list[str]) -> Flow:
        self.reads.append(list(deltas))
        return Flow.STREAM

    @property
    def text(self) -> str:
        return "".join(delta for read in self.reads for delta in read)


@in_loop
async def test_a_stream_brings_a_whole_outcome_in_pieces(opener: Opener) -> None:
    deltas = Deltas()
    async with opener.open() as model:
        end = await model.stream(ModelRequest(TEXT, META), deltas)
        assert end.model == model.name
    assert sum(map(len, deltas.reads)) > 3
    assert parse_outcome(deltas.text).narrative
    assert end.usage is not None
    assert end.usage.total_tokens == end.usage.input_tokens + end.usage.output_tokens > 0


@in_loop
async def test_whole_answer_equals_the_streamed_one(opener: Opener) -> None:
    deltas = Deltas()
    async with opener.open() as model:
        await model.stream(ModelRequest(TEXT, META), deltas)
        text, end = await model.complete(ModelRequest(TEXT, META))
    assert text == deltas.text
    assert json.loads(text)["narrative"]
    assert end.usage is not None


@in_loop
async def test_without_a_schema_the_answer_is_any_text(opener: Opener) -> None:
    deltas = Deltas()
    async with opener.open() as model:
        await model.stream(ModelRequest(FREE, META), deltas)
        text, _ = await model.complete(ModelRequest(FREE, META))
    assert deltas.text == text != ""


class Stop(Exception):
    pass


@in_loop
async def test_error_of_the_consumer_ends_the_answer(opener: Opener) -> None:
    calls = 0

    def on_delta(deltas: list[str]) -> Flow:
        nonlocal calls
        calls += 1
        raise Stop

    async with opener.open() as model:
        with pytest.raises(Stop):
            await model.stream(ModelRequest(TEXT, META), on_delta)
        assert calls == 1
        deltas = Deltas()
        await model.stream(ModelRequest(TEXT, META), deltas)
    assert parse_outcome(deltas.text)


@in_loop
async def test_the_rest_comes_whole_once_a_consumer_needs_no_pieces(opener: Opener) -> None:
    reads: list[list[str]] = []

    def on_delta(deltas: list[str]) -> Flow:
        reads.append(list(deltas))
        return Flow.COALESCE

    async with opener.open() as model:
        await model.stream(ModelRequest(TEXT, META), on_delta)
    assert parse_outcome("".join(delta for read in reads for delta in read))


@in_loop
async def test_a_model_that_answered_is_available(opener: Opener) -> None:
    async with opener.open() as model:
        await model.complete(ModelRequest(TEXT, META))
        assert await model.available()
        assert model.api
