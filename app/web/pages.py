"""The play page, the offline API reader, their files and the API descriptions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

STATIC = Path(__file__).parent / "static"

PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def _page(name: str) -> Callable[[Request], Response]:
    def page(_: Request) -> Response:
        return FileResponse(STATIC / name, headers=PAGE_HEADERS)

    return page


def _document(document: Callable[[], dict[str, Any]]) -> Callable[[Request], Response]:
    def described(_: Request) -> Response:
        return JSONResponse(document())

    return described


def page_routes(
    openapi: Callable[[], dict[str, Any]], asyncapi: Callable[[], dict[str, Any]]
) -> list[BaseRoute]:
    return [
        Route("/", _page("index.html"), methods=["GET"]),
        Route("/docs", _page("docs.html"), methods=["GET"]),
        Route("/openapi.json", _document(openapi), methods=["GET"]),
        Route("/asyncapi.json", _document(asyncapi), methods=["GET"]),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
