"""`LanguageModel` over the openai SDK.

The SDK makes the request (address, credentials, headers, error classes) and never retries: what is
tried again, and when, is decided by the generation service. Streamed answers are read raw.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from typing import Any, ClassVar, Literal

import httpx2
import openai
from openai import AsyncOpenAI

from app.adapters.openai.parsers import ChatParser, ResponseParser, ResponsesParser
from app.adapters.openai.sse import MAX_EVENT_BYTES, EventTooLong, SSEDecoder
from app.core.encoding import encode
from app.core.messages import JsonSchema, Prompt
from app.ports.call import CallMeta
from app.ports.model import FailureKind, Flow, ModelEnd, ModelFailed, ModelRequest, OnDelta

DRAIN_SECONDS = 0.1
COALESCE_SECONDS = 0.1
_STREAMING = re.compile(r"\bstream(ing|ed)?\b", re.IGNORECASE)
_REFUSED = frozenset({400, 404, 405, 415, 422, 501})


class OpenAIModel:
    """`client` must have `max_retries=0`."""

    def __init__(
        self,
        client: AsyncOpenAI,
        model: str,
        api: Literal["responses", "chat"],
    ) -> None:
        self._client = client
        self.name = model
        self.api: str = api
        self._format: ApiFormat = (_Responses if api == "responses" else _Chat)(model)
        self._dropped: set[str] = set()
        self._healthy = True
        # A refusal to stream is believed for good once the same server has answered whole.
        self._streams: Literal["yes", "refused", "no"] = "yes"

    async def stream(self, request: ModelRequest, on_delta: OnDelta) -> ModelEnd:
        if self._streams == "no":
            raise ModelFailed("it cannot stream", FailureKind.CANNOT_STREAM)
        parser: ResponseParser = self._format.parser(self.name)
        async with await self._open(request, stream=True) as http:
            self._streams = "yes"
            http.request.headers = httpx2.Headers()  # not to be kept for as long as it answers
            try:
                if "json" in http.headers.get("content-type", ""):
                    # A server that cannot stream may answer whole without a word.
                    on_delta([parser.read_whole(await _whole_body(http))])
                elif await _read_stream(http, parser, on_delta):
                    return parser.known_end()
            except httpx2.TimeoutException:
                # A server that has said everything may forget to hang up.
                if not parser.finished:
                    raise ModelFailed(
                        "the model stopped in mid-answer", FailureKind.STALLED
                    ) from None
            except httpx2.HTTPError:
                if not parser.finished:
                    raise ModelFailed(
                        "the connection to the model broke", FailureKind.BROKEN
                    ) from None
        return parser.end()

    async def complete(self, request: ModelRequest) -> tuple[str, ModelEnd]:
        parser = self._format.parser(self.name)
        async with await self._open(request, stream=False) as http:
            try:
                body = await _whole_body(http)
            except httpx2.TimeoutException:
                raise ModelFailed("no answer in time", FailureKind.TIMED_OUT) from None
            except httpx2.HTTPError:
                raise ModelFailed(
                    "the connection to the model broke", FailureKind.TRANSIENT
                ) from None
        answer = parser.read_whole(body), parser.end()
        if self._streams == "refused":
            self._streams = "no"
        return answer

    async def _open(
        self, request: ModelRequest, *, stream: bool
    ) -> AbstractAsyncContextManager[httpx2.Response]:
        """Make the request, without the extras that this server has refused before."""
        while True:
            dropped = frozenset(self._dropped)  # other calls may learn more while this one is out
            try:
                response = await self._ask(
                    self._format.body(request, stream, dropped), request.meta
                )
            except openai.APIStatusError as error:
                refused = self._refused_extra(error, dropped)
                if refused is None:
                    # under no name: its frames would hold it, and only the collector could free them
                    raise self._refusal(error, stream) from None
                self._dropped.add(refused)
            except openai.APITimeoutError:
                self._healthy = False
                raise ModelFailed("no answer in time", FailureKind.TIMED_OUT) from None
            except openai.APIConnectionError:
                self._healthy = False
                raise ModelFailed("it cannot be reached", FailureKind.TRANSIENT) from None
            else:
                self._healthy = True
                return aclosing(response)

    async def _ask(self, body: dict[str, Any], meta: CallMeta) -> httpx2.Response:
        """The answer as it begins. Raises what the SDK raises.

        `post` and not the typed `create`: that one walks through all of the request, schema
        included, twice as long as the rest of the call takes.
        """
        return await self._client.post(
            self._format.path,
            cast_to=httpx2.Response,
            content=encode(body),
            options={
                "headers": _headers(meta),
                "idempotency_key": meta.request_id,  # not sent; the SDK would draw one each time
            },
        )

    def _refusal(self, error: openai.APIStatusError, stream: bool) -> ModelFailed:
        failure = _as_failure(error, stream)
        if failure.kind is FailureKind.CANNOT_STREAM:
            self._streams = "refused"
        return failure

    def _refused_extra(self, error: openai.APIStatusError, dropped: frozenset[str]) -> str | None:
        """The optional part of the request that a refusal complains about."""
        if error.status_code not in _REFUSED:
            return None
        complaint = str(error.body if error.body is not None else error.message).lower()
        for extra, words in self._format.extras.items():
            if extra not in dropped and any(word in complaint for word in words):
                return extra
        return None

    async def available(self) -> bool:
        """Whether the last request reached the server."""
        return self._healthy

    async def aclose(self) -> None:
        await self._client.close()


async def _read_stream(http: httpx2.Response, parser: ResponseParser, on_delta: OnDelta) -> bool:
    """Whether the reader stopped the stream, since the answer was complete."""
    decoder = SSEDecoder()
    coalesce: Callable[[float], None] = http.extensions.get("coalesce", _nothing)
    flow = Flow.STREAM

    def on_bytes(piece: bytes) -> bool:
        """False once the answer is complete."""
        nonlocal flow
        if deltas := parser.feed(decoder.feed(piece)):
            flow = on_delta(deltas)
            if flow is not Flow.STREAM:
                coalesce(COALESCE_SECONDS)
        if parser.failure is not None and flow is not Flow.STOP:
            parser.check()
        return not parser.closed and flow is not Flow.STOP

    def on_rest(piece: bytes) -> bool:
        """What follows a complete answer: only its usage is wanted."""
        parser.feed(decoder.feed(piece))
        return not parser.closed

    try:
        await _stream_to(http, on_bytes, on_rest)
    except EventTooLong:
        if flow is Flow.STOP:
            return True
        raise ModelFailed("the stream holds no events", FailureKind.BROKEN) from None
    if flow is Flow.STOP:
        return True
    if not parser.closed and (deltas := parser.feed(decoder.flush())):
        return on_delta(deltas) is Flow.STOP
    return False


async def _stream_to(
    http: httpx2.Response,
    on_bytes: Callable[[bytes], bool],
    on_rest: Callable[[bytes], bool],
) -> None:
    """Give `on_bytes` the body, as long as it wants more of it, and `on_rest` what follows at once."""
    rest: AsyncIterator[bytes]
    if (
        "stream_to" in http.extensions
        and http.headers.get("content-encoding", "identity") == "identity"
    ):
        await http.extensions["stream_to"](on_bytes)
        rest = http.aiter_raw()
    else:
        rest = http.aiter_bytes()
        async for piece in rest:
            if not on_bytes(piece):
                break
    # what ends the body, so that the connection can be used again; not for long
    with suppress(TimeoutError, httpx2.HTTPError):
        async with asyncio.timeout(DRAIN_SECONDS):
            async for piece in rest:
                if not on_rest(piece):
                    break


def _nothing(_: float) -> None:
    pass


async def _whole_body(http: httpx2.Response) -> bytes:
    """Bounded: no outcome is that large, and memory is not the provider's to fill."""
    body = bytearray()
    async for chunk in http.aiter_bytes():
        body += chunk
        if len(body) > MAX_EVENT_BYTES:
            raise ModelFailed("the answer is too long", FailureKind.BROKEN)
    return bytes(body)


class ApiFormat:
    """One API's requests. `extras`: optional parts by name, with the words refusals use for them."""

    path: ClassVar[str]
    extras: ClassVar[dict[str, tuple[str, ...]]]

    def __init__(self, model: str) -> None:
        self._model = model

    def parser(self, model: str) -> Any:
        """What reads one answer."""
        raise NotImplementedError

    def body(self, request: ModelRequest, stream: bool, dropped: frozenset[str]) -> dict[str, Any]:
        """`dropped`: the extras that it must do without."""
        raise NotImplementedError


class _Chat(ApiFormat):
    path = "/chat/completions"
    extras: ClassVar = {
        "stream_options": ("stream_options", "include_usage"),
        "schema": ("response_format", "json_schema"),
        "max_completion_tokens": ("max_completion_tokens",),
    }

    def parser(self, model: str) -> ChatParser:
        return ChatParser(model)

    def body(self, request: ModelRequest, stream: bool, dropped: frozenset[str]) -> dict[str, Any]:
        prompt, bound = request.prompt, request.max_output_tokens
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [message._asdict() for message in prompt.messages],
            "stream": stream,
        }
        if prompt.schema is not None and "schema" not in dropped:
            body["response_format"] = {"type": "json_schema", "json_schema": _strict(prompt.schema)}
        if bound is not None:
            # The newer name; servers that know only the older one complain about the newer.
            newer = "max_completion_tokens" not in dropped
            body["max_completion_tokens" if newer else "max_tokens"] = bound
        if stream and "stream_options" not in dropped:
            body["stream_options"] = {"include_usage": True}
        return body


class _Responses(ApiFormat):
    path = "/responses"
    extras: ClassVar = {"schema": ("text.format", "json_schema"), "store": ("'store'", '"store"')}

    def parser(self, model: str) -> ResponsesParser:
        return ResponsesParser(model)

    def body(self, request: ModelRequest, stream: bool, dropped: frozenset[str]) -> dict[str, Any]:
        prompt = request.prompt
        body: dict[str, Any] = {"model": self._model, **_input(prompt), "stream": stream}
        if prompt.schema is not None and "schema" not in dropped:
            body["text"] = {"format": {"type": "json_schema", **_strict(prompt.schema)}}
        if "store" not in dropped:
            body["store"] = False
        if request.max_output_tokens is not None:
            body["max_output_tokens"] = request.max_output_tokens
        return body


def _input(prompt: Prompt) -> dict[str, Any]:
    """The leading system message as instructions; a single user message as plain text."""
    messages = prompt.messages
    instructions = {}
    if messages and messages[0].role == "system":
        instructions, messages = {"instructions": messages[0].content}, messages[1:]
    if len(messages) == 1 and messages[0].role == "user":
        return {**instructions, "input": messages[0].content}
    return {**instructions, "input": [message._asdict() for message in messages]}


def _strict(schema: JsonSchema) -> dict[str, Any]:
    return {"name": schema.name, "strict": True, "schema": schema.schema}


def _headers(meta: CallMeta) -> dict[str, str]:
    headers = {
        "X-Request-Id": meta.request_id,
        "Accept-Encoding": "identity",
        # As the SDK's `with_streaming_response` does it: the answer comes unread.
        "X-Stainless-Raw-Response": "stream",
    }
    if meta.traceparent:
        headers["traceparent"] = meta.traceparent
    return headers


def _as_failure(error: openai.APIStatusError, stream: bool) -> ModelFailed:
    status = error.status_code
    if stream and status in _REFUSED and _STREAMING.search(str(error.body or error.message)):
        return ModelFailed("it cannot stream", FailureKind.CANNOT_STREAM)
    if status in (401, 403):
        return ModelFailed("it refused the credentials")
    exhausted = getattr(error, "code", None) == "insufficient_quota"
    transient = (status in (408, 409, 429) or status >= 500) and not exhausted
    kind = FailureKind.TRANSIENT if transient else FailureKind.REFUSED
    return ModelFailed(f"it answered {status}", kind, retry_after=_retry_after(error.response))


def _retry_after(response: httpx2.Response) -> float | None:
    """Seconds; the date form is rare enough to be ignored."""
    value = response.headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        return None
