"""What journey-log's statuses mean. respx answers beneath httpx's own transport."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx
import pytest
import respx
from app.adapters.journey_log.client import JourneyLogClient
from app.adapters.journey_log.exchanges import HttpxExchange
from app.core.writes import PlannedWrite
from app.errors import (
    CharacterExists,
    CharacterNotFound,
    DungeonMasterError,
    Forbidden,
    JourneyLogError,
    Upstream,
    ValidationError,
)
from app.ports.call import CallMeta
from app.ports.journey_log import WriteResult
from app.retrying import Backoff
from structlog.testing import capture_logs

Result = TypeVar("Result")
Json = dict[str, Any]
HERO = "5f0c2f2e-7a43-4f43-9a0e-0f7f4d7f7c11"
META = CallMeta("request-1")
QUEST = {"name": "The Bell", "description": "Ring it."}
TURN = {"turn_id": "t", "player_action": "go", "gm_response": "It rings."}
LOGIN = b"<html><form>Sign in</form></html>"


def own(status: int, message: str = "no") -> Json:
    """The error body of a rule."""
    return {"error": "http_error", "message": message, "status_code": status, "request_id": "r"}


SCHEMA = {"error": "validation_error", "message": "no", "errors": [], "request_id": "r"}
ROW = {"loc": ["body", "name"], "msg": "Field required", "type": "missing"}


def calling(work: Callable[[JourneyLogClient], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        quick = Backoff(max_retries=1, delay_base=0.001, delay_max=0.001)
        exchange = HttpxExchange(httpx.AsyncHTTPTransport(), "http://journey-log")
        client = JourneyLogClient(exchange, reads=quick)
        try:
            return await work(client)
        finally:
            await client.aclose()

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("status", "body", "meaning", "asked"),
    [
        (404, own(404), CharacterNotFound, 1),
        (404, {"detail": "Character not found"}, CharacterNotFound, 1),
        (404, {"detail": "Not Found"}, JourneyLogError, 1),
        (404, {"detail": "Not found."}, JourneyLogError, 1),
        (404, own(403), JourneyLogError, 1),
        (403, own(403), Forbidden, 1),
        (403, {"error": "http_error"}, JourneyLogError, 1),
        (403, {"detail": "Not allowed"}, JourneyLogError, 1),
        (401, own(401), JourneyLogError, 1),
        (500, {}, JourneyLogError, 2),
        (429, {}, JourneyLogError, 2),
        (200, {"nonsense": True}, JourneyLogError, 1),
    ],
)
def test_a_context_that_is_none(
    status: int, body: dict[str, Any], meaning: type[DungeonMasterError], asked: int
) -> None:
    with respx.mock(base_url="http://journey-log") as journey_log:
        route = journey_log.get(f"/characters/{HERO}/context").respond(status, json=body)
        with pytest.raises(meaning):
            calling(lambda client: client.context("ayla", HERO, META))
    assert route.call_count == asked


@pytest.mark.parametrize(
    ("status", "content", "hint"),
    [
        (401, LOGIN, "credentials"),
        (403, LOGIN, "credentials"),
        (404, LOGIN, "something else answers"),
        (405, LOGIN, "something else answers"),
        (200, LOGIN, "something else answers"),
        (302, b"", "final address"),
    ],
)
def test_what_answers_in_its_place_is_named_with_the_setting_that_mends_it(
    status: int, content: bytes, hint: str
) -> None:
    with respx.mock(base_url="http://journey-log") as journey_log:
        route = journey_log.get(f"/characters/{HERO}/context")
        route.respond(status, content=content, headers={"Content-Type": "text/html"})
        with pytest.raises(JourneyLogError) as caught, capture_logs() as logged:
            calling(lambda client: client.context("ayla", HERO, META))
    upstream = caught.value.upstream
    assert upstream is not None
    assert upstream.hint is not None
    assert upstream.status == status
    assert hint in upstream.hint[0].lower() + upstream.hint[1:]
    assert "JOURNEY_LOG_BASE_URL" in upstream.hint
    (line,) = [one for one in logged if one["event"] == "journey_log_refused"]
    assert (line["operation"], line["status"]) == ("context", status)
    assert line["complaint"] == ""


@pytest.mark.parametrize(
    ("status", "recoverable", "words"),
    [(500, True, ""), (429, True, ""), (409, False, "no such rule")],
)
def test_its_answer_has_its_status_and_the_words_of_a_refusal_are_in_the_log(
    status: int, recoverable: bool, words: str
) -> None:
    with respx.mock(base_url="http://journey-log") as journey_log:
        route = journey_log.get(f"/characters/{HERO}/context")
        route.respond(status, json=own(status, "no such rule"))
        with pytest.raises(JourneyLogError) as caught, capture_logs() as logged:
            calling(lambda client: client.context("ayla", HERO, META))
    assert caught.value.message == f"journey-log answered {status}."
    assert caught.value.upstream == Upstream(status)
    assert caught.value.recoverable is recoverable
    (line,) = [one for one in logged if one["event"] == "journey_log_refused"]
    assert line["complaint"] == words


def test_the_words_of_a_refused_write_are_in_the_log() -> None:
    with capture_logs() as logged:
        assert fate("quest", status_code=422, json=own(422, "no such field")).outcome == "refused"
    (line,) = logged
    assert (line["operation"], line["complaint"]) == ("put_quest", "no such field")


def test_what_another_server_says_is_not_in_the_log() -> None:
    """It may repeat the story of a player."""
    with capture_logs() as logged:
        assert fate("narrative", status_code=502, text="cannot take: go").outcome == "unknown"
    (line,) = logged
    assert (line["operation"], line["status"], line["complaint"]) == ("post_narrative", 502, "")


def test_an_answer_that_is_compressed_is_read() -> None:
    packed = gzip.compress(b'{"characters": [{"name": "Ayla"}]}')
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json; charset=utf-8"}
    with respx.mock(base_url="http://journey-log") as journey_log:
        route = journey_log.get("/characters")
        route.respond(200, content=packed, headers=headers)
        assert calling(lambda client: client.characters("ayla", META)) == [{"name": "Ayla"}]


def test_write_sends_its_body_as_json() -> None:
    write = PlannedWrite(
        subsystem="quest",
        action="offered",
        method="PUT",
        path="/quest",
        body={"name": "Glöckchen"},
        marker=1,
    )
    with respx.mock(base_url="http://journey-log") as journey_log:
        route = journey_log.put(f"/characters/{HERO}/quest").respond(200, json={"quest": QUEST})
        result = calling(lambda client: client.write("ayla", HERO, write, META))
    assert result.outcome == "done"
    request = route.calls.last.request
    assert request.content == '{"name":"Glöckchen"}'.encode()
    assert dict(request.headers) == {
        "host": "journey-log",
        "accept": "application/json",
        "x-user-id": "ayla",
        "x-request-id": "request-1",
        "content-type": "application/json",
        "content-length": str(len(request.content)),
    }


WRITES: dict[str, tuple[str, str, Json]] = {
    "quest": ("PUT", "/quest", {"status_code": 200, "json": {"quest": QUEST}}),
    "quest_delete": ("DELETE", "/quest", {"status_code": 204}),
    "combat": ("PUT", "/combat", {"status_code": 200, "json": {"active": False, "state": None}}),
    "poi": ("POST", "/pois", {"status_code": 201, "json": {"poi": {"id": "p", "name": "Vault"}}}),
    "narrative": (
        "POST",
        "/narrative",
        {"status_code": 201, "json": {"turn": TURN, "total_turns": 1}},
    ),
}


def fate(kind: str, **answer: Any) -> WriteResult:
    """What the client makes of one answer to a write of this kind."""
    method, path, _ = WRITES[kind]
    subsystem: Any = kind.removesuffix("_delete")
    body = None if method == "DELETE" else {"user_action": "go"}
    verb: Any = method
    write = PlannedWrite(
        subsystem=subsystem, action="x", method=verb, path=path, body=body, marker=1
    )
    with respx.mock(base_url="http://journey-log") as journey_log:
        route = journey_log.request(method, f"/characters/{HERO}{path}").respond(**answer)
        result: WriteResult = calling(lambda client: client.write("ayla", HERO, write, META))
    assert route.call_count == 1
    assert route.calls.last.request.headers["X-User-Id"] == "ayla"
    assert result.status == answer["status_code"]
    return result


@pytest.mark.parametrize("kind", WRITES)
def test_a_write_is_done_by_the_answer_of_its_own_operation(kind: str) -> None:
    assert fate(kind, **WRITES[kind][2]).outcome == "done"
    for other in set(WRITES) - {kind}:
        assert fate(kind, **WRITES[other][2]).outcome == "unknown", other


IMPOSTERS: dict[str, Json] = {
    "a login page": {"status_code": 200, "html": LOGIN.decode()},
    "a login page as 201": {"status_code": 201, "html": LOGIN.decode()},
    "a redirect": {"status_code": 302, "headers": {"Location": "/login"}},
    "nothing": {"status_code": 200},
    "an empty object": {"status_code": 201, "json": {}},
    "a queue": {"status_code": 202, "json": {"queued": True}},
    "JSON that is called text": {"status_code": 200, "text": '{"quest": {"name": "The Bell"}}'},
    "null": {"status_code": 201, "json": None},
    "a list": {"status_code": 200, "json": [QUEST]},
    "a page with a body": {"status_code": 204, "html": LOGIN.decode()},
    "too deep": {"status_code": 201, "content": b"[" * 100_000, "content_type": "application/json"},
    "a gateway's 403": {"status_code": 403, "html": "<html>Forbidden</html>"},
    "a gateway's JSON 403": {"status_code": 403, "json": {"detail": "Forbidden"}},
    "a gateway's 401": {"status_code": 401, "json": {"detail": "Sign in"}},
    "a firewall's 422": {"status_code": 422, "json": {"error": "blocked", "detail": "rule 7"}},
    "another service's 404": {"status_code": 404, "json": {"proxy": "says so"}},
    "another service's 409": {"status_code": 409, "json": {"error": "http_error"}},
    "no route": {"status_code": 404, "json": {"detail": "Not Found"}},
    "no method": {"status_code": 405, "json": {"detail": "Method Not Allowed"}},
    "another status inside": {"status_code": 409, "json": own(404)},
    "its own 408": {"status_code": 408, "json": own(408)},
    "its own 429": {"status_code": 429, "json": own(429)},
    "its own 503": {"status_code": 503, "json": own(503)},
}


@pytest.mark.parametrize("kind", ["quest_delete", "narrative"])
@pytest.mark.parametrize("answer", IMPOSTERS.values(), ids=list(IMPOSTERS))
def test_any_other_answer_leaves_the_fate_of_a_write_unknown(answer: Json, kind: str) -> None:
    assert fate(kind, **answer).outcome == "unknown"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (409, own(409)),
        (404, own(404)),
        (400, own(400)),
        (422, own(422)),
        (422, SCHEMA),
        (422, {"detail": [ROW]}),
        (404, {"detail": "Character not found"}),
        (409, {"detail": "A quest is active"}),
    ],
)
@pytest.mark.parametrize("kind", WRITES)
def test_its_own_refusal_is_a_refusal(status: int, body: Json, kind: str) -> None:
    assert fate(kind, status_code=status, json=body).outcome == "refused"


FIELDS = {"name": "Ayla", "race": "Elf", "class": "Mage", "adventure_prompt": "A road."}


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        ({"status_code": 409, "json": own(409)}, CharacterExists),
        ({"status_code": 409, "html": "Conflict"}, JourneyLogError),
        ({"status_code": 422, "json": SCHEMA}, ValidationError),
        ({"status_code": 422, "json": {"blocked": True}}, JourneyLogError),
        ({"status_code": 403, "html": "Forbidden"}, JourneyLogError),
        ({"status_code": 200, "html": LOGIN.decode()}, JourneyLogError),
        ({"status_code": 201, "json": {"character": {"name": "Ayla"}}}, JourneyLogError),
    ],
)
def test_only_its_own_answers_say_what_became_of_a_new_character(
    answer: Json, meaning: type[DungeonMasterError]
) -> None:
    with respx.mock(base_url="http://journey-log") as journey_log:
        journey_log.post("/characters").respond(**answer)
        with pytest.raises(DungeonMasterError) as raised:
            calling(lambda client: client.create_character("ayla", FIELDS, META))
    assert type(raised.value) is meaning


def read_every(client: JourneyLogClient) -> list[Awaitable[Any]]:
    return [
        client.context("ayla", HERO, META),
        client.characters("ayla", META),
        client.adventure_prompt("ayla", HERO, META),
        client.story("ayla", HERO, META),
    ]


@pytest.mark.parametrize("status", [200, 403, 404])
def test_a_page_in_its_place_is_no_answer_to_a_read(status: int) -> None:
    with respx.mock(base_url="http://journey-log") as journey_log:
        journey_log.route().respond(status, html=LOGIN.decode())

        async def work(client: JourneyLogClient) -> None:
            assert not await client.available()
            assert await client.sparks("ayla", HERO, META) == []
            for read in read_every(client):
                with pytest.raises(JourneyLogError):
                    await read

        calling(work)
