"""Operations become routes, scope checks and descriptions."""

from __future__ import annotations

from typing import Any

import pytest
from app.errors import TurnNotFound
from app.web.openapi import Documents
from app.web.problem import Refusals
from app.web.routing import Access, Answer, Operation, Tag, enabled_if, routes_of
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send
from typing_extensions import TypedDict

TOYS = Tag("Toys", "For tests.")


class Toy(TypedDict):
    """A toy."""

    name: str


async def echo(request: Request) -> Response:
    return PlainTextResponse(f"{request.method} {request.path_params}")


def operation(method: Any, path: str, scope: str | None = "toys", **more: Any) -> Operation:
    name = f"{method.lower()}{path.title().replace('/', '')}"
    return Operation(
        method=method, path=path, endpoint=echo, scope=scope, tag=TOYS, name=name,
        summary="A toy", **more,
    )  # fmt: skip


OPERATIONS = (
    operation("GET", "/toys"),
    operation("POST", "/toys", "makers"),
    operation("GET", "/toys/{toy_id}"),
    operation("GET", "/toys/newest", "admin"),
    operation("GET", "/open", None),
    *enabled_if(False, [operation("POST", "/secret", "admin")]),
)


def scope_of(path: str, method: str = "GET") -> str | None:
    found = Access(OPERATIONS).operation(path, method)
    assert found is not None
    return found.scope


def client() -> TestClient:
    app = Starlette(routes=routes_of(OPERATIONS), middleware=[Middleware(Refusals)])

    async def identified(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {"request_id": "r"}
        await app(scope, receive, send)

    return TestClient(identified)


@pytest.mark.parametrize(
    ("path", "method", "scope"),
    [
        ("/toys", "GET", "toys"),
        ("/toys", "HEAD", "toys"),
        ("/toys", "POST", "makers"),
        ("/toys", "DELETE", "toys"),  # no such method: any operation of the path decides
        ("/toys/7", "GET", "toys"),
        ("/toys\n", "POST", "makers"),  # the router takes it for /toys
        ("/open", "GET", None),
    ],
)
def test_a_path_needs_the_scope_of_its_operation(path: str, method: str, scope: str | None) -> None:
    assert scope_of(path, method) == scope


def test_the_operation_that_the_router_serves_decides_about_the_scope() -> None:
    assert client().get("/toys/newest").text == "GET {'toy_id': 'newest'}"
    assert scope_of("/toys/newest") == "toys"


@pytest.mark.parametrize("path", ["/", "/toys/", "/toys/7/8", "/opened", "/OPEN"])
def test_an_unknown_path_has_no_operation(path: str) -> None:
    assert Access(OPERATIONS).operation(path, "GET") is None


def test_a_wrong_method_is_answered_with_every_method_of_the_path() -> None:
    answer = client().delete("/toys")
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}


def test_each_method_of_a_path_reaches_its_own_operation() -> None:
    served = client()
    assert served.get("/toys").text == "GET {}"
    assert served.post("/toys").text == "POST {}"
    assert served.head("/toys").status_code == 200


def test_an_operation_that_is_not_enabled_is_not_found() -> None:
    assert client().post("/secret").status_code == 404


def test_any_operations_can_be_described() -> None:
    described = operation(
        "GET", "/toys", answers=(Answer(200, "A toy.", json=Toy),), errors=(TurnNotFound,)
    )
    document = Documents([described, operation("GET", "/hidden", described=False)]).openapi
    assert document["tags"] == [{"name": "Toys", "description": "For tests."}]
    assert list(document["paths"]) == ["/toys"]
    responses = document["paths"]["/toys"]["get"]["responses"]
    assert list(responses) == ["200", "400", "401", "403", "404", "405", "500", "503"]
    assert responses["200"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/Toy"
    }
    assert document["components"]["schemas"]["Toy"]["description"] == "A toy."
