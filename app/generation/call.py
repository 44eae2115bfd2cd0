"""One call to a model: what was read, judged and shown, and what it cost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from app.core.money import Pricing
from app.core.results import Usage
from app.core.text import SurrogateJoiner, has_visible
from app.errors import LLMResponseError
from app.generation.consumer import Consumer
from app.generation.failures import FREE, MAY_BE_WHOLE, call_outcome
from app.generation.moderation import ModerationBuffer
from app.generation.observe import CallOutcome, ModelCalled
from app.generation.request import GenerationLimits, GenerationRequest
from app.generation.usage import believable_usage, estimated_usage
from app.ports.model import (
    FailureKind,
    Flow,
    LanguageModel,
    ModelEnd,
    ModelFailed,
    ModelRequest,
)

_STREAM = Flow.STREAM


class ModelCall:
    """`record_gap` is given the seconds between two upstream reads of one stream."""

    def __init__(
        self,
        model: LanguageModel,
        request: GenerationRequest,
        limits: GenerationLimits,
        consumer: Consumer,
        moderation: ModerationBuffer | None,
        *,
        clock: Callable[[], float],
        observe: Callable[[ModelCalled], None],
        record_gap: Callable[[float], None],
        spend: Callable[[Usage], None],
        price: Pricing,
    ) -> None:
        self._model = model
        self._request = request
        self._ask = ModelRequest(
            request.prompt, request.meta, limits.max_output_tokens, request.sampling
        )
        self._consumer = consumer
        self._moderation = moderation
        self._clock = clock
        self._observe = observe
        self._record_gap = record_gap
        self._spend = spend
        self._price = price
        self._began = clock()
        self._last_read: float | None = None
        self._joiner = SurrogateJoiner()
        self._characters_left = limits.raw_characters
        self._unjudged: list[str] = []
        self._news: asyncio.Event | None = None  # something to judge, or the answer is over

    def streamed(self) -> Awaitable[tuple[str, Usage]]:
        """The answer's text and cost. Raises `ModelFailed`, `LLMResponseError`."""
        return self._accounted(self._model.stream(self._ask, self._read), streamed=True)

    def whole(self) -> Awaitable[tuple[str, Usage]]:
        """The same without streaming."""
        return self._accounted(self._read_whole(), streamed=False)

    async def _read_whole(self) -> ModelEnd:
        text, end = await self._model.complete(self._ask)
        self._read([text])
        return end

    async def _accounted(
        self, answer: Coroutine[Any, Any, ModelEnd], *, streamed: bool
    ) -> tuple[str, Usage]:
        self._consumer.begin(moderated=self._moderation is not None)
        try:
            end, text, rest = await self._completed(answer)
            if rest is None:
                self._refuse(text, end.usage, streamed=streamed)
            await self._release_rest(rest or "")
        except BaseException as error:
            self._booked(self._cost_of(error), call_outcome(error))
            raise
        usage = believable_usage(end.usage, self._request.prompt, text, end.model)
        return text, self._booked(usage, "ok")

    async def _completed(
        self, answer: Coroutine[Any, Any, ModelEnd]
    ) -> tuple[ModelEnd, str, str | None]:
        """The answer's end, its text, and what only the end makes visible; None: it is no answer.

        Where the stream broke behind a complete answer, that is one, too.
        """
        consumer = self._consumer
        try:
            end = await (self._judged(answer) if self._moderation else answer)
        except ModelFailed as failure:
            text = consumer.raw
            whole = failure.kind in MAY_BE_WHOLE
            rest = consumer.finish(text, cut=failure.kind) if whole else None
            if rest is None:
                raise
            return ModelEnd(failure.usage, self._model.name), text, rest
        text = consumer.raw + self._joiner.flush()
        return end, text, consumer.finish(text, cut=None)

    def _refuse(self, text: str, usage: Usage | None, *, streamed: bool) -> None:
        """Raise what lets another call be made, unless something was shown."""
        if self._consumer.started:
            return
        if not has_visible(text):
            raise ModelFailed("The model's answer was empty", FailureKind.EMPTY, usage=usage)
        if streamed:
            raise ModelFailed("its answer is not complete", FailureKind.BROKEN, usage=usage)

    def _read(self, deltas: list[str]) -> Flow:
        """One upstream read; what is visible of it is shown at once."""
        now, consumer = self._clock(), self._consumer
        if self._last_read is None:
            self._request.prompt.release()
        elif not consumer.over:
            self._record_gap(now - self._last_read)
        self._last_read = now
        text = deltas[0] if len(deltas) == 1 else "".join(deltas)
        joiner = self._joiner
        if (joiner.held or not text.isascii()) and not joiner.passes(text):
            deltas = [joined for delta in deltas if (joined := joiner.feed(delta))]
            text = "".join(deltas)
        self._characters_left -= len(text)
        unjudged = consumer.read(deltas, text, now)
        if unjudged:
            self._unjudged.append(unjudged)
            if self._news is not None:
                self._news.set()
        if self._characters_left < 0:
            raise LLMResponseError("The model's answer is too long; nothing was saved.")
        if not consumer.over:
            return _STREAM
        return Flow.STOP if consumer.closed else Flow.COALESCE

    # -- moderation -------------------------------------------------------------------------------

    async def _judged(self, answer: Coroutine[Any, Any, ModelEnd]) -> ModelEnd:
        """The answer's end, with what is held back judged and shown while it is read."""
        self._news = news = asyncio.Event()
        reading = asyncio.create_task(answer)
        reading.add_done_callback(lambda _: news.set())
        try:
            while not reading.done():
                await news.wait()
                news.clear()
                await self._release()
            return reading.result()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _release(self) -> None:
        """Judge what was held back and show what is safe. Raises `LLMResponseError`."""
        text, self._unjudged = "".join(self._unjudged), []
        position = self._consumer.position  # more is read while this is judged
        if self._moderation is not None and text:
            self._consumer.show(await self._moderation.push(text), position, self._clock())

    async def _release_rest(self, rest: str) -> None:
        if self._moderation is None:
            if rest:
                self._consumer.show(rest, self._consumer.position, self._clock())
            return
        self._unjudged.append(rest)
        await self._release()
        last = await self._moderation.flush()
        self._consumer.show(last, self._consumer.position, self._clock())

    # -- cost -------------------------------------------------------------------------------------

    def _cost_of(self, error: BaseException) -> Usage:
        """A call that was refused cost nothing; one that had begun cost what it read and wrote."""
        if isinstance(error, ModelFailed):
            if error.usage is not None:
                written = self._consumer.raw
                return believable_usage(
                    error.usage, self._request.prompt, written, self._model.name
                )
            if error.kind in FREE:
                return Usage(model=self._model.name, estimated=True)
        return estimated_usage(self._request.prompt, self._consumer.raw, self._model.name)

    def _booked(self, usage: Usage, outcome: CallOutcome) -> Usage:
        """The error with its cost, where that is known."""
        model, seconds = self._model, self._clock() - self._began
        cost = self._price(model.name, usage)
        if cost is not None:
            usage = usage.model_copy(update={"cost_micros": cost})
        self._spend(usage)
        self._observe(ModelCalled(self._request, model.api, model.name, outcome, seconds, usage))
        return usage
