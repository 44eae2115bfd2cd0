"""Pure ASGI middleware: nothing here may buffer a stream or hide a disconnect.

What has nothing to do behind the application is no coroutine but returns the application's: a coroutine
lives for as long as its stream.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import BadRequest, DungeonMasterError, Forbidden, InternalError
from app.web.problem import STATUS, refuse
from app.web.transports.later import LATER

log = structlog.get_logger("app.access")

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
MAX_HEAD_BYTES = 32 * 1024
_CHANGING = frozenset({"POST", "PUT", "DELETE", "PATCH"})
# Of two, another reader of the same request might believe the other one.
_ONCE = frozenset({b"host", b"origin", b"authorization", b"content-type", b"x-user-id"})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})

HYGIENE = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
# A shared cache may keep whatever has no such header.
DEFAULT_HEADERS = (*HYGIENE, ("Cache-Control", "no-store"))
"""Headers of every answer that does not set them itself."""
_DEFAULTS = [(name.lower().encode(), value.encode()) for name, value in DEFAULT_HEADERS]
_REQUEST_ID = b"x-request-id"

HttpObserver = Callable[[str, str, int, float], None]


def request_id_from(headers: Mapping[bytes, bytes]) -> str:
    """The caller's id when it has the strict form, else a new UUID."""
    for name in (b"x-request-id", b"x-trace-id"):
        value = headers.get(name, b"").decode("latin-1")
        if REQUEST_ID.fullmatch(value):
            return value
    return str(uuid.uuid4())


class RequestContext:
    """Gives each request its id, its access log line and, when all else fails, its error."""

    def __init__(self, app: ASGIApp, observe: HttpObserver) -> None:
        self._app = app
        self._observe = observe

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] not in ("http", "websocket"):
            return self._app(scope, receive, send)
        headers = dict(reversed(scope["headers"]))  # of two of a name, the first one counts
        state = scope.setdefault("state", {})
        state["request_id"] = request_id_from(headers)
        trace = headers.get(b"traceparent", b"").decode("latin-1")
        state["traceparent"] = trace if TRACEPARENT.fullmatch(trace) else None
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=state["request_id"])
        run = self._websocket if scope["type"] == "websocket" else self._http
        return run(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        try:
            await self._app(scope, receive, _Naming(scope["state"], send))
        finally:
            status = scope["state"].get(STATUS, 403)  # what closing before accepting means
            _log("websocket", scope, time.perf_counter() - began, status=status)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        scope["state"][LATER] = None
        try:
            await self._app(scope, receive, _Naming(scope["state"], send))
            stream = scope["state"].pop(LATER)
            if stream is not None:
                await stream
        except Exception as error:
            log.exception("request_failed_unexpectedly", error_type=type(error).__name__)
            if STATUS in scope["state"]:
                raise
            await refuse(InternalError(), scope, receive, _Naming(scope["state"], send))
        finally:
            self._report(scope, scope["state"].get(STATUS, 0), time.perf_counter() - began)

    def _report(self, scope: Scope, status: int, seconds: float) -> None:
        """The route's template, not the path, is what metrics may count by; no query is logged."""
        route = getattr(scope.get("route"), "path", "other")
        self._observe(scope["method"], route, status, seconds)
        _log("request", scope, seconds, method=scope["method"], status=status)


_HEADS = ("http.response.start", "websocket.accept", "websocket.http.response.start")


class _Naming:
    """`send`, which gives the head of an answer what every answer has, and keeps its status."""

    __slots__ = ("_send", "_state")

    def __init__(self, state: dict[str, Any], send: Send) -> None:
        self._state = state
        self._send = send

    def __call__(self, message: Message) -> Awaitable[None]:
        if message["type"] in _HEADS:
            self._state[STATUS] = message.get("status", 101)
            _name(message, self._state["request_id"])
        return self._send(message)


def _log(event: str, scope: Scope, seconds: float, **fields: object) -> None:
    log.info(event, path=scope["path"], duration_ms=round(seconds * 1000, 1), **fields)


def _name(message: Message, request_id: str) -> None:
    own = [pair for pair in message.get("headers", ()) if pair[0].lower() != _REQUEST_ID]
    there = {name.lower() for name, _ in own}
    own.append((_REQUEST_ID, request_id.encode("latin-1")))
    message["headers"] = own + [pair for pair in _DEFAULTS if pair[0] not in there]


class Guard:
    """A local server must not be open to any web page: Host and Origin are checked.

    `hosts` and `origins` are what the settings allow; "*" allows any. `any_host`: paths that health
    checkers ask for, with an address or nothing at all in Host.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: Collection[str],
        origins: Collection[str],
        any_host: Collection[str] = (),
    ) -> None:
        self._app = app
        self._any_host = frozenset(any_host)
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(origin.lower().rstrip("/") for origin in origins)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] in ("http", "websocket"):
            refusal = self._refusal(scope, Headers(scope=scope))
            if refusal is not None:
                raise refusal
        return self._app(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> DungeonMasterError | None:
        if (wrong := _head_fault(scope)) is not None:
            return BadRequest(wrong)
        host = headers.get("host", "").lower()
        if not self._serves(host) and scope["path"] not in self._any_host:
            return BadRequest(
                "The Host header names a host that is not served here; ALLOWED_HOSTS lists those "
                "that are."
            )
        changing = scope["type"] == "websocket" or scope["method"] in _CHANGING
        origin = headers.get("origin")
        if changing and origin is not None and not self._allows(origin.lower(), host):
            return Forbidden(_foreign(origin.lower(), host))
        return None

    def _serves(self, host: str) -> bool:
        return "*" in self._hosts or _host_name(host) in self._hosts

    def _allows(self, origin: str, host: str) -> bool:
        return "*" in self._origins or origin in self._origins or _same_site(origin, host)


class JSONBodies:
    """Only JSON is taken as a body, which a page of another origin cannot send unasked. Whoever has to
    authenticate is told of that first."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http" and scope["method"] in _CHANGING:
            headers = Headers(scope=scope)
            if _has_body(headers) and not _is_json(headers):
                raise BadRequest("Content-Type: a body must be application/json.")
        return self._app(scope, receive, send)


def _head_fault(scope: Scope) -> str | None:
    size, once = len(scope["raw_path"]) + len(scope["query_string"]), set()
    for name, value in scope["headers"]:
        size += len(name) + len(value)
        if name in _ONCE:
            if name in once:
                return f"The header {name.decode('ascii').title()} was sent more than once."
            once.add(name)
    return "The head of the request is too large." if size > MAX_HEAD_BYTES else None


def _same_site(origin: str, host: str) -> bool:
    """Whether a page of this origin came from this host, under any name of loopback."""
    try:
        netloc = urlsplit(origin).netloc
    except ValueError:  # brackets that are no IPv6 address
        return False
    names = {_host_name(netloc), _host_name(host)}
    return netloc == host != "" or (names <= _LOOPBACK and _port(netloc) == _port(host))


def _foreign(origin: str, host: str) -> str:
    message = "The Origin header names a site that may not use this service"
    if not _port(host) and _host_name(host) == _host_name(origin.partition("://")[2]):
        return (
            f"{message}: its port is not that of the Host header, as when a proxy drops the port. Let "
            "the proxy send the Host header as it came (nginx: $http_host), or name the origin in "
            "ALLOWED_ORIGINS."
        )
    return f"{message}; ALLOWED_ORIGINS lists those that may."


def _host_name(host: str) -> str:
    """Without the port; an IPv6 address keeps its brackets."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def _port(host: str) -> str:
    return host.removeprefix(_host_name(host))


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def _is_json(headers: Headers) -> bool:
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    return media == "application/json" or (
        media.startswith("application/") and media.endswith("+json")
    )


class CrossOrigin(CORSMiddleware):
    """Starlette's own refuses in plain text."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            headers = Headers(scope=scope)
            if "origin" in headers and "access-control-request-method" in headers:
                answer = self.preflight_response(request_headers=headers)
                if answer.status_code >= 400:
                    await refuse(BadRequest(_PREFLIGHT), scope, receive, send)
                else:
                    await answer(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


_PREFLIGHT = "Pages of this origin may not send such requests."
