"""Addresses without parameters lead where they would lead one by one."""

from __future__ import annotations

import pytest
from app.web.literals import LiteralRoutes
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route, Router, WebSocketRoute
from starlette.testclient import TestClient


def route(name: str, path: str, *methods: str) -> Route:
    async def endpoint(request: Request) -> Response:
        return PlainTextResponse(f"{name} {request.scope['route'].path} {request.path_params}")

    return Route(path, endpoint, methods=list(methods) or ["GET"])


ROUTES: list[BaseRoute] = [
    route("first", "/a"),
    route("never", "/a"),
    route("any", "/b/{x}"),
    route("shadowed", "/b/c"),
    route("posted", "/d", "POST"),
    WebSocketRoute("/e", lambda _: None),
    route("upgrade", "/e"),
    Mount("/m", Router([route("mounted", "/a")])),
    route("behind", "/m/b"),
]


@pytest.mark.parametrize("path", ["/a", "/b/c", "/b/d", "/d", "/e", "/m/a", "/m/b", "/f", "/a/"])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_they_lead_where_they_would(path: str, method: str) -> None:
    plain, quick = (
        TestClient(Router(routes, redirect_slashes=False)).request(method, path)
        for routes in (ROUTES, [LiteralRoutes(ROUTES), *ROUTES])
    )
    assert (quick.status_code, quick.text) == (plain.status_code, plain.text)
    assert quick.headers.get("allow") == plain.headers.get("allow")
