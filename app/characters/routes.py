"""`/characters`: make one and hear its opening, list one's own, look at one."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from app.characters.schemas import CharacterCreated, CharacterIn
from app.characters.service import CharacterService
from app.errors import DungeonMasterError
from app.eventlog.reader import Cursor
from app.ports.call import CallMeta
from app.ports.store import TurnRequest
from app.turns.routes import client_of, head_of, turn_headers
from app.turns.service import OpenTurn, TurnService
from app.web.answers import JSONAnswer
from app.web.auth import caller_of
from app.web.dialects.dialect import rendering_from
from app.web.dialects.native import NATIVE
from app.web.inputs import character_id_from, idempotency_key, read_model
from app.web.services import services_of
from app.web.transports.readers import Readers
from app.web.transports.sse import SSETransport


async def post_character(request: Request) -> Response:
    body = await read_model(request, CharacterIn)
    if "text/event-stream" in request.headers.get("accept", ""):
        return await _streamed(request, body)
    return await _whole(request, body)


def _opening(request: Request, body: CharacterIn, user_id: str) -> TurnRequest:
    return TurnRequest(
        character_id="",  # journey-log gives it
        user_action=body.adventure_prompt or "",
        user_id=user_id,
        request_id=request.state.request_id,
        traceparent=request.state.traceparent,
        idempotency_key=idempotency_key(request, None),
        endpoint="/characters",
        kind="opening",
        address=client_of(request),
    )


async def _create(request: Request, body: CharacterIn, user_id: str) -> OpenTurn:
    return (
        await services_of(request)
        .get(CharacterService)
        .create(
            name=body.name,
            race=body.race,
            class_name=body.class_name,
            opening=_opening(request, body, user_id),
        )
    )


async def _whole(request: Request, body: CharacterIn) -> Response:
    services, caller = services_of(request), caller_of(request)
    turn = await _create(request, body, caller.user_id)
    try:
        finished = await services.get(TurnService).finished(turn, caller)
    except DungeonMasterError as error:
        error.extra["character_id"] = turn.character_id
        raise
    created = CharacterCreated(
        character_id=turn.character_id, narrative=finished.result["narrative"]
    )
    headers = {**turn_headers(turn), "X-Character-Id": turn.character_id}
    return JSONAnswer(created, 201, headers)


async def _streamed(request: Request, body: CharacterIn) -> Response:
    services, caller = services_of(request), caller_of(request)
    release = services.get(Readers).take(client_of(request))
    try:
        turn = await _create(request, body, caller.user_id)
        await head_of(turn)
        cursor = Cursor(turn.log)
    except BaseException:
        release()
        raise
    headers = {**turn_headers(turn), "X-Character-Id": turn.character_id}
    return services.get(SSETransport).response(
        rendering_from(cursor, NATIVE, turn.turn_id), cursor, release, headers
    )


async def get_characters(request: Request) -> Response:
    return JSONAnswer(
        await services_of(request)
        .get(CharacterService)
        .listed(caller_of(request).user_id, _meta(request))
    )


async def get_character(request: Request) -> Response:
    shown = (
        await services_of(request)
        .get(CharacterService)
        .one(caller_of(request).user_id, character_id_from(request), _meta(request))
    )
    return JSONAnswer(shown)


def _meta(request: Request) -> CallMeta:
    return CallMeta(request.state.request_id, request.state.traceparent)
