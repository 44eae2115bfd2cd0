"""Errors as `application/problem+json` (RFC 9457), mapped in this one place."""

from __future__ import annotations

import math
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any, Final, NamedTuple, NotRequired, cast

from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import TypedDict

from app.core.encoding import dump
from app.core.fields import Uuid
from app.core.wire import UpstreamRefusal, refusal_fields
from app.errors import (
    BadRequest,
    DungeonMasterError,
    Forbidden,
    MethodNotAllowed,
    NotFound,
    Unauthorized,
)

MEDIA_TYPE = "application/problem+json"
STATUS: Final = "status"
"""In the state of a request: the status of its answer, once that has begun."""


class ErrorFields(TypedDict):
    type: str
    message: str
    request_id: str
    recoverable: Annotated[bool, Field(description="Whether the same request may succeed later.")]
    retry_after_seconds: NotRequired[float]
    upstream: NotRequired[UpstreamRefusal]


class FieldProblem(TypedDict):
    field: str
    message: str


class Problem(TypedDict):
    """`application/problem+json` (RFC 9457)."""

    type: Annotated[str, Field(description="`urn:dungeon-master:error:` and the error's name.")]
    title: str
    status: int
    detail: str
    instance: Annotated[str, Field(description="The path that was asked for.")]
    error: ErrorFields
    errors: NotRequired[
        Annotated[list[FieldProblem], Field(description="validation_error: every field at fault.")]
    ]
    turn_id: NotRequired[
        Annotated[
            Uuid,
            Field(description="turn_in_progress: the running turn, where it is the caller's own."),
        ]
    ]
    phase: NotRequired[
        Annotated[str, Field(description="not_cancellable: how far the turn has come.")]
    ]
    turn: NotRequired[
        Annotated[str, Field(description="turn_expired: the address of the turn itself.")]
    ]
    character_id: NotRequired[
        Annotated[Uuid, Field(description="The character that was made before its opening failed.")]
    ]


def _error_fields(error: DungeonMasterError, request_id: str) -> ErrorFields:
    fields = ErrorFields(
        type=error.type,
        message=error.message,
        request_id=request_id,
        recoverable=error.recoverable,
    )
    if error.retry_after is not None:
        fields["retry_after_seconds"] = error.retry_after
    if error.upstream is not None:
        fields["upstream"] = refusal_fields(error.upstream)
    return fields


def problem_fields(error: DungeonMasterError, *, instance: str, request_id: str) -> Problem:
    """The whole document; what the error has as `extra` stands beside the other members."""
    described = Problem(
        type=f"urn:dungeon-master:error:{error.type}",
        title=HTTPStatus(error.status).phrase,
        status=error.status,
        detail=error.message,
        instance=instance,
        error=_error_fields(error, request_id),
    )
    return cast(Problem, {**described, **error.extra})


class OpenAiError(TypedDict):
    message: str
    type: str
    code: str
    param: None


class OpenAiProblem(TypedDict):
    """An error as clients of OpenAI's API read it."""

    error: OpenAiError


def _openai_fields(error: DungeonMasterError, _: str, __: str) -> OpenAiProblem:
    fields = OpenAiError(message=error.message, type=error.type, code=error.type, param=None)
    return OpenAiProblem(error=fields)


def _problem_fields(error: DungeonMasterError, instance: str, request_id: str) -> Problem:
    return problem_fields(error, instance=instance, request_id=request_id)


class ErrorForm(NamedTuple):
    """The form of errors: `body` takes error, path and request id."""

    media: str
    type: Any
    body: Callable[[DungeonMasterError, str, str], Any]


_CODES: Final = {
    "validation_error": "INVALID_REQUEST",
    "bad_request": "INVALID_REQUEST",
    "rate_limit_exceeded": "RATE_LIMIT_EXCEEDED",
    "token_budget_exceeded": "QUOTA_EXCEEDED",
    "overloaded": "SERVICE_UNAVAILABLE",
    "llm_unavailable": "SERVICE_UNAVAILABLE",
}
_FAILED: Final = {"text": "TEXT_GENERATION_FAILED", "theme": "THEME_ERROR"}
"""What a failure of the model is called by the first part of the path."""


class CodedFields(ErrorFields):
    code: str
    details: dict[str, Any]


class CodedProblem(Problem):
    """A problem that clients read as `{code, message, details}`, flat or under `error`."""

    code: str
    message: str
    details: dict[str, Any]
    error: CodedFields  # type: ignore[misc]


def _coded_fields(error: DungeonMasterError, instance: str, request_id: str) -> CodedProblem:
    fields = problem_fields(error, instance=instance, request_id=request_id)
    coded = {"code": _code(error.type, instance), "details": _details(error)}
    inner = {**fields["error"], **coded}
    return cast(CodedProblem, {**fields, **coded, "message": error.message, "error": inner})


def _code(kind: str, path: str) -> str:
    if kind in ("llm_error", "llm_response_error", "llm_timeout"):
        return _FAILED.get(path.split("/")[3], "CONTENT_GENERATION_FAILED")
    return _CODES.get(kind, kind.upper())


def _details(error: DungeonMasterError) -> dict[str, Any]:
    """The first field at fault, or the limit that is used up."""
    faults = error.extra.get("errors")
    if faults:
        return {"field": faults[0]["field"], "error": faults[0]["message"]}
    policy = error.headers.get("RateLimit-Policy", "").rpartition("w=")[2]
    if error.type != "rate_limit_exceeded" or not policy:
        return {}
    wait = math.ceil(error.retry_after or 0)
    return {
        "limit": int(error.headers["X-RateLimit-Limit"]),
        "window": f"{policy} seconds",
        "retry_after": f"{wait} seconds",
    }


_PROBLEM: Final = ErrorForm(MEDIA_TYPE, Problem, _problem_fields)
_CODED: Final = ErrorForm(MEDIA_TYPE, CodedProblem, _coded_fields)
_OPENAI: Final = ErrorForm("application/json", OpenAiProblem, _openai_fields)


def error_form(path: str) -> ErrorForm:
    """The form of errors at a path, including the 404 of a path that does not exist."""
    if path.startswith("/api/v2/"):
        return _CODED
    return _OPENAI if path.startswith("/v1/") else _PROBLEM


def problem(error: DungeonMasterError, *, instance: str, request_id: str) -> Response:
    form = error_form(instance)
    headers = dict(error.headers)
    if error.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    body = dump(form.body(error, instance, request_id))
    return Response(body, error.status, headers, form.media)


async def refuse(error: DungeonMasterError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer for middleware; a WebSocket is refused in its handshake, with the same answer."""
    answer = problem(error, instance=scope["path"], request_id=scope["state"]["request_id"])
    await answer(scope, receive, send)


def known(error: DungeonMasterError | HTTPException) -> DungeonMasterError:
    """Starlette's own errors as ours: unknown addresses, wrong methods, a body that stopped arriving."""
    if isinstance(error, DungeonMasterError):
        return error
    kinds: dict[int, type[DungeonMasterError]] = {
        401: Unauthorized,
        403: Forbidden,
        404: NotFound,
        405: MethodNotAllowed,
    }
    return kinds.get(error.status_code, BadRequest)(headers=error.headers)


class Refusals:
    """Pure ASGI middleware: answers the errors that are raised within, before an answer has begun."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except (DungeonMasterError, HTTPException) as error:
            if STATUS in scope["state"]:
                raise
            await refuse(known(error), scope, receive, send)
