"""The pages: complete, offline, and closed to everything that is not theirs."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from app.web.pages import STATIC

from serving import Served, refused

FILES = sorted(path.name for path in STATIC.iterdir())
TYPES = {
    ".ts": "text/plain; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Names of things, not addresses that are fetched.
NAMES = ("http://www.w3.org/2000/svg", "https://example.org/")


@pytest.mark.parametrize(("path", "title"), [("/", "Dungeon Master"), ("/docs", "API")])
def test_page_is_html_that_loads_only_its_own_files(service: Served, path: str, title: str) -> None:
    reply = service.call("GET", path)
    assert reply.status == 200
    assert reply.header("content-type") == TYPES[".html"]
    policy = reply.header("content-security-policy") or ""
    assert policy.startswith("default-src 'self';")
    for part in (
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ):
        assert part in policy
    assert "unsafe" not in policy
    assert re.search(rf"<title>[^<]*{title}", reply.body.decode())


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_holds_no_script_or_style_that_its_policy_forbids(
    service: Served, path: str
) -> None:
    html = service.call("GET", path).body.decode()
    assert re.search(r"<script(?![^>]*\bsrc=)", html) is None
    assert "<style" not in html
    assert re.search(r"\s(on\w+|style)=", html) is None


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_served_by_its_type(lasting: Served, name: str) -> None:
    reply = lasting.call("GET", f"/static/{name}")
    assert reply.status == 200
    assert reply.header("content-type") == TYPES[f".{name.rpartition('.')[2]}"]
    assert reply.body == (STATIC / name).read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_no_file_names_an_address_elsewhere(name: str) -> None:
    text = (STATIC / name).read_text("utf-8")
    for known in NAMES:
        text = text.replace(known, "")
    assert re.findall(r"(?:https?:|wss?:)?//[a-z0-9-]+\.[a-z]{2,}", text) == []


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_every_file_that_a_page_needs_is_there(service: Served, path: str) -> None:
    waiting, seen = [path], set()
    while waiting:
        page = waiting.pop()
        text = service.call("GET", page).body.decode()
        found = re.findall(r'(?:src|href)="(/static/[^"]+)"', text)
        found += [f"/static/{name}" for name in re.findall(r'from "\./([^"]+)"', text)]
        waiting += [one for one in found if one not in seen]
        seen.update(found)
    assert len(seen) > 3
    assert {one for one in seen if service.call("GET", one).status != 200} == set()


def test_a_file_that_was_seen_is_not_sent_again(service: Served) -> None:
    tag = service.call("GET", "/static/play.js").header("etag") or ""
    again = service.call("GET", "/static/play.js", If_None_Match=tag)
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/static/",
        "/static/../app.py",
        "/static/..%2fapp.py",
        "/static/%2e%2e/app.py",
        "/static//etc/passwd",
    ],
)
def test_nothing_outside_of_the_files_can_be_reached(service: Served, path: str) -> None:
    refused(service.call("GET", path), 404, "not_found")


def test_the_embedded_journey_log_is_mounted_beside_a_remote_one_never(service: Served) -> None:
    refused(service.call("GET", "/journey-log/health"), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "user", "status"),
    [
        ("GET", "characters", "", 400),
        ("GET", "characters/not-a-uuid", "", 422),
        ("GET", "characters", "u" * 200, 200),
        ("GET", "characters/0a3ccf2c-6a5e-4d0c-9f4e-2f1f6b8f7a11", "", 404),
    ],
)
def test_the_mounted_journey_log_judges_its_callers_by_its_own_contract(
    serve: Callable[..., Served], method: str, path: str, user: str, status: int
) -> None:
    service = serve(journey_log_base_url=None)
    answer = service.call(method, f"/journey-log/{path}", X_User_Id=user)
    assert answer.status == status
    if status != 200:
        assert answer.json()["error"] == "http_error"
        assert answer.json()["status_code"] == status
