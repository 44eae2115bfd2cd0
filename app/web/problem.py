"""Errors as `application/problem+json` (RFC 9457), mapped in this one place."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.core.encoding import dump
from app.errors import (
    BadRequest,
    DungeonMasterError,
    Forbidden,
    MethodNotAllowed,
    NotFound,
    Unauthorized,
)

MEDIA_TYPE = "application/problem+json"


def error_fields(error: DungeonMasterError, request_id: str) -> dict[str, Any]:
    """The `error` member: type, message, request_id, recoverable, retry_after_seconds?."""
    fields: dict[str, Any] = {
        "type": error.type,
        "message": error.message,
        "request_id": request_id,
        "recoverable": error.recoverable,
    }
    if error.retry_after is not None:
        fields["retry_after_seconds"] = error.retry_after
    return fields


def problem_fields(error: DungeonMasterError, *, instance: str, request_id: str) -> dict[str, Any]:
    """The whole document."""
    return {
        "type": f"urn:dungeon-master:error:{error.type}",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": error.message,
        "instance": instance,
        "error": error_fields(error, request_id),
        **error.extra,
    }


def problem(error: DungeonMasterError, *, instance: str, request_id: str) -> Response:
    body = problem_fields(error, instance=instance, request_id=request_id)
    headers = dict(error.headers)
    if error.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    return Response(dump(body), error.status, headers, MEDIA_TYPE)


async def refuse(error: DungeonMasterError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer for middleware; a WebSocket is refused in its handshake, with the same answer."""
    answer = problem(error, instance=scope["path"], request_id=scope["state"]["request_id"])
    await answer(scope, receive, send)


async def on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, DungeonMasterError)
    return problem(error, instance=request.url.path, request_id=request.state.request_id)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Starlette's own: unknown addresses, wrong methods, a body that stopped arriving."""
    assert isinstance(error, HTTPException)
    known: dict[int, type[DungeonMasterError]] = {
        401: Unauthorized,
        403: Forbidden,
        404: NotFound,
        405: MethodNotAllowed,
    }
    mapped = known.get(error.status_code, BadRequest)(headers=error.headers)
    return await on_error(request, mapped)
