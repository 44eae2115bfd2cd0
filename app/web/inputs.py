"""Reading what clients send: bodies, headers and queries, with errors that name the field."""

from __future__ import annotations

import asyncio
import ipaddress
import re

from starlette.requests import HTTPConnection, Request

from app.core.fields import MAX_KEY, plain_uuid
from app.core.references import MAX_REFERENCES
from app.errors import BadRequest, PayloadTooLarge, ValidationError
from app.ports.call import CallMeta
from app.web.bodies import Model, parse_model

MAX_BODY = 256 * 1024
BODY_SECONDS = 20.0
_EVENTS = re.compile(
    r"(?:^|,)\s*text/event-stream\s*(?:,|$|;(?!\s*q=0(?:\.0*)?\s*(?:,|$)))", re.IGNORECASE
)


async def read_body(request: Request, limit: int = MAX_BODY) -> bytes:
    """`limit` in bytes. Raises `PayloadTooLarge` before more is held or asked for, `BadRequest` when the
    body dawdles."""
    if int(request.headers.get("content-length", 0)) > limit:  # the server has read it as a number
        raise _too_large(limit)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise _too_large(limit)
    except TimeoutError:
        raise BadRequest("The request body did not arrive in time.") from None
    return bytes(body)


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The request body is larger than {limit} bytes.")


async def read_model(request: Request, model: type[Model], absent: bytes = b"") -> Model:
    """`absent` is read in place of no body at all."""
    return parse_model(await read_body(request) or absent, model)


def wants_events(request: Request) -> bool:
    """Whether the answer is to be streamed."""
    return _EVENTS.search(request.headers.get("accept", "")) is not None


def character_id_from(request: Request) -> str:
    try:
        return plain_uuid(request.path_params["character_id"])
    except ValueError:
        raise ValidationError("character_id: must be a UUID") from None


def last_event_id(request: Request) -> str:
    """The id of the last event seen: `Last-Event-ID` beats `?after`, which beats `?lastEventId`
    (polyfills of EventSource)."""
    given, query = request.headers.get("last-event-id"), request.query_params
    return given if given is not None else query.get("after") or query.get("lastEventId") or ""


def references_asked(request: Request) -> tuple[str, ...]:
    """Ids of content in the query. Raises `ValidationError`."""
    given = request.query_params.getlist("references")
    if len(given) > MAX_REFERENCES:
        raise ValidationError(f"references: must be at most {MAX_REFERENCES}")
    try:
        return tuple(map(plain_uuid, given))
    except ValueError:
        raise ValidationError("references: must be UUIDs") from None


def address_of(connection: HTTPConnection) -> str:
    """The address by which a client is counted. For IPv6 it is the /64 network, since a client may
    choose any address in its own."""
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


def meta_of(connection: HTTPConnection) -> CallMeta:
    """The ids that calls made for a request carry."""
    return CallMeta(connection.state.request_id, connection.state.traceparent)


def idempotency_key(connection: HTTPConnection, in_body: str | None) -> str | None:
    in_header = connection.headers.get("idempotency-key")
    if in_header is None:
        return in_body
    if not 1 <= len(in_header) <= MAX_KEY:
        raise ValidationError(f"Idempotency-Key: must be 1 to {MAX_KEY} characters")
    if in_body is not None and in_body != in_header:
        raise ValidationError("idempotency_key: differs from the Idempotency-Key header")
    return in_header
