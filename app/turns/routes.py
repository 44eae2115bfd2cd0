"""`/turn`, `/turn/stream`, `/turns/{id}` and `WS /turn/ws`."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.core.access import Caller
from app.core.events import Failed, cursor_of, encode_entry, stamp
from app.errors import BadRequest, DungeonMasterError, TurnInProgress
from app.eventlog.reader import Cursor
from app.turns.service import OpenTurn
from app.web.auth import TICKET_SECONDS, WS_PROTOCOL, caller_of
from app.web.dialects.dialect import rendering_from
from app.web.dialects.native import NATIVE
from app.web.inputs import (
    MAX_BODY,
    TurnIn,
    address_of,
    parse_model,
    read_model,
    turn_request,
)
from app.web.problem import problem
from app.web.services import Services, services_of

MAX_REFUSED = 100  # messages of one socket that made no sense, before it is closed
HEAD_SECONDS = 5.0  # how long the head of a stream waits for the context


async def post_turn(request: Request) -> Response:
    services, caller = services_of(request), caller_of(request)
    body = await read_model(request, TurnIn)
    turn = await services.turns.start(
        turn_request(request, body, endpoint="/turn", user_id=caller.user_id)
    )
    return await whole_turn(services, turn, caller)


async def whole_turn(services: Services, turn: OpenTurn, caller: Caller) -> Response:
    """The answer of `POST /turn`, once the turn has ended."""
    finished = await services.turns.finished(turn, caller)
    shown = ("narrative", "intents", "subsystem_summary", "timing", "usage")
    body = {"turn_id": finished.turn_id} | {name: finished.result.get(name) for name in shown}
    return JSONResponse(body, headers=turn_headers(turn))


def turn_headers(turn: OpenTurn) -> dict[str, str]:
    return {
        "Location": f"/turns/{turn.turn_id}/events",
        "X-Turn-Id": turn.turn_id,
        **turn.headers,
    }


async def post_turn_stream(request: Request) -> Response:
    services, caller = services_of(request), caller_of(request)
    body = await read_model(request, TurnIn)
    release = services.readers.take(client_of(request))
    try:
        turn = await services.turns.start(
            turn_request(request, body, endpoint="/turn/stream", user_id=caller.user_id)
        )
        await head_of(turn)
        cursor = Cursor(turn.log)
    except BaseException:
        release()
        raise
    rendering = rendering_from(cursor, NATIVE, turn.turn_id)
    return services.sse.response(rendering, cursor, release, turn_headers(turn))


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


def client_of(connection: Request | WebSocket) -> str:
    return address_of(connection) or "unknown"


async def get_turn(request: Request) -> Response:
    described = await services_of(request).turns.describe(
        request.path_params["turn_id"], caller_of(request)
    )
    return JSONResponse(described)


async def get_turn_events(request: Request) -> Response:
    services, turn_id = services_of(request), request.path_params["turn_id"]
    turn = await services.turns.open(turn_id, caller_of(request))
    cursor = Cursor(turn.log, position_asked(request, turn_id))
    if cursor.at_end:
        return Response(status_code=204)  # which stops an EventSource
    release = services.readers.take(client_of(request))
    rendering = rendering_from(cursor, NATIVE, turn_id)
    return services.sse.response(rendering, cursor, release, turn_headers(turn))


def position_asked(request: Request, turn_id: str) -> int:
    """`Last-Event-ID` beats `?after`; what is malformed or of another turn means the start."""
    last_event_id = request.headers.get("last-event-id")
    if last_event_id is not None:
        return cursor_of(last_event_id, turn_id)
    after = request.query_params.get("after", "")
    return cursor_of(after if ":" in after else f"{turn_id}:{after}", turn_id)


async def get_usage(request: Request) -> Response:
    caller = caller_of(request)
    return JSONResponse(await services_of(request).turns.usage(caller.user_id, caller))


async def post_ticket(request: Request) -> Response:
    """Leave to read the events for a client that can send no header."""
    services, turn_id = services_of(request), request.path_params["turn_id"]
    caller = caller_of(request)
    await services.turns.describe(turn_id, caller)
    ticket = services.tickets.issue(turn_id, caller.user_id)
    body = {"ticket": ticket, "expires_in": TICKET_SECONDS}
    return JSONResponse(body, 201, {"Cache-Control": "no-store"})


async def post_cancel(request: Request) -> Response:
    turn_id = request.path_params["turn_id"]
    await services_of(request).turns.cancel(turn_id, caller_of(request))
    return JSONResponse({"turn_id": turn_id, "status": "cancelled"}, status_code=202)


# -- WebSocket ------------------------------------------------------------------------------------


async def turn_socket(websocket: WebSocket) -> None:
    services = services_of(websocket)
    try:
        caller = caller_of(websocket)
        release = services.readers.take(client_of(websocket))
    except DungeonMasterError as error:
        refusal = problem(error, instance=websocket.url.path, request_id=websocket.state.request_id)
        await websocket.send_denial_response(refusal)
        return
    try:
        offered = websocket.scope.get("subprotocols") or []
        await websocket.accept(WS_PROTOCOL if WS_PROTOCOL in offered else None)
        await _Conversation(websocket, services, caller).run()
    except (WebSocketDisconnect, OSError, RuntimeError):
        pass  # the client is gone; its turn goes on
    finally:
        release()


class _Conversation:
    """One socket: turns one after another, with `cancel` heard while one is told."""

    def __init__(self, websocket: WebSocket, services: Services, caller: Caller) -> None:
        self._websocket = websocket
        self._services = services
        self._caller = caller
        self._telling: asyncio.Task[None] | None = None
        self._turn_id = ""
        self._refused = 0

    async def run(self) -> None:
        try:
            while True:
                try:
                    await self._hear(await self._listen())
                except DungeonMasterError as error:
                    await self._refuse(error)
                    self._refused += 1
                    if self._refused >= MAX_REFUSED:
                        await self._websocket.close(1008)
                        return
        finally:
            if self._telling is not None:
                self._telling.cancel()
                await asyncio.gather(self._telling, return_exceptions=True)

    async def _listen(self) -> str:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"])
        text: str | None = message.get("text")
        if text is None:
            raise BadRequest("The message is not text.")
        return text

    async def _hear(self, text: str) -> None:
        message = _read_message(text)
        match message.get("type"):
            case "cancel":
                await self._services.turns.cancel(self._turn_id, self._caller)
            case _ if self._telling is not None and not self._telling.done():
                raise TurnInProgress("This socket is still telling a turn.")
            case "resume":
                await self._resume(message)
            case _:
                await self._start(text)

    async def _start(self, text: str) -> None:
        body = parse_model(text, TurnIn)
        request = turn_request(
            self._websocket, body, endpoint="/turn/ws", user_id=self._caller.user_id
        )
        self._tell(await self._services.turns.start(request), 0)

    async def _resume(self, message: dict[str, Any]) -> None:
        turn_id, after = message.get("turn_id"), message.get("after", 0)
        if not isinstance(turn_id, str) or isinstance(after, bool) or not isinstance(after, int):
            raise BadRequest("resume: needs turn_id (a string) and after (a whole number).")
        self._tell(await self._services.turns.open(turn_id, self._caller), after)

    def _tell(self, turn: OpenTurn, after: int) -> None:
        self._turn_id = turn.turn_id
        cursor = Cursor(turn.log, after)
        rendering = rendering_from(cursor, NATIVE, turn.turn_id)
        self._telling = asyncio.create_task(
            self._services.websocket.send(self._websocket, rendering, cursor)
        )

    async def _refuse(self, error: DungeonMasterError) -> None:
        event = Failed(
            error_type=error.type,
            message=error.message,
            recoverable=error.recoverable,
            phase="request",
            retry_after_seconds=error.retry_after,
            request_id=self._websocket.state.request_id,
        )
        _, _, data = encode_entry(0, event, stamp(time.time()))
        await self._websocket.send_text(data.decode("ascii"))


def _read_message(text: str) -> dict[str, Any]:
    if len(text) > MAX_BODY:
        raise BadRequest("The message is too long.")
    try:
        message = msgspec.json.decode(text)  # unlike json it takes no half of a surrogate pair
    except (ValueError, RecursionError):
        raise BadRequest("The message is not JSON.") from None
    if not isinstance(message, dict):
        raise BadRequest("The message is not a JSON object.")
    return message


routes: list[BaseRoute] = [
    Route("/turn", post_turn, methods=["POST"]),
    Route("/turn/stream", post_turn_stream, methods=["POST"]),
    WebSocketRoute("/turn/ws", turn_socket),
    Route("/usage", get_usage, methods=["GET"]),
    Route("/turns/{turn_id}", get_turn, methods=["GET"]),
    Route("/turns/{turn_id}/events", get_turn_events, methods=["GET"]),
    Route("/turns/{turn_id}/cancel", post_cancel, methods=["POST"]),
    Route("/turns/{turn_id}/ticket", post_ticket, methods=["POST"]),
]
