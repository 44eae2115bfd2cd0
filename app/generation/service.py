"""Generating text: the one way in which the service asks a model for anything.

Three rules decide what a failure means. Before the answer began, a transient failure is retried with
exponential backoff. Once it began and before anything was shown, the same prompt is tried once without
streaming. After that nothing is tried again: what was shown cannot be generated differently.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from app.core.results import Usage
from app.errors import LLMTimeout
from app.generation.call import ModelCall
from app.generation.consumer import Consumer, TextConsumer
from app.generation.failures import WORTH_THE_WHOLE, as_error, worth_retrying
from app.generation.fair_limiter import FairLimiter
from app.generation.moderation import ModerationBuffer
from app.generation.observe import ModelCalled, unobserved
from app.generation.request import Generation, GenerationLimits, GenerationRequest
from app.ports.model import FailureKind, LanguageModel, ModelFailed
from app.ports.moderation import Moderator
from app.retrying import retrying

Answer = tuple[str, Usage]


class GenerationService:
    """`models`: the first generates; each next one takes over when those before it cannot begin."""

    def __init__(
        self,
        models: Sequence[LanguageModel],
        limiter: FairLimiter,
        limits: GenerationLimits,
        *,
        moderator: Moderator | None = None,
        observe: Callable[[ModelCalled], None] = unobserved,
        record_gap: Callable[[float], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._models = models
        self._limiter = limiter
        self._limits = limits
        self._moderator = moderator
        self._observe = observe
        self._record_gap = record_gap
        self._clock = clock

    async def generate(
        self, request: GenerationRequest, consumer: Consumer | None = None
    ) -> Generation:
        """The model's whole text, shown through `consumer` while it forms.

        Raises `LLMError`, `LLMTimeout`, `LLMUnavailable`, `LLMResponseError`, `Overloaded`.
        """
        run = _Run(self, request, consumer or TextConsumer())
        async with self._limiter.hold(request.user_id):
            try:
                async with asyncio.timeout(run.limits.seconds):
                    text, usage = await run.first_that_can(self._models)
            except TimeoutError:
                raise LLMTimeout("The model took too long to finish its answer.") from None
            except ModelFailed as failure:
                raise as_error(failure) from failure
        return Generation(text, usage, run.spent)

    async def judge(self, text: str) -> None:
        """Raises `LLMResponseError` when players may not read `text`."""
        buffer = self._moderation(self._limits)
        if buffer is not None and text:
            await buffer.judge(text)

    def _moderation(self, limits: GenerationLimits) -> ModerationBuffer | None:
        if self._moderator is None:
            return None
        window = max(limits.hold_characters, self._moderator.longest_phrase)
        return ModerationBuffer(self._moderator, window)

    def call(self, model: LanguageModel, run: _Run) -> ModelCall:
        """A call to `model` for `run`, not yet made."""
        return ModelCall(
            model,
            run.request,
            run.limits,
            run.consumer,
            self._moderation(run.limits),
            clock=self._clock,
            observe=self._observe,
            record_gap=self._record_gap,
            spend=run.spend,
        )

    @property
    def moderated(self) -> bool:
        """Whether visible text is judged before it is shown."""
        return self._moderator is not None

    @property
    def limits(self) -> GenerationLimits:
        """Of requests that bring none of their own."""
        return self._limits


class _Run:
    """One generation, over as many calls as it takes."""

    def __init__(
        self, service: GenerationService, request: GenerationRequest, consumer: Consumer
    ) -> None:
        self._service = service
        self.request = request
        self.limits = request.limits or service.limits
        self.consumer = consumer
        self.spent = 0

    def spend(self, usage: Usage) -> None:
        """Book what a call has cost."""
        self.spent += usage.total_tokens
        self.consumer.spend(usage)

    async def first_that_can(self, models: Sequence[LanguageModel]) -> Answer:
        *others, last = models
        for model in others:
            try:
                return await self._with_fallback(model)
            except ModelFailed as failure:
                if failure.kind is FailureKind.UNUSABLE or self.consumer.started:
                    raise
        return await self._with_fallback(last)

    async def _with_fallback(self, model: LanguageModel) -> Answer:
        if not self.limits.streaming:
            return await self._retried(lambda: self._whole(model))
        try:
            return await self._retried(lambda: self._streamed(model))
        except ModelFailed as failure:
            if self.consumer.started or failure.kind not in WORTH_THE_WHOLE:
                raise
            return await self._whole(model)

    async def _retried(self, attempt: Callable[[], Awaitable[Answer]]) -> Answer:
        return await retrying(attempt, self.limits, worth_retrying)

    async def _streamed(self, model: LanguageModel) -> Answer:
        return await self._service.call(model, self).streamed()

    async def _whole(self, model: LanguageModel) -> Answer:
        return await self._service.call(model, self).whole()
