"""Generating text: the one way in which the service asks a model for anything.

Four rules decide what a failure means. Before the answer began, a transient failure is retried with
exponential backoff. Once it began and before anything was shown, the same prompt is tried once without
streaming. Where the model's context is full, a shorter prompt is sent. After anything was shown nothing
is tried again: it cannot be generated differently.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from app.core.messages import Prompt
from app.core.results import Usage
from app.errors import LLMError, LLMTimeout
from app.generation.call import ModelCall
from app.generation.consumer import Consumer, TextConsumer
from app.generation.context_room import ContextRoom
from app.generation.failures import (
    ANSWERED,
    OUT_OF_CONTEXT,
    WORTH_THE_WHOLE,
    as_error,
    worth_retrying,
)
from app.generation.fair_limiter import FairLimiter
from app.generation.moderation import Both, ModerationBuffer
from app.generation.observe import ModelCalled, unobserved
from app.generation.prices import PriceList
from app.generation.request import Generation, GenerationLimits, GenerationRequest
from app.ports.model import FailureKind, LanguageModel, ModelFailed
from app.ports.moderation import Moderator
from app.retrying import retrying

Answer = tuple[str, Usage]
MOST_PROMPTS: Final = 5  # ever shorter ones, for one generation


class GenerationService:
    """`models`: the first generates; each next one takes over when those before it cannot begin.
    `further`: models that a request may name; the others take over from them, too.
    """

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
        context_tokens: int | None = None,
        further: Sequence[LanguageModel] = (),
        prices: PriceList | None = None,
    ) -> None:
        self._models = models
        self._named = {model.name: model for model in (*models, *further)}
        self._rooms = {name: ContextRoom(context_tokens) for name in self._named}
        self._limiter = limiter
        self._limits = limits
        self._moderator = moderator
        self._observe = observe
        self._record_gap = record_gap
        self._clock = clock
        self.prices = prices or PriceList({})

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
                    text, usage = await run.first_that_can(self._chosen(request.model))
            except TimeoutError:
                raise LLMTimeout("The model took too long to finish its answer.") from None
            except ModelFailed as failure:
                limits = run.limits
                bound = None if limits.max_output_tokens is None else limits.bound_name
                raise as_error(failure, bound=bound) from failure
        return Generation(text, usage)

    def _chosen(self, name: str | None) -> Sequence[LanguageModel]:
        """Raises `LLMError` for a model that is not there any more."""
        if name is None or name == self._models[0].name:
            return self._models
        if name not in self._named:
            raise LLMError(f"There is no model {name!r} here (OPENAI_FURTHER_MODELS).")
        return self._named[name], *self._models

    @property
    def model_names(self) -> Sequence[str]:
        """The models that a request may name."""
        return tuple(self._named)

    def room_of(self, model: LanguageModel) -> ContextRoom:
        """The known size of the model's context."""
        return self._rooms[model.name]

    async def judge(self, text: str, also: Moderator | None = None) -> None:
        """Raises `LLMResponseError` when players may not read `text`. `also`: beside the service's own."""
        buffer = self._moderation(self._limits, also)
        if buffer is not None and text:
            await buffer.judge(text)

    def _moderation(
        self, limits: GenerationLimits, also: Moderator | None
    ) -> ModerationBuffer | None:
        """A moderator of one request knows words only: there is no more to hold back than they are long."""
        if self._moderator is None:
            return None if also is None else ModerationBuffer(also, max(also.longest_phrase, 1))
        moderator = self._moderator if also is None else Both(self._moderator, also)
        window = max(limits.hold_characters, moderator.longest_phrase)
        return ModerationBuffer(moderator, window)

    def call(self, model: LanguageModel, run: _Run) -> ModelCall:
        """A call to `model` for `run`, not yet made."""
        return ModelCall(
            model,
            run.request_for(model),
            run.limits,
            run.consumer,
            self._moderation(run.limits, run.request.moderator),
            clock=self._clock,
            observe=self._observe,
            record_gap=self._record_gap,
            spend=run.consumer.spend,
            price=self.prices.cost,
        )

    @property
    def busy(self) -> bool:
        """Whether anything is being generated."""
        return self._limiter.busy > 0

    @property
    def moderated(self) -> bool:
        """Whether visible text is judged before it is shown."""
        return self._moderator is not None

    @property
    def limits(self) -> GenerationLimits:
        """The limits of requests without limits of their own."""
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
        self._prompt = request.prompt
        self._whole_tried = self._over = False

    async def first_that_can(self, models: Sequence[LanguageModel]) -> Answer:
        *others, last = models
        for model in others:
            try:
                return await self._with(model)
            except ModelFailed as failure:
                if failure.kind in ANSWERED or self.consumer.started:
                    raise
        return await self._with(last)

    def request_for(self, model: LanguageModel) -> GenerationRequest:
        """The request with a prompt that probably fits the model's context."""
        prompt = self._service.room_of(model).fitted(self._prompt)
        return (
            self.request if prompt is self.request.prompt else replace(self.request, prompt=prompt)
        )

    async def _with(self, model: LanguageModel) -> Answer:
        """The answer of one model, to as short a prompt as its context asks for."""
        room = self._service.room_of(model)
        self._begin(self.request.prompt)
        for _ in range(MOST_PROMPTS):
            try:
                return await self._retried(model)
            except ModelFailed as failure:
                if failure.kind not in OUT_OF_CONTEXT or self._is_bounded(failure):
                    raise
                asked = room.fitted(self._prompt)
                room.learn(asked, failure)
                shorter = room.fitted(asked)
                if self.consumer.started or shorter.length >= asked.length:
                    raise
                self._begin(shorter)
        return await self._retried(model)

    def _begin(self, prompt: Prompt) -> None:
        self._prompt, self._whole_tried, self._over = prompt, False, False

    def _is_bounded(self, failure: ModelFailed) -> bool:
        """Whether the answer ended at our own bound rather than at the end of the context."""
        return failure.kind is FailureKind.CUT_OFF and self.limits.max_output_tokens is not None

    def _retried(self, model: LanguageModel) -> Awaitable[Answer]:
        return retrying(lambda: self._attempt(model), self.limits, self._worth_retrying)

    def _worth_retrying(self, error: Exception) -> bool | float:
        return False if self._over else worth_retrying(error)

    async def _attempt(self, model: LanguageModel) -> Answer:
        if not self.limits.streaming:
            return await self._service.call(model, self).whole()
        try:
            return await self._service.call(model, self).streamed()
        except ModelFailed as failure:
            tried, self._whole_tried = self._whole_tried, True
            if tried or self.consumer.started or failure.kind not in WORTH_THE_WHOLE:
                self._whole_tried = tried
                raise
            # An answer that broke is asked for once more; a connection without any may be tried again.
            self._over = bool(self.consumer.raw)
            return await self._whole(model)

    async def _whole(self, model: LanguageModel) -> Answer:
        """A server that breaks a stream off may hang up only once the next request is on its way: such a
        request was not heard, so it is made again at once."""
        try:
            return await self._service.call(model, self).whole()
        except ModelFailed as failure:
            unheard = failure.kind is FailureKind.TRANSIENT and failure.upstream is None
            if not unheard or self._over:
                raise
        return await self._service.call(model, self).whole()
