"""`POST /api/chat`: an action at a table, for the clients of an older streaming dungeon master."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from app import errors
from app.core.events import stamp
from app.core.table_prompt import Occurrence
from app.core.tables import DEFAULT_DM, DEFAULT_PLAYER, Seat
from app.tables.chat_schemas import (
    DEFAULT_SESSION,
    CampaignChatAnswer,
    CampaignChatIn,
    ExecutionDetails,
    MachineResponse,
    StructuredGameData,
)
from app.tables.deeds import REFUSED, Played, play, player_name
from app.tables.routes import number_from
from app.tables.service import UNKNOWN, TableService
from app.tables.socket import TABLES
from app.tables.visit import Visit
from app.turns.api import X_TURN_ID
from app.web.answers import JSONAnswer
from app.web.auth import caller_of
from app.web.inputs import read_model
from app.web.parameters import IDEMPOTENCY_KEY, RATE_LIMITS, USER_ID
from app.web.routing import Answer, Body, Header, Operation
from app.web.services import services_of


async def post_chat(request: Request) -> Response:
    body = await read_model(request, CampaignChatIn)
    name = body.player_character and (body.player_character.character_name or "").strip()
    visit = await _visit(request, body.session_id, name or DEFAULT_PLAYER)
    occurrence = Occurrence(
        occasion="action",
        player_name=await player_name(
            request, visit, name or None, "player_character.character_name"
        ),
    )
    found = await play(request, visit, body.message, occurrence, "message", body.references)
    if not isinstance(found, Played):
        return JSONAnswer(_answer(visit, None), 202)
    return JSONAnswer(_answer(visit, found), found.status, found.headers(visit))


async def _visit(request: Request, session_id: str, player: str) -> Visit:
    """Raises `NotFound`."""
    service, caller = services_of(request).get(TableService), caller_of(request)
    if session_id == DEFAULT_SESSION:
        own = await service.own(caller, DEFAULT_SESSION, DEFAULT_DM, Seat("", player))
        return await service.visit(caller, own.id)
    if not session_id.isdigit():
        raise errors.NotFound(UNKNOWN)
    return await service.visit(caller, number_from(session_id, "session_id"))


def _answer(visit: Visit, found: Played | None) -> CampaignChatAnswer:
    """`found`: None where the action waits for its round to be played."""
    message = MachineResponse(
        message_id=None if found is None else found.turn.turn_id,
        timestamp=stamp(time.time()),
        session_id=str(visit.table.id),
        message_type="MACHINE_RESPONSE",
        agent_name=visit.table.dm_name,
        agent_type="DUNGEON_MASTER",
        structured_data=_structured({} if found is None else found.result),
        execution_details=None if found is None else _details(visit, found.result),
        thinking_details=None,
        conversation_context=None,
    )
    if found is None or not found.counts:
        message["structured_data"]["status"] = "collected" if found is None else "awaiting_commit"
    return CampaignChatAnswer(success=True, message=message, conversation_context=None)


def _structured(result: Mapping[str, Any]) -> StructuredGameData:
    """Without what is for a human dungeon master alone."""
    narrative, scene = str(result.get("narrative") or ""), result.get("scene") or {}
    return StructuredGameData(
        narrative=narrative,
        answer=str(result.get("player_response") or narrative),
        turn="",
        status="",
        characters="",
        player_options=list(result.get("player_options") or ()),
        environmental_conditions=scene.get("environmental_conditions") or "",
        immediate_threats=scene.get("immediate_threats") or "",
        story_progression=scene.get("story_progression") or "",
    )


def _details(visit: Visit, result: Mapping[str, Any]) -> ExecutionDetails | None:
    usage, timing = result.get("usage"), result.get("timing")
    if usage is None or timing is None:
        return None
    return ExecutionDetails(
        agent_name=visit.table.dm_name,
        execution_time=timing["total_duration_ms"] / 1_000,
        tokens_used=usage["total_tokens"],
        model_name=usage["model"],
    )


OPERATIONS: Final = (
    Operation(
        method="POST",
        scope="tables",
        tag=TABLES,
        path="/api/chat",
        endpoint=post_chat,
        name="campaignChat",
        summary="Act at a table, for clients of an older streaming dungeon master",
        about="What others at the table see of it is what they see of any action.",
        parameters=(IDEMPOTENCY_KEY, USER_ID),
        request=Body(CampaignChatIn, {"message": "I knock.", "session_id": "1"}),
        answers=(
            Answer(
                200,
                "What the Dungeon Master says.",
                json=CampaignChatAnswer,
                headers=(
                    Header("Location", "The session's stream."),
                    X_TURN_ID,
                    *RATE_LIMITS,
                ),
            ),
            Answer(202, "It is in the round, or it awaits its commit.", json=CampaignChatAnswer),
        ),
        errors=REFUSED,
    ),
)
