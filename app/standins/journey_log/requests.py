"""
Reading a request in the order in which the contract checks it.

Each function raises the refusal of its own step; the handlers call them in the table's order.
"""

import uuid
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.requests import Request

from .errors import ErrorRow, Refused, SchemaInvalid, schema_rows
from .times import parse_time

M = TypeVar("M", bound=BaseModel)

_NO_USER: ErrorRow = {"loc": ["header", "x-user-id"], "msg": "Field required", "type": "missing"}
_NO_BODY: ErrorRow = {"loc": ["body"], "msg": "Field required", "type": "missing"}


def user_header(request: Request) -> str | None:
    """The trimmed user: None when absent, "" when blank."""
    value: str | None = request.headers.get("x-user-id")
    return None if value is None else value.strip()


def read_query(request: Request, model: type[M], *, user_required: bool = False) -> M:
    problems = _user_problems(request) if user_required else []
    try:
        query = model.model_validate(dict(request.query_params))
    except ValidationError as invalid:
        raise SchemaInvalid(schema_rows("query", invalid) + problems) from None
    if problems:
        raise SchemaInvalid(problems)
    return query


async def read_body(request: Request, model: type[M]) -> M:
    problems = _user_problems(request)
    raw = await request.body()
    try:
        body = model.model_validate(_json(raw, problems))
    except ValidationError as invalid:
        raise SchemaInvalid(problems + schema_rows("body", invalid)) from None
    if problems:
        raise SchemaInvalid(problems)
    return body


def require_user_header(request: Request) -> None:
    problems = _user_problems(request)
    if problems:
        raise SchemaInvalid(problems)


def path_uuid(request: Request, name: str) -> str:
    """The canonical lower-case form of any text uuid.UUID() takes."""
    text: str = request.path_params[name]
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise Refused(422, f"{name} is not a UUID: {text}") from None


def named_user(request: Request) -> str:
    user = user_header(request)
    if not user:
        raise Refused(400, "X-User-Id is required and cannot be blank")
    return user


def in_range(name: str, value: int, most: int) -> int:
    if not 1 <= value <= most:
        raise Refused(400, f"'{name}' must be between 1 and {most}, not {value}")
    return value


def client_time(name: str, text: str | None, refusal: int) -> int | None:
    """Microseconds, or None for a text that is absent or empty."""
    if not text:
        return None
    try:
        return parse_time(text)
    except ValueError as invalid:
        raise Refused(refusal, f"'{name}' is not an ISO 8601 time: {invalid}") from None


def _user_problems(request: Request) -> list[ErrorRow]:
    return [_NO_USER] if user_header(request) is None else []


def _json(raw: bytes, problems: list[ErrorRow]) -> object:
    if not raw:
        raise SchemaInvalid([*problems, _NO_BODY])
    try:
        return from_json(raw, allow_inf_nan=False)
    except ValueError as invalid:
        row = {"loc": ["body"], "msg": "JSON decode error", "type": "json_invalid"}
        raise SchemaInvalid([{**row, "ctx": {"error": str(invalid)}}]) from None
