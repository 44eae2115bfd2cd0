"""A model behind a circuit breaker: one that is down is not asked again and again."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

from app.core.breaker import CircuitBreaker, CircuitState
from app.core.prompt import Prompt
from app.ports import CallMeta, ModelEnd, ModelFailed, ModelText, NarrativeModel


class GuardedModel:
    """An unusable answer says nothing about the model's health; a broken or refused call does."""

    def __init__(
        self,
        model: NarrativeModel,
        breaker: CircuitBreaker,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model = model
        self._breaker = breaker
        self._now = now
        self.name = model.name
        self.api = model.api

    @property
    def circuit(self) -> CircuitState:
        return self._breaker.state(self._now())

    async def stream(self, prompt: Prompt, meta: CallMeta) -> AsyncIterator[ModelText | ModelEnd]:
        period = self._enter()
        try:
            async with aclosing(self._model.stream(prompt, meta)) as answer:  # type: ignore[type-var]
                async for item in answer:
                    if isinstance(item, ModelEnd):
                        self._breaker.succeeded(period, self._now())
                    yield item
        except BaseException as error:
            self._left(period, error)
            raise

    async def complete(self, prompt: Prompt, meta: CallMeta) -> tuple[str, ModelEnd]:
        period = self._enter()
        try:
            told = await self._model.complete(prompt, meta)
        except BaseException as error:
            self._left(period, error)
            raise
        self._breaker.succeeded(period, self._now())
        return told

    def _enter(self) -> int:
        period = self._breaker.enter(self._now())
        if period is None:
            wait = self._breaker.retry_after(self._now())
            raise ModelFailed("its circuit is open", unavailable=True, retry_after=wait)
        return period

    def _left(self, period: int, error: BaseException) -> None:
        if isinstance(error, ModelFailed) and not error.response and not error.no_streaming:
            self._breaker.failed(period, self._now())
        else:
            self._breaker.abandoned(period)

    async def available(self) -> bool:
        return self.circuit != "open" and await self._model.available()

    async def aclose(self) -> None:
        await self._model.aclose()
