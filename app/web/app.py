"""The ASGI application: routes and middleware."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.types import ASGIApp

from app.characters import routes as characters
from app.errors import DungeonMasterError
from app.operations import routes as operations
from app.settings import Settings
from app.turns import routes as turns
from app.web.auth import Anonymous, Authentication, Tokens
from app.web.middleware import CrossOrigin, Guard, HttpObserver, RequestContext
from app.web.openapi import asyncapi_document, openapi_document
from app.web.pages import page_routes
from app.web.problem import on_error, on_http_exception
from app.web.services import Services

Lifespan = Callable[[Starlette], AbstractAsyncContextManager[None]]


def create_app(
    settings: Settings,
    services: Services,
    lifespan: Lifespan,
    observe: HttpObserver,
    identity: Anonymous | Tokens,
    journey_log: ASGIApp | None = None,
) -> Starlette:
    """`journey_log`: the embedded one, where it may be reached from outside."""
    routes = [
        *turns.routes,
        *characters.routes,
        *operations.routes,
        *page_routes(openapi_document, asyncapi_document),
    ]
    if journey_log is not None:
        routes.append(Mount("/journey-log", journey_log))
    app = Starlette(
        routes=routes,
        # Inside of Starlette's own handler of the unexpected, whose answer would be plain text.
        middleware=[
            Middleware(RequestContext, observe=observe),
            *_cross_origin(settings),  # refusals of the others are for listed pages to read, too
            Middleware(Guard, hosts=settings.allowed_hosts, origins=settings.allowed_origins),
            Middleware(Authentication, identity=identity),
        ],
        exception_handlers={DungeonMasterError: on_error, HTTPException: on_http_exception},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.services = services
    return app


def _cross_origin(settings: Settings) -> list[Middleware]:
    """Pages of the listed origins may read the answers; they send tokens, never cookies."""
    if not settings.allowed_origins:
        return []
    return [
        Middleware(
            CrossOrigin,
            allow_origins=settings.allowed_origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=[
                "Authorization",
                "Content-Type",
                "Idempotency-Key",
                "Last-Event-ID",
                "X-Request-Id",
                "X-Trace-Id",
                "X-User-Id",
                "traceparent",
            ],
            expose_headers=[
                "Allow",
                "Link",
                "Location",
                "RateLimit",
                "RateLimit-Policy",
                "Retry-After",
                "WWW-Authenticate",
                "X-Character-Id",
                "X-RateLimit-Limit",
                "X-RateLimit-Remaining",
                "X-RateLimit-Reset",
                "X-Request-Id",
                "X-Turn-Id",
            ],
            max_age=600,
        )
    ]
