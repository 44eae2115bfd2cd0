"""`/v1/chat/completions` and `/v1/models`."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from app.characters.schemas import CharacterRow
from app.characters.service import CharacterService
from app.core.writes import MAX_ACTION
from app.errors import CharacterExists, CharacterNotFound, ModelNotFound, NoNewAction
from app.frontends.messages import digest
from app.frontends.openai.action import NewTurn, SameTurn, before_mark, continues, decide, folded
from app.frontends.openai.background import answer_task
from app.frontends.openai.completion import (
    NEW,
    PREFIX,
    TASKS,
    CompletionRequest,
    completion,
    read_completion,
)
from app.frontends.openai.creation import Sheet, question, sheet_from
from app.frontends.openai.schemas import Model, Models
from app.frontends.past import PastTurn, PastTurns
from app.frontends.routes import (
    Start,
    action_request,
    body_of,
    joining,
    play,
    start_of,
    stream_of,
)
from app.ports.store import TurnRequest
from app.turns.open_turn import OpenTurn
from app.turns.routes import Presentation, request_by, turn_headers
from app.turns.schemas import TurnCancelledAnswer
from app.turns.service import TurnService
from app.web.answers import JSONAnswer
from app.web.auth import caller_of
from app.web.dialects.dialect import Dialect
from app.web.dialects.encoded import millis_of
from app.web.dialects.openai import (
    ID_PREFIX,
    OPENAI_PLAIN,
    RESULT,
    chunk,
    chunk_head,
    created_at,
    note_of,
    play_on,
    usage_chunk,
    usage_of,
)
from app.web.inputs import idempotency_key, meta_of
from app.web.services import services_of

PATH: Final = "/v1/chat/completions"
OWNER: Final = "dungeon-master"


async def post_completion(request: Request) -> Response:
    body, key = await body_of(request), idempotency_key(request, None)
    wanted = read_completion(body, request.headers, key)
    if wanted.asked.is_background:
        return await _background(request, wanted)
    if wanted.character_id is None:
        return await _new_character(request, wanted)
    turns = await _turns(request, wanted.character_id, wanted)
    decision = decide(wanted.asked, turns, time.time())
    asked = _asked(request, wanted.character_id, wanted, decision)
    start = start_of(request)
    if isinstance(decision, SameTurn):
        start = joining(request, decision.turn_id)
    presentation = Presentation(OPENAI_PLAIN, parameters=_shown(wanted), resumed=False)
    try:
        return await _answered(request, wanted, asked, start, presentation)
    except CharacterNotFound:
        raise ModelNotFound from None


def _asked(
    request: Request, character_id: str, wanted: CompletionRequest, decision: NewTurn | SameTurn
) -> TurnRequest:
    asked = wanted.asked
    kept: dict[str, Any] = {**_shown(wanted), "before": before_mark(asked.before)}
    if asked.chat is not None:
        kept["chat"] = asked.chat
    key = decision.key if isinstance(decision, NewTurn) else None
    return action_request(request, character_id, asked.action or "", key, kept, endpoint=PATH)


def _shown(wanted: CompletionRequest) -> dict[str, Any]:
    """Fields at the beginning of each chunk."""
    return {"model": wanted.model, **wanted.options}


async def _answered(
    request: Request,
    wanted: CompletionRequest,
    asked: TurnRequest,
    start: Start,
    presentation: Presentation,
) -> Response:
    """A turn as a stream of chunks, or as one completion once it has ended."""
    if wanted.asked.streamed:
        return await play(request, asked, start, presentation)
    turn = await start(asked)
    finished = await services_of(request).get(TurnService).finished(turn, caller_of(request))
    result = finished.result
    whole = completion(
        f"{ID_PREFIX}{turn.turn_id}",
        created_at(turn.log.entries(0, 1)),
        wanted.model,
        _text(result) + note_of({**turn.parameters, **presentation.parameters}),
        usage_of(result["usage"]),
    )
    dm: dict[str, Any] = {"status": "complete", "turn_id": turn.turn_id}
    dm.update({name: result[name] for name in RESULT if name in result})
    return JSONAnswer({**whole, "dm": dm}, headers=presentation.headers(turn, presentation.dialect))


def _text(result: Mapping[str, Any]) -> str:
    """The text as in the stream."""
    response = result.get("player_response")
    return f"{result['narrative']}\n\n{response}" if response else str(result["narrative"])


def _said(wanted: CompletionRequest, text: str) -> Response:
    """A completion that is no turn."""
    completion_id, now = f"{ID_PREFIX}{uuid.uuid4()}", int(time.time())
    if not wanted.asked.streamed:
        whole = completion(completion_id, now, wanted.model, text, usage_of(None))
        return JSONAnswer(whole)
    head = chunk_head(completion_id, now, wanted.model)
    chunks = [
        chunk(head, {"role": "assistant", "content": ""}),
        chunk(head, {"content": text}),
        chunk(head, {}, "stop"),
    ]
    if wanted.options["include_usage"]:
        chunks.append(usage_chunk(head, None))
    return stream_of(chunks, OPENAI_PLAIN)


async def _turns(request: Request, character_id: str, wanted: CompletionRequest) -> list[PastTurn]:
    """Newest first, as many as are needed to see where the request goes on."""
    asked = wanted.asked
    if asked.action is None or asked.key is not None:
        return []
    past = services_of(request).get(PastTurns).newest_first(caller_of(request), character_id)
    found: list[PastTurn] = []
    shown = folded(asked.before)
    async with aclosing(past) as turns:
        async for turn in turns:
            found.append(turn)
            if not shown or continues(turn, shown):
                break
    return found


async def _background(request: Request, wanted: CompletionRequest) -> Response:
    newest = None
    if wanted.character_id is not None:
        past = services_of(request).get(PastTurns)
        newest = await past.newest(caller_of(request), wanted.character_id)
    action = (newest.action if newest else None) or ""
    options = newest.options if newest else ()
    asked = wanted.asked
    return _said(wanted, answer_task(wanted.last, asked.streamed, action, options, asked.tasks))


# -- a character of one's own ---------------------------------------------------------------------


async def _new_character(request: Request, wanted: CompletionRequest) -> Response:
    """The opening of a new character, or the question for what is missing."""
    if wanted.asked.action is None:
        raise NoNewAction
    spoken = wanted.spoken()
    sheet = sheet_from(spoken)
    if sheet.complete_at is None:
        return _said(wanted, question(sheet.missing))
    if sheet.complete_at < len(spoken) - 1 and (known := await _twin(request, sheet)):
        return _said(wanted, play_on(known))
    try:
        return await _opening(request, wanted, sheet)
    except CharacterExists as error:
        return _said(wanted, f"{error.message} {play_on(error.extra['character_id'])}")


async def _opening(request: Request, wanted: CompletionRequest, sheet: Sheet) -> Response:
    opening_of = services_of(request).get(CharacterService).create
    key = wanted.asked.key or digest("openai-new", *sheet[:4])
    asked = replace(
        request_by(request, PATH, key),
        user_action=sheet.wish[:MAX_ACTION],
        kind="opening",
        dialect={**_shown(wanted), "names_model": True},
    )

    async def start(opening: TurnRequest) -> OpenTurn:
        return await opening_of(
            name=sheet.name, race=sheet.race, class_name=sheet.class_name, opening=opening
        )

    presentation = Presentation(OPENAI_PLAIN, _with_character, asked.dialect, resumed=False)
    return await _answered(request, wanted, asked, start, presentation)


def _with_character(turn: OpenTurn, dialect: Dialect[Any]) -> dict[str, str]:
    return {**turn_headers(turn, dialect), "X-Character-Id": turn.character_id}


async def _twin(request: Request, sheet: Sheet) -> str | None:
    """The caller's character of this sheet."""
    wished = [" ".join(value.split()) for value in sheet[:3]]
    for row in await _characters(request):
        if [row["name"], row["race"], row["class"]] == wished:
            return row["character_id"]
    return None


async def _characters(request: Request) -> list[CharacterRow]:
    meta = meta_of(request)
    service = services_of(request).get(CharacterService)
    return (await service.listed(caller_of(request).user_id, meta))["characters"]


# -- models and Stop ------------------------------------------------------------------------------


async def get_models(request: Request) -> Response:
    return JSONAnswer(Models(object="list", data=await _models(request)))


async def get_model(request: Request) -> Response:
    wanted = request.path_params["model"]
    found = next((one for one in await _models(request) if one["id"] == wanted), None)
    if found is None:
        raise ModelNotFound
    return JSONAnswer(found)


async def _models(request: Request) -> list[Model]:
    rows = [
        _model(f"{PREFIX}{row['character_id']}", row["name"], _seconds(row["created_at"]))
        for row in await _characters(request)
    ]
    return [*rows, _model(NEW, "A new character", 0), _model(TASKS, "Background tasks", 0)]


def _model(model_id: str, name: str, created: int) -> Model:
    return Model(id=model_id, name=name, object="model", created=created, owned_by=OWNER)


def _seconds(stamp: str) -> int:
    return millis_of({"timestamp": stamp}) // 1000


async def post_cancel(request: Request) -> Response:
    """Stop of a client that knows the id of its completion only."""
    turn_id = request.path_params["completion_id"].removeprefix(ID_PREFIX)
    await services_of(request).get(TurnService).cancel(turn_id, caller_of(request))
    return JSONAnswer(TurnCancelledAnswer(turn_id=turn_id, status="cancelled"), 202)
