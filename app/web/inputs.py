"""Reading what clients send: bodies, headers and queries, with errors that name the field."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import Any, TypeVar

from pydantic import BaseModel
from pydantic import ValidationError as PydanticValidationError
from starlette.requests import HTTPConnection, Request

from app.core.fields import MAX_KEY, plain_uuid
from app.errors import BadRequest, PayloadTooLarge, ValidationError

MAX_BODY = 256 * 1024
BODY_SECONDS = 20.0

Model = TypeVar("Model", bound=BaseModel)


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
        return plain_uuid(request.path_params["character_id"])
    except ValueError:
        raise ValidationError("character_id: must be a UUID") from None


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


def idempotency_key(connection: HTTPConnection, in_body: str | None) -> str | None:
    in_header = connection.headers.get("idempotency-key")
    if in_header is None:
        return in_body
    if not 1 <= len(in_header) <= MAX_KEY:
        raise ValidationError(f"Idempotency-Key: must be 1 to {MAX_KEY} characters")
    if in_body is not None and in_body != in_header:
        raise ValidationError("idempotency_key: differs from the Idempotency-Key header")
    return in_header
