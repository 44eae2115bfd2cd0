"""`/api/v2/batch`: many requests at once, each answered as soon as it can be, with a status of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Annotated, Any, Final, Self

import structlog
from pydantic import AfterValidator, Field, model_validator
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from app.content.headroom import LIMIT, ROOT, ContentHeadroom
from app.content.kind import Kind
from app.content.requests import only_finite
from app.content.routes import X_CACHE, whole
from app.core.encoding import dump
from app.core.fields import MAX_KEY
from app.errors import DungeonMasterError, InternalError, NotFound
from app.turns.routes import client_of
from app.web.bodies import RequestBody, parse_model
from app.web.inputs import idempotency_key, read_body, wants_events
from app.web.problem import problem
from app.web.routing import HttpEndpoint
from app.web.services import services_of
from app.web.transports.readers import Readers, Release
from app.web.transports.sse import DONE

log = structlog.get_logger(__name__)

MOST: Final = 50
MAX_BYTES: Final = 2 * 1024 * 1024
SILENCE: Final = 10.0  # seconds, after which the stream says that it is still there
LINES: Final = "application/x-ndjson"
_FORWARDED: Final = (
    X_CACHE,
    LIMIT,
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "Retry-After",
    "Location",
)
_HEADERS: Final = {"X-Accel-Buffering": "no"}
_KEY_SPACE: Final = "batch".ljust(MAX_KEY + 1, ":")
"""Before the keys of requests in batches: a request by itself cannot have a key of this length."""


class BatchItem(RequestBody):
    """One request. `path`: its own, behind `/api/v2`. `id`: a name for its result."""

    path: str
    body: Annotated[dict[str, Any], AfterValidator(only_finite)]
    id: Annotated[str, Field(max_length=200)] | None = None


class BatchIn(RequestBody):
    """Body of `POST /api/v2/batch`."""

    requests: Annotated[list[BatchItem], Field(max_length=MOST)]

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.requests:
            raise ValueError("requests must hold at least one request")
        return self


def post_batch(kinds: Mapping[str, Kind[Any, Any]]) -> HttpEndpoint:
    """The endpoint; `kinds` by their paths."""

    async def post(request: Request) -> Response:
        batch = parse_model(await read_body(request, MAX_BYTES), BatchIn)
        key = idempotency_key(request, None)
        release = services_of(request).get(Readers).take(client_of(request))
        events = wants_events(request)
        body = _answers(request, batch, kinds, key, events=events)
        return _Results(body, "text/event-stream" if events else LINES, release)

    return post


class _Results(StreamingResponse):
    """Gives its place among the streams back, however it ends."""

    def __init__(self, body: AsyncIterator[bytes], media: str, release: Release) -> None:
        super().__init__(body, headers=_HEADERS, media_type=media)
        self._release = release

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._release()


async def _answers(
    request: Request,
    batch: BatchIn,
    kinds: Mapping[str, Kind[Any, Any]],
    key: str | None,
    *,
    events: bool,
) -> AsyncIterator[bytes]:
    """Each result as soon as it is there. Who leaves early misses results, not the content."""
    waiting = {
        asyncio.create_task(_result(request, item, number, kinds, key))
        for number, item in enumerate(batch.requests)
    }
    try:
        while waiting:
            done, waiting = await asyncio.wait(
                waiting, timeout=SILENCE, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                yield b": ping\n\n" if events else b"\n"
            for one in done:
                yield b"data: %b\n\n" % one.result() if events else one.result() + b"\n"
        if events:
            yield DONE
    finally:
        for one in waiting:
            one.cancel()


async def _result(
    request: Request,
    item: BatchItem,
    number: int,
    kinds: Mapping[str, Kind[Any, Any]],
    key: str | None,
) -> bytes:
    """One line of JSON."""
    path = f"{ROOT}/{item.path.removeprefix(ROOT).lstrip('/')}"
    own_key = None if key is None else f"{_KEY_SPACE}{key}:{number}"
    try:
        answer = await _answer(request, item, kinds.get(path), own_key)
    except DungeonMasterError as error:
        answer = problem(error, instance=path, request_id=request.state.request_id)
    with suppress(DungeonMasterError):  # which would take the other results with it
        if LIMIT not in answer.headers:
            left = await services_of(request).get(ContentHeadroom).left(request, path)
            answer.headers.update(left)
    headers = {name: answer.headers[name] for name in _FORWARDED if name in answer.headers}
    about = {"index": number, "id": item.id, "status": answer.status_code, "headers": headers}
    return b'%b,"body":%b}' % (dump(about).encode()[:-1], bytes(answer.body))


async def _answer(
    request: Request, item: BatchItem, kind: Kind[Any, Any] | None, key: str | None
) -> Response:
    """Raises `DungeonMasterError`."""
    if kind is None:
        raise NotFound
    body = parse_model(dump(item.body), kind.request)
    try:
        return await whole(request, kind, body, body.idempotency_key or key)
    except DungeonMasterError:
        raise
    except Exception as error:
        log.exception("batch_item_failed", error_type=type(error).__name__)
        raise InternalError from error
