"""`/chat` and `/context`."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response

from app.dialogue.asked import Asked
from app.dialogue.schemas import (
    CONVERSATION_ID,
    DEFAULT_CONVERSATION,
    ChatIn,
    ChatReply,
    PersonasIn,
)
from app.dialogue.service import DialogueService
from app.errors import ValidationError
from app.ports.conversations import ConversationKey
from app.ports.store import TurnRequest
from app.turns.routes import Presentation, request_by, stream_turn, turn_headers
from app.turns.service import TurnService
from app.web.answers import JSONAnswer
from app.web.auth import caller_of
from app.web.inputs import idempotency_key, read_model, wants_events
from app.web.services import services_of

_CONVERSATION_ID = re.compile(CONVERSATION_ID)


async def post_chat(request: Request) -> Response:
    body = await read_model(request, ChatIn)
    asked = _asked(request, body)
    turns = services_of(request).get(TurnService)
    if wants_events(request):
        return await stream_turn(request, asked, turns.start, Presentation())
    return await _whole(request, turns, asked)


def _asked(request: Request, body: ChatIn) -> TurnRequest:
    asked = Asked(
        conversation_id=body.conversation_id or DEFAULT_CONVERSATION,
        username=body.username,
        emotes=tuple(body.emotes or ()),
        speaker=body.speaker or "",
        cache=body.cache is not False,
    )
    key = idempotency_key(request, body.idempotency_key)
    return asked.request(body.message, request_by(request, "/chat", key))


async def _whole(request: Request, turns: TurnService, asked: TurnRequest) -> Response:
    turn = await turns.start(asked)
    finished = await turns.finished(turn, caller_of(request))
    result, chat = finished.result, finished.result["chat"]
    reply = ChatReply(
        response=result["narrative"],
        error=None,
        timestamp=chat["timestamp"],
        context_summary=chat["context_summary"],
        current_topics=chat["current_topics"],
        conversation_id=chat["conversation_id"],
        message_id=finished.turn_id,
        speaker=chat["speaker"],
        cached=chat["cached"],
        usage=result["usage"],
    )
    return JSONAnswer(reply, headers=turn_headers(turn))


async def get_context(request: Request) -> Response:
    return JSONAnswer(await services_of(request).get(DialogueService).context(_key(request)))


async def delete_context(request: Request) -> Response:
    return JSONAnswer(await services_of(request).get(DialogueService).clear(_key(request)))


async def put_personas(request: Request) -> Response:
    body = await read_model(request, PersonasIn)
    service = services_of(request).get(DialogueService)
    personas = await service.set_personas(_key(request), body.personas, caller_of(request))
    return JSONAnswer({"personas": personas})


def _key(request: Request) -> ConversationKey:
    """Raises `ValidationError`."""
    name = request.query_params.get("conversation_id", DEFAULT_CONVERSATION)
    if _CONVERSATION_ID.fullmatch(name) is None:
        raise ValidationError(
            "conversation_id: must be letters, digits, and . _ - only, at most 200 of them"
        )
    return ConversationKey(caller_of(request).user_id, name)
