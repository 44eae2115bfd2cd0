"""Parts that the routes of all front ends share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.core.access import Caller
from app.core.encoding import dump
from app.errors import NotCancellable, TurnNotFound
from app.frontends.messages import MAX_BODY
from app.frontends.settings import FrontEndSettings
from app.ports.store import TurnRequest
from app.turns.open_turn import OpenTurn
from app.turns.routes import Presentation, stream_turn, turn_request
from app.turns.schemas import TurnIn
from app.turns.service import TurnService
from app.web.auth import caller_of
from app.web.bodies import parse_model
from app.web.dialects.dialect import Dialect
from app.web.inputs import read_body
from app.web.services import services_of
from app.web.transports.later import later
from app.web.transports.sse import DONE, EventStream

Start = Callable[[TurnRequest], Awaitable[OpenTurn]]
SSE: Final = "text/event-stream; charset=utf-8"


async def body_of(request: Request) -> bytes:
    """Front ends send the whole conversation. Raises `PayloadTooLarge`."""
    return await read_body(request, MAX_BODY)


def action_request(
    request: Request,
    character_id: str,
    action: str,
    key: str | None,
    kept: Mapping[str, Any],
    *,
    endpoint: str,
    dry_run: bool = False,
) -> TurnRequest:
    """A player's action as a turn. Raises `ValidationError` as `POST /turn` does."""
    fields = {
        "character_id": character_id,
        "user_action": action,
        "dry_run": dry_run,
        "idempotency_key": key,
    }
    body = parse_model(dump(fields), TurnIn)
    return turn_request(request, body, endpoint=endpoint, kept=kept)


def start_of(request: Request) -> Start:
    """Admits a turn."""
    return services_of(request).get(TurnService).start


def joining(request: Request, turn_id: str) -> Start:
    """Opens a turn that is there, whatever is asked for."""
    service, caller = services_of(request).get(TurnService), caller_of(request)

    async def start(_: TurnRequest) -> OpenTurn:
        return await service.open(turn_id, caller)

    return start


async def play(
    request: Request, asked: TurnRequest, start: Start, presentation: Presentation
) -> Response:
    """The turn as a stream, from its start; a client that leaves may be one that stops."""
    response = await stream_turn(request, asked, start, presentation)
    services = services_of(request)
    stops = services.get(FrontEndSettings).dialect_stop == "cancel"
    if not stops or not isinstance(response, EventStream):
        return response
    return StoppingStream(response, services.get(TurnService), caller_of(request))


class StoppingStream(Response):
    """Cancels the turn when its client closes the connection, which is all that its Stop does."""

    def __init__(self, stream: EventStream, turns: TurnService, caller: Caller) -> None:
        super().__init__()
        self._stream = stream
        self._turn_id = stream.headers["x-turn-id"]
        self._turns = turns
        self._caller = caller

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        return later(scope, self._until_left(scope, receive, send))

    async def _until_left(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._stream.streamed(scope, receive, send)
        if self._stream.sending.left:
            with suppress(NotCancellable, TurnNotFound):
                await self._turns.cancel(self._turn_id, self._caller)


def stream_of(messages: Sequence[bytes], dialect: Dialect[Any]) -> Response:
    """A whole stream at once, of messages that are no turn."""
    body = b"".join(b"data: %b\n\n" % message for message in messages)
    headers = {"X-Accel-Buffering": "no", "Cache-Control": "no-store, no-transform"}
    headers.update(dialect.headers)
    return Response(body + (DONE if dialect.done else b""), headers=headers, media_type=SSE)
