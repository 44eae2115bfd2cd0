"""`/api/sessions`: tables over HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app.core.fields import limit_from
from app.core.tables import DEFAULT_PLAYER, Seat, Table, TableRules
from app.errors import ValidationError
from app.tables import schemas
from app.tables.budget import TableBudget
from app.tables.feeds import TableFeeds
from app.tables.play import TablePlay
from app.tables.rounds import TableRounds
from app.tables.service import TableService
from app.tables.views import (
    member_view,
    message_view,
    session_view,
    tokens_view,
)
from app.tables.visit import Visit
from app.turns.routes import client_of, ticket_answer
from app.web.answers import JSONAnswer
from app.web.auth import SESSIONS, caller_of
from app.web.dialects.catalogue import dialect_asked
from app.web.dialects.native import NATIVE
from app.web.inputs import last_event_id, read_model
from app.web.services import services_of
from app.web.transports.readers import Readers
from app.web.transports.table import TableTransport

MAX_MESSAGES = 1000  # of one answer: older clients ask for all they can show
MAX_NUMBER = 15  # digits of the id of a session or a message
SET = sorted(TableRules.model_fields.keys() - {"paused"})
"""The rules that an owner sets."""

# -- sessions -------------------------------------------------------------------------------------


async def post_session(request: Request) -> Response:
    body = await read_model(request, schemas.SessionIn)
    service = services_of(request).get(TableService)
    player = Seat("", body.player_name or DEFAULT_PLAYER, character_id=body.character_id)
    rules = _rules(request, service.defaults, body)
    table = await service.create(caller_of(request), body.name, body.dm_name, player, rules)
    return JSONAnswer(session_view(table))


async def get_sessions(request: Request) -> Response:
    tables = await services_of(request).get(TableService).of_user(caller_of(request))
    return JSONAnswer([session_view(table) for table in tables])


async def get_session(request: Request) -> Response:
    return JSONAnswer(session_view((await visit_of(request)).table))


async def put_session(request: Request) -> Response:
    visit = await visit_of(request)
    body = await read_model(request, schemas.SessionChange)
    names = ("name", "dm_name", "is_active")
    given = {name: value for name in names if (value := getattr(body, name)) is not None}

    def make(known: Table) -> Table:
        return replace(known, **given, rules=_rules(request, known.rules, body))

    table = await services_of(request).get(TableService).change(visit, make)
    await services_of(request).get(TableRounds).play_due(table.id)  # its mode may be another one
    return JSONAnswer(session_view(table))


async def delete_session(request: Request) -> Response:
    visit = await visit_of(request)
    await services_of(request).get(TableService).delete(visit)
    return Response(status_code=204)


def _rules(
    request: Request, rules: TableRules, body: schemas.SessionIn | schemas.SessionChange
) -> TableRules:
    """With what the body sets. Raises `ValidationError`."""
    given = {name: value for name in SET if (value := getattr(body, name)) is not None}
    if body.cost_budget_micros:
        services_of(request).get(TableBudget).require_prices()
    return rules.model_copy(update=given)


# -- seats ----------------------------------------------------------------------------------------


async def get_members(request: Request) -> Response:
    visit = await visit_of(request)
    seats, present = await services_of(request).get(TableService).members(visit)
    members = [
        member_view(visit.table, seat, visit.caller, seat.user_id in present) for seat in seats
    ]
    return JSONAnswer(schemas.Members(members=members))


async def post_join(request: Request) -> Response:
    body = await read_model(request, schemas.JoinIn, absent=b"{}")
    player = Seat("", body.player_name or "", character_id=body.character_id)
    visit = (
        await services_of(request)
        .get(TableService)
        .join(caller_of(request), session_id_of(request), body.invitation, player)
    )
    return JSONAnswer(session_view(visit.table))


async def post_leave(request: Request) -> Response:
    await services_of(request).get(TableService).leave(await visit_of(request))
    return Response(status_code=204)


async def delete_member(request: Request) -> Response:
    visit = await visit_of(request)
    await services_of(request).get(TableService).remove(visit, request.path_params["user_id"])
    return Response(status_code=204)


# -- what is said ---------------------------------------------------------------------------------


async def get_messages(request: Request) -> Response:
    visit = await visit_of(request)
    limit = limit_from(request.query_params.get("limit", "50"), MAX_MESSAGES)
    before = request.query_params.get("before")
    number = None if before is None else number_from(before, "before")
    lines = await services_of(request).get(TableService).lines(visit, limit, number)
    return JSONAnswer([message_view(line) for line in lines])


async def post_message(request: Request) -> Response:
    visit = await visit_of(request)
    body = await read_model(request, schemas.MessageIn)
    service = services_of(request).get(TableService)
    line = await service.say(visit, body.sender_name, body.content, body.message_type)
    return JSONAnswer(message_view(line))


# -- the stream ----------------------------------------------------------------------------------


async def get_tokens(request: Request) -> Response:
    visit = await visit_of(request)
    used = await services_of(request).get(TablePlay).used(visit)
    return JSONAnswer(tokens_view(visit.table.rules.budget, used))


async def get_events(request: Request) -> Response:
    services = services_of(request)
    if dialect_asked(request) is not NATIVE:
        raise ValidationError("dialect: a table's events are in the native one alone")
    with services.get(Readers).take(client_of(request)) as release:
        visit = await visit_of(request)
        feed = services.get(TableFeeds).open(visit, last_event_id(request))
    return services.get(TableTransport).response(feed, release, NATIVE)


async def post_ticket(request: Request) -> Response:
    """Leave to read the events for a client that can send no header."""
    visit = await visit_of(request)
    return ticket_answer(request, SESSIONS, str(visit.table.id))


# -- the request ---------------------------------------------------------------------------------------


async def visit_of(request: Any) -> Visit:
    """The caller at the session of the path. Raises `NotFound`."""
    service = services_of(request).get(TableService)
    return await service.visit(caller_of(request), session_id_of(request))


def session_id_of(request: Any) -> int:
    """Raises `ValidationError` for no number."""
    return number_from(request.path_params["session_id"], "session_id")


def number_from(text: str, name: str) -> int:
    """Raises `ValidationError` for no number. One that is too large is the largest, which nothing has."""
    if not text.isascii() or not text.isdigit():
        raise ValidationError(f"{name}: must be a whole number")
    return int(text) if len(text) <= MAX_NUMBER else 10**MAX_NUMBER
