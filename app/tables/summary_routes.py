"""The summary of a table's story over HTTP."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Final

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from app import errors
from app.core.tables import Summary
from app.tables.routes import visit_of
from app.tables.socket import at_table
from app.tables.summary import MAX_SUMMARY, TableSummaries
from app.web.answers import JSONAnswer
from app.web.bodies import RequestBody
from app.web.inputs import read_model
from app.web.routing import Answer, Body
from app.web.services import services_of


class SummaryIn(RequestBody):
    """Body of `PUT /api/sessions/{session_id}/summary`."""

    summary: Annotated[str, Field(max_length=MAX_SUMMARY, description="Empty: there is none.")]


class SummaryView(TypedDict):
    summary: str
    upto: Annotated[int, Field(description="Id of the last message that it covers.")]
    corrected: Annotated[bool, Field(description="By the dungeon master, since it was made.")]


def _view(found: Summary) -> SummaryView:
    return SummaryView(summary=found.text, upto=found.upto, corrected=found.corrected)


async def get_summary(request: Request) -> Response:
    visit = await visit_of(request)
    return JSONAnswer(_view(await services_of(request).get(TableSummaries).shown(visit)))


async def put_summary(request: Request) -> Response:
    visit = await visit_of(request)
    body = await read_model(request, SummaryIn)
    summaries = services_of(request).get(TableSummaries)
    return JSONAnswer(_view(await summaries.correct(visit, body.summary)))


_operation = partial(
    at_table,
    path="/api/sessions/{session_id}/summary",
    answers=(Answer(200, "The summary.", json=SummaryView),),
)

OPERATIONS: Final = (
    _operation(
        method="GET",
        endpoint=get_summary,
        name="getSummary",
        summary="The story before the newest lines, in short",
        about="Made beside the turns, once enough has left the window of the prompt.",
        errors=(errors.NotFound, errors.ValidationError),
    ),
    _operation(
        method="PUT",
        endpoint=put_summary,
        name="correctSummary",
        summary="Correct the summary",
        about="For the owner and the dungeon master: it is in the prompt of later turns.",
        request=Body(SummaryIn, {"summary": "Mara rang the bell; Élise lied about it."}),
    ),
)
