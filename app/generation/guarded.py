"""A model behind a circuit breaker: one that is down is not asked again and again."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from app.core.breaker import CircuitBreaker, CircuitState
from app.generation.failures import NO_FAULT
from app.ports.model import (
    FailureKind,
    LanguageModel,
    ModelEnd,
    ModelFailed,
    ModelRequest,
    OnDelta,
)

Answer = TypeVar("Answer")


class GuardedModel:
    """An unusable answer says nothing about the model's health; a broken or refused call does, unless the
    server was answering others meanwhile: some serve one call at a time.
    """

    def __init__(
        self,
        model: LanguageModel,
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

    def stream(self, request: ModelRequest, on_delta: OnDelta) -> Coroutine[Any, Any, ModelEnd]:
        return self._guarded(partial(self._model.stream, request, on_delta))

    def complete(self, request: ModelRequest) -> Coroutine[Any, Any, tuple[str, ModelEnd]]:
        return self._guarded(partial(self._model.complete, request))

    async def _guarded(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        period = self._breaker.enter(self._now())
        if period is None:
            wait = self._breaker.retry_after(self._now())
            raise ModelFailed("its circuit is open", FailureKind.CIRCUIT_OPEN, retry_after=wait)
        try:
            answer = await call()
        except BaseException as error:
            self._left(period, error)
            raise
        self._breaker.succeeded(period, self._now())
        return answer

    def _left(self, period: int, error: BaseException) -> None:
        if isinstance(error, ModelFailed) and error.kind not in NO_FAULT and not error.busy:
            self._breaker.failed(period, self._now())
        else:
            self._breaker.abandoned(period)

    async def available(self) -> bool:
        return self.circuit != "open" and await self._model.available()

    async def aclose(self) -> None:
        await self._model.aclose()
