"""`WS /ws/campaign/player` and `/ws/campaign/dm`: a table for the clients of an older streaming dungeon
master, which authenticate with their first message."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import closing
from functools import partial
from typing import Any, Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from app.core.encoding import dump
from app.core.events import stamp
from app.core.text import has_visible
from app.errors import (
    DungeonMasterError,
    Overloaded,
    UpgradeRequired,
    ValidationError,
)
from app.tables.campaign_door import visit_or_close
from app.tables.feed import TableFeed
from app.tables.feeds import TableFeeds
from app.tables.messages import GaiaMessage
from app.tables.play import TablePlay
from app.tables.rooms import Rooms
from app.tables.service import TableService
from app.tables.socket import (
    DECISIONS,
    PUT_OUT,
    SOCKET_PARAMETERS,
    TABLES,
    act,
    ask,
    decide,
    question_from,
)
from app.tables.socket_schemas import CampaignSocketIn
from app.tables.visit import Visit
from app.tasks import cancelled
from app.turns.routes import client_of
from app.web.bodies import parse_model
from app.web.dialects.dialect import Rendering
from app.web.dialects.gaia import GAIA, structured_of
from app.web.dialects.rpg import POSTED
from app.web.inputs import MAX_BODY
from app.web.parameters import USER_ID
from app.web.routing import Answer, Channel, Message, Operation, Parameter
from app.web.services import services_of
from app.web.sockets import Asides, listen, turn_away
from app.web.transports.readers import Readers
from app.web.transports.table import TableTransport
from app.web.transports.websocket import RESUME_ELSEWHERE

STORY_LINES: Final = 20
MAX_QUESTIONS: Final = 8  # of one socket, at once

_CHANNEL: Final = Channel(
    "campaignSocket",
    "A table over a WebSocket, in phases",
    GaiaMessage,
    sends=("sendCampaignMessages", "What happens at the table."),
    receives=("receiveCampaignMessage", "What a client says."),
    messages=(
        Message(
            CampaignSocketIn,
            "Authenticate, then act",
            {"type": "submit_turn", "message": "I knock."},
        ),
    ),
    about="The first message must be `auth`. Closed with 4401 without a good token, 4403 without its scope "
    "or a seat, 4404 without a session, 1013 where it cannot be served now; the one seat of the dungeon "
    "master is closed with 1012 when it is taken anew.",
)


async def player_socket(websocket: WebSocket) -> None:
    await _campaign(websocket, dm=False)


async def dm_socket(websocket: WebSocket) -> None:
    await _campaign(websocket, dm=True)


async def _campaign(websocket: WebSocket, *, dm: bool) -> None:
    await websocket.accept()
    try:
        release = services_of(websocket).get(Readers).take(client_of(websocket))
    except DungeonMasterError:
        await turn_away(websocket)
        return
    try:
        visit = await visit_or_close(websocket, dm=dm)
        if visit is not None:
            await _Campaign(websocket, visit, dm=dm).run()
    except Overloaded:
        await turn_away(websocket)
    except (WebSocketDisconnect, OSError, RuntimeError):
        pass  # the client is gone; its turns go on
    finally:
        release()


class _Campaign:
    """One socket of a player or of the dungeon master."""

    def __init__(self, websocket: WebSocket, visit: Visit, *, dm: bool) -> None:
        self._websocket = websocket
        self._services = services_of(websocket)
        self._visit = visit
        self._dm = dm
        self._feed: TableFeed = self._services.get(TableFeeds).open(visit, past=False, moderates=dm)
        self._superseded = False
        self._questions = Asides(MAX_QUESTIONS)

    async def run(self) -> None:
        with closing(self._feed):  # also of a client who goes before the greeting
            await self._feed.begin()
            await self._greet()
            await self._converse()

    async def _converse(self) -> None:
        rooms, table_id = self._services.get(Rooms), self._visit.table.id
        give_up = rooms.dm_seats.take(table_id, self._supersede) if self._dm else None
        reading = asyncio.create_task(self._read())
        try:
            await listen(self._websocket, self._handle, self._refuse)
        finally:
            await asyncio.gather(cancelled([reading]), self._questions.end())
            if give_up is not None:
                give_up()

    async def _greet(self) -> None:
        """A late reader gets the story so far and what the newest turn left, which is not in the feed."""
        ids = {"connection_id": secrets.token_hex(8), "connection_token": secrets.token_urlsafe(16)}
        await self._send("connection_registered", **ids)
        lines = await self._services.get(TableService).lines(
            self._visit, STORY_LINES, self._feed.first_line
        )
        story = [
            {"sender": one.said.sender, "role": one.said.message_type, "content": one.said.content}
            for one in lines
        ]
        newest = structured_of(await self._services.get(TablePlay).newest(self._visit))
        structured = {"name": self._visit.table.name, "history": story, **newest}
        await self._send("campaign_active", structured_data=structured)

    def _message(self, kind: str, **fields: Any) -> str:
        common = {"type": kind, "campaign_id": str(self._visit.table.id)}
        return dump({**common, "timestamp": stamp(time.time()), **fields})

    async def _send(self, kind: str, **fields: Any) -> None:
        await self._websocket.send_text(self._message(kind, **fields))

    def _supersede(self) -> None:
        self._superseded = True
        self._feed.leave()

    async def _read(self) -> None:
        # lines are numbered upwards, so that a client that comes back reads no turn's number again
        first = self._feed.first_line
        parameters = {"campaign_id": str(self._visit.table.id), "turn_number": first}
        rendering = Rendering(GAIA, "", parameters=parameters)
        transport = self._services.get(TableTransport)
        if not await transport.send(self._websocket, rendering, self._feed):
            return
        if self._superseded:
            await self._websocket.close(RESUME_ELSEWHERE, "Superseded DM connection")
        else:
            await self._websocket.close(PUT_OUT if self._feed.put_out else RESUME_ELSEWHERE)

    async def _refuse(self, error: DungeonMasterError) -> None:
        self._feed.post((0, POSTED, self._refusal(error)))

    def _refusal(self, error: DungeonMasterError) -> bytes:
        session = str(self._visit.table.id)
        refused = self._message("turn_error", error=error.message, session_id=session)
        return refused.encode("ascii")

    async def _handle(self, text: str) -> None:
        """Handle one message. Messages of older clients that concern no turn (audio, shared editing)
        are ignored."""
        said = parse_model(text[:MAX_BODY], CampaignSocketIn)
        if said.type == "heartbeat":
            self._feed.post((0, POSTED, self._message("heartbeat").encode("ascii")))
        words = said.message or (said.active_player_input and said.active_player_input.text) or ""
        if said.type not in (*DECISIONS, "ask", "submit_turn"):
            return
        if said.type == "submit_turn" and not has_visible(words):
            raise ValidationError("message: must have a visible character")
        service = self._services.get(TableService)
        visit = await service.visit(self._visit.caller, self._visit.table.id)
        if said.type == "ask":
            question = question_from(words, "message", self._questions)
            self._questions.begin(self._ask(visit, question, shared=said.shared))
        elif said.type == "submit_turn":
            self._visit = visit
            await act(
                self._websocket,
                visit,
                words,
                visit.player_name,
                "message",
                references=said.references,
            )
        else:
            await decide(self._services, visit, said, words)

    async def _ask(self, visit: Visit, question: str, *, shared: bool) -> None:
        try:
            answer = await ask(self._websocket, visit, question, "message", shared=shared)
        except DungeonMasterError as error:
            await self._refuse(error)
        else:
            answered = self._message(
                "turn_message",
                message_id=secrets.token_hex(8),
                turn_number=0,
                response_index=0,
                response_type="private",
                role="dm",
                content=answer,
                character_name=visit.table.dm_name,
                has_audio=False,
            )
            self._feed.post((0, POSTED, answered.encode("ascii")))


_SESSION_ID: Final = Parameter("session_id", "query", "The session.", {"type": "integer"}, "1")
_operation = partial(
    Operation,
    method="WEBSOCKET",
    scope=None,
    tag=TABLES,
    parameters=(_SESSION_ID, USER_ID, *SOCKET_PARAMETERS),
    answers=(Answer(101, "The socket is open."),),
    errors=(UpgradeRequired,),
)

OPERATIONS: Final = (
    _operation(
        path="/ws/campaign/player",
        endpoint=player_socket,
        name="campaignPlayerSocket",
        summary="Play at a table, whose turns come in phases",
        channel=_CHANNEL,
    ),
    _operation(
        path="/ws/campaign/dm",
        endpoint=dm_socket,
        name="campaignDmSocket",
        summary="Sit in the one seat of the dungeon master",
        about="For members with the role, and the owner where there is none; it sees `dm_notes` in "
        "`metadata_update`.",
    ),
)
