"""Operations: one declaration from which routes, scope checks and API descriptions are derived.

A feature lists its operations. `routes_of` makes the Starlette routes of them, `Access` says which
scope a path needs, and `app.web.openapi` describes them.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, cast

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Mount, Route, WebSocketRoute, compile_path
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from app.errors import DungeonMasterError, NotFound, UpgradeRequired
from app.web.literals import LiteralRoutes, first_match

Json: TypeAlias = dict[str, Any]
Method = Literal["GET", "POST", "PUT", "DELETE", "WEBSOCKET", "MOUNT"]
HttpEndpoint: TypeAlias = Callable[[Request], Awaitable[Response]]
SocketEndpoint: TypeAlias = Callable[[WebSocket], Awaitable[None]]

TEXT: Json = {"type": "string"}


@dataclass(frozen=True, slots=True)
class Tag:
    """A heading of the OpenAPI document."""

    name: str
    about: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """`component`: name under `components.parameters`, for a parameter of many operations."""

    name: str
    place: Literal["path", "query", "header"]
    about: str
    schema: Json = field(default_factory=lambda: TEXT)
    example: str | None = None
    component: str | None = None


@dataclass(frozen=True, slots=True)
class Header:
    """A header of an answer. Pages of allowed origins may read it."""

    name: str
    about: str
    schema: Json = field(default_factory=lambda: TEXT)
    example: str | None = None


@dataclass(frozen=True, slots=True)
class Body:
    """The JSON body of a request."""

    type: type[BaseModel]
    example: Json
    required: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful answer. `json` is the type of a JSON body, `events` that of each event of a
    stream, unless `foreign` says what they are in another protocol; `media` maps further content types
    to their schemas."""

    status: int
    about: str
    json: Any = None
    events: Any = None
    foreign: str | None = None
    media: Mapping[str, Json] = field(default_factory=dict)
    headers: tuple[Header, ...] = ()
    example: Json | str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A message that a client may send over a WebSocket."""

    type: type[BaseModel]
    title: str
    example: Json


@dataclass(frozen=True, slots=True)
class Channel:
    """A WebSocket or an event stream in the AsyncAPI document.

    `sends` and `receives` name the AsyncAPI operations and say what they are, from the server's
    point of view; `events` is the union of the events that are sent.
    """

    name: str
    title: str
    events: Any
    sends: tuple[str, str]
    receives: tuple[str, str] | None = None
    messages: tuple[Message, ...] = ()
    about: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path.

    `name` is the operation id. Without a `scope` the operation is open to everybody; `also` are scopes
    that open it too, for what belongs to them (see `Resource.scope`). An operation
    that is not `enabled` answers 404 to everybody who is authenticated. `errors` lists what the
    operation itself raises; the errors of its method, body and scope are added. One that is not
    `described` is left out of the documents. With `any_host` its Host header is not checked. A MOUNT
    has an ASGI application as its endpoint.
    """

    method: Method
    path: str
    endpoint: HttpEndpoint | SocketEndpoint | ASGIApp
    scope: str | None
    tag: Tag
    name: str
    summary: str
    about: str | None = None
    parameters: tuple[Parameter, ...] = ()
    request: Body | None = None
    answers: tuple[Answer, ...] = ()
    errors: tuple[type[DungeonMasterError], ...] = ()
    channel: Channel | None = None
    enabled: bool = True
    described: bool = True
    any_host: bool = False
    also: tuple[str, ...] = ()

    @property
    def scopes(self) -> tuple[str, ...]:
        """A token needs one of them; none: the operation is open."""
        return () if self.scope is None else (self.scope, *self.also)


def enabled_if(enabled: bool, operations: Iterable[Operation]) -> tuple[Operation, ...]:
    """The same operations, served only if `enabled`."""
    return tuple(replace(operation, enabled=enabled) for operation in operations)


# -- routes ---------------------------------------------------------------------------------------


def routes_of(operations: Iterable[Operation]) -> list[BaseRoute]:
    """One route per path, so that a 405 names every method of the path in `Allow`."""
    by_path: dict[tuple[str, bool], list[Operation]] = {}
    for one in operations:
        by_path.setdefault((one.path, one.method in ("WEBSOCKET", "MOUNT")), []).append(one)
    routes = [_route(path, group) for (path, _), group in by_path.items()]
    sockets = [path for path, group in by_path.items() if group[0].method == "WEBSOCKET"]
    upgrades = [
        Route(path, Endpoint({"GET": _no_upgrade}), methods=["GET"], include_in_schema=False)
        for path, _ in sockets
    ]
    every = [*routes, *upgrades]
    return [LiteralRoutes(every), *every]


def _route(path: str, group: Sequence[Operation]) -> BaseRoute:
    first = group[0]
    if first.method == "WEBSOCKET":
        return WebSocketRoute(path, first.endpoint)
    if first.method == "MOUNT":
        return _HttpMount(path.removesuffix("/{path}"), cast(ASGIApp, first.endpoint))
    methods: dict[str, HttpEndpoint] = {one.method: _http_endpoint(one) for one in group}
    return Route(path, Endpoint(methods), methods=list(methods), include_in_schema=first.described)


class _HttpMount(Mount):
    """No WebSocket's address: what is mounted would refuse one with an empty 403."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return super().matches(scope) if scope["type"] == "http" else (Match.NONE, {})


def _http_endpoint(operation: Operation) -> HttpEndpoint:
    return cast(HttpEndpoint, operation.endpoint) if operation.enabled else _absent


class Endpoint:
    """Functions from request to response, by method, as an ASGI application.

    Starlette's own form answers errors, too, in calls that are all open for as long as a stream is; the
    application around the routes does that for all of them.
    """

    def __init__(self, methods: Mapping[str, HttpEndpoint]) -> None:
        self._methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        respond = self._methods[method]
        await (await respond(Request(scope, receive, send)))(scope, receive, send)


async def _no_upgrade(_: Request) -> Response:
    raise UpgradeRequired


async def _absent(_: Request) -> Response:
    raise NotFound


# -- access ---------------------------------------------------------------------------------------


class Access:
    """Which operation a path leads to, by the rules and in the order of the router.

    The router's own patterns are used: a path that the router takes for an operation must never be
    taken for another one here.
    """

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._groups: list[tuple[re.Pattern[str], dict[str, Operation]]] = []
        by_path: dict[str, dict[str, Operation]] = {}
        for one in operations:
            by_path.setdefault(one.path, {}).setdefault(one.method, one)
        for path, methods in by_path.items():
            mount = "MOUNT" in methods
            pattern = compile_path(path.replace("{path}", "{path:path}") if mount else path)[0]
            self._groups.append((pattern, methods))
        # Most requests are for paths without parameters: their answers are looked up once.
        patterns = tuple(pattern.pattern for pattern, _ in self._groups)
        self._literal = {
            path: self._groups[number][1]
            for path in by_path
            if "{" not in path and (number := first_match(patterns, path)) is not None
        }

    def operation(self, path: str, method: str) -> Operation | None:
        """None for an unknown path; for a method that the path does not take, any of its own."""
        methods = self._literal.get(path) or self._search(path)
        if methods is None:
            return None
        found = methods.get("GET" if method == "HEAD" else method)
        return found or next(iter(methods.values()))

    def _search(self, path: str) -> dict[str, Operation] | None:
        return next((methods for pattern, methods in self._groups if pattern.match(path)), None)
