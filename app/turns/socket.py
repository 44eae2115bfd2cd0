"""`WS /turn/ws`: turns one after another over a WebSocket."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
from pydantic import ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.core.access import Caller
from app.core.events import Failed, encode_entry, stamp
from app.errors import BadRequest, DungeonMasterError, TurnInProgress
from app.eventlog.reader import Cursor
from app.turns.routes import client_of, turn_request
from app.turns.schemas import ResumeMessage, TurnIn
from app.turns.service import OpenTurn, TurnService
from app.web.auth import WS_PROTOCOL, caller_of
from app.web.dialects.dialect import rendering_from
from app.web.dialects.native import NATIVE
from app.web.inputs import MAX_BODY, parse_model
from app.web.problem import problem
from app.web.services import Services, services_of
from app.web.transports.readers import Readers
from app.web.transports.websocket import WebSocketTransport

MAX_REFUSED = 100  # messages of one socket that made no sense, before it is closed


async def turn_socket(websocket: WebSocket) -> None:
    services = services_of(websocket)
    try:
        caller = caller_of(websocket)
        release = services.get(Readers).take(client_of(websocket))
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
    """One socket: turns one after another, with `cancel` accepted while one is read."""

    def __init__(self, websocket: WebSocket, services: Services, caller: Caller) -> None:
        self._websocket = websocket
        self._services = services
        self._caller = caller
        self._reading: asyncio.Task[None] | None = None
        self._turn_id = ""
        self._refused = 0

    async def run(self) -> None:
        try:
            while True:
                try:
                    await self._handle(await self._receive())
                except DungeonMasterError as error:
                    await self._refuse(error)
                    self._refused += 1
                    if self._refused >= MAX_REFUSED:
                        await self._websocket.close(1008)
                        return
        finally:
            if self._reading is not None:
                self._reading.cancel()
                await asyncio.gather(self._reading, return_exceptions=True)

    async def _receive(self) -> str:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"])
        text: str | None = message.get("text")
        if text is None:
            raise BadRequest("The message is not text.")
        return text

    async def _handle(self, text: str) -> None:
        message = _read_message(text)
        match message.get("type"):
            case "cancel":
                await self._services.get(TurnService).cancel(self._turn_id, self._caller)
            case _ if self._reading is not None and not self._reading.done():
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
        self._read(await self._services.get(TurnService).start(request), 0)

    async def _resume(self, message: dict[str, Any]) -> None:
        try:
            resume = ResumeMessage.model_validate(message)
        except ValidationError:
            raise BadRequest(
                "resume: needs turn_id (a string) and after (a whole number)."
            ) from None
        self._read(
            await self._services.get(TurnService).open(resume.turn_id, self._caller), resume.after
        )

    def _read(self, turn: OpenTurn, after: int) -> None:
        self._turn_id = turn.turn_id
        cursor = Cursor(turn.log, after)
        rendering = rendering_from(cursor, NATIVE, turn.turn_id)
        self._reading = asyncio.create_task(
            self._services.get(WebSocketTransport).send(self._websocket, rendering, cursor)
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
