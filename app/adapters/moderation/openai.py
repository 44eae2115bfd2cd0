"""OpenAI's moderation endpoint."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import openai
import structlog
from openai import AsyncOpenAI

from app.core.breaker import BreakerRule, CircuitBreaker
from app.errors import LLMUnavailable

log = structlog.get_logger(__name__)


class _NoVerdict(Exception):
    pass


class OpenAIModeration:
    """`fail_open`: whether a passage may be shown that nobody could judge.

    While the endpoint is down it is not asked for every passage anew: no story waits for that.
    """

    longest_phrase = 0

    def __init__(
        self,
        client: AsyncOpenAI,
        model: str,
        *,
        fail_open: bool = False,
        breaker: CircuitBreaker | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._model = model
        self._fail_open = fail_open
        self._breaker = breaker or CircuitBreaker(BreakerRule())
        self._now = now

    async def allows(self, text: str) -> bool:
        """Raises `LLMUnavailable` when nobody could judge, unless that lets it pass."""
        period = self._breaker.enter(self._now())
        if period is None:
            return self._unjudged()
        try:
            flagged = _flagged(await self._client.moderations.create(input=text, model=self._model))
        except (openai.OpenAIError, _NoVerdict) as error:
            self._breaker.failed(period, self._now())
            log.warning("moderation_unavailable", kind=type(error).__name__)
            return self._unjudged()
        except BaseException:  # the turn was cancelled
            self._breaker.abandoned(period)
            raise
        self._breaker.succeeded(period, self._now())
        return not flagged

    def _unjudged(self) -> bool:
        if self._fail_open:
            return True
        wait = self._breaker.retry_after(self._now()) or None
        raise LLMUnavailable("The narrative could not be checked right now.", retry_after=wait)

    async def aclose(self) -> None:
        await self._client.close()


def _flagged(answer: Any) -> bool:
    """The client believes any answer. Raises `_NoVerdict`."""
    results = getattr(answer, "results", None)
    verdicts = [getattr(result, "flagged", None) for result in results or ()]
    if not verdicts or not all(isinstance(verdict, bool) for verdict in verdicts):
        raise _NoVerdict
    return any(verdicts)
