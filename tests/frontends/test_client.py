"""The Python client: whole turns, streams that break off, refusals."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from app.client import Client, Refused, SyncClient, Unreachable
from app.client.streams import Place

from fakes.model import FakeModel, Script, outcome_text
from serving import Served

WORDS = "The door opens on a stair that goes down into the dark."


class Cut(httpx.AsyncByteStream):
    """A body that breaks off after so many bytes."""

    def __init__(self, body: Any, left: int) -> None:
        self._body, self._left = body, left

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._body:
            yield piece[: self._left]
            self._left -= len(piece)
            if self._left <= 0:
                raise httpx.ReadError("cut")

    async def aclose(self) -> None:
        await self._body.aclose()


class CuttingTransport(httpx.AsyncHTTPTransport):
    """Cuts the bodies of the first streams at the given places, and never connects at a 0."""

    def __init__(self, *places: int) -> None:
        super().__init__()
        self._places = list(places)
        self.asked: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.method)
        place = self._places.pop(0) if self._places else None
        if place == 0:
            raise httpx.ConnectError("nobody there")
        response = await super().handle_async_request(request)
        if place is not None:
            response.stream = Cut(response.stream, place)
        return response


def test_held_turn_is_retold_and_committed(
    client: SyncClient, model: FakeModel, character: str
) -> None:
    model.then(Script(text=outcome_text(WORDS)), Script(text=outcome_text("It stays shut.")))
    turn_id, choices = "", ["retell", "commit"]
    kinds: list[str] = []
    for event in client.turn(character, "I open the door.", manual=True):
        kinds.append(event["type"])
        if event["type"] != "metadata":
            continue
        turn_id = event.get("turn_id", turn_id)
        if event["phase"] == "awaiting_commit" and choices.pop(0) == "retell":
            client.retell(turn_id, "shut")
        elif event["phase"] == "awaiting_commit":
            client.commit(turn_id)
    assert (kinds[-1], choices) == ("complete", [])
    assert client.get_turn(turn_id)["narrative"] == "It stays shut."


@pytest.fixture
def client(service: Served) -> Iterator[SyncClient]:
    with SyncClient(service.url) as found:
        yield found


def text_of(events: Any) -> str:
    return "".join(event["content"] for event in events if event["type"] == "token")


@pytest.mark.parametrize(
    "places", [(), (0,), (0, 0, 400), (1,), (300,), (700, 900), (1500,), (2600, 1), (0, 2000, 0)]
)
def test_a_turn_is_read_whole_over_whatever_breaks(
    service: Served, model: FakeModel, character: str, places: tuple[int, ...]
) -> None:
    model.then(Script(outcome_text(WORDS)))
    transport = CuttingTransport(*places)
    with SyncClient(service.url, transport=transport) as client:
        events = list(client.turn(character, "I open the door."))
    whole = service.stream("GET", f"/turns/{events[0]['turn_id']}/events")  # type: ignore[typeddict-item]
    assert events == whole.events
    assert len(service.call("GET", f"/characters/{character}/turns").json()["turns"]) == 1


def test_turns_are_played_listed_and_looked_at(client: SyncClient) -> None:
    made = client.create_character("Maren", "elf", "bard", adventure_prompt="A storm.")
    character = made["character_id"]
    assert [row["name"] for row in client.characters()] == ["Maren"]
    turn = client.play(character, "I knock.")
    assert turn["status"] == "complete"
    again = client.get_turn(turn["turn_id"])
    assert again["narrative"] == turn["narrative"]
    assert text_of(client.events(turn["turn_id"])) == turn["narrative"]
    assert list(client.events(turn["turn_id"], after=999_999_999)) == list(
        client.events(turn["turn_id"])
    )
    page = client.history(character, limit=1)
    assert [one["user_action"] for one in page["turns"]] == ["I knock."]
    assert client.history(character, before=page["next"])["turns"][0]["user_action"] == "A storm."


def test_one_key_is_one_turn(client: SyncClient, character: str) -> None:
    first = list(client.turn(character, "I knock.", key="key-1"))
    assert list(client.turn(character, "I knock.", key="key-1")) == first
    with pytest.raises(Refused) as refused:
        list(client.turn(character, "I kick.", key="key-1"))
    assert (refused.value.status, refused.value.type) == (422, "idempotency_key_reused")
    assert not refused.value.recoverable


def test_a_turn_is_cancelled(
    service: Served, model: FakeModel, client: SyncClient, character: str
) -> None:
    gate = threading.Event()
    model.then(Script(outcome_text(WORDS), gate=gate, gate_after=8))
    seen = []
    for event in client.turn(character, "I knock."):
        seen.append(event["type"])
        if event["type"] == "token" and seen.count("token") == 1:
            client.cancel(
                service.call("GET", f"/characters/{character}").json()["active_turn"]["turn_id"]
            )
    gate.set()
    assert seen[-1] == "cancelled"


def test_client_distinguishes_refusals_from_silence(character: str) -> None:
    async def work() -> None:
        async with Client("http://127.0.0.1:9", patience=0.3) as client:
            with pytest.raises(Unreachable, match="nothing was heard"):
                _ = [event async for event in client.turn(character, "I knock.")]
            with pytest.raises(Unreachable):
                await client.characters()

    asyncio.run(work())


class Scripted(httpx.AsyncBaseTransport):
    """Answers with the given responses, one after the other."""

    def __init__(self, *responses: httpx.Response) -> None:
        self._responses = list(responses)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self._responses.pop(0)


def busy(status: int, **error: Any) -> httpx.Response:
    return httpx.Response(status, json={"error": {"type": "busy", **error}})


@pytest.mark.parametrize(
    "refusal",
    [busy(429, recoverable=True, retry_after_seconds=80_000), busy(502, recoverable=False)],
    ids=["asks for more than the patience", "cannot be helped"],
)
def test_permanent_errors_are_raised_without_retries(refusal: httpx.Response) -> None:
    with (
        SyncClient("http://service", transport=Scripted(refusal)) as client,
        pytest.raises(Refused, match="busy"),
    ):
        list(client.turn("character", "I knock."))


def test_a_heartbeat_is_heard() -> None:
    place = Place("/turns/t/events")
    assert not place.passed("", {"type": "ping"})
    assert place.heard > 0


def test_a_stream_that_breaks_behind_its_end_is_whole() -> None:
    end = b'id: t:1\ndata: {"type":"complete"}\n\n'

    async def body() -> AsyncIterator[bytes]:
        yield end
        raise httpx.ReadError("cut")

    whole = httpx.Response(200, content=body())
    with SyncClient("http://service", transport=Scripted(whole)) as client:
        assert [event["type"] for event in client.events("t")] == ["complete"]


def test_a_busy_character_is_refused(
    service: Served, model: FakeModel, client: SyncClient, character: str
) -> None:
    gate = threading.Event()
    model.then(Script(gate=gate, gate_after=8))
    with service.live(character) as live:
        live.until("token")
        with pytest.raises(Refused, match="turn_in_progress") as refused:
            list(client.turn(character, "I knock."))
        gate.set()
        assert refused.value.retry_after == 2
        live.rest()


def test_a_character_is_followed(service: Served, client: SyncClient, character: str) -> None:
    feed = client.follow(character)
    assert next(feed)["type"] == "metadata"
    turn = service.turn(character)
    assert [next(feed) for _ in turn.events] == turn.events


def test_the_caller_is_named(service: Served, character: str) -> None:
    with SyncClient(service.url, user="otto") as client:
        assert client.characters() == []
    with SyncClient(service.url, token="any") as client:
        assert len(client.characters()) == 1
