"""`POST /ag-ui/{character_id}`."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import Response

from app.core.access import Caller
from app.errors import NoNewAction, TurnNotFound
from app.frontends.ag_ui.run import SUGGEST, Hidden, Play, Rejoin, Run, read_run
from app.frontends.past import PastTurns
from app.frontends.routes import action_request, body_of, joining, play, start_of, stream_of
from app.turns.routes import Presentation
from app.turns.schemas import TurnDescription
from app.turns.service import TurnService
from app.web.auth import caller_of
from app.web.dialects.ag_ui import AG_UI, run_event, run_started
from app.web.dialects.encoded import encoded
from app.web.inputs import character_id_from
from app.web.services import services_of

_PATH = "/ag-ui/{character_id}"


async def post_run(request: Request) -> Response:
    character_id = character_id_from(request)
    run = read_run(await body_of(request), character_id)
    match run.wants:
        case Play(action, key, dry_run):
            asked = action_request(
                request, character_id, action, key, run.parameters, endpoint=_PATH, dry_run=dry_run
            )
            presentation = Presentation(AG_UI, parameters=run.begun, resumed=False)
            return await play(request, asked, start_of(request), presentation)
        case Rejoin(turn_id, held):
            return await _rejoin(request, character_id, turn_id, held, run)
        case Hidden(suggest):
            return await _hidden(request, character_id, run, suggest=suggest)


async def _rejoin(
    request: Request, character_id: str, turn_id: str, held: str, run: Run
) -> Response:
    service, caller = services_of(request).get(TurnService), caller_of(request)
    turn = await _turn(service, caller, character_id, turn_id)
    if not _continues(turn, held):
        raise NoNewAction("The text of the last message is no beginning of that turn's.")
    asked = action_request(request, character_id, "rejoin", None, {}, endpoint=_PATH)
    presentation = Presentation(AG_UI, parameters={**run.begun, "held": held}, resumed=False)
    return await play(request, asked, joining(request, turn_id), presentation)


async def _turn(
    service: TurnService, caller: Caller, character_id: str, turn_id: str
) -> TurnDescription:
    """Raises `NoNewAction` for what is no turn of the character."""
    try:
        turn = await service.describe(turn_id, caller)
    except TurnNotFound:
        raise NoNewAction from None
    if turn["character_id"] != character_id:
        raise NoNewAction
    return turn


def _continues(turn: TurnDescription, held: str) -> bool:
    """Whether the client holds the beginning of the turn's narrative. Of a turn whose process died it may
    hold more than is known; it is to see the error."""
    known = turn["narrative"] or ""
    lost = turn["status"] in ("error", "cancelled") or not known
    return known.startswith(held) or (lost and held.startswith(known))


async def _hidden(request: Request, character_id: str, run: Run, *, suggest: bool) -> Response:
    """A run of the front end's own, answered from what is known."""
    ids = {"thread": character_id, "run": "hidden", **run.parameters}
    at = int(time.time() * 1000)
    messages = [run_started(ids["thread"], ids["run"], ids.get("protocol"), at)]
    if suggest:
        messages += await _suggestions(request, character_id, ids["run"], at)
    ended = run_event("RUN_FINISHED", at, threadId=ids["thread"], runId=ids["run"])
    return stream_of([*messages, ended], AG_UI)


async def _suggestions(request: Request, character_id: str, run: str, at: int) -> list[bytes]:
    past = services_of(request).get(PastTurns)
    newest = await past.newest(caller_of(request), character_id)
    options = newest.options if newest is not None else ()
    rows = [{"title": option, "message": option} for option in options]
    call = f"{run}:{SUGGEST}"
    arguments = encoded({"suggestions": rows}).decode()
    return [
        run_event("TOOL_CALL_START", at, toolCallId=call, toolCallName=SUGGEST),
        run_event("TOOL_CALL_ARGS", at, toolCallId=call, delta=arguments),
        run_event("TOOL_CALL_END", at, toolCallId=call),
    ]
