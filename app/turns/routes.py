"""`/turn`, `/turn/stream` and `/turns/{id}`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from app.core.access import Caller
from app.core.cursors import cursor_of
from app.core.fields import whole_number
from app.core.money import MAX_DAYS, USUAL_DAYS
from app.errors import ValidationError
from app.eventlog.reader import Cursor
from app.ports.store import TurnRequest
from app.turns.choices import Choosers
from app.turns.open_turn import OpenTurn
from app.turns.schemas import (
    RetellIn,
    TicketAnswer,
    Turn,
    TurnCancelledAnswer,
    TurnChosenAnswer,
    TurnIn,
)
from app.turns.service import TurnService
from app.web.answers import JSONAnswer
from app.web.auth import TICKET_SECONDS, Tickets, caller_of
from app.web.dialects.catalogue import dialect_asked, dialect_posted
from app.web.dialects.dialect import Dialect, rendering_from
from app.web.dialects.native import NATIVE
from app.web.inputs import (
    address_of,
    idempotency_key,
    last_event_id,
    meta_of,
    read_model,
)
from app.web.middleware import REQUEST_ID
from app.web.services import Services, services_of
from app.web.transports.readers import Readers, Release
from app.web.transports.sse import EventStream, SSETransport

HEAD_SECONDS = 5.0  # how long the head of a stream waits for the context


async def post_turn(request: Request) -> Response:
    services, caller = services_of(request), caller_of(request)
    body = await read_model(request, TurnIn)
    asked = turn_request(request, body, endpoint="/turn")
    turn = await services.get(TurnService).start(asked)
    if asked.commit == "manual" and await services.get(TurnService).rests(turn):
        described = await services.get(TurnService).describe(turn.turn_id, caller)
        return JSONAnswer(described, 202, turn_headers(turn))
    return await whole_turn(services, turn, caller)


async def whole_turn(services: Services, turn: OpenTurn, caller: Caller) -> Response:
    """The answer of `POST /turn`, once the turn has ended."""
    finished = await services.get(TurnService).finished(turn, caller)
    result = finished.result
    body = Turn(
        turn_id=finished.turn_id,
        narrative=result["narrative"],
        intents=result["intents"],
        subsystem_summary=result["subsystem_summary"],
        timing=result["timing"],
        usage=result["usage"],
    )
    return JSONAnswer(body, headers=turn_headers(turn))


def turn_headers(turn: OpenTurn, dialect: Dialect[Any] = NATIVE) -> dict[str, str]:
    query = "" if dialect.name == NATIVE.name else f"?dialect={dialect.name}"
    return {
        "Location": f"/turns/{turn.turn_id}/events{query}",
        "X-Turn-Id": turn.turn_id,
        **turn.headers,
    }


async def post_turn_stream(request: Request) -> Response:
    body = await read_model(request, TurnIn)
    asked = turn_request(request, body, endpoint="/turn/stream")
    presentation = Presentation(dialect_posted(request))
    return await stream_turn(
        request, asked, services_of(request).get(TurnService).start, presentation
    )


@dataclass(frozen=True, slots=True)
class Presentation:
    """The presentation of a turn in an answer. `parameters`: further start parameters of the dialect.
    `resumed`: `Last-Event-ID` counts."""

    dialect: Dialect[Any] = NATIVE
    headers: Callable[[OpenTurn, Dialect[Any]], dict[str, str]] = turn_headers
    parameters: Mapping[str, Any] = field(default_factory=dict)
    resumed: bool = True


async def stream_turn(
    request: Request,
    asked: TurnRequest,
    start: Callable[[TurnRequest], Awaitable[OpenTurn]],
    presentation: Presentation,
) -> Response:
    """The answer to any POST that streams a turn: `start` gives the turn that was `asked` for.

    With the id of an event of this very turn in `Last-Event-ID` it is what follows that event.
    """
    services = services_of(request)
    last_event_id = request.headers.get("last-event-id", "") if presentation.resumed else ""
    with services.get(Readers).take(client_of(request)) as release:
        turn = await start(replace(asked, last_event_id=last_event_id))
        await head_of(turn)
        cursor = Cursor(turn.log, turn.after)
    if turn.after and cursor.at_end:
        release()
        cursor.close()
        return Response(status_code=204)
    return streamed(services, turn, cursor, release, presentation)


def streamed(
    services: Services, turn: OpenTurn, cursor: Cursor, release: Release, presentation: Presentation
) -> EventStream:
    """A turn from `cursor` on. The response owns `release` from here on."""
    parameters = {**turn.parameters, **presentation.parameters}
    rendering = rendering_from(cursor, presentation.dialect, turn.turn_id, parameters)
    headers = presentation.headers(turn, presentation.dialect)
    return services.get(SSETransport).response(rendering, cursor, release, headers)


async def head_of(turn: OpenTurn) -> None:
    """Wait until the turn can begin. Raises what it ended with when it could not.

    After `HEAD_SECONDS` the head is sent all the same, and a failure becomes an event.
    """
    running = turn.running
    if running is None:
        return
    try:
        async with asyncio.timeout(HEAD_SECONDS):
            await running.wait_readable()
    except TimeoutError:
        return
    if not running.readable and running.error is not None:
        raise running.error


def client_of(connection: HTTPConnection) -> str:
    return address_of(connection) or "unknown"


async def get_turn(request: Request) -> Response:
    described = (
        await services_of(request)
        .get(TurnService)
        .describe(request.path_params["turn_id"], caller_of(request))
    )
    return JSONAnswer(described)


async def get_turn_events(request: Request) -> Response:
    services, turn_id = services_of(request), request.path_params["turn_id"]
    presentation = Presentation(dialect_asked(request))
    turn = await services.get(TurnService).open(turn_id, caller_of(request))
    cursor = Cursor(turn.log, position_asked(request, turn_id))
    if cursor.at_end:
        return Response(status_code=204)  # which stops an EventSource
    release = services.get(Readers).take(client_of(request))
    return streamed(services, turn, cursor, release, presentation)


def position_asked(request: Request, turn_id: str) -> int:
    """Of `last_event_id`, which in the query may be the number alone. What is malformed or of another
    turn means the start."""
    given = last_event_id(request)
    short = "last-event-id" not in request.headers and ":" not in given
    return cursor_of(f"{turn_id}:{given}" if short else given, turn_id)


async def get_usage(request: Request) -> Response:
    return await usage_answer(request, caller_of(request).user_id)


async def usage_answer(request: Request, user_id: str) -> Response:
    """The answer of `GET /usage`. Raises `NotFound`, `ValidationError`."""
    given = request.query_params.get("days", str(USUAL_DAYS))
    error = ValidationError(f"days: must be a whole number from 1 to {MAX_DAYS}")
    days = whole_number(given, MAX_DAYS, error)
    usage = services_of(request).get(TurnService).usage
    return JSONAnswer(await usage(user_id, caller_of(request), days))


async def post_ticket(request: Request) -> Response:
    """Leave to read the events for a client that can send no header."""
    services, turn_id = services_of(request), request.path_params["turn_id"]
    caller = caller_of(request)
    await services.get(TurnService).describe(turn_id, caller)
    return ticket_answer(request, "turns", turn_id)


def ticket_answer(
    request: Request, kind: str, its_id: str, scopes: Collection[str] = frozenset()
) -> Response:
    """A ticket for the caller, who must be one that may read the events. `scopes`: see `Tickets.issue`."""
    tickets, caller = services_of(request).get(Tickets), caller_of(request)
    ticket = tickets.issue(kind, its_id, caller.user_id, scopes)
    return JSONAnswer(TicketAnswer(ticket=ticket, expires_in=TICKET_SECONDS), 201)


async def post_cancel(request: Request) -> Response:
    turn_id = request.path_params["turn_id"]
    await services_of(request).get(TurnService).cancel(turn_id, caller_of(request))
    return JSONAnswer(TurnCancelledAnswer(turn_id=turn_id, status="cancelled"), 202)


async def post_commit(request: Request) -> Response:
    turn_id = request.path_params["turn_id"]
    chooser = await services_of(request).get(Choosers).of(turn_id)
    await chooser.commit(turn_id, caller_of(request))
    return JSONAnswer(TurnChosenAnswer(turn_id=turn_id, status="committed"), 202)


async def post_retell(request: Request) -> Response:
    turn_id, body = (
        request.path_params["turn_id"],
        await read_model(request, RetellIn, absent=b"{}"),
    )
    chooser = await services_of(request).get(Choosers).of(turn_id)
    await chooser.retell(turn_id, caller_of(request), body.guidance or "")
    return JSONAnswer(TurnChosenAnswer(turn_id=turn_id, status="retelling"), 202)


def turn_request(
    connection: HTTPConnection,
    body: TurnIn,
    *,
    endpoint: str,
    kept: Mapping[str, Any] | None = None,
) -> TurnRequest:
    """Joins body and headers. `kept`: what the request's dialect keeps with the turn.

    Raises `ValidationError` for an idempotency key that is not one.
    """
    request_id = connection.state.request_id
    if body.trace_id and REQUEST_ID.fullmatch(body.trace_id) and not _sent_id(connection):
        request_id = body.trace_id
        if connection.scope["type"] == "http":  # a socket has more turns, each with its own
            connection.state.request_id = request_id
    key = idempotency_key(connection, body.idempotency_key)
    return replace(
        request_by(connection, endpoint, key),
        request_id=request_id,
        character_id=body.character_id,
        user_action=body.user_action,
        dry_run=bool(body.dry_run),
        commit=body.commit or "auto",
        references=tuple(body.references or ()),
        dialect=kept or {},
    )


def request_by(
    connection: HTTPConnection, endpoint: str, key: str | None, caller: Caller | None = None
) -> TurnRequest:
    """The request of a turn, still without a character and words. `key`: of idempotency. `caller`: where it
    is not the one that the connection was authenticated as."""
    caller, meta = caller or caller_of(connection), meta_of(connection)
    return TurnRequest(
        character_id="",
        user_action="",
        user_id=caller.user_id,
        request_id=meta.request_id,
        traceparent=meta.traceparent,
        idempotency_key=key,
        endpoint=endpoint,
        address=client_of(connection),
    )


def _sent_id(connection: HTTPConnection) -> bool:
    return "x-request-id" in connection.headers or "x-trace-id" in connection.headers
