"""Turns of a table that await their commit: kept or retold by anybody who sits there."""

from __future__ import annotations

from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from app import errors
from app.tables.play import TablePlay
from app.tables.routes import visit_of
from app.tables.socket import at_table
from app.turns.api import NO_ROOM
from app.turns.schemas import RetellIn, TurnChosenAnswer
from app.web.answers import JSONAnswer
from app.web.inputs import read_model
from app.web.routing import Answer, Body
from app.web.services import services_of


async def post_commit(request: Request) -> Response:
    visit = await visit_of(request)
    turn_id = await services_of(request).get(TablePlay).commit(visit)
    return JSONAnswer(TurnChosenAnswer(turn_id=turn_id, status="committed"), 202)


async def post_retell(request: Request) -> Response:
    visit = await visit_of(request)
    body = await read_model(request, RetellIn, absent=b"{}")
    turn_id = await services_of(request).get(TablePlay).retell(visit, body.guidance or "")
    return JSONAnswer(TurnChosenAnswer(turn_id=turn_id, status="retelling"), 202)


_KNOWN: Final = (errors.NotFound, errors.ValidationError, errors.NotAwaitingCommit)
_operation = partial(at_table, method="POST")

OPERATIONS: Final = (
    _operation(
        path="/api/sessions/{session_id}/commit",
        endpoint=post_commit,
        name="commitSessionTurn",
        summary="Commit the turn that awaits it",
        about="Where the session's turns await it (`commit: manual`). For everybody who sits there.",
        answers=(Answer(202, "It will be written.", json=TurnChosenAnswer),),
        errors=_KNOWN,
    ),
    _operation(
        path="/api/sessions/{session_id}/retell",
        endpoint=post_retell,
        name="retellSessionTurn",
        summary="Have the turn that awaits its commit retold",
        about="The session's limits and tokens count it as a turn.",
        request=Body(RetellIn, {"guidance": "less blood"}, required=False),
        answers=(Answer(202, "It is being retold.", json=TurnChosenAnswer),),
        errors=(*_KNOWN, *NO_ROOM),
    ),
)
