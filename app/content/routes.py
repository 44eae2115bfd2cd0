"""`/api/v2`: one path for every kind of content, and content that was made before."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app.content.asking import ContentAsked
from app.content.kind import Kind
from app.content.service import ContentService, shown
from app.core.fields import limit_from, plain_uuid
from app.errors import NotFound, ValidationError
from app.ports.turn import TurnRequest
from app.turns.routes import Told, client_of, stream_turn, turn_headers
from app.turns.service import TurnService
from app.web.answers import JSONAnswer
from app.web.auth import caller_of
from app.web.inputs import idempotency_key, read_model, wants_events
from app.web.routing import HttpEndpoint
from app.web.services import services_of


def post_of(kind: Kind[Any, Any]) -> HttpEndpoint:
    """The endpoint that answers requests for that kind."""

    async def post(request: Request) -> Response:
        body = await read_model(request, kind.request)
        services, caller = services_of(request), caller_of(request)
        if body.parent_content_id is not None:
            await services.get(ContentService).find(body.parent_content_id, caller)
        asked = _asked(request, ContentAsked(kind, body))
        turns = services.get(TurnService)
        if wants_events(request):
            return await stream_turn(request, asked, turns.start, Told())
        turn = await turns.start(asked)
        finished = await turns.finished(turn, caller)
        result = finished.result
        reply = {kind.text: result["narrative"], **result["content"]}
        return JSONAnswer(reply, headers=turn_headers(turn))

    return post


def _asked(request: Request, asked: ContentAsked) -> TurnRequest:
    body = asked.body
    service = services_of(request).get(ContentService)
    return asked.request(
        caller_of(request).user_id,
        request.state.request_id,
        service.model_named(body.model.name),
        traceparent=request.state.traceparent,
        idempotency_key=idempotency_key(request, body.idempotency_key),
        address=client_of(request),
    )


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
