"""Rounds over HTTP."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from app import errors
from app.tables.round_schemas import AwayIn, RoundView
from app.tables.rounds import TableRounds
from app.tables.routes import visit_of
from app.tables.socket import AT_TABLE, at_table
from app.tables.views import round_view
from app.turns.api import MODEL
from app.web.answers import JSONAnswer
from app.web.inputs import read_model
from app.web.routing import Answer, Body
from app.web.services import services_of


async def get_round(request: Request) -> Response:
    visit = await visit_of(request)
    return JSONAnswer(round_view(await services_of(request).get(TableRounds).look(visit)))


async def post_close(request: Request) -> Response:
    visit = await visit_of(request)
    return JSONAnswer(round_view(await services_of(request).get(TableRounds).force(visit)), 202)


async def post_away(request: Request) -> Response:
    visit = await visit_of(request)
    body = await read_model(request, AwayIn, absent=b"{}")
    rounds = services_of(request).get(TableRounds)
    return JSONAnswer(round_view(await rounds.set_away(visit, body.user_id, away=body.away)))


OPERATIONS: Final = (
    at_table(
        method="GET",
        path="/api/sessions/{session_id}/round",
        endpoint=get_round,
        name="getRound",
        summary="The round that is collected",
        about="Empty as long as nobody has acted, and where the session is played in turns.",
        answers=(Answer(200, "The round.", json=RoundView),),
    ),
    at_table(
        method="POST",
        path="/api/sessions/{session_id}/round/close",
        endpoint=post_close,
        name="closeRound",
        summary="Play the round now, whoever is missing",
        about="For the owner and the dungeon master. 409 where nobody has acted, unless the model plays "
        "those who have not.",
        answers=(Answer(202, "The next round.", json=RoundView),),
        errors=(
            *AT_TABLE,
            errors.NothingToPlay,
            errors.TokenBudgetExceeded,
            errors.Overloaded,
            *MODEL,
        ),
    ),
    at_table(
        method="POST",
        path="/api/sessions/{session_id}/away",
        endpoint=post_away,
        name="goAway",
        summary="Let no round wait for a player",
        about="Whoever acts is back. A player who is away does nothing, or is played by the model, as the "
        "session's rules say.",
        request=Body(AwayIn, {"away": True}, required=False),
        answers=(Answer(200, "The round.", json=RoundView),),
    ),
)
