"""Deeds over HTTP: the opening, actions and rolls, each answered with what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from app import errors
from app.core.table_outcome import story_text
from app.core.table_prompt import Occurrence, Roll
from app.core.text import has_visible
from app.core.writes import MAX_ACTION
from app.errors import ValidationError
from app.ports.store import TurnRequest
from app.tables import schemas
from app.tables.deed_lines import notation_of, roll_words
from app.tables.rounds import RoundSeen, TableRounds
from app.tables.routes import visit_of
from app.tables.service import MAX_NAME, TableService
from app.tables.views import round_view
from app.tables.visit import Visit
from app.turns.api import ATTACHING, MODEL, RUNNING
from app.turns.following import so_far
from app.turns.open_turn import OpenTurn
from app.turns.routes import request_by
from app.turns.service import TurnService
from app.web.answers import JSONAnswer
from app.web.inputs import idempotency_key, read_model, references_asked
from app.web.services import services_of

REFUSED: Final = (
    errors.NotFound,
    errors.ValidationError,
    *RUNNING,
    *MODEL,
    errors.IdempotencyKeyReused,
    *ATTACHING,
)


async def post_start(request: Request) -> Response:
    visit = await visit_of(request)
    occurrence = Occurrence(occasion="start", player_name=visit.player_name)
    return await _answered(request, visit, "", occurrence)


async def post_action(request: Request) -> Response:
    visit = await visit_of(request)
    action = request.query_params.get("action", "")
    if not has_visible(action) or len(action) > MAX_ACTION:
        raise ValidationError(f"action: must be 1 to {MAX_ACTION} characters, one of them visible")
    name = await player_name(request, visit, request.query_params.get("player_name"))
    return await _answered(request, visit, action, Occurrence(occasion="action", player_name=name))


async def post_roll(request: Request) -> Response:
    visit = await visit_of(request)
    body = await read_model(request, schemas.RollIn, absent=b"{}")
    name = await player_name(request, visit, body.player_name)
    roll = roll_of(body.roll_type, body.dice, body.result, body.modifier)
    occurrence = Occurrence(occasion="roll", player_name=name, roll=roll)
    action = roll_action(roll, body.content)
    return await _answered(request, visit, action, occurrence, "content", body.references)


def roll_of(roll_type: str, dice: str, result: int | None, modifier: int) -> Roll:
    """A roll that was reported; without a result, one that the service is to make."""
    if result is None:
        notation = notation_of(dice, modifier)
        return Roll(roll_type=roll_type, dice=notation, result=0, reported=False)
    return Roll(roll_type=roll_type, dice=dice, result=result, modifier=modifier)


def roll_action(roll: Roll, content: str) -> str:
    """The action of a roll; of a roll that is still to be made, the player's words beside it."""
    return content if roll.due else roll_words(roll, content)


async def player_name(
    request: Request, visit: Visit, given: str | None, field: str = "player_name"
) -> str:
    """Raises `Forbidden` for the name of somebody else."""
    name = (given or visit.player_name).strip()
    if not has_visible(name) or len(name) > MAX_NAME:
        raise ValidationError(
            f"player_name: must be 1 to {MAX_NAME} characters, one of them visible"
        )
    await services_of(request).get(TableService).require_own_name(visit, name, field)
    return name


@dataclass(frozen=True, slots=True)
class Played:
    """A turn that has ended or awaits its commit. `result`: as `TurnView.result` has it; `counts`: it is
    final."""

    turn: OpenTurn
    result: Mapping[str, Any]
    counts: bool

    @property
    def status(self) -> int:
        return 200 if self.counts else 202

    def headers(self, visit: Visit) -> dict[str, str]:
        location = f"/api/sessions/{visit.table.id}/events"
        return {"Location": location, "X-Turn-Id": self.turn.turn_id, **self.turn.headers}


def deed_request(
    connection: HTTPConnection,
    visit: Visit,
    words: str,
    endpoint: str,
    references: Sequence[str] | None,
    key: str | None = None,
) -> TurnRequest:
    """The turn that answers a deed; the table says whose character takes it. `key`: of idempotency."""
    request = request_by(connection, endpoint, key, visit.caller)
    return replace(request, user_action=words, references=tuple(references or ()))


async def play(
    request: Request,
    visit: Visit,
    action: str,
    occurrence: Occurrence,
    field: str,
    references: Sequence[str] | None = None,
) -> Played | RoundSeen:
    """Wait for what comes of a deed; a round, where it was added to one. Raises what a turn raises.

    `field`: the name of the action in the request. `references`: ids of content in the body; without
    them, those of the query.
    """
    services = services_of(request)
    endpoint = f"/api/sessions/{{session_id}}/{occurrence.occasion}"
    references = references or references_asked(request)
    key = idempotency_key(request, None)
    asked = deed_request(request, visit, action, endpoint, references, key)
    turn = await services.get(TableRounds).act(visit, asked, occurrence, field)
    if isinstance(turn, RoundSeen):
        return turn
    played = await _played(services.get(TurnService), visit, turn)
    # whoever was removed meanwhile reads no more
    await services.get(TableService).visit(visit.caller, visit.table.id)
    return played


async def _answered(
    request: Request,
    visit: Visit,
    action: str,
    occurrence: Occurrence,
    field: str = "action",
    references: Sequence[str] | None = None,
) -> Response:
    found = await play(request, visit, action, occurrence, field, references)
    if isinstance(found, RoundSeen):
        location = f"/api/sessions/{visit.table.id}/round"
        return JSONAnswer(round_view(found), 202, headers={"Location": location})
    message = story_text(found.result["narrative"], found.result.get("player_response") or "")
    body = schemas.SessionAnswer(message=message, turn_id=found.turn.turn_id)
    return JSONAnswer(body, found.status, found.headers(visit))


async def _played(turns: TurnService, visit: Visit, turn: OpenTurn) -> Played:
    if visit.table.rules.commit == "manual" and await turns.rests(turn):
        if turn.running is not None:
            return Played(turn, turn.running.writer.view.result(), counts=False)
        return Played(turn, so_far(turn.log.entries()), counts=False)
    return Played(turn, (await turns.finished(turn, visit.caller)).result, counts=True)
