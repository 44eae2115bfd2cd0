"""The API descriptions, made once from the types in use."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from app import __version__
from app.web.openapi import operations, play
from app.web.openapi.parts import HEADERS, PARAMETERS
from app.web.openapi.schemas import component_schemas
from app.web.openapi.sockets import asyncapi

TAGS: Final = (
    {"name": "Turns", "description": "Take a turn, watch it, read it again, stop it."},
    {"name": "Characters", "description": "Make a character and hear its opening."},
    {"name": "Operations", "description": "Condition and numbers of the service."},
    {"name": "Admin", "description": "For operators; 404 unless the settings enable it."},
    {"name": "Pages", "description": "The play page, this reference and their files."},
)

BEARER: Final = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "JWT",
    "description": "Needed where AUTH_MODE is jwt; with the scope `turns`, or `admin` for operators.",
}
ABOUT: Final = """\
A turn is one durable, ordered log of typed events. `POST /turn`, `POST /turn/stream` and the
WebSocket are readers of that log: leaving one stops nothing, and
`GET /turns/{turn_id}/events` reads it again from any place.

Every error is `application/problem+json` with an `error` member: its type, a message, the request
id, whether trying again can help and when. The Host header must name this server; a POST must come
from this site or none, and its body must be JSON. Every GET also answers HEAD."""


@cache
def openapi_document() -> dict[str, Any]:
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
        "tags": list(TAGS),
        "security": [{"bearer": []}, {}],
        "paths": {**play.paths(), **operations.paths()},
        "components": {
            "schemas": component_schemas(),
            "parameters": PARAMETERS,
            "headers": HEADERS,
            "securitySchemes": {"bearer": BEARER},
        },
    }


@cache
def asyncapi_document() -> dict[str, Any]:
    return asyncapi()
