"""Who is let in at a campaign's sockets: their first message authenticates, and a code tells why not."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from app.core.access import Caller
from app.errors import DungeonMasterError, Forbidden, NotFound, Overloaded, ValidationError
from app.tables.routes import number_from
from app.tables.service import TableService
from app.tables.socket import PUT_OUT
from app.tables.socket_schemas import CampaignSocketIn
from app.tables.visit import Visit
from app.web.auth import FirstMessage
from app.web.bodies import parse_model
from app.web.inputs import MAX_BODY
from app.web.services import services_of
from app.web.sockets import text_of

UNAUTHENTICATED: Final = 4401
UNKNOWN_SESSION: Final = 4404
AUTH_SECONDS: Final = 10.0


async def visit_or_close(websocket: WebSocket, *, dm: bool) -> Visit | None:
    """None: the socket was closed with the reason in its code."""
    try:
        caller = await _authenticated(websocket)
        return await _found(websocket, caller, dm=dm)
    except Forbidden:
        await websocket.close(PUT_OUT, "Not allowed")
    except NotFound:
        await websocket.close(UNKNOWN_SESSION, "Session not found")
    except Overloaded:
        raise  # whether the token is good could not be found out
    except (DungeonMasterError, TimeoutError):
        await websocket.close(UNAUTHENTICATED, "Authentication failed")
    return None


async def _found(websocket: WebSocket, caller: Caller, *, dm: bool) -> Visit:
    """Raises `NotFound` without a session, `Forbidden` without the seat."""
    try:
        number = number_from(websocket.query_params.get("session_id", ""), "session_id")
    except ValidationError:
        raise NotFound from None
    service = services_of(websocket).get(TableService)
    found = await service.visit_or_refuse(caller, number)
    if dm:
        found.require(found.table.moderation)
    return found


async def _authenticated(websocket: WebSocket) -> Caller:
    async with asyncio.timeout(AUTH_SECONDS):
        message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"])
    text = text_of(message)
    said = parse_model(text[:MAX_BODY], CampaignSocketIn)
    if said.type != "auth":
        raise ValidationError("type: must be auth")
    door = services_of(websocket).get(FirstMessage)
    return await door.caller(websocket, said.token or "", "tables")
