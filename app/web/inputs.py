"""Reading what clients send: bodies, headers and queries, with errors that name the field."""

from __future__ import annotations

import asyncio
import ipaddress
import uuid
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic import ValidationError as PydanticValidationError
from starlette.requests import HTTPConnection, Request

from app.core.writes import MAX_ACTION
from app.errors import BadRequest, PayloadTooLarge, ValidationError
from app.ports.store import TurnRequest
from app.web.middleware import REQUEST_ID

MAX_BODY = 256 * 1024
BODY_SECONDS = 20.0
MAX_KEY = 255

Model = TypeVar("Model", bound=BaseModel)


def _plain_uuid(value: Any) -> Any:
    try:
        return str(uuid.UUID(value))
    except (ValueError, AttributeError, TypeError):
        raise ValueError("must be a UUID") from None


CharacterId = Annotated[
    str, BeforeValidator(_plain_uuid), WithJsonSchema({"type": "string", "format": "uuid"})
]
Key = Annotated[str, Field(min_length=1, max_length=MAX_KEY)]


class TurnIn(BaseModel):
    """Body of `POST /turn` and `POST /turn/stream`, and first message of `WS /turn/ws`."""

    model_config = ConfigDict(extra="ignore")

    character_id: CharacterId
    user_action: Annotated[str, Field(min_length=1, max_length=MAX_ACTION)]
    trace_id: Annotated[str, Field(max_length=255)] | None = None
    dry_run: bool = False
    idempotency_key: Key | None = None


async def read_body(request: Request) -> bytes:
    """Raises `PayloadTooLarge` before more than the limit is held, `BadRequest` when it dawdles."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise PayloadTooLarge(f"The request body is larger than {MAX_BODY} bytes.")
    except TimeoutError:
        raise BadRequest("The request body did not arrive in time.") from None
    return bytes(body)


async def read_model(request: Request, model: type[Model], absent: bytes = b"") -> Model:
    """`absent` is read in place of no body at all."""
    return parse_model(await read_body(request) or absent, model)


def parse_model(body: bytes | str, model: type[Model]) -> Model:
    """Raises `ValidationError` that names the fields, never their values."""
    try:
        return model.model_validate_json(body)
    except PydanticValidationError as error:
        rows = error.errors(include_url=False, include_context=False, include_input=False)
    problems = [
        {"field": ".".join(str(part) for part in row["loc"]) or "body", "message": _plain(row)}
        for row in rows[:20]
    ]
    told = "; ".join(f"{row['field']}: {row['message']}" for row in problems)
    raise ValidationError(told, extra={"errors": problems})


def _plain(row: Any) -> str:
    if row["type"] == "json_invalid":
        return "the body is not valid JSON"
    return str(row["msg"]).removeprefix("Value error, ")


def character_id_from(request: Request) -> str:
    try:
        return str(_plain_uuid(request.path_params["character_id"]))
    except ValueError:
        raise ValidationError("character_id: must be a UUID") from None


def turn_request(
    connection: HTTPConnection, body: TurnIn, *, endpoint: str, user_id: str
) -> TurnRequest:
    """Joins body and headers. Raises `ValidationError` for an idempotency key that is not one."""
    state = connection.state
    request_id = state.request_id
    if body.trace_id and REQUEST_ID.fullmatch(body.trace_id) and not _sent_id(connection):
        request_id = body.trace_id
        if connection.scope["type"] == "http":  # a socket has more turns, each with its own
            state.request_id = request_id
    return TurnRequest(
        character_id=body.character_id,
        user_action=body.user_action,
        user_id=user_id,
        request_id=request_id,
        dry_run=body.dry_run,
        traceparent=state.traceparent,
        idempotency_key=idempotency_key(connection, body.idempotency_key),
        endpoint=endpoint,
        address=address_of(connection),
    )


def address_of(connection: HTTPConnection) -> str:
    """Who a client is by its address; an IPv6 client has a whole /64 to choose its own from."""
    host = connection.client.host if connection.client else ""
    try:
        address = ipaddress.IPv6Address(host) if ":" in host else None
    except ValueError:
        return host
    if address is None:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address) >> 64 << 64, 64)))


def _sent_id(connection: HTTPConnection) -> bool:
    return "x-request-id" in connection.headers or "x-trace-id" in connection.headers


def idempotency_key(connection: HTTPConnection, in_body: str | None) -> str | None:
    in_header = connection.headers.get("idempotency-key")
    if in_header is None:
        return in_body
    if not 1 <= len(in_header) <= MAX_KEY:
        raise ValidationError(f"Idempotency-Key: must be 1 to {MAX_KEY} characters")
    if in_body is not None and in_body != in_header:
        raise ValidationError("idempotency_key: differs from the Idempotency-Key header")
    return in_header
