"""`WS /ws/{session_id}`: a table for the clients of an older table service."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from typing import Any, Final

from starlette.websockets import WebSocket

from app import errors
from app.core.encoding import dump
from app.core.questions import MAX_QUESTION
from app.core.table_prompt import Occasion, Occurrence, Roll
from app.core.text import has_visible
from app.errors import (
    BadRequest,
    DungeonMasterError,
    Overloaded,
    RateLimitExceeded,
    TokenBudgetExceeded,
    ValidationError,
)
from app.tables.deeds import deed_request, roll_action, roll_of
from app.tables.feed import TableFeed
from app.tables.feeds import TableFeeds
from app.tables.messages import RpgMessage
from app.tables.play import TablePlay
from app.tables.questions import TableQuestions
from app.tables.rounds import RoundSeen, TableRounds
from app.tables.routes import visit_of
from app.tables.service import TableService
from app.tables.shared_sockets import SharedSockets
from app.tables.socket_schemas import CampaignSocketIn, TableSocketIn
from app.tables.visit import Visit
from app.tasks import cancelled
from app.turns.open_turn import OpenTurn
from app.turns.routes import client_of
from app.turns.schemas import MAX_GUIDANCE
from app.turns.service import TurnService
from app.web.bodies import parse_model
from app.web.dialects.dialect import Rendering
from app.web.dialects.rpg import POSTED, RPG
from app.web.inputs import MAX_BODY, meta_of
from app.web.parameters import USER_ID
from app.web.routing import Answer, Channel, Message, Operation, Parameter, Tag
from app.web.services import Services, services_of
from app.web.sockets import Asides, Release, listen, serve_socket
from app.web.transports.readers import Readers
from app.web.transports.table import TableTransport
from app.web.transports.websocket import RESUME_ELSEWHERE

PUT_OUT: Final = 4403
DECISIONS: Final = frozenset(("commit", "retell", "x_card"))
MAX_DEEDS: Final = 32  # of one socket, whose end is awaited


TABLES: Final = Tag("Tables", "Play together: sessions with several players and one story.")
SESSION_ID: Final = Parameter("session_id", "path", "The session.", {"type": "integer"}, "1")
MEMBER_ID: Final = Parameter("user_id", "path", "The member.", example="mara")
DONE: Final = (Answer(204, "Done."),)
AT_TABLE: Final = (errors.NotFound, errors.ValidationError, errors.Forbidden)
at_table = partial(
    Operation, scope="tables", tag=TABLES, parameters=(SESSION_ID, USER_ID), errors=AT_TABLE
)
SOCKET_PARAMETERS: Final = (
    Parameter("Upgrade", "header", "websocket", {"const": "websocket"}),
    Parameter("Origin", "header", "Must be this server or an allowed origin."),
)
CHANNEL: Final = Channel(
    "tableSocket",
    "A table over a WebSocket",
    RpgMessage,
    sends=("sendTableMessages", "What happens at the table."),
    receives=("receivePlayerMessage", "What a player says."),
    messages=(
        Message(
            TableSocketIn,
            "Act, roll or say something",
            {"type": "action", "sender": "Mara", "content": "I knock."},
        ),
    ),
    about="Everybody sees `message`, `stream`, `stream_end` and `system`; `token_usage` and `error` reach "
    "the one whom they concern. A socket of somebody who was removed is closed with 4403.",
)


async def table_socket(websocket: WebSocket) -> None:
    services = services_of(websocket)

    async def admit() -> tuple[Visit, Release]:
        return await visit_of(websocket), services.get(Readers).take(client_of(websocket))

    await serve_socket(
        websocket, admit, lambda visit: _Conversation(websocket, services, visit).run()
    )


async def act(
    websocket: WebSocket,
    visit: Visit,
    words: str,
    name: str,
    field: str,
    roll: Roll | None = None,
    references: Sequence[str] | None = None,
    *,
    echoed: bool = False,
) -> OpenTurn | None:
    """The turn of a deed that was sent over a socket; None where it was added to a round. `field`: the
    message's name for the words; `echoed`: see `TablePlay.act`. Raises what a turn raises."""
    asked = deed_request(websocket, visit, words, "/ws", references)
    occasion: Occasion = "action" if roll is None else "roll"
    occurrence = Occurrence(occasion=occasion, player_name=name, roll=roll)
    rounds = services_of(websocket).get(TableRounds)
    found = await rounds.act(visit, asked, occurrence, field, echoed=echoed)
    return None if isinstance(found, RoundSeen) else found


def question_from(text: str, field: str, asides: Asides) -> str:
    """`field`: the message's name for it. Raises `ValidationError` for what is no question, `Overloaded`
    where too many are open."""
    if not has_visible(text) or len(text) > MAX_QUESTION:
        raise ValidationError(
            f"{field}: must be 1 to {MAX_QUESTION} characters, one of them visible"
        )
    if asides.full:
        raise Overloaded("Too much is asked at once.")
    return text


async def ask(
    websocket: WebSocket, visit: Visit, question: str, field: str, *, shared: bool
) -> str:
    """The answer to a question about the story. `field`: the message's name for it. Raises as a turn
    does."""
    meta = meta_of(websocket)
    questions = services_of(websocket).get(TableQuestions)
    return await questions.ask(visit, question, meta, shared=shared, field=field)


async def decide(
    services: Services, visit: Visit, said: CampaignSocketIn | TableSocketIn, guidance: str
) -> None:
    """Commit or retell the turn that awaits it, or stop the one that runs. Raises as `TablePlay` does."""
    play = services.get(TablePlay)
    if said.type == "x_card":
        await play.x_card(visit, said.topic, silent=bool(said.silent))
    elif said.type == "commit":
        await play.commit(visit)
    elif len(guidance) > MAX_GUIDANCE:
        raise ValidationError(f"content: must be at most {MAX_GUIDANCE} characters")
    else:
        await play.retell(visit, guidance)


class _Conversation:
    """One socket of one player: what happens at the table comes while messages are taken."""

    def __init__(self, websocket: WebSocket, services: Services, visit: Visit) -> None:
        self._websocket = websocket
        self._services = services
        self._visit = visit
        self._feed: TableFeed = services.get(TableFeeds).open(visit, past=False)
        self._deeds = Asides(MAX_DEEDS)

    async def run(self) -> None:
        with closing(self._feed):  # also of a client who goes before the greeting
            await self._feed.begin()
            await self._greet()
            with self._services.get(SharedSockets).having(self._visit, self._feed):
                await self._converse()

    async def _greet(self) -> None:
        tokens = await self._tokens()
        usage = f"Token usage: {tokens['used']}/{tokens['limit']}"
        for words in (f"Connected to session {self._visit.table.id}", usage):
            await self._websocket.send_text(dump({"type": "system", "content": words}))

    async def _converse(self) -> None:
        rendering = Rendering(RPG, "", parameters={"dm_name": self._visit.table.dm_name})
        transport = self._services.get(TableTransport)
        reading = asyncio.create_task(self._read(transport, rendering))
        try:
            await listen(self._websocket, self._handle, self._refuse)
        finally:
            await asyncio.gather(cancelled([reading]), self._deeds.end())

    async def _read(self, transport: TableTransport, rendering: Rendering[Any]) -> None:
        if await transport.send(self._websocket, rendering, self._feed):
            code = PUT_OUT if self._feed.put_out else RESUME_ELSEWHERE
            await self._websocket.close(code)

    async def _handle(self, text: str) -> None:
        if len(text) > MAX_BODY:
            raise BadRequest("The message is too long.")
        said = parse_model(text, TableSocketIn)
        if said.type == "ping":
            self._post({"type": "pong"})
            return
        if said.type in ("action", "message") and not has_visible(said.content):
            raise ValidationError("content: must have a visible character")
        service = self._services.get(TableService)
        # a seat may have been given or changed meanwhile
        self._visit = visit = await service.visit(self._visit.caller, self._visit.table.id)
        name = said.sender or visit.player_name
        if said.type not in (*DECISIONS, "ask"):
            await service.require_own_name(visit, name, "sender")
        if said.type == "message":
            await service.say(visit, name, said.content)
            return
        if said.type in DECISIONS:
            await decide(self._services, visit, said, said.content)
            return
        if said.type == "ask":
            question = question_from(said.content, "content", self._deeds)
            self._deeds.begin(self._ask(visit, question, shared=said.shared))
            return
        roll, words = None, said.content
        if said.type != "action":
            result = said.result if said.type == "roll" else None
            roll = roll_of(said.roll_type, said.dice, result, said.modifier)
            words = roll_action(roll, said.content)
        asked = self._websocket, visit, words, name, "content", roll, said.references
        turn = await act(*asked, echoed=True)  # clients show what comes back, also before an error
        if turn is None:
            await self._send_tokens()
        elif not self._deeds.full:
            self._deeds.begin(self._report(turn))

    async def _ask(self, visit: Visit, question: str, *, shared: bool) -> None:
        try:
            answer = await ask(self._websocket, visit, question, "content", shared=shared)
        except DungeonMasterError as error:
            await self._refuse(error)
        else:
            self._post({"type": "answer", "question": question, "content": answer})
            await self._send_tokens()

    async def _report(self, turn: OpenTurn) -> None:
        """Report to the acting player how the turn failed and how many tokens are left."""
        try:
            await self._services.get(TurnService).finished(turn, self._visit.caller)
        except DungeonMasterError as error:
            await self._refuse(error)
        else:
            await self._send_tokens()

    async def _refuse(self, error: DungeonMasterError) -> None:
        self._post({"type": "error", "content": f"{_prefix(error)}: {error.message}"})
        await self._send_tokens()

    async def _send_tokens(self) -> None:
        self._post({"type": "token_usage", **await self._tokens()})

    async def _tokens(self) -> dict[str, int]:
        used = (await self._services.get(TablePlay).used(self._visit)).tokens
        limit = self._visit.table.rules.token_budget
        return {"used": used, "limit": limit, "remaining": max(limit - used, 0)}

    def _post(self, message: dict[str, Any]) -> None:
        self._feed.post((0, POSTED, dump(message).encode("ascii")))


def _prefix(error: DungeonMasterError) -> str:
    if isinstance(error, RateLimitExceeded):
        return "Rate limit exceeded"
    if isinstance(error, TokenBudgetExceeded):
        return "Token limit exceeded"
    return "Error processing message"


OPERATIONS: Final = (
    at_table(
        method="WEBSOCKET",
        path="/ws/{session_id}",
        endpoint=table_socket,
        name="tableSocket",
        summary="Play at a table over a WebSocket",
        parameters=(SESSION_ID, USER_ID, *SOCKET_PARAMETERS),
        answers=(Answer(101, "The socket is open."),),
        errors=(
            *AT_TABLE,
            errors.UpgradeRequired,
            errors.RateLimitExceeded,
            errors.Overloaded,
        ),
        channel=CHANNEL,
    ),
)
