"""`/characters`: make one and hear its opening, list one's own, look at one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app.characters.feed import CharacterFeeds
from app.characters.history import CharacterHistory
from app.characters.schemas import CharacterCreated, CharacterIn, OpeningIn
from app.characters.service import CharacterService
from app.core.fields import limit_from
from app.errors import DungeonMasterError
from app.ports.store import TurnRequest
from app.turns.open_turn import OpenTurn
from app.turns.routes import (
    Presentation,
    client_of,
    request_by,
    stream_turn,
    ticket_answer,
    turn_headers,
)
from app.turns.service import TurnService
from app.web.answers import JSONAnswer
from app.web.auth import caller_of
from app.web.dialects.catalogue import dialect_asked
from app.web.dialects.dialect import Dialect
from app.web.dialects.native import NATIVE
from app.web.inputs import (
    character_id_from,
    idempotency_key,
    last_event_id,
    meta_of,
    read_model,
    wants_events,
)
from app.web.services import services_of
from app.web.transports.feed import FeedTransport
from app.web.transports.readers import Readers

Start = Callable[[TurnRequest], Awaitable[OpenTurn]]


async def post_character(request: Request) -> Response:
    body = await read_model(request, CharacterIn)
    create = partial(
        services_of(request).get(CharacterService).create,
        name=body.name,
        race=body.race,
        class_name=body.class_name,
    )
    opening = _opening(request, body.adventure_prompt, "/characters")  # journey-log gives the id
    return await _answered(request, lambda asked: create(opening=asked), opening)


async def post_opening(request: Request) -> Response:
    character_id = character_id_from(request)
    body = await read_model(request, OpeningIn, absent=b"{}")
    opening = _opening(
        request, body.adventure_prompt, "/characters/{character_id}/opening", character_id
    )
    return await _answered(request, services_of(request).get(CharacterService).open, opening)


def _opening(
    request: Request, wish: str | None, endpoint: str, character_id: str = ""
) -> TurnRequest:
    asked = request_by(request, endpoint, idempotency_key(request, None))
    return replace(asked, character_id=character_id, user_action=wish or "", kind="opening")


async def _answered(request: Request, start: Start, opening: TurnRequest) -> Response:
    if wants_events(request):
        return await stream_turn(request, opening, start, Presentation(headers=_headers))
    return await _whole(request, start, opening)


async def _whole(request: Request, start: Start, opening: TurnRequest) -> Response:
    turn = await start(opening)
    try:
        finished = await services_of(request).get(TurnService).finished(turn, caller_of(request))
    except DungeonMasterError as error:
        error.extra["character_id"] = turn.character_id
        raise
    created = CharacterCreated(
        character_id=turn.character_id, narrative=finished.result["narrative"]
    )
    return JSONAnswer(created, 201, _headers(turn))


def _headers(turn: OpenTurn, dialect: Dialect[Any] = NATIVE) -> dict[str, str]:
    return {**turn_headers(turn, dialect), "X-Character-Id": turn.character_id}


async def get_characters(request: Request) -> Response:
    return JSONAnswer(
        await services_of(request)
        .get(CharacterService)
        .listed(caller_of(request).user_id, meta_of(request))
    )


async def get_character(request: Request) -> Response:
    shown = (
        await services_of(request)
        .get(CharacterService)
        .one(caller_of(request).user_id, character_id_from(request), meta_of(request))
    )
    return JSONAnswer(shown)


async def get_character_turns(request: Request) -> Response:
    query = request.query_params
    page = (
        await services_of(request)
        .get(CharacterHistory)
        .page(
            caller_of(request),
            character_id_from(request),
            limit_from(query.get("limit", "20")),
            query.get("before"),
            meta_of(request),
        )
    )
    return JSONAnswer(page)


async def get_character_events(request: Request) -> Response:
    services, dialect = services_of(request), dialect_asked(request)
    with services.get(Readers).take(client_of(request)) as release:
        feed = await services.get(CharacterFeeds).open(
            caller_of(request),
            character_id_from(request),
            last_event_id(request),
            meta_of(request),
            whole=not dialect.identity,
        )
    return services.get(FeedTransport).response(feed, release, dialect)


async def post_ticket(request: Request) -> Response:
    """Leave to read the events for a client that can send no header."""
    character_id = character_id_from(request)
    feeds = services_of(request).get(CharacterFeeds)
    await feeds.check(caller_of(request), character_id, meta_of(request))
    return ticket_answer(request, "characters", character_id)
