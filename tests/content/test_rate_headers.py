"""How much the limits leave, on every answer below `/api/v2`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from asking import CHARACTER, ask, scripted
from fakes.model import FakeModel
from passes import WITH_SECRET, token
from serving import Reply, Served

TEXT, THEME, VALIDATION, EVERYBODY = 3, 5, 4, 50
LIMITS = {
    "limit_text_per_minute": TEXT,
    "limit_theme_per_minute": THEME,
    "limit_validation_per_minute": VALIDATION,
    "limit_global_per_minute": EVERYBODY,
}
NOBODY = "00000000-0000-4000-8000-000000000000"
USED = (TEXT, 1)
ASKED: dict[str, tuple[str, str, Any, int, tuple[int, int]]] = {
    "a list": ("GET", "/content", None, 200, USED),
    "one that is not there": ("GET", f"/content/{NOBODY}", None, 404, USED),
    "no id": ("DELETE", "/content/x", None, 404, USED),
    "a bad limit": ("GET", "/content?limit=0", None, 400, USED),
    "an unknown address": ("GET", "/poems", None, 404, USED),
    "a wrong method": ("PUT", "/theme/analyze", {}, 405, (THEME, THEME)),
    "a bad body": ("POST", "/theme/analyze", {}, 422, (THEME, THEME)),
    "a bad body of another": ("POST", "/validation/content", {}, 422, (VALIDATION, VALIDATION)),
    "a bad batch": ("POST", "/batch", {"requests": []}, 422, USED),
    "a batch": ("POST", "/batch", {"requests": [{"path": "/x", "body": {}}]}, 200, USED),
    "a known answer": ("POST", "/text/character", CHARACTER, 200, USED),
}


def left(reply: Reply) -> tuple[int, int]:
    """Of the limits: how many there are, how many of them are left."""
    names = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
    limit, remaining, reset = (int(reply.header(name) or "-1") for name in names)
    assert reset > 1_000_000_000
    return limit, remaining


def test_every_answer_names_the_limits(serve: Callable[..., Served], model: FakeModel) -> None:
    service = serve(**LIMITS)
    for _ in range(2):
        scripted(model, {"content": "New."})
        made = ask(service, "/text/character", CHARACTER, Cache_Control="no-cache")
    assert left(made) == USED
    for name, (method, path, body, status, expected) in ASKED.items():
        reply = service.call(method, f"/api/v2{path}", body)
        assert (reply.status, left(reply)) == (status, expected), name
    content = f"/api/v2/content/{made.json()['content_id']}"
    for method, status in (("GET", 200), ("DELETE", 204), ("DELETE", 404)):
        reply = service.call(method, content)
        assert (reply.status, left(reply)) == (status, USED)
    other = service.call("GET", "/api/v2/content", X_User_Id="ben")
    assert left(other) == (TEXT, TEXT)
    assert service.call("GET", "/characters").header("x-ratelimit-limit") is None


@pytest.mark.parametrize(
    ("given", "status", "expected"),
    [
        (None, 401, (EVERYBODY, EVERYBODY)),
        ("turns", 403, (EVERYBODY, EVERYBODY)),
        ("content", 200, (TEXT, TEXT)),
    ],
)
def test_refused_caller_gets_the_headers_of_the_shared_limits(
    serve: Callable[..., Served], given: str | None, status: int, expected: tuple[int, int]
) -> None:
    service = serve(**LIMITS, **WITH_SECRET, limit_user_per_minute=0)
    headers = {} if given is None else {"Authorization": f"Bearer {token(scope=given)}"}
    reply = service.call("GET", "/api/v2/content", **headers)
    assert (reply.status, left(reply)) == (status, expected)
