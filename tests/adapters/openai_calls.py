"""Calls of the real adapter to a model server on loopback."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import httpx2
from app.adapters.openai.model import OpenAIModel
from app.adapters.openai.reading import TokenTimeouts
from app.core.context import CharacterProgress, Context, PlayerState
from app.core.messages import Prompt
from app.core.policy import PolicyDecision, Roll
from app.core.prompt import Scene, build_prompt
from app.core.text import SurrogateJoiner
from app.http1 import transport_for
from app.ports.call import CallMeta
from app.ports.model import Flow, ModelEnd, ModelFailed, ModelRequest
from openai import AsyncOpenAI

from fakes.model import MODEL, FakeModel, Json, Script
from fakes.server import to_json
from loops import SteadyLoop

Api = Literal["chat", "responses"]
APIS: tuple[Api, ...] = ("chat", "responses")
KEY = "sk-very-secret-key"
META = CallMeta("request-1", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
Result = TypeVar("Result")


def _prompt() -> Prompt:
    context = Context(character_id="c", player_state=PlayerState())
    decision = PolicyDecision(Roll(False, False), Roll(False, False))
    return build_prompt(Scene(context, CharacterProgress(), decision, (), "I ring the bell."))


PROMPT = _prompt()
REQUEST = ModelRequest(PROMPT, META)


@dataclass
class Answer:
    """What one call brought: texts by upstream read, then an end or a failure."""

    reads: list[list[str]] = field(default_factory=list)
    end: ModelEnd | None = None
    failure: ModelFailed | None = None

    def hear(self, deltas: list[str]) -> Flow:
        self.reads.append(list(deltas))
        return Flow.STREAM

    @property
    def text(self) -> str:
        return "".join(text for read in self.reads for text in read)

    @property
    def failed(self) -> ModelFailed:
        assert self.failure is not None, "the call did not fail"
        return self.failure

    @property
    def joined(self) -> str:
        joiner = SurrogateJoiner()
        return "".join(joiner.feed(text) for read in self.reads for text in read) + joiner.flush()


async def stream(model: OpenAIModel) -> Answer:
    answer = Answer()
    try:
        answer.end = await model.stream(REQUEST, answer.hear)
    except ModelFailed as failure:
        answer.failure = failure
    return answer


async def complete(model: OpenAIModel) -> Answer:
    answer = Answer()
    try:
        text, answer.end = await model.complete(REQUEST)
        answer.reads.append([text])
    except ModelFailed as failure:
        answer.failure = failure
    return answer


def using(
    server: FakeModel,
    api: Api,
    work: Callable[[OpenAIModel], Awaitable[Result]],
    *,
    timeout: float = 60.0,
    timeouts: TokenTimeouts | None = None,
    base_url: str | None = None,
    now: Callable[[], float] = time.monotonic,
) -> Result:
    """Does `work` with a model that lives as long as it does."""

    async def run() -> Result:
        client = AsyncOpenAI(
            api_key=KEY,
            base_url=base_url or server.base_url,
            max_retries=0,
            timeout=timeout,
            http_client=httpx2.AsyncClient(
                transport=transport_for(httpx2, limit=100, tls=ssl.create_default_context()),
                follow_redirects=False,
            ),
        )
        waits = timeouts or TokenTimeouts(timeout, timeout)
        model = OpenAIModel(client, MODEL, api, now, timeouts=waits)
        try:
            return await work(model)
        finally:
            await model.aclose()

    with asyncio.Runner(loop_factory=SteadyLoop) as runner:
        return runner.run(run())


def ask(server: FakeModel, api: Api, script: Script, *, timeout: float = 60.0) -> Answer:
    """One streamed call, answered by the script."""
    server.then(script)
    return using(server, api, stream, timeout=timeout)


def ask_whole(server: FakeModel, api: Api, script: Script, *, timeout: float = 60.0) -> Answer:
    server.then(script)
    return using(server, api, complete, timeout=timeout)


# -- streams written by hand ----------------------------------------------------------------------


def sse(*events: Json) -> bytes:
    """The events with every non-ASCII character as a JSON escape, lone surrogates too."""
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


def raw_deltas(api: Api, *texts: Any) -> bytes:
    """A whole stream with exactly these deltas."""
    if api == "chat":
        chunks = [{"choices": [{"index": 0, "delta": {"content": text}}]} for text in texts]
        stop = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        return sse(*chunks, stop) + b"data: [DONE]\n\n"
    kind = {"type": "response.output_text.delta", "output_index": 0}
    end = {"type": "response.completed", "response": {"status": "completed", "output": []}}
    return sse(*({**kind, "delta": text} for text in texts), end)


def error_body(message: str, **fields: Any) -> bytes:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return to_json({"error": {**error, **fields}})
