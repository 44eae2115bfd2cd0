"""`LanguageModel` over the openai SDK.

The SDK makes the request (address, credentials, headers, error classes; see `asking`) and never retries:
what is tried again, and when, is decided by the generation service. Streamed answers are read raw.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractAsyncContextManager, aclosing, contextmanager
from dataclasses import replace
from typing import Any, Final, Literal

import httpx2
import openai
import structlog
from openai import AsyncOpenAI

from app.adapters.openai.asking import Requests
from app.adapters.openai.hints import complaint_for_log, hint_for
from app.adapters.openai.ladder import Ladder
from app.adapters.openai.parsers import ResponseParser, failure_of
from app.adapters.openai.reading import TokenTimeouts, is_whole, read_stream, whole_body
from app.adapters.openai.refusals import Refusal, read_refusal
from app.adapters.openai.requests import (
    REQUEST_ID,
    ApiFormat,
    ChatFormat,
    Draft,
    ResponsesFormat,
)
from app.core.encoding import encode
from app.errors import Upstream
from app.ports.call import CallMeta
from app.ports.model import FailureKind, ModelEnd, ModelFailed, ModelRequest, OnDelta

log = structlog.get_logger(__name__)

_STREAMING = re.compile(r"\bstream(ing|ed)?\b", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_REFUSED = frozenset({400, 404, 405, 415, 422, 501})
_UNUSABLE_SERVER = frozenset({401, 402, 403, 404, 405, *range(300, 400)})
_BUSY = frozenset({429, 503})
_WAITED = frozenset({FailureKind.STALLED, FailureKind.TIMED_OUT})
OCCUPIED_SECONDS: Final = 1.0  # a server that is down refuses sooner
WAITED: Final = "waited"  # extension of an answer: seconds from its request to its head
MOST_BOUNDS: Final = 3  # values of a bound that one call tries


class OpenAIModel:
    """`client` must have `max_retries=0`. `now`: monotonic seconds. `without`: optional parts of a
    request that are never sent.
    """

    def __init__(
        self,
        client: AsyncOpenAI,
        model: str,
        api: Literal["responses", "chat"],
        now: Callable[[], float] = time.monotonic,
        without: Collection[str] = (),
        timeouts: TokenTimeouts | None = None,
    ) -> None:
        self._client = client
        self._timeouts = timeouts or TokenTimeouts()
        self._now = now
        self.name = model
        self.api: str = api
        self._format: ApiFormat = (ResponsesFormat if api == "responses" else ChatFormat)(model)
        self._requests = Requests(client, self._format.path)
        self.ladder = Ladder(self._format, now, without)
        self.complaints: dict[str, str] = {}
        self._healthy = True
        self._reading: set[ResponseParser] = set()
        self._asking: list[float] = []  # when requests were made that have no answer yet
        self._answered_at = now()
        # A refusal to stream is believed for good once the same server has answered whole.
        self._streams: Literal["unknown", "yes", "refused", "no"] = "unknown"

    async def stream(self, request: ModelRequest, on_delta: OnDelta) -> ModelEnd:
        if self._streams == "no":
            raise ModelFailed("it cannot stream", FailureKind.CANNOT_STREAM)
        parser: ResponseParser = self._format.parser()
        began = self._now()
        async with await self._open(request, stream=True) as http:
            self._streams = "yes"
            with self._answer(parser, began, request):
                try:
                    if is_whole(http):
                        # A server that cannot stream may answer whole without a word.
                        on_delta([parser.read_whole(await whole_body(http))])
                    elif await read_stream(
                        http, parser, on_delta, self._timeouts, http.extensions[WAITED]
                    ):
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
                if text := parser.elsewhere():
                    on_delta([text])
                return parser.end()

    async def complete(self, request: ModelRequest) -> tuple[str, ModelEnd]:
        parser: ResponseParser = self._format.parser()
        began = self._now()
        async with await self._open(request, stream=False) as http:
            is_whole(http)
            with self._answer(parser, began, request):
                try:
                    body = await whole_body(http)
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

    @contextmanager
    def _answer(
        self, parser: ResponseParser, began: float, request: ModelRequest
    ) -> Iterator[None]:
        """An answer is being read."""
        self._reading.add(parser)
        try:
            yield
            self._answered_at = self._now()
        except ModelFailed as failure:
            waited = failure.kind in _WAITED and not parser.heard
            failure.busy = waited and self._answers_others(began)
            if parser.refusal is not None:
                self._refused_in(parser.refusal, failure, request)
            raise
        finally:
            self._reading.discard(parser)

    async def _open(
        self, request: ModelRequest, *, stream: bool
    ) -> AbstractAsyncContextManager[httpx2.Response]:
        """Make the request, without what this server has refused before."""
        began, left_out, bounds = self._now(), list[tuple[str, bool]](), 0
        bound = self.ladder.bound(request.max_output_tokens)
        named = _UUID.fullmatch(request.meta.request_id) is None
        while True:
            # other calls may learn more while this one is out
            without = frozenset(self.ladder.without | {part for part, _ in left_out})
            draft = self._format.draft(request, stream, without, bound)
            if named and REQUEST_ID not in without:
                draft = replace(draft, parts=(*draft.parts, REQUEST_ID))
            try:
                response = await self._ask(draft.body, request.meta, without)
            except openai.APIStatusError as error:
                refusal = read_refusal(error.status_code, error.body, error.response.headers)
            except (openai.APITimeoutError, TimeoutError):
                raise self._unreached("no answer in time", FailureKind.TIMED_OUT, began) from None
            except openai.APIConnectionError:
                raise self._unreached(
                    "it cannot be reached", FailureKind.TRANSIENT, began
                ) from None
            else:
                self._healthy = True
                self.ladder.took(draft, left_out)
                return aclosing(response)
            lowered = refusal.bound_for(*draft.bound) if draft.bound else None
            if lowered is not None and refusal.status in (400, 413, 422, 500):
                bounds += 1
                bound = lowered if lowered and bounds < MOST_BOUNDS else None
                self.ladder.lower_bound(bound or 0)
                self._log_part(refusal, "bound", request)
                continue
            left_out.append(self._left_out(refusal, draft, request, stream, began))

    def _left_out(
        self, refusal: Refusal, draft: Draft, request: ModelRequest, stream: bool, began: float
    ) -> tuple[str, bool]:
        """The part to leave out of the next request. Raises `ModelFailed` where none is in question."""
        doubted = None if refusal.context_full else self.ladder.doubted(refusal, draft)
        named = doubted is not None and doubted[1]
        status = refusal.status
        if stream and not named and status in _REFUSED and _STREAMING.search(refusal.words):
            self._streams = "refused"
            raise ModelFailed("it cannot stream", FailureKind.CANNOT_STREAM)
        untried = stream and self._streams != "yes"
        if doubted is None and untried and self.ladder.nothing_left(refusal, draft):
            self._log_part(refusal, "stream", request)
            self._streams = "refused"
            raise ModelFailed("it may not be able to stream", FailureKind.CANNOT_STREAM)
        if doubted is None:
            if not draft.parts:
                self.ladder.refused_all()
            raise self._refused(refusal, request, began)
        self._log_part(refusal, doubted[0], request)
        return doubted

    async def _ask(
        self, body: dict[str, Any], meta: CallMeta, without: Collection[str]
    ) -> httpx2.Response:
        """The answer as it begins. Raises what the SDK raises, or `TimeoutError`."""
        made = self._now()
        self._asking.append(made)
        try:
            async with asyncio.timeout(self._timeouts.first):
                response = await self._requests.post(encode(body), meta, without)
            response.extensions[WAITED] = self._now() - made
            return response
        finally:
            self._asking.remove(made)

    # -- failures ---------------------------------------------------------------------------------

    def _unreached(self, message: str, kind: FailureKind, began: float) -> ModelFailed:
        self._healthy = False
        failure = ModelFailed(message, kind)
        failure.busy = kind is FailureKind.TIMED_OUT and self._answers_others(began)
        return failure

    def _answers_others(self, since: float) -> bool:
        """Whether the server was answering other calls since then: one at a time, perhaps."""
        heard = any(parser.heard for parser in self._reading)
        return heard or self._answered_at > since

    def _refused(self, refusal: Refusal, request: ModelRequest, began: float) -> ModelFailed:
        unusable = refusal.status in _UNUSABLE_SERVER or refusal.unknown_model
        self._healthy = not unusable
        hint = hint_for(refusal, str(self._client.base_url), self.api, self.name)
        failure = failure_of(refusal, hint)
        occupied = any(self._now() - made >= OCCUPIED_SECONDS for made in self._asking)
        failure.busy = refusal.status in _BUSY and (occupied or self._answers_others(began))
        self._log_refused(refusal, hint, request)
        return failure

    def _refused_in(self, refusal: Refusal, failure: ModelFailed, request: ModelRequest) -> None:
        """An error stood in an answer that began with 200."""
        lasting = refusal.unknown_model or refusal.exhausted or refusal.status in (401, 403)
        hint = None
        if lasting or refusal.context_full:
            hint = hint_for(refusal, str(self._client.base_url), self.api, self.name)
        failure.upstream = Upstream(refusal.status, refusal.code, hint)
        self._healthy = self._healthy and not lasting
        self._log_refused(refusal, hint, request)

    def _log_refused(self, refusal: Refusal, hint: str | None, request: ModelRequest) -> None:
        log.warning(
            "model_refused",
            model=self.name,
            status=refusal.status,
            code=refusal.code,
            complaint=self._complaint(refusal, "request", request),
            hint=hint,
        )

    def _log_part(self, refusal: Refusal, part: str, request: ModelRequest) -> None:
        log.warning(
            "model_refused_part",
            model=self.name,
            part=part,
            status=refusal.status,
            complaint=self._complaint(refusal, part, request),
        )

    def _complaint(self, refusal: Refusal, part: str, request: ModelRequest) -> str:
        asked = "\n".join(message.content for message in request.prompt.messages)
        words = complaint_for_log(refusal.words, self._client.api_key, asked)
        self.complaints[part] = f"{refusal.status}: {words}" if words else str(refusal.status)
        return words

    async def available(self) -> bool:
        """Whether the last request reached a server that knows the key, the address and the model."""
        return self._healthy

    async def aclose(self) -> None:
        await self._client.close()
