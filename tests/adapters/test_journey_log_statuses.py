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
from app.core.writes import PlannedWrite
from app.errors import CharacterNotFound, DungeonMasterError, Forbidden, JourneyLogError
from app.ports.call import CallMeta
from app.ports.journey_log import WriteResult
from app.retrying import Backoff

Result = TypeVar("Result")
HERO = "5f0c2f2e-7a43-4f43-9a0e-0f7f4d7f7c11"
META = CallMeta("request-1")
NO_HERO = {"error": "http_error", "detail": "Character not found"}


def calling(work: Callable[[JourneyLogClient], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        quick = Backoff(max_retries=1, delay_base=0.001, delay_max=0.001)
        client = JourneyLogClient(httpx.AsyncHTTPTransport(), "http://journey-log", reads=quick)
        try:
            return await work(client)
        finally:
            await client.aclose()

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("status", "body", "meaning", "asked"),
    [
        (404, NO_HERO, CharacterNotFound, 1),
        (404, {"detail": "Not Found"}, JourneyLogError, 1),
        (403, {"error": "http_error"}, Forbidden, 1),
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


def test_an_answer_that_is_compressed_is_read() -> None:
    packed = gzip.compress(b'{"characters": [{"name": "Ayla"}]}')
    with respx.mock(base_url="http://journey-log") as journey_log:
        route = journey_log.get("/characters")
        route.respond(200, content=packed, headers={"Content-Encoding": "gzip"})
        assert calling(lambda client: client.characters("ayla", META)) == [{"name": "Ayla"}]


def test_what_a_request_says() -> None:
    write = PlannedWrite(
        subsystem="quest",
        action="offered",
        method="PUT",
        path="/quest",
        body={"name": "Glöckchen"},
        marker=1,
    )
    with respx.mock(base_url="http://journey-log") as journey_log:
        route = journey_log.put(f"/characters/{HERO}/quest").respond(200)
        calling(lambda client: client.write("ayla", HERO, write, META))
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


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (201, {}, "done"),
        (409, {"error": "http_error"}, "refused"),
        (422, {"detail": []}, "refused"),
        (404, {"proxy": "says so"}, "unknown"),
        (408, {"error": "http_error"}, "unknown"),
        (503, {"error": "http_error"}, "unknown"),
    ],
)
def test_the_fate_of_a_write(status: int, body: dict[str, Any], outcome: str) -> None:
    write = PlannedWrite(
        subsystem="narrative",
        action="create",
        method="POST",
        path="/narrative",
        body={"user_action": "go"},
        marker=1,
    )
    with respx.mock(base_url="http://journey-log") as journey_log:
        route = journey_log.post(f"/characters/{HERO}/narrative").respond(status, json=body)
        result: WriteResult = calling(lambda client: client.write("ayla", HERO, write, META))
    assert (result.outcome, result.status) == (outcome, status)
    assert route.call_count == 1
    assert route.calls.last.request.headers["X-User-Id"] == "ayla"
