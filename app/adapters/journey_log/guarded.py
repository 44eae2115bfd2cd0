"""journey-log behind a circuit breaker: while it is down, turns fail at once and writes wait."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from app.core.breaker import CircuitBreaker, CircuitState
from app.core.context import Context, Place
from app.core.writes import PlannedWrite
from app.errors import JourneyLogError, JourneyLogTimeout
from app.ports.call import CallMeta
from app.ports.journey_log import JourneyLog, Landed, StoryTurn, WriteResult

T = TypeVar("T")


@dataclass(eq=False)
class GuardedJourneyLog:
    """A refusal is an answer; silence, a broken connection and a 5xx are failures.

    A write that got 500 says nothing of journey-log: it may be for the body, which is then sent again.
    """

    _journey_log: JourneyLog
    _breaker: CircuitBreaker
    _now: Callable[[], float] = time.monotonic
    _failed: bool = field(default=False, init=False)

    @property
    def failing(self) -> bool:
        """Whether the latest answer was a failure or none at all."""
        return self._failed or self.circuit == "open"

    @property
    def circuit(self) -> CircuitState:
        return self._breaker.state(self._now())

    async def context(self, user_id: str, character_id: str, meta: CallMeta) -> Context:
        return await self._read(self._journey_log.context, user_id, character_id, meta)

    async def characters(self, user_id: str, meta: CallMeta) -> list[dict[str, Any]]:
        return await self._read(self._journey_log.characters, user_id, meta)

    async def adventure_prompt(self, user_id: str, character_id: str, meta: CallMeta) -> str:
        return await self._read(self._journey_log.adventure_prompt, user_id, character_id, meta)

    async def story(self, user_id: str, character_id: str, meta: CallMeta) -> list[StoryTurn]:
        return await self._read(self._journey_log.story, user_id, character_id, meta)

    async def create_character(self, user_id: str, fields: dict[str, str], meta: CallMeta) -> str:
        return await self._read(self._journey_log.create_character, user_id, fields, meta)

    async def landed(
        self, user_id: str, character_id: str, write: PlannedWrite, meta: CallMeta
    ) -> Landed:
        return await self._read(self._journey_log.landed, user_id, character_id, write, meta)

    async def sparks(self, user_id: str, character_id: str, meta: CallMeta) -> list[Place]:
        if self.circuit != "closed":
            return []
        return await self._journey_log.sparks(user_id, character_id, meta)

    async def write(
        self, user_id: str, character_id: str, write: PlannedWrite, meta: CallMeta
    ) -> WriteResult:
        period = self._breaker.enter(self._now())
        if period is None:
            return WriteResult("not_sent", error="journey-log is not available right now")
        try:
            result = await self._journey_log.write(user_id, character_id, write, meta)
        except BaseException:
            self._breaker.abandoned(period)
            raise
        if result.outcome in ("done", "refused"):
            self._succeeded(period)
        elif result.status == 500:
            self._breaker.abandoned(period)
        else:
            self._fail(period)
        return result

    def _succeeded(self, period: int) -> None:
        self._failed = False
        self._breaker.succeeded(period, self._now())

    def _fail(self, period: int) -> None:
        self._failed = True
        self._breaker.failed(period, self._now())

    async def _read(self, call: Callable[..., Awaitable[T]], *arguments: object) -> T:
        period = self._breaker.enter(self._now())
        if period is None:
            wait = self._breaker.retry_after(self._now())
            raise JourneyLogError(
                "journey-log is not available right now.", retry_after=wait, recoverable=True
            )
        try:
            answer = await call(*arguments)
        except (JourneyLogError, JourneyLogTimeout):
            self._fail(period)
            raise
        except Exception:
            self._succeeded(period)
            raise
        except BaseException:
            self._breaker.abandoned(period)
            raise
        self._succeeded(period)
        return answer

    async def available(self) -> bool:
        return self.circuit != "open" and await self._journey_log.available()

    async def aclose(self) -> None:
        await self._journey_log.aclose()
