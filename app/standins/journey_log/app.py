"""
The HTTP surface: routes, the order of checks, and the four error bodies.

A 400, 403, 404, 409, 422 by a rule      {"error": "http_error", ...}
B 422 by a schema                        {"error": "validation_error", ...}
C 404 and 405 by the router              {"detail": ...}
D 500                                    {"error": "internal_error", ...}
"""

import json
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Protocol, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .errors import Refused, SchemaInvalid
from .request_id import RequestIdMiddleware, request_id
from .requests import (
    client_time,
    in_range,
    named_user,
    path_uuid,
    read_body,
    read_query,
    require_user_header,
    user_header,
)
from .schema import (
    AppendTurn,
    ContextQuery,
    CreateCharacter,
    CreatePoi,
    ListQuery,
    NarrativeQuery,
    PoiPageQuery,
    PoiRandomQuery,
    PoiSummaryQuery,
    PutCombat,
    Quest,
    UpdatePoi,
)
from .store import MAX_TURNS, Store
from .views import Json

T = TypeVar("T")

_log = logging.getLogger(__name__)
_SERVICE = {"service": "journey-log", "environment": "embedded", "version": "1.0.0"}


class Run(Protocol):
    """Runs a job on the store's own thread."""

    def __call__(self, job: Callable[[Store], T], /) -> Awaitable[T]: ...


def build_app(run: Run) -> Starlette:
    return Starlette(
        routes=_Handlers(run).routes(),
        middleware=[Middleware(RequestIdMiddleware)],
        exception_handlers={
            Refused: _refused,
            SchemaInvalid: _schema_invalid,
            HTTPException: _router_error,
            sqlite3.Error: _internal_error,
            Exception: _internal_error,
        },
    )


class _Handlers:
    """In each handler the checks stand in the order in which the contract makes them."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def routes(self) -> list[Route]:
        one = "/characters/{character_id}"
        return [
            Route("/health", self.health, methods=["GET"]),
            Route("/info", self.info, methods=["GET"]),
            Route("/characters", self.create_character, methods=["POST"]),
            Route("/characters", self.list_characters, methods=["GET"]),
            Route(one, self.get_character, methods=["GET"]),
            Route(f"{one}/context", self.get_context, methods=["GET"]),
            Route(f"{one}/narrative", self.append_turn, methods=["POST"]),
            Route(f"{one}/narrative", self.get_narrative, methods=["GET"]),
            Route(f"{one}/quest", self.put_quest, methods=["PUT"]),
            Route(f"{one}/quest", self.get_quest, methods=["GET"]),
            Route(f"{one}/quest", self.delete_quest, methods=["DELETE"]),
            Route(f"{one}/combat", self.put_combat, methods=["PUT"]),
            Route(f"{one}/combat", self.get_combat, methods=["GET"]),
            Route(f"{one}/pois", self.create_poi, methods=["POST"]),
            Route(f"{one}/pois", self.list_pois, methods=["GET"]),
            Route(f"{one}/pois/random", self.random_pois, methods=["GET"]),
            Route(f"{one}/pois/summary", self.poi_summary, methods=["GET"]),
            Route(f"{one}/pois/{{poi_id}}", self.update_poi, methods=["PUT"]),
            Route(f"{one}/pois/{{poi_id}}", self.delete_poi, methods=["DELETE"]),
        ]

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "healthy", **_SERVICE})

    async def info(self, request: Request) -> Response:
        build = {"version": _SERVICE["version"], "commit": "unknown", "timestamp": "unknown"}
        return JSONResponse({**_SERVICE, "build": build})

    async def create_character(self, request: Request) -> Response:
        body = await read_body(request, CreateCharacter)
        user = named_user(request)
        return await self._reply(lambda store: store.create_character(user, body), 201)

    async def list_characters(self, request: Request) -> Response:
        ask = read_query(request, ListQuery, user_required=True)
        user = named_user(request)
        return await self._reply(lambda store: store.characters(user, ask.limit, ask.offset))

    async def get_character(self, request: Request) -> Response:
        key = path_uuid(request, "character_id")
        user = user_header(request)
        return await self._reply(lambda store: store.character(key, user))

    async def get_context(self, request: Request) -> Response:
        ask = read_query(request, ContextQuery)
        key = path_uuid(request, "character_id")
        in_range("recent_n", ask.recent_n, MAX_TURNS)
        user = user_header(request)
        return await self._reply(lambda store: store.context(key, user, ask))

    async def append_turn(self, request: Request) -> Response:
        body = await read_body(request, AppendTurn)
        key = path_uuid(request, "character_id")
        user = named_user(request)
        at = client_time("timestamp", body.timestamp, 422)
        return await self._reply(lambda store: store.append_turn(key, user, body, at), 201)

    async def get_narrative(self, request: Request) -> Response:
        ask = read_query(request, NarrativeQuery)
        key = path_uuid(request, "character_id")
        n = in_range("n", ask.n, MAX_TURNS)
        since = client_time("since", ask.since, 400)
        user = user_header(request)
        return await self._reply(lambda store: store.narrative(key, user, n, since))

    async def put_quest(self, request: Request) -> Response:
        body = await read_body(request, Quest)
        key = path_uuid(request, "character_id")
        user = named_user(request)
        return await self._reply(lambda store: store.put_quest(key, user, body))

    async def get_quest(self, request: Request) -> Response:
        key = path_uuid(request, "character_id")
        user = user_header(request)
        return await self._reply(lambda store: store.quest(key, user))

    async def delete_quest(self, request: Request) -> Response:
        require_user_header(request)
        key = path_uuid(request, "character_id")
        user = named_user(request)
        await self._run(lambda store: store.delete_quest(key, user))
        return Response(status_code=204)

    async def put_combat(self, request: Request) -> Response:
        body = await read_body(request, PutCombat)
        key = path_uuid(request, "character_id")
        user = named_user(request)
        return await self._reply(lambda store: store.put_combat(key, user, body.combat_state))

    async def get_combat(self, request: Request) -> Response:
        key = path_uuid(request, "character_id")
        user = user_header(request)
        return await self._reply(lambda store: store.combat(key, user))

    async def create_poi(self, request: Request) -> Response:
        body = await read_body(request, CreatePoi)
        key = path_uuid(request, "character_id")
        user = named_user(request)
        at = client_time("timestamp", body.timestamp, 422)
        return await self._reply(lambda store: store.create_poi(key, user, body, at), 201)

    async def list_pois(self, request: Request) -> Response:
        ask = read_query(request, PoiPageQuery)
        key = path_uuid(request, "character_id")
        user = user_header(request)
        return await self._reply(lambda store: store.poi_page(key, user, ask.limit, ask.cursor))

    async def random_pois(self, request: Request) -> Response:
        ask = read_query(request, PoiRandomQuery)
        key = path_uuid(request, "character_id")
        n = in_range("n", ask.n, 20)
        user = user_header(request)
        return await self._reply(lambda store: store.random_pois(key, user, n))

    async def poi_summary(self, request: Request) -> Response:
        ask = read_query(request, PoiSummaryQuery)
        key = path_uuid(request, "character_id")
        user = user_header(request)
        return await self._reply(lambda store: store.poi_summary(key, user, ask.preview_limit))

    async def update_poi(self, request: Request) -> Response:
        body = await read_body(request, UpdatePoi)
        key = path_uuid(request, "character_id")
        poi_id = path_uuid(request, "poi_id")
        user = named_user(request)
        return await self._reply(lambda store: store.update_poi(key, user, poi_id, body))

    async def delete_poi(self, request: Request) -> Response:
        require_user_header(request)
        key = path_uuid(request, "character_id")
        poi_id = path_uuid(request, "poi_id")
        user = named_user(request)
        await self._run(lambda store: store.delete_poi(key, user, poi_id))
        return Response(status_code=204)

    async def _reply(self, job: Callable[[Store], Json], status: int = 200) -> Response:
        # Encoded on the store's thread: a context of 100 long turns is megabytes of JSON.
        body = await self._run(lambda store: _encoded(job(store)))
        return Response(body, status, media_type="application/json")


def _encoded(body: Json) -> bytes:
    text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode()


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    about = {"message": error.message, "status_code": error.status}
    return _error(request, error.status, "http_error", about)


async def _schema_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, SchemaInvalid)
    about = {"message": "Request validation failed", "errors": error.errors}
    return _error(request, 422, "validation_error", about)


async def _router_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = HTTPStatus(error.status_code).phrase
    return JSONResponse({"detail": detail}, error.status_code, error.headers)


async def _internal_error(request: Request, error: Exception) -> Response:
    _log.error("journey-log request failed", exc_info=error)
    return _error(request, 500, "internal_error", {"message": "An internal error occurred"})


def _error(request: Request, status: int, kind: str, about: dict[str, Any]) -> Response:
    marked = request_id(request.scope)
    body = {"error": kind, **about, "request_id": marked}
    return JSONResponse(body, status, {"X-Request-ID": marked})
