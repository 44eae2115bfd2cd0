"""The HTTP routes and the four error bodies.

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

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from .errors import Refused, SchemaInvalid
from .request_id import RequestIdMiddleware, request_id
from .requests import (
    named_user,
    path_uuids,
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
from .store import Store
from .views import Json

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
Handler = Callable[[Request], Awaitable[Response]]

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
    """Each handler makes its checks in the order of the contract."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def routes(self) -> list[Route]:
        one = "/characters/{character_id}"
        poi = f"{one}/pois/{{poi_id}}"
        return [
            _route("GET", "/health", self.health),
            _route("GET", "/info", self.info),
            _route("GET", "/characters", self.list_characters),
            _route("POST", "/characters", self.create_character),
            _route("GET", one, self._get(Store.character)),
            _route("GET", f"{one}/context", self._query(ContextQuery, Store.context)),
            _route("POST", f"{one}/narrative", self._write(AppendTurn, Store.append_turn, 201)),
            _route("GET", f"{one}/narrative", self._query(NarrativeQuery, Store.narrative)),
            _route("PUT", f"{one}/quest", self._write(Quest, Store.put_quest)),
            _route("GET", f"{one}/quest", self._get(Store.quest)),
            _route("DELETE", f"{one}/quest", self._delete(Store.delete_quest)),
            _route("PUT", f"{one}/combat", self._write(PutCombat, Store.put_combat)),
            _route("GET", f"{one}/combat", self._get(Store.combat)),
            _route("POST", f"{one}/pois", self._write(CreatePoi, Store.create_poi, 201)),
            _route("GET", f"{one}/pois", self._query(PoiPageQuery, Store.poi_page)),
            _route("GET", f"{one}/pois/random", self._query(PoiRandomQuery, Store.random_pois)),
            _route("GET", f"{one}/pois/summary", self._query(PoiSummaryQuery, Store.poi_summary)),
            _route("PUT", poi, self._write(UpdatePoi, Store.update_poi)),
            _route("DELETE", poi, self._delete(Store.delete_poi)),
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
        query = read_query(request, ListQuery, user_required=True)
        user = named_user(request)
        return await self._reply(lambda store: store.characters(user, query))

    def _get(self, operation: Callable[[Store, str, str | None], Json]) -> Handler:
        async def handle(request: Request) -> Response:
            (key,) = path_uuids(request)
            user = user_header(request)
            return await self._reply(lambda store: operation(store, key, user))

        return handle

    def _query(
        self, model: type[M], operation: Callable[[Store, str, str | None, M], Json]
    ) -> Handler:
        async def handle(request: Request) -> Response:
            query = read_query(request, model)
            (key,) = path_uuids(request)
            user = user_header(request)
            return await self._reply(lambda store: operation(store, key, user, query))

        return handle

    def _write(self, model: type[M], operation: Callable[..., Json], status: int = 200) -> Handler:
        """`operation` takes the store, the ids of the path, the user and the body."""

        async def handle(request: Request) -> Response:
            body = await read_body(request, model)
            ids = path_uuids(request)
            user = named_user(request)
            return await self._reply(lambda store: operation(store, *ids, user, body), status)

        return handle

    def _delete(self, operation: Callable[..., None]) -> Handler:
        """`operation` takes the store, the ids of the path and the user."""

        async def handle(request: Request) -> Response:
            require_user_header(request)
            ids = path_uuids(request)
            user = named_user(request)
            await self._run(lambda store: operation(store, *ids, user))
            return Response(status_code=204, media_type="application/json")

        return handle

    async def _reply(self, job: Callable[[Store], Json], status: int = 200) -> Response:
        # Encoded on the store's thread: a context of 100 long turns is megabytes of JSON.
        body = await self._run(lambda store: _encoded(job(store)))
        return Response(body, status, media_type="application/json")


def _route(method: str, path: str, handler: Handler) -> Route:
    """A route of one method: 405 names that of the first route of a path, and HEAD is none."""
    route = Route(path, handler, methods=[method])
    route.methods = {method}
    return route


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
    own_id = request_id(request.scope)
    body = {"error": kind, **about, "request_id": own_id}
    return JSONResponse(body, status, {"X-Request-ID": own_id})
