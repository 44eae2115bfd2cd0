"""The play page, the offline API reader, their files and the API descriptions."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

from app.errors import NotFound
from app.feature import Feature, FeatureSpec, Platform
from app.web.routing import Answer, HttpEndpoint, Operation, Parameter, Tag

STATIC = Path(__file__).parent / "static"

PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class _Files(StaticFiles):
    """Files that a browser keeps and asks about each time."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = PAGE_HEADERS["Cache-Control"]
        if str(args[0]).endswith(".ts"):  # systems take it for other things
            response.headers["Content-Type"] = "text/plain; charset=utf-8"
        return response


def _page(name: str) -> HttpEndpoint:
    async def page(_: Request) -> Response:
        return FileResponse(STATIC / name, headers=PAGE_HEADERS)

    return page


async def _openapi(request: Request) -> Response:
    return JSONResponse(request.app.state.documents.openapi)


async def _asyncapi(request: Request) -> Response:
    return JSONResponse(request.app.state.documents.asyncapi)


PAGES: Final = Tag("Pages", "The play page, this reference and their files.")


def _file(path: str, endpoint: HttpEndpoint, name: str, summary: str, media: str) -> Operation:
    return Operation(
        method="GET",
        path=path,
        endpoint=endpoint,
        scope=None,
        tag=PAGES,
        name=name,
        summary=summary,
        answers=(Answer(200, f"{summary}.", media={media: {}}),),
    )


OPERATIONS: Final = (
    _file("/", _page("index.html"), "getPlayPage", "The play page", "text/html"),
    _file("/docs", _page("docs.html"), "getReference", "This reference", "text/html"),
    _file("/openapi.json", _openapi, "getOpenApi", "This API as OpenAPI", "application/json"),
    _file(
        "/asyncapi.json", _asyncapi, "getAsyncApi", "The WebSocket as AsyncAPI", "application/json"
    ),
    Operation(
        method="MOUNT",
        path="/static/{path}",
        endpoint=_Files(directory=STATIC),
        scope=None,
        tag=PAGES,
        name="getStaticFile",
        summary="A file of the pages",
        parameters=(Parameter("path", "path", "The file.", example="play.js"),),
        answers=(
            Answer(200, "A file of the pages.", media={"*/*": {}}),
            Answer(304, "It has not changed since the time or tag that was sent."),
        ),
        errors=(NotFound,),
    ),
)


def wire(_: Platform) -> Feature:
    """Files only."""
    return Feature(operations=OPERATIONS)


FEATURE: Final = FeatureSpec("pages", wire)
