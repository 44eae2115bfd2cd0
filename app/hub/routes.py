"""`GET /hub/events`."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from app.core.access import ADMIN_SCOPE, Caller, has_scope
from app.core.hub import EVENT_TYPES, is_wanted
from app.errors import Forbidden, ValidationError
from app.hub.feed import HubFeeds, Wish
from app.turns.routes import client_of, ticket_answer
from app.web.auth import ALL_SCOPES, HUB, caller_of
from app.web.inputs import last_event_id
from app.web.services import services_of
from app.web.transports.numbered import NumberedTransport
from app.web.transports.readers import Readers

MAX_TYPES: Final = 50


async def get_hub_events(request: Request) -> Response:
    services, caller = services_of(request), caller_of(request)
    wish = Wish(_types(request), _position(request), _everybody(request, caller))
    release = services.get(Readers).take(client_of(request))
    feed = services.get(HubFeeds).open(caller, wish)
    return services.get(NumberedTransport).response(feed, release)


async def post_ticket(request: Request) -> Response:
    """Leave to read the events for a client that can send no header."""
    return ticket_answer(request, HUB, HUB, caller_of(request).scopes)


def _types(request: Request) -> tuple[str, ...]:
    given = ",".join(request.query_params.getlist("type")).split(",")
    wanted = tuple(dict.fromkeys(name.strip() for name in given if name.strip()))
    for name in wanted[:MAX_TYPES]:
        if not any(is_wanted(kind, (name,)) for kind in EVENT_TYPES):
            raise ValidationError(
                "type: must be the type of an event, or its beginning as in turn.*"
            )
    if len(wanted) > MAX_TYPES:
        raise ValidationError(f"type: at most {MAX_TYPES} may be named")
    return wanted


def _position(request: Request) -> int:
    """The position of the last event seen."""
    given = last_event_id(request)
    return int(given) if given.isascii() and given.isdigit() and len(given) < 19 else 0


def _everybody(request: Request, caller: Caller) -> bool:
    """Without authentication everybody may do all, so there it has to be asked for."""
    users, admin = request.query_params.get("users"), has_scope(caller, ADMIN_SCOPE)
    match users:
        case None:
            return admin and caller.scopes is not ALL_SCOPES
        case "own":
            return False
        case "all" if admin:
            return True
        case "all":
            raise Forbidden("The token lacks the scope admin.")
        case _:
            raise ValidationError("users: must be own or all")
