"""`/api/v2`: one path for every kind of content, and content that was made before."""

from __future__ import annotations

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from app.content.answering import Answering, ContentAnswers
from app.content.asking import ContentAsked
from app.content.kind import Kind
from app.content.requests import ContentIn
from app.content.service import ContentService, shown
from app.core.fields import limit_from, plain_uuid
from app.errors import Interrupted, NotFound, ValidationError
from app.ports.turn import TurnRequest
from app.turns.open_turn import FinishedTurn, OpenTurn
from app.turns.routes import Presentation, request_by, stream_turn, turn_headers
from app.turns.service import TurnService
from app.web.answers import JSONAnswer
from app.web.auth import caller_of
from app.web.bodies import parse_model
from app.web.inputs import idempotency_key, read_body, wants_events
from app.web.routing import HttpEndpoint
from app.web.services import services_of

X_CACHE: Final = "X-Cache"
CACHE_CONTROL: Final = "cache-control"
KEY: Final = "idempotency-key"


def post_of(kind: Kind[Any, Any]) -> HttpEndpoint:
    """The endpoint that answers requests for that kind."""

    async def post(request: Request) -> Response:
        raw = await read_body(request)
        known = await _known(request, kind, raw)
        return known or await _answered(request, kind, raw)

    return post


async def _known(request: Request, kind: Kind[Any, Any], raw: bytes) -> Response | None:
    """The answer to a request that was spelled like this before, without reading it again."""
    if not _may_be_known(request) or wants_events(request) or KEY in request.headers:
        return None
    answers, user_id = services_of(request).get(ContentAnswers), caller_of(request).user_id
    found = await answers.spelled(kind, user_id, raw)
    return None if found is None else _hit(found)


def _hit(answer: bytes) -> Response:
    return Response(answer, headers={X_CACHE: "hit"}, media_type="application/json")


async def _answered(request: Request, kind: Kind[Any, Any], raw: bytes) -> Response:
    body = parse_model(raw, kind.request)
    key = idempotency_key(request, body.idempotency_key)
    if not wants_events(request):
        return await whole(request, kind, body, key, raw)
    asked = await _asked(request, kind, body)
    return await _streamed(request, asked, _request(request, asked, key))


async def whole(
    request: Request, kind: Kind[Any, Any], body: ContentIn, key: str | None, raw: bytes = b""
) -> Response:
    """The answer as JSON, once it is there. `raw`: how the request was spelled. Raises what it ended with
    where there is none."""
    asked = await _asked(request, kind, body)
    as_turn = _request(request, asked, key)
    while True:
        answering = await services_of(request).get(ContentAnswers).whole(asked, as_turn, raw)
        if isinstance(answering, bytes):
            return _hit(answering)
        try:
            return await _finished(request, kind, answering)
        except Interrupted:  # with its process; this one can answer
            if key is not None or answering.turn.running is not None:
                raise


async def _finished(request: Request, kind: Kind[Any, Any], answering: Answering) -> Response:
    turns = services_of(request).get(TurnService)
    reply = whole_of(kind, await turns.finished(answering.turn, caller_of(request)))
    return JSONAnswer(reply, headers={**turn_headers(answering.turn), X_CACHE: _cached(answering)})


async def _asked(request: Request, kind: Kind[Any, Any], body: ContentIn) -> ContentAsked:
    """Raises `NotFound` for a parent that is not the caller's."""
    if body.parent_content_id is not None:
        service = services_of(request).get(ContentService)
        await service.find(body.parent_content_id, caller_of(request))
    return ContentAsked(kind, body, _may_be_known(request))


def _may_be_known(request: Request) -> bool:
    given = ",".join(request.headers.getlist(CACHE_CONTROL)).lower().split(",")
    return "no-cache" not in map(str.strip, given)


def whole_of(kind: Kind[Any, Any], finished: FinishedTurn) -> dict[str, Any]:
    """The answer that a turn has ended with."""
    return {kind.text: finished.result["narrative"], **finished.result["content"]}


async def _streamed(request: Request, asked: ContentAsked, as_turn: TurnRequest) -> Response:
    answers, caller = services_of(request).get(ContentAnswers), caller_of(request)
    cached = {X_CACHE: "miss"}

    async def start(wanted: TurnRequest) -> OpenTurn:
        answering = await answers.streamed(asked, wanted, caller)
        cached[X_CACHE] = _cached(answering)
        return answering.turn

    answer = await stream_turn(request, as_turn, start, Presentation())
    answer.headers.update(cached)
    return answer


def _cached(answering: Answering) -> str:
    return "hit" if answering.hit else "miss"


def _request(request: Request, asked: ContentAsked, key: str | None) -> TurnRequest:
    answers = services_of(request).get(ContentAnswers)
    plain = request_by(request, f"/api/v2{asked.kind.path}", key)
    return asked.request(plain, answers.model_named(asked.body.model.name))


async def get_content(request: Request) -> Response:
    service = services_of(request).get(ContentService)
    return JSONAnswer(await service.described(_id(request), caller_of(request)))


async def delete_content(request: Request) -> Response:
    await services_of(request).get(ContentService).remove(_id(request), caller_of(request))
    return Response(status_code=204)


async def list_contents(request: Request) -> Response:
    query = request.query_params
    found, following = (
        await services_of(request)
        .get(ContentService)
        .listed(
            caller_of(request),
            limit_from(query.get("limit", "20")),
            _uuid(query.get("parent_content_id"), "parent_content_id"),
            _uuid(query.get("before"), "before"),
        )
    )
    return JSONAnswer({"contents": [shown(one) for one in found], "next": following})


def _id(request: Request) -> str:
    try:
        return plain_uuid(request.path_params["content_id"])
    except ValueError:
        raise NotFound("There is no such content.") from None


def _uuid(given: str | None, name: str) -> str | None:
    """Raises `ValidationError`."""
    try:
        return None if given is None else plain_uuid(given)
    except ValueError:
        raise ValidationError(f"{name}: must be a UUID") from None
