"""`JourneyLog` over HTTP, to a remote service or to the embedded one.

Reads are retried with backoff. A write is sent once: nothing here or beneath may send it again,
since journey-log has no idempotency key.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, TypeVar

import httpx
import structlog
from app.adapters.journey_log.answers import (
    UNREADABLE,
    Answer,
    error_of,
    is_refusal,
    is_success,
    unreadable,
    words_of,
)
from app.adapters.journey_log.calls import CallObserver, JourneyLogCalls
from app.adapters.journey_log.exchanges import Exchange
from app.adapters.journey_log.readback import look_for
from app.core.context import Context, Place, parse_time
from app.core.writes import PlannedWrite
from app.errors import (
    CharacterExists,
    DungeonMasterError,
    JourneyLogError,
    JourneyLogTimeout,
    ValidationError,
)
from app.ports.call import CallMeta
from app.ports.journey_log import Landed, StoryTurn, WriteResult
from app.retrying import Backoff, retrying
from pydantic import BaseModel
from pydantic import ValidationError as PydanticValidationError

# Raised before a byte of the request could leave: no connection was made.
_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
HEALTH_SECONDS: Final = 2.0

log = structlog.get_logger(__name__)

Model = TypeVar("Model", bound=BaseModel)


class _Sparks(BaseModel):
    pois: list[Place]


class JourneyLogClient:
    """`timeout` and `observe` as `JourneyLogCalls` has them."""

    def __init__(
        self,
        exchange: Exchange,
        *,
        recent_n: int = 20,
        spark_count: int = 3,
        reads: Backoff | None = None,
        timeout: float = 30.0,
        observe: CallObserver = lambda operation, status, seconds: None,
    ) -> None:
        self._calls = JourneyLogCalls(exchange, timeout, observe)
        self._recent_n = recent_n
        self._spark_count = spark_count
        self._reads = reads or Backoff(delay_base=0.5, delay_max=10.0)

    # -- reads ------------------------------------------------------------------------------------

    async def context(self, user_id: str, character_id: str, meta: CallMeta) -> Context:
        path = f"/characters/{character_id}/context?recent_n={self._recent_n}&include_pois=true"
        return _parsed(Context, await self._read("context", path, user_id, meta))

    async def sparks(self, user_id: str, character_id: str, meta: CallMeta) -> list[Place]:
        """Places picked at random; none when they cannot be had."""
        path = f"/characters/{character_id}/pois/random?n={self._spark_count}"
        try:
            answer = await self._calls.call("sparks", "GET", path, user_id, meta)
            return _parsed(_Sparks, _accepted("sparks", answer)).pois
        except (DungeonMasterError, httpx.HTTPError) as error:
            log.warning("sparks_unavailable", kind=type(error).__name__)
            return []

    async def characters(self, user_id: str, meta: CallMeta) -> list[dict[str, Any]]:
        answer = await self._read("characters", "/characters", user_id, meta)
        return list(answer.body["characters"])

    async def adventure_prompt(self, user_id: str, character_id: str, meta: CallMeta) -> str:
        answer = await self._read("character", f"/characters/{character_id}", user_id, meta)
        return str(answer.body["character"]["adventure_prompt"] or "")

    async def story(self, user_id: str, character_id: str, meta: CallMeta) -> list[StoryTurn]:
        path = f"/characters/{character_id}/narrative?n=100"
        answer = await self._read("get_narrative", path, user_id, meta)
        try:
            return [_story_turn(turn) for turn in reversed(answer.body["turns"])]
        except UNREADABLE:
            raise JourneyLogError("journey-log sent a story that cannot be read.") from None

    async def available(self) -> bool:
        try:
            async with asyncio.timeout(HEALTH_SECONDS):
                answer = await self._calls.exchange.send("GET", "/health", {}, None)
        except (httpx.HTTPError, TimeoutError):
            return False
        return is_success("health", answer)

    async def _read(self, operation: str, path: str, user_id: str, meta: CallMeta) -> Answer:
        async def attempt() -> Answer:
            answer = await self._calls.call(operation, "GET", path, user_id, meta)
            if answer.is_outage:
                raise _TemporaryStatus(answer)
            return _accepted(operation, answer)

        try:
            return await retrying(attempt, self._reads, _may_pass)
        except _TemporaryStatus as error:
            raise _refused(operation, error.answer) from None
        except httpx.TimeoutException:
            raise JourneyLogTimeout from None
        except httpx.HTTPError:
            raise JourneyLogError("journey-log cannot be reached.", recoverable=True) from None

    # -- writes -----------------------------------------------------------------------------------

    async def write(
        self, user_id: str, character_id: str, write: PlannedWrite, meta: CallMeta
    ) -> WriteResult:
        path = f"/characters/{character_id}{write.path}"
        operation = _OPERATIONS[write.method, write.path]
        try:
            answer = await self._calls.call(
                operation, write.method, path, user_id, meta, write.body
            )
        except _NEVER_SENT:
            return WriteResult("not_sent", error="journey-log cannot be reached")
        except httpx.TimeoutException:
            return WriteResult("unknown", error="journey-log did not answer in time")
        except httpx.HTTPError:
            return WriteResult("unknown", error="the connection to journey-log broke")
        return _result(operation, answer)

    async def landed(
        self, user_id: str, character_id: str, write: PlannedWrite, meta: CallMeta
    ) -> Landed:
        base = f"/characters/{character_id}"

        async def read(operation: str, path: str) -> Any:
            try:
                answer = await self._calls.call(operation, "GET", base + path, user_id, meta)
            except httpx.HTTPError:
                raise JourneyLogError("journey-log cannot be reached.") from None
            return _accepted(operation, answer).body

        return await look_for(write, read)

    async def create_character(self, user_id: str, fields: dict[str, str], meta: CallMeta) -> str:
        operation = "create_character"
        try:
            answer = await self._calls.call(operation, "POST", "/characters", user_id, meta, fields)
        except httpx.TimeoutException:
            raise JourneyLogTimeout from None
        except httpx.HTTPError:
            raise JourneyLogError("journey-log cannot be reached.", recoverable=True) from None
        if answer.status == 409 and is_refusal(answer):
            raise CharacterExists
        if answer.status == 422 and is_refusal(answer):
            raise ValidationError("journey-log does not take this character.")
        return str(_accepted(operation, answer).body["character"]["character_id"])

    async def aclose(self) -> None:
        await self._calls.exchange.aclose()


_OPERATIONS: Final = {
    ("PUT", "/quest"): "put_quest",
    ("DELETE", "/quest"): "delete_quest",
    ("PUT", "/combat"): "put_combat",
    ("POST", "/pois"): "post_poi",
    ("POST", "/narrative"): "post_narrative",
}


def _result(operation: str, answer: Answer) -> WriteResult:
    """The result of a write by its answer; "unknown" for an answer that is not journey-log's own."""
    status = answer.status
    if is_success(operation, answer):
        return WriteResult("done", status)
    _log_words(operation, answer)
    if is_refusal(answer):
        return WriteResult("refused", status, f"journey-log refused it ({status})")
    if status < 300:
        return WriteResult("unknown", status, f"the answer is not journey-log's ({status})")
    return WriteResult("unknown", status, f"journey-log failed ({status})")


def _story_turn(turn: dict[str, Any]) -> StoryTurn:
    played_at = parse_time(str(turn["timestamp"]))
    return StoryTurn(str(turn["turn_id"]), turn["player_action"], turn["gm_response"], played_at)


class _TemporaryStatus(httpx.HTTPError):
    def __init__(self, answer: Answer) -> None:
        super().__init__("temporary status")
        self.answer = answer


def _may_pass(error: Exception) -> bool:
    return isinstance(error, httpx.HTTPError)


def _accepted(operation: str, answer: Answer) -> Answer:
    """Raises what an answer that is no success means."""
    if not is_success(operation, answer):
        raise _refused(operation, answer)
    return answer


def _refused(operation: str, answer: Answer) -> DungeonMasterError:
    error = error_of(answer)
    if isinstance(error, JourneyLogError):
        _log_words(operation, answer)
    return error


def _log_words(operation: str, answer: Answer) -> None:
    """Only those of a refusal: whoever else answers may repeat what it was sent, a player's story."""
    log.warning(
        "journey_log_refused",
        operation=operation,
        status=answer.status,
        complaint=words_of(answer),
    )


def _parsed(model: type[Model], answer: Answer) -> Model:
    try:
        return model.model_validate_json(answer.content)
    except PydanticValidationError:
        raise unreadable(answer) from None
