"""`JourneyLog` over httpx, to a remote service or to the embedded one.

Reads are retried with backoff. A write is sent once: nothing here or beneath may send it again,
since journey-log has no idempotency key.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterable, Callable
from typing import Any, Final, NamedTuple, TypeVar

import httpx
import structlog
from app.adapters.journey_log.readback import look_for
from app.core.context import Context, Place, parse_time
from app.core.encoding import encode
from app.core.writes import PlannedWrite
from app.errors import (
    CharacterExists,
    CharacterNotFound,
    DungeonMasterError,
    Forbidden,
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
MAX_ANSWER: Final = 16 * 1024 * 1024
_OWN_ERRORS: Final = frozenset({"http_error", "validation_error"})

log = structlog.get_logger(__name__)

Model = TypeVar("Model", bound=BaseModel)
CallObserver = Callable[[str, str, float], None]


class _Answer(NamedTuple):
    status: int
    content: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> Any:
        return json.loads(self.content)


class _Sparks(BaseModel):
    pois: list[Place]


class JourneyLogClient:
    """`observe` gets operation, status, seconds.

    A transport and not a client of httpx: there is nobody to log in, to redirect or to keep cookies
    of, and looking for all that takes as long as the call itself. `timeout`: seconds for a whole
    call; those of `timeouts` are for each step, which a server that drips its answer never exceeds.
    """

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        base_url: str,
        *,
        timeouts: httpx.Timeout | None = None,
        recent_n: int = 20,
        spark_count: int = 3,
        reads: Backoff | None = None,
        timeout: float = 30.0,
        observe: CallObserver = lambda operation, status, seconds: None,
    ) -> None:
        self._transport = transport
        self._base = base_url.rstrip("/")
        self._host = httpx.URL(self._base).netloc.decode("ascii")
        self._extensions = {"timeout": (timeouts or httpx.Timeout(timeout)).as_dict()}
        self._recent_n = recent_n
        self._spark_count = spark_count
        self._reads = reads or Backoff(delay_base=0.5, delay_max=10.0)
        self._timeout = timeout
        self._observe = observe

    # -- reads ------------------------------------------------------------------------------------

    async def context(self, user_id: str, character_id: str, meta: CallMeta) -> Context:
        response = await self._read(
            "context",
            f"/characters/{character_id}/context?recent_n={self._recent_n}&include_pois=true",
            user_id,
            meta,
        )
        return _parsed(Context, response)

    async def sparks(self, user_id: str, character_id: str, meta: CallMeta) -> list[Place]:
        """Places picked at random; none when they cannot be had."""
        path = f"/characters/{character_id}/pois/random?n={self._spark_count}"
        try:
            response = await self._call("sparks", "GET", path, user_id, meta)
            return _parsed(_Sparks, _accepted(response)).pois
        except (DungeonMasterError, httpx.HTTPError) as error:
            log.warning("sparks_unavailable", kind=type(error).__name__)
            return []

    async def characters(self, user_id: str, meta: CallMeta) -> list[dict[str, Any]]:
        response = await self._read("characters", "/characters", user_id, meta)
        try:
            return list(response.json()["characters"])
        except _UNREADABLE:
            raise JourneyLogError("journey-log sent a list that cannot be read.") from None

    async def adventure_prompt(self, user_id: str, character_id: str, meta: CallMeta) -> str:
        response = await self._read("character", f"/characters/{character_id}", user_id, meta)
        try:
            return str(response.json()["character"]["adventure_prompt"] or "")
        except _UNREADABLE:
            raise JourneyLogError("journey-log sent a character that cannot be read.") from None

    async def story(self, user_id: str, character_id: str, meta: CallMeta) -> list[StoryTurn]:
        path = f"/characters/{character_id}/narrative?n=100"
        response = await self._read("get_narrative", path, user_id, meta)
        try:
            return [_story_turn(turn) for turn in reversed(response.json()["turns"])]
        except _UNREADABLE:
            raise JourneyLogError("journey-log sent a story that cannot be read.") from None

    async def available(self) -> bool:
        try:
            async with asyncio.timeout(HEALTH_SECONDS):
                answer = await self._send("GET", "/health", {}, None)
        except (httpx.HTTPError, TimeoutError):
            return False
        return answer.is_success

    async def _read(self, operation: str, path: str, user_id: str, meta: CallMeta) -> _Answer:
        async def attempt() -> _Answer:
            answer = await self._call(operation, "GET", path, user_id, meta)
            if answer.status >= 500 or answer.status in (408, 429):
                raise _TemporaryStatus
            return _accepted(answer)

        try:
            return await retrying(attempt, self._reads, _may_pass)
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
            response = await self._call(operation, write.method, path, user_id, meta, write.body)
        except _NEVER_SENT:
            return WriteResult("not_sent", error="journey-log cannot be reached")
        except httpx.TimeoutException:
            return WriteResult("unknown", error="journey-log did not answer in time")
        except httpx.HTTPError:
            return WriteResult("unknown", error="the connection to journey-log broke")
        status = response.status
        if response.is_success:
            return WriteResult("done", status)
        if 400 <= status < 500 and status not in (408, 429) and _own_error(response):
            return WriteResult("refused", status, f"journey-log refused it ({status})")
        return WriteResult("unknown", status, f"journey-log failed ({status})")

    async def landed(
        self, user_id: str, character_id: str, write: PlannedWrite, meta: CallMeta
    ) -> Landed:
        base = f"/characters/{character_id}"

        async def read(operation: str, path: str) -> Any:
            try:
                response = await self._call(operation, "GET", base + path, user_id, meta)
            except httpx.HTTPError:
                raise JourneyLogError("journey-log cannot be reached.") from None
            return _accepted(response).json()

        return await look_for(write, read)

    async def create_character(self, user_id: str, fields: dict[str, str], meta: CallMeta) -> str:
        try:
            response = await self._call(
                "create_character", "POST", "/characters", user_id, meta, fields
            )
        except httpx.TimeoutException:
            raise JourneyLogTimeout from None
        except httpx.HTTPError:
            raise JourneyLogError("journey-log cannot be reached.", recoverable=True) from None
        if response.status == 409:
            raise CharacterExists
        if response.status == 422:
            raise ValidationError("journey-log does not take this character.")
        try:
            return str(_accepted(response).json()["character"]["character_id"])
        except _UNREADABLE:
            raise JourneyLogError("journey-log sent a character that cannot be read.") from None

    async def _call(
        self,
        operation: str,
        method: str,
        path: str,
        user_id: str,
        meta: CallMeta,
        body: dict[str, Any] | None = None,
    ) -> _Answer:
        headers = {"X-User-Id": user_id, "X-Request-Id": meta.request_id}
        if meta.traceparent:
            headers["traceparent"] = meta.traceparent
        content = None if body is None else encode(body)
        began, status = time.monotonic(), "error"
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._send(method, path, headers, content)
            status = str(answer.status)
            return answer
        except TimeoutError:  # it answered, but never came to an end
            status = "timeout"
            raise httpx.ReadTimeout("no whole answer in time") from None
        except httpx.TimeoutException:
            status = "timeout"
            raise
        finally:
            self._observe(operation, status, time.monotonic() - began)

    async def _send(
        self, method: str, path: str, headers: dict[str, str], content: bytes | None
    ) -> _Answer:
        """The whole answer, as long as it is of a size that an answer can have."""
        response = await self._transport.handle_async_request(
            self._request(method, path, headers, content)
        )
        body = bytearray()
        try:
            async for chunk in _pieces(response):
                body += chunk
                if len(body) > MAX_ANSWER:
                    raise httpx.ReadError("the answer is too long")
        finally:
            await response.aclose()
        return _Answer(response.status_code, bytes(body))

    def _request(
        self, method: str, path: str, headers: dict[str, str], content: bytes | None
    ) -> httpx.Request:
        """With `stream` and all its headers: with `content`, httpx would add them by making every
        header anew, which takes longer than the rest of it."""
        headers = {"Host": self._host, "Accept": "application/json", **headers}
        if content is not None:
            headers["Content-Type"] = "application/json"
            headers["Content-Length"] = str(len(content))
        return httpx.Request(
            method,
            f"{self._base}{path}",
            headers=headers,
            stream=httpx.ByteStream(content or b""),
            extensions=self._extensions,
        )

    async def aclose(self) -> None:
        await self._transport.aclose()


def _pieces(response: httpx.Response) -> AsyncIterable[bytes]:
    """What was sent as it came, unless it has to be decoded: `aiter_bytes` passes each piece through
    three generators."""
    stream = response.stream
    if "content-encoding" in response.headers or not isinstance(stream, httpx.AsyncByteStream):
        return response.aiter_bytes()
    return stream


# Deep nesting is a RecursionError.
_UNREADABLE: Final = (ValueError, KeyError, TypeError, RecursionError)
_OPERATIONS: Final = {
    ("PUT", "/quest"): "put_quest",
    ("DELETE", "/quest"): "delete_quest",
    ("PUT", "/combat"): "put_combat",
    ("POST", "/pois"): "post_poi",
    ("POST", "/narrative"): "post_narrative",
}


def _story_turn(turn: dict[str, Any]) -> StoryTurn:
    told_at = parse_time(str(turn["timestamp"]))
    return StoryTurn(str(turn["turn_id"]), turn["player_action"], turn["gm_response"], told_at)


class _TemporaryStatus(httpx.HTTPError):
    def __init__(self) -> None:
        super().__init__("temporary status")


def _may_pass(error: Exception) -> bool:
    return isinstance(error, httpx.HTTPError)


def _accepted(response: _Answer) -> _Answer:
    """Raises what a refused read means."""
    if response.is_success:
        return response
    if response.status == 404 and _own_error(response) and not _no_such_route(response):
        raise CharacterNotFound
    if response.status == 403:
        raise Forbidden("This character belongs to somebody else.")
    outage = response.status >= 500 or response.status in (408, 429)
    raise JourneyLogError(f"journey-log answered {response.status}.", recoverable=outage)


def _body(response: _Answer) -> dict[str, Any]:
    try:
        body = response.json()
    except _UNREADABLE:
        return {}
    return body if isinstance(body, dict) else {}


def _own_error(response: _Answer) -> bool:
    """Whether the refusal is journey-log's, not that of something in between."""
    body = _body(response)
    return body.get("error") in _OWN_ERRORS or "detail" in body


def _no_such_route(response: _Answer) -> bool:
    return _body(response).get("detail") == "Not Found"


def _parsed(model: type[Model], response: _Answer) -> Model:
    try:
        return model.model_validate_json(response.content)
    except PydanticValidationError:
        raise JourneyLogError("journey-log sent an answer that cannot be read.") from None
