"""OpenAPI: what operations have in common, and each of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from itertools import groupby
from typing import Any, Final

from app import __version__
from app.errors import (
    BadRequest,
    DungeonMasterError,
    Forbidden,
    InternalError,
    MethodNotAllowed,
    Overloaded,
    PayloadTooLarge,
    Unauthorized,
    ValidationError,
)
from app.web.openapi.schemas import Schemas
from app.web.parameters import REQUEST_ID, TRACING, headers_of, parameters_of
from app.web.problem import ErrorForm, error_form
from app.web.routing import TEXT, Answer, Body, Header, Json, Operation, Parameter

BEARER: Final = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "Needed where AUTH_MODE is jwt; with the scope of the operation: `turns`, "
    "`tables`, `chat`, or `admin` for operators.",
}
ABOUT: Final = """\
A turn is one durable, ordered log of typed events. `POST /turn`, `POST /turn/stream` and the
WebSocket are readers of that log: leaving one stops nothing, and
`GET /turns/{turn_id}/events` reads it again from any place.

Every error is `application/problem+json` with an `error` member: its type, a message, the request
id, whether trying again can help and when. The Host header must name this server; a POST must come
from this site or none, and its body must be JSON. Every GET also answers HEAD."""
STREAM_ABOUT: Final = (
    "Server-sent events: first `retry: 2000`, then per event `id: {turn_id}:{seq}` and "
    "`data: {json}`, without an `event:` field; `seq` counts from 1. `gap` and `ping` have no "
    "id. After the terminal event comes `data: [DONE]`, then the end."
)

ANY: Final = (BadRequest, MethodNotAllowed, InternalError)
GUARDED: Final = (Unauthorized, Forbidden, Overloaded)  # keys or store out of reach
TAKES_BODY: Final = (PayloadTooLarge, ValidationError)


def openapi_document(operations: Sequence[Operation], schemas: Schemas) -> Json:
    """The whole document, its components in the order of their first use."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Dungeon Master",
            "version": __version__,
            "summary": "Text role-playing, one streamed turn at a time.",
            "description": ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": _tags(operations),
        "security": [{"bearer": []}, {}],
        "paths": _paths(operations, schemas),
        "components": {
            "schemas": schemas.components,
            "parameters": {
                one.component: _parameter(one)
                for one in parameters_of(operations)
                if one.component is not None
            },
            "headers": {one.name: _header(one) for one in headers_of(operations)},
            "securitySchemes": {"bearer": BEARER},
        },
    }


def _tags(operations: Iterable[Operation]) -> list[Json]:
    tags = {one.tag.name: one.tag.about for one in operations}
    return [{"name": name, "description": about} for name, about in tags.items()]


def _paths(operations: Iterable[Operation], schemas: Schemas) -> Json:
    paths: dict[str, Json] = {}
    for one in operations:
        method = "get" if one.method in ("WEBSOCKET", "MOUNT") else one.method.lower()
        paths.setdefault(documented(one.path), {})[method] = _operation(one, schemas)
    return paths


def documented(path: str) -> str:
    """A path without what the router alone has to know."""
    return path.replace(":path}", "}")


def _operation(one: Operation, schemas: Schemas) -> Json:
    described: Json = {"operationId": one.name, "tags": [one.tag.name], "summary": one.summary}
    if one.scope is None:
        described["security"] = []
    if one.about is not None:
        described["description"] = one.about
    described["parameters"] = [_parameter_or_ref(each) for each in (*one.parameters, *TRACING)]
    if one.request is not None:
        described["requestBody"] = _body(one.request, schemas)
    answers = {str(answer.status): _answer(answer, schemas) for answer in one.answers}
    return {**described, "responses": {**answers, **_problems(one, schemas)}}


def _parameter_or_ref(one: Parameter) -> Json:
    if one.component is None:
        return _parameter(one)
    return {"$ref": f"#/components/parameters/{one.component}"}


def _parameter(one: Parameter) -> Json:
    described: Json = {
        "name": one.name,
        "in": one.place,
        "description": one.about,
        "schema": one.schema,
    }
    if one.place == "path":
        described["required"] = True
    return described if one.example is None else {**described, "example": one.example}


def _header(one: Header) -> Json:
    described: Json = {"description": one.about, "schema": one.schema}
    return described if one.example is None else {**described, "example": one.example}


def _body(body: Body, schemas: Schemas) -> Json:
    media = {"schema": schemas.taken(body.type), "example": body.example}
    return {"required": body.required, "content": {"application/json": media}}


# -- answers --------------------------------------------------------------------------------------


def _answer(answer: Answer, schemas: Schemas) -> Json:
    described: Json = {"description": answer.about}
    if answer.status >= 200:
        described["headers"] = _header_refs(header.name for header in answer.headers)
    content: Json = dict(answer.media)
    if answer.json is not None:
        content["application/json"] = {"schema": schemas.sent(answer.json)}
        if answer.example is not None:
            content["application/json"]["example"] = answer.example
    if answer.events is not None or answer.foreign is not None:
        content["text/event-stream"] = _event_stream(answer, schemas)
    return {**described, "content": content} if content else described


def _header_refs(names: Iterable[str]) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (REQUEST_ID.name, *names)}


def _event_stream(answer: Answer, schemas: Schemas) -> Json:
    """`schema` is the text; `itemSchema` each event of it, as OpenAPI 3.2 has it."""
    kinds: list[Json] = [{"const": "[DONE]"}]
    if answer.events is not None:
        kinds.append(_json_text(schemas.sent(answer.events)))
    if answer.foreign is not None:
        kinds.append(_json_text({"type": "object", "description": answer.foreign}))
    item = {
        "type": "object",
        "properties": {"id": TEXT, "data": {"anyOf": kinds}},
        "required": ["data"],
    }
    stream: Json = {"schema": {**TEXT, "description": STREAM_ABOUT}, "itemSchema": item}
    return stream if answer.example is None else {**stream, "example": answer.example}


def _json_text(schema: Json) -> Json:
    return {"type": "string", "contentMediaType": "application/json", "contentSchema": schema}


# -- errors ---------------------------------------------------------------------------------------


def _problems(one: Operation, schemas: Schemas) -> Json:
    """The answers for the errors of the operation by status, each with an example of every type."""
    errors: set[type[DungeonMasterError]] = {*one.errors, *ANY}
    if one.scope is not None:
        errors.update(GUARDED)
    if one.method not in ("GET", "WEBSOCKET", "MOUNT"):
        errors.add(Forbidden)
    if one.request is not None:
        errors.update(TAKES_BODY)
    values = {each.name: each.example for each in one.parameters if each.place == "path"}
    instance = documented(one.path).format(**values)
    rows = sorted(errors, key=lambda error: (error.status, error.type))
    return {
        str(status): _problem(status, list(group), instance, schemas)
        for status, group in groupby(rows, key=lambda error: error.status)
    }


def _problem(
    status: int, errors: list[type[DungeonMasterError]], instance: str, schemas: Schemas
) -> Json:
    form = error_form(instance)
    examples = {error.type: {"value": _example(error, form, instance)} for error in errors}
    about = f"{HTTPStatus(status).phrase}: " + ", ".join(f"`{name}`" for name in examples) + "."
    headers = sorted({name for error in errors for name in error.sends})
    media: Any = {"schema": schemas.sent(form.type), "examples": examples}
    return {
        "description": about,
        "headers": _header_refs(headers),
        "content": {form.media: media},
    }


def _example(error: type[DungeonMasterError], form: ErrorForm, instance: str) -> Any:
    return form.body(error(), instance, "req-1")
