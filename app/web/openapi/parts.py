"""The pieces that operations are described with: parameters, bodies, answers, errors."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from itertools import groupby
from typing import Any, Final

from app.errors import ERRORS
from app.web.auth import MAX_USER_ID, is_open
from app.web.inputs import MAX_KEY
from app.web.openapi.schemas import Json, ref
from app.web.problem import MEDIA_TYPE, problem_fields

EVENT_STREAM: Final = "text/event-stream"
REQUEST_ID_SCHEMA: Final[Json] = {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"}
EXAMPLE_TURN: Final = "6f1c2b1e-8f0a-4c53-9d5e-2f6f3f0f7a11"
EXAMPLE_CHARACTER: Final = "0b8a7d52-53a4-4f0e-9f0c-6a1f6f2f4c21"


def _parameter(name: str, place: str, about: str, schema: Json, **more: Any) -> Json:
    return {"name": name, "in": place, "description": about, "schema": schema, **more}


def header(name: str, about: str, schema: Json) -> Json:
    return _parameter(name, "header", about, schema)


def query(name: str, about: str, schema: Json) -> Json:
    return _parameter(name, "query", about, schema)


def path(name: str, about: str, example: str, **schema: str) -> Json:
    return _parameter(
        name, "path", about, {"type": "string", **schema}, required=True, example=example
    )


TURN_ID: Final = path("turn_id", "The turn.", EXAMPLE_TURN, format="uuid")
CHARACTER_ID: Final = path(
    "character_id", "The character, in any spelling.", EXAMPLE_CHARACTER, format="uuid"
)

PARAMETERS: Final[Json] = {
    "RequestId": header(
        "X-Request-Id",
        "Names this request in logs, errors and calls to journey-log and the model; echoed. "
        "Without it `X-Trace-Id` counts, else a new UUID.",
        REQUEST_ID_SCHEMA,
    ),
    "TraceId": header("X-Trace-Id", "Taken where `X-Request-Id` is absent.", REQUEST_ID_SCHEMA),
    "TraceParent": header("traceparent", "W3C trace context, sent on.", {"type": "string"}),
    "UserId": header(
        "X-User-Id",
        "Whose characters and turns; without authentication only.",
        {"type": "string", "minLength": 1, "maxLength": MAX_USER_ID, "default": "local"},
    ),
    "IdempotencyKey": header(
        "Idempotency-Key",
        "The same key with the same body is the same turn: a retry attaches to it, or gets its "
        "stored result. Keys live 24 h.",
        {"type": "string", "minLength": 1, "maxLength": MAX_KEY},
    ),
}


def shared(*names: str) -> list[Json]:
    return [{"$ref": f"#/components/parameters/{name}"} for name in names]


TRACING: Final = ("RequestId", "TraceId", "TraceParent")

# -- answers --------------------------------------------------------------------------------------

HEADERS: Final[Json] = {
    "X-Request-Id": {"description": "The id of this request.", "schema": REQUEST_ID_SCHEMA},
    "Retry-After": {
        "description": "Seconds to wait before trying again.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "Location": {
        "description": "Where the turn's events are: `/turns/{turn_id}/events`.",
        "schema": {"type": "string"},
    },
    "X-Turn-Id": {"description": "The turn.", "schema": {"type": "string", "format": "uuid"}},
    "X-Character-Id": {
        "description": "The new character.",
        "schema": {"type": "string", "format": "uuid"},
    },
    "Allow": {"description": "The methods it takes.", "schema": {"type": "string"}},
    "WWW-Authenticate": {"description": "What is wanted.", "schema": {"type": "string"}},
    "Link": {"description": "The turn itself.", "schema": {"type": "string"}},
    "X-RateLimit-Limit": {
        "description": "Turns within the window of the limit with the least left.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "X-RateLimit-Remaining": {
        "description": "How many of them are left.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "X-RateLimit-Reset": {
        "description": "When there is more room, in seconds since 1970.",
        "schema": {"type": "integer"},
    },
    "RateLimit": {
        "description": "The same as the IETF has it: r is left, t seconds until there is more.",
        "schema": {"type": "string"},
        "example": '"character";r=1;t=1',
    },
    "RateLimit-Policy": {
        "description": "That limit: q turns within w seconds.",
        "schema": {"type": "string"},
        "example": '"character";q=2;w=1',
    },
}
LIMITS: Final = tuple(name for name in HEADERS if "RateLimit" in name)
"""Of a turn that was admitted, and of one that a rate limit refused; a retry by its key has none."""


def headers(*names: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-Id", *names)}


def answer(about: str, content: Json | None = None, *header_names: str) -> Json:
    body = {} if content is None else {"content": content}
    return {"description": about, "headers": headers(*header_names), **body}


def json_content(name: str, example: Any = None) -> Json:
    media: Json = {"schema": ref(name)}
    if example is not None:
        media["example"] = example
    return {"application/json": media}


def event_stream() -> Json:
    """`schema` is the text; `itemSchema` each event of it, as OpenAPI 3.2 has it."""
    about = (
        "Server-sent events: first `retry: 2000`, then per event `id: {turn_id}:{seq}` and "
        "`data: {json}`, without an `event:` field; `seq` counts from 1. `gap` and `ping` have no "
        "id. After the terminal event comes `data: [DONE]`, then the end."
    )
    example = (
        f"id: {EXAMPLE_TURN}:4\n"
        'data: {"type":"token","timestamp":"2030-01-01T12:00:00.000Z",'
        '"content":"The torch","index":0,"field":"narrative"}\n\n'
    )
    schema = {"type": "string", "description": about}
    told = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": ref("TurnEvent"),
    }
    item = {
        "type": "object",
        "properties": {"id": {"type": "string"}, "data": {"anyOf": [{"const": "[DONE]"}, told]}},
        "required": ["data"],
    }
    return {EVENT_STREAM: {"schema": schema, "itemSchema": item, "example": example}}


def body(name: str, example: Json, *, required: bool = True) -> Json:
    media = {"schema": ref(name), "example": example}
    return {"required": required, "content": {"application/json": media}}


# -- errors ---------------------------------------------------------------------------------------

ANY: Final = ("bad_request", "method_not_allowed", "internal_error")
GUARDED: Final = ("unauthorized", "forbidden", "overloaded")  # keys or store out of reach
CHANGES: Final = (*ANY, "forbidden")
TAKES_BODY: Final = (*CHANGES, "payload_too_large", "validation_error")
ERROR_HEADERS: Final = {
    "turn_in_progress": ("Location", "Retry-After"),
    "turn_expired": ("Link",),
    "rate_limit_exceeded": LIMITS,
    "unauthorized": ("WWW-Authenticate",),
    "method_not_allowed": ("Allow",),
}


def problems(types: Iterable[str], instance: str) -> Json:
    """The answers for these error types by status, each with an example of every type."""
    rows = sorted(set(types), key=lambda name: (ERRORS[name].status, name))
    return {
        str(status): _problem(list(names), instance)
        for status, names in groupby(rows, key=lambda name: ERRORS[name].status)
    }


def _problem(types: list[str], instance: str) -> Json:
    examples = {name: {"value": _example(name, instance)} for name in types}
    status = ERRORS[types[0]].status
    extra = {"Retry-After"} if status in (429, 503) else set()
    names = sorted(extra.union(*(ERROR_HEADERS.get(name, ()) for name in types)))
    about = f"{HTTPStatus(status).phrase}: " + ", ".join(f"`{name}`" for name in types) + "."
    return answer(about, {MEDIA_TYPE: {"schema": ref("Problem"), "examples": examples}}, *names)


def _example(name: str, instance: str) -> Json:
    return problem_fields(ERRORS[name](), instance=instance, request_id="req-1")


# -- an operation ---------------------------------------------------------------------------------


def operation(
    tag: str,
    summary: str,
    *,
    path: str,
    name: str,
    answers: Json,
    errors: tuple[str, ...] = ANY,
    parameters: tuple[Json, ...] | list[Json] = (),
    request: Json | None = None,
    about: str | None = None,
) -> Json:
    """`path` as an example; `answers` by status; `errors` by type."""
    described: dict[str, Any] = {"operationId": name, "tags": [tag], "summary": summary}
    if is_open(path):
        described["security"] = []
    else:
        errors = (*errors, *GUARDED)
    if about is not None:
        described["description"] = about
    described["parameters"] = [*parameters, *shared(*TRACING)]
    if request is not None:
        described["requestBody"] = request
    return {**described, "responses": {**answers, **problems(errors, path)}}
