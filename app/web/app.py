"""The ASGI application: routes and middleware."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from app.errors import NotFound
from app.settings import ServerSettings
from app.web.answer_headers import AnswerHeaders, WithHeaders
from app.web.auth import Anonymous, Authentication, Tokens
from app.web.middleware import CrossOrigin, Guard, HttpObserver, JSONBodies, RequestContext
from app.web.openapi import Documents
from app.web.parameters import headers_of
from app.web.problem import Refusals
from app.web.routing import Access, Operation, routes_of
from app.web.services import Services

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]


def create_app(
    settings: ServerSettings,
    services: Services,
    lifespan: Lifespan,
    observe: HttpObserver,
    identity: Anonymous | Tokens,
    operations: Sequence[Operation],
    headers: Sequence[AnswerHeaders] = (),
) -> Starlette:
    """The application that serves `operations`; their endpoints find `services` by type."""
    app = _Application(
        routes=routes_of(operations),
        middleware=[
            Middleware(WithHeaders, headers=headers),
            Middleware(RequestContext, observe=observe),
            # refusals are for listed pages to read, too
            *_cross_origin(settings, operations),
            Middleware(Refusals),
            Middleware(
                Guard,
                hosts=settings.allowed_hosts,
                origins=settings.allowed_origins,
                any_host={one.path for one in operations if one.any_host},
            ),
            Middleware(Authentication, identity=identity, access=Access(operations)),
            Middleware(JSONBodies),
        ],
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.router.default = _nowhere
    app.state.services = services
    app.state.documents = Documents(operations)
    return app


async def _nowhere(_: Scope, __: Receive, ___: Send) -> None:
    """Starlette's own refuses a WebSocket with an empty 403."""
    raise NotFound


class _Application(Starlette):
    """Without Starlette's own middleware around and within the given one: `RequestContext` answers what is
    unexpected, `Refusals` answers errors, and both of Starlette's would be open for as long as a stream."""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:  # type: ignore[override]
        """As Starlette's, but no coroutine that is open for as long as a stream."""
        scope["app"] = self
        if self.middleware_stack is None:
            self.middleware_stack = self.build_middleware_stack()
        return self.middleware_stack(scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        app: ASGIApp = self.router
        for kind, args, kwargs in reversed(self.user_middleware):
            app = kind(app, *args, **kwargs)
        return app


def _cross_origin(settings: ServerSettings, operations: Sequence[Operation]) -> list[Middleware]:
    """Pages of the listed origins may read the answers; they send tokens, never cookies."""
    if not settings.allowed_origins:
        return []
    return [
        Middleware(
            CrossOrigin,
            allow_origins=settings.allowed_origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["*"],  # client libraries add headers of their own to a request
            expose_headers=sorted(one.name for one in headers_of(operations)),
            max_age=600,
        )
    ]
