"""Parsing a request. Each function raises the refusal of its own step of the contract."""

import json
import uuid
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from .errors import ErrorRow, Refused, SchemaInvalid, schema_rows

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
        body = model.model_validate(_read(raw, request, problems), from_attributes=True)
    except ValidationError as invalid:
        raise SchemaInvalid(problems + schema_rows("body", invalid)) from None
    if problems:
        raise SchemaInvalid(problems)
    return body


def require_user_header(request: Request) -> None:
    problems = _user_problems(request)
    if problems:
        raise SchemaInvalid(problems)


def path_uuids(request: Request) -> list[str]:
    """The ids of the path in order, each in the canonical form of any text uuid.UUID() takes."""
    return [_canonical(name, text) for name, text in request.path_params.items()]


def named_user(request: Request) -> str:
    user = user_header(request)
    if not user:
        raise Refused(400, "X-User-Id is required and cannot be blank")
    return user


def _user_problems(request: Request) -> list[ErrorRow]:
    return [_NO_USER] if user_header(request) is None else []


def _read(raw: bytes, request: Request, problems: list[ErrorRow]) -> object:
    """The JSON of the body, which may begin with a byte order mark or be UTF-16; the bytes
    themselves where the content type is another one."""
    media_type = request.headers.get("content-type", "application/json").partition(";")[0]
    if raw and not media_type.strip().lower().endswith(("/json", "+json")):
        return raw
    body = _json(raw) if raw else None
    if body is None:
        raise SchemaInvalid([*problems, _NO_BODY])
    return body


def _json(raw: bytes) -> object:
    try:
        return json.loads(raw)
    except json.JSONDecodeError as invalid:
        row = {"loc": ["body", invalid.pos], "msg": "JSON decode error", "type": "json_invalid"}
        raise SchemaInvalid([{**row, "ctx": {"error": invalid.msg}}]) from None
    except (ValueError, RecursionError):
        raise Refused(400, "There was an error parsing the body") from None


def _canonical(name: str, text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise Refused(422, f"{name} is not a UUID: {text}") from None
