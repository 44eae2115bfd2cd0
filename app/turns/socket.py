"""`WS /turn/ws`: turns one after another over a WebSocket."""

from __future__ import annotations

import asyncio
import time

import msgspec
from starlette.websockets import WebSocket

from app.core.access import Caller
from app.core.events import Entry, Failed, encode_entry, pong, stamp
from app.errors import BadRequest, DungeonMasterError, TurnInProgress, TurnNotFound
from app.eventlog.reader import Cursor
from app.tasks import cancelled
from app.turns.choices import TurnChoices
from app.turns.open_turn import OpenTurn
from app.turns.routes import client_of, turn_request
from app.turns.schemas import CancelMessage, CommitMessage, ResumeMessage, RetellMessage, TurnIn
from app.turns.service import TurnService
from app.web.auth import caller_of
from app.web.bodies import parse_model, without_mark
from app.web.dialects.dialect import rendering_from
from app.web.dialects.native import NATIVE
from app.web.inputs import MAX_BODY
from app.web.services import Services, services_of
from app.web.sockets import Release, listen, serve_socket
from app.web.transports.readers import Readers
from app.web.transports.websocket import WebSocketTransport


async def turn_socket(websocket: WebSocket) -> None:
    services = services_of(websocket)

    async def admit() -> tuple[Caller, Release]:
        return caller_of(websocket), services.get(Readers).take(client_of(websocket))

    await serve_socket(
        websocket, admit, lambda caller: _Conversation(websocket, services, caller).run()
    )


class _Conversation:
    """One socket: turns one after another, with `cancel` accepted while one is read."""

    def __init__(self, websocket: WebSocket, services: Services, caller: Caller) -> None:
        self._websocket = websocket
        self._services = services
        self._caller = caller
        self._reading: asyncio.Task[None] | None = None
        self._turn_id = ""

    async def run(self) -> None:
        try:
            await listen(self._websocket, self._handle, self._refuse)
        finally:
            if self._reading is not None:
                await cancelled([self._reading])

    async def _handle(self, text: str) -> None:
        match _type_of(text):
            case "ping":
                await self._send(pong(stamp(time.time())))
            case "pong":
                pass
            case "cancel":
                parse_model(text, CancelMessage)
                await self._cancel()
            case "commit":
                parse_model(text, CommitMessage)
                await self._choices.commit(self._known_turn(), self._caller)
            case "retell":
                guidance = parse_model(text, RetellMessage).guidance or ""
                await self._choices.retell(self._known_turn(), self._caller, guidance)
            case _ if self._reading is not None and not self._reading.done():
                raise TurnInProgress("A turn is still being read on this socket.")
            case "resume":
                await self._resume(parse_model(text, ResumeMessage))
            case None:
                await self._start(text)
            case _:
                raise BadRequest(
                    "type: must be resume, cancel, commit, retell or ping; the message that begins"
                    " a turn has none."
                )

    async def _cancel(self) -> None:
        await self._services.get(TurnService).cancel(self._known_turn(), self._caller)

    def _known_turn(self) -> str:
        if not self._turn_id:
            raise TurnNotFound("No turn was begun or resumed on this socket.")
        return self._turn_id

    @property
    def _choices(self) -> TurnChoices:
        return self._services.get(TurnChoices)

    async def _start(self, text: str) -> None:
        body = parse_model(text, TurnIn)
        request = turn_request(self._websocket, body, endpoint="/turn/ws")
        self._read(await self._services.get(TurnService).start(request), 0)

    async def _resume(self, resume: ResumeMessage) -> None:
        turn = await self._services.get(TurnService).open(resume.turn_id, self._caller)
        self._read(turn, resume.after or 0)

    def _read(self, turn: OpenTurn, after: int) -> None:
        self._turn_id = turn.turn_id
        cursor = Cursor(turn.log, after)
        if cursor.at_end:
            cursor.position -= 1  # the terminal event again: silence would look like a lost message
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
        await self._send(encode_entry(0, event, stamp(time.time())))

    async def _send(self, entry: Entry) -> None:
        await self._websocket.send_text(entry[2].decode("ascii"))


def _type_of(text: str) -> object:
    """The message's `type`; None where it has none. Raises `BadRequest`."""
    if len(text) > MAX_BODY:
        raise BadRequest("The message is too long.")
    try:
        # unlike json, it refuses half of a surrogate pair
        message = msgspec.json.decode(without_mark(text))
    except (ValueError, RecursionError):
        raise BadRequest("The message is not JSON.") from None
    if not isinstance(message, dict):
        raise BadRequest("The message is not a JSON object.")
    return message.get("type")
