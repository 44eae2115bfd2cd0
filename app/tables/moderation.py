"""Moderation of a table: questions, whispers, pauses, and the X card that every member has."""

from __future__ import annotations

from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from app import errors
from app.tables import schemas
from app.tables.play import TablePlay
from app.tables.questions import TableQuestions
from app.tables.routes import visit_of
from app.tables.service import TableService
from app.tables.socket import at_table
from app.tables.views import message_view, session_view
from app.turns.api import MODEL, NO_ROOM
from app.turns.schemas import QuestionAnswer
from app.web.answers import JSONAnswer
from app.web.inputs import meta_of, read_model
from app.web.routing import Answer, Body
from app.web.services import services_of


async def post_whisper(request: Request) -> Response:
    visit = await visit_of(request)
    body = await read_model(request, schemas.WhisperIn)
    service = services_of(request).get(TableService)
    return JSONAnswer(message_view(await service.whisper(visit, body.user_id, body.content)))


async def post_pause(request: Request) -> Response:
    return await _paused(request, paused=True)


async def post_resume(request: Request) -> Response:
    return await _paused(request, paused=False)


async def _paused(request: Request, *, paused: bool) -> Response:
    visit = await visit_of(request)
    table = await services_of(request).get(TableService).pause(visit, paused=paused)
    return JSONAnswer(session_view(table))


async def post_x_card(request: Request) -> Response:
    visit = await visit_of(request)
    body = await read_model(request, schemas.XCardIn, absent=b"{}")
    play = services_of(request).get(TablePlay)
    stopped = await play.x_card(visit, body.topic, silent=bool(body.silent))
    return JSONAnswer(schemas.XCardAnswer(stopped=stopped))


async def post_ask(request: Request) -> Response:
    visit = await visit_of(request)
    body = await read_model(request, schemas.TableQuestionIn)
    meta = meta_of(request)
    questions = services_of(request).get(TableQuestions)
    answer = await questions.ask(visit, body.question, meta, shared=bool(body.shared))
    return JSONAnswer(QuestionAnswer(answer=answer))


_operation = partial(at_table, method="POST")

OPERATIONS: Final = (
    _operation(
        path="/api/sessions/{session_id}/ask",
        endpoint=post_ask,
        name="ask",
        summary="Ask about the story, out of character",
        about="Costs no action and changes nothing. Only the asker sees it, unless it is shared. Its "
        "tokens are the session's.",
        request=Body(schemas.TableQuestionIn, {"question": "Who rang the bell?"}),
        answers=(Answer(200, "The answer.", json=QuestionAnswer),),
        errors=(
            errors.NotFound,
            errors.ValidationError,
            *NO_ROOM,
            *MODEL,
        ),
    ),
    _operation(
        path="/api/sessions/{session_id}/whisper",
        endpoint=post_whisper,
        name="whisper",
        summary="Say something to one member alone",
        about="For the dungeon master; for the owner where nobody else is one.",
        request=Body(schemas.WhisperIn, {"user_id": "mara", "content": "You hear it first."}),
        answers=(Answer(200, "The message.", json=schemas.SessionMessage),),
    ),
    _operation(
        path="/api/sessions/{session_id}/pause",
        endpoint=post_pause,
        name="pauseSession",
        summary="Take no deeds until the session is resumed",
        about="For the owner and the dungeon master. A turn that runs is played to its end.",
        answers=(Answer(200, "The session.", json=schemas.Session),),
    ),
    _operation(
        path="/api/sessions/{session_id}/resume",
        endpoint=post_resume,
        name="resumeSession",
        summary="Go on after a pause",
        about="For the owner and the dungeon master.",
        answers=(Answer(200, "The session.", json=schemas.Session),),
    ),
    _operation(
        path="/api/sessions/{session_id}/x_card",
        endpoint=post_x_card,
        name="playXCard",
        summary="Stop the turn that runs",
        about="For every member. The running turn is cancelled, unless it is validated already; nothing of "
        "it is kept. A `topic` never comes up again.",
        request=Body(schemas.XCardIn, {"silent": True}, required=False),
        answers=(Answer(200, "Whether a turn was stopped.", json=schemas.XCardAnswer),),
    ),
)
