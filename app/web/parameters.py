"""Parameters and headers that many operations share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from app.core.access import ANONYMOUS
from app.core.fields import MAX_KEY, MAX_LIMIT
from app.core.money import MAX_DAYS, USUAL_DAYS
from app.web.auth import MAX_USER_ID
from app.web.routing import TEXT, Header, Json, Operation, Parameter

UUID: Final[Json] = {"type": "string", "format": "uuid"}
EXAMPLE_TURN: Final = "6f1c2b1e-8f0a-4c53-9d5e-2f6f3f0f7a11"
EXAMPLE_CHARACTER: Final = "0b8a7d52-53a4-4f0e-9f0c-6a1f6f2f4c21"

TURN_ID: Final = Parameter("turn_id", "path", "The turn.", UUID, EXAMPLE_TURN)
CHARACTER_ID: Final = Parameter(
    "character_id", "path", "The character, in any spelling.", UUID, EXAMPLE_CHARACTER
)
USER_ID: Final = Parameter(
    "X-User-Id",
    "header",
    "Whose characters and turns; without authentication only.",
    {"type": "string", "minLength": 1, "maxLength": MAX_USER_ID, "default": ANONYMOUS},
    component="UserId",
)
DAYS: Final = Parameter(
    "days",
    "query",
    "How many days to show, today included.",
    {"type": "integer", "minimum": 1, "maximum": MAX_DAYS, "default": USUAL_DAYS},
)
IDEMPOTENCY_KEY: Final = Parameter(
    "Idempotency-Key",
    "header",
    "The same key with the same body is the same turn: a retry attaches to it, or gets its "
    "stored result. Keys live 24 h.",
    {"type": "string", "minLength": 1, "maxLength": MAX_KEY},
    component="IdempotencyKey",
)
LAST_EVENT_ID: Final = Parameter(
    "Last-Event-ID",
    "header",
    "`{turn_id}:{seq}` of the last event seen. On a POST it counts where that turn began with the same "
    "body: clients that repeat a POST by themselves get what follows.",
    component="LastEventId",
)

_REQUEST_ID: Final[Json] = {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"}
TRACING: Final = (
    Parameter(
        "X-Request-Id",
        "header",
        "Names this request in logs, errors and calls to journey-log and the model; echoed. "
        "Without it `X-Trace-Id` counts, else a new UUID.",
        _REQUEST_ID,
        component="RequestId",
    ),
    Parameter(
        "X-Trace-Id",
        "header",
        "Taken where `X-Request-Id` is absent.",
        _REQUEST_ID,
        component="TraceId",
    ),
    Parameter(
        "traceparent", "header", "W3C trace context, sent on.", TEXT, component="TraceParent"
    ),
)
"""Of every operation."""

REQUEST_ID: Final = Header("X-Request-Id", "The id of this request.", _REQUEST_ID)
"""Of every answer."""
RETRY_AFTER: Final = Header(
    "Retry-After", "Seconds to wait before trying again.", {"type": "integer", "minimum": 1}
)
LOCATION: Final = Header("Location", "Where the turn's events are: `/turns/{turn_id}/events`.")
RATE_LIMITS: Final = (
    Header(
        "X-RateLimit-Limit",
        "Turns within the window of the limit with the least left.",
        {"type": "integer", "minimum": 1},
    ),
    Header(
        "X-RateLimit-Remaining",
        "How many of them are left.",
        {"type": "integer", "minimum": 0},
    ),
    Header(
        "X-RateLimit-Reset",
        "When there is more room, in seconds since 1970.",
        {"type": "integer"},
    ),
    Header(
        "RateLimit",
        "The same as the IETF has it: r is left, t seconds until there is more.",
        example='"character";r=1;t=1',
    ),
    Header(
        "RateLimit-Policy",
        "That limit: q turns within w seconds.",
        example='"character";q=2;w=1',
    ),
)
"""Of a turn that was admitted, and of one that a rate limit refused; a retry by its key has none."""

ERROR_HEADERS: Final = {
    header.name: header
    for header in (
        LOCATION,
        RETRY_AFTER,
        *RATE_LIMITS,
        Header("Link", "The turn itself."),
        Header("Upgrade", "The protocol to ask for."),
        Header("WWW-Authenticate", "What is wanted."),
        Header("Allow", "The methods it takes."),
    )
}
"""What `DungeonMasterError.sends` may name."""


def page_limit(about: str, default: int = 20, most: int = MAX_LIMIT) -> Parameter:
    """The parameter `limit`, as `limit_from` reads it."""
    bounds = {"type": "integer", "minimum": 1, "maximum": most, "default": default}
    return Parameter("limit", "query", about, bounds)


def parameters_of(operations: Iterable[Operation]) -> list[Parameter]:
    """Every parameter of the operations, and those that all have."""
    own = [parameter for one in operations for parameter in one.parameters]
    return list({(one.name, one.component): one for one in (*TRACING, *own)}.values())


def headers_of(operations: Iterable[Operation]) -> list[Header]:
    """Every header of the operations' answers, and those of errors."""
    own = [header for one in operations for answer in one.answers for header in answer.headers]
    known = (REQUEST_ID, *ERROR_HEADERS.values())
    return list({one.name: one for one in (*known, *own)}.values())
