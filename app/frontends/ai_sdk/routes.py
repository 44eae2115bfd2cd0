"""`POST /ai-sdk/{character_id}` and `GET /ai-sdk/{character_id}/{chat}/stream`."""

from __future__ import annotations

import time
from contextlib import aclosing
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from app.errors import TurnExpired, TurnNotFound
from app.eventlog.reader import Cursor
from app.frontends.ai_sdk.chat import chat_mark, read_action
from app.frontends.past import PastTurn, PastTurns
from app.frontends.routes import action_request, body_of, play, start_of
from app.turns.routes import Presentation, client_of, streamed
from app.turns.service import TurnService
from app.web.auth import caller_of
from app.web.dialects.ai_sdk import AI_SDK
from app.web.inputs import character_id_from
from app.web.services import services_of
from app.web.transports.readers import Readers

JUST_NOW: Final = 60.0  # seconds for which an ended turn is streamed again
LOOKED_AT: Final = 20  # turns: one that runs, or just ended, is among the newest


async def post_chat(request: Request) -> Response:
    character_id = character_id_from(request)
    action, key, chat = read_action(await body_of(request), character_id)
    kept = {"chat": chat}
    asked = action_request(
        request, character_id, action, key, kept, endpoint="/ai-sdk/{character_id}"
    )
    return await play(request, asked, start_of(request), Presentation(AI_SDK, resumed=False))


async def get_chat_stream(request: Request) -> Response:
    """The chat's latest turn from its start, while it runs and shortly after; 204 otherwise: then the
    client has all there is."""
    services, caller = services_of(request), caller_of(request)
    latest = await _latest(request)
    if latest is None or not (latest.is_open or time.time() - (latest.ended or 0) <= JUST_NOW):
        return Response(status_code=204)
    try:
        turn = await services.get(TurnService).open(latest.turn_id, caller)
    except (TurnExpired, TurnNotFound):
        return Response(status_code=204)
    release = services.get(Readers).take(client_of(request))
    return streamed(services, turn, Cursor(turn.log), release, Presentation(AI_SDK))


async def _latest(request: Request) -> PastTurn | None:
    character_id = character_id_from(request)
    chat = chat_mark(request.path_params["chat"])
    past = services_of(request).get(PastTurns).newest_first(caller_of(request), character_id)
    seen = 0
    async with aclosing(past) as turns:
        async for turn in turns:
            seen += 1
            if turn.kept.get("chat") == chat:
                return turn
            if seen == LOOKED_AT:
                break
    return None
