"""The service behind the proxies of `deploy/`: real ones, in front of a real process."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator

import pytest
from websockets.exceptions import InvalidStatus

from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel, Script
from proxies import HOST, PROXIES, Proxy, in_front_of
from remote import At, Remote, environment, remote
from serving import TIMEOUT, Live, refused, turn_body

WORDS = [f"word{number} " for number in range(20)]
PIECES = ['{"narrative": "', *WORDS, 'end.", "intents": {}}']
# A proxy that joins what comes within 200 ms holds every word for so long.
LUMPED_SECONDS = 0.19
MOST_STREAMS = 2


class Proxied(At):
    """The service as its clients see it behind a proxy; each test comes from an address of its own."""

    _clients = iter(range(2, 250))

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.another_client()

    @property
    def host(self) -> str:
        return f"{HOST}:{self.port}"

    def another_client(self) -> None:
        self.source = f"127.0.0.{next(self._clients)}"


@pytest.fixture(scope="module")
def upstreams() -> Iterator[tuple[FakeModel, FakeJourneyLog]]:
    with FakeModel() as model, FakeJourneyLog() as journey_log:
        yield model, journey_log


@pytest.fixture(scope="module")
def direct(
    tmp_path_factory: pytest.TempPathFactory, upstreams: tuple[FakeModel, FakeJourneyLog]
) -> Iterator[Remote]:
    settings = {
        "ALLOWED_HOSTS": HOST,
        "FORWARDED_ALLOW_IPS": "127.0.0.1",
        "MAX_STREAMS_PER_CLIENT": str(MOST_STREAMS),
    }
    folder = tmp_path_factory.mktemp("home")
    with remote(folder, {**environment(*upstreams), **settings}) as service:
        yield service


@pytest.fixture(scope="module", params=PROXIES, ids=lambda proxy: proxy.name)
def port(request: pytest.FixtureRequest, direct: Remote) -> Iterator[int]:
    proxy: Proxy = request.param
    with in_front_of(direct.port, proxy) as number:
        yield number


@pytest.fixture
def service(port: int) -> Proxied:
    return Proxied(port)


@pytest.fixture
def model(upstreams: tuple[FakeModel, FakeJourneyLog]) -> FakeModel:
    return upstreams[0]


@pytest.fixture
def character(upstreams: tuple[FakeModel, FakeJourneyLog]) -> str:
    return upstreams[1].seed_character()


def test_each_token_arrives_before_the_next_one_is_written(
    service: Proxied, model: FakeModel, character: str
) -> None:
    permits = threading.Semaphore(2)  # the beginning of the document, and the first word
    model.then(Script(pieces=PIECES, permits=permits))
    headers = {"Accept-Encoding": "gzip, deflate, br, zstd"}
    with service.open("POST", "/turn/stream", turn_body(character), **headers) as response:
        live, took = Live(response), []
        for word in WORDS:
            began = time.monotonic()
            assert live.until("token")["content"] == word
            took.append(time.monotonic() - began)
            permits.release()
        whole = live.rest()
    assert min(took[1:]) < LUMPED_SECONDS
    assert whole.header("content-encoding") in (None, "identity")
    assert (whole.narrative, whole.last["type"]) == ("".join(WORDS) + "end.", "complete")


def test_page_may_play_over_post_and_websocket_and_foreign_pages_may_not(
    service: Proxied, character: str
) -> None:
    ours = {"Origin": f"http://{service.host}"}
    foreign = {"Origin": "http://elsewhere.example"}
    turn = service.stream("POST", "/turn/stream", turn_body(character), **ours)
    assert turn.last["type"] == "complete"
    refused(service.call("POST", "/turn/stream", turn_body(character), **foreign), 403, "forbidden")
    with service.socket(**ours) as socket:
        socket.send(json.dumps(turn_body(character)))
        kinds = [json.loads(socket.recv(TIMEOUT))["type"]]
        while kinds[-1] not in ("complete", "error"):
            kinds.append(json.loads(socket.recv(TIMEOUT))["type"])
    assert "token" in kinds
    assert kinds[-1] == "complete"
    with pytest.raises(InvalidStatus) as refusal:
        service.socket(**foreign)
    assert refusal.value.response.status_code == 403


def test_streams_are_counted_by_client_whatever_a_client_claims(
    service: Proxied, character: str
) -> None:
    path = f"/characters/{character}/events"
    headers = {"X-Forwarded-For": "192.0.2.1"}
    opened = [service.open("GET", path, **headers) for _ in range(MOST_STREAMS)]
    with opened[0] as first, opened[1] as second:
        for response in (first, second):
            Live(response).until("metadata", phase="live")
        headers["X-Forwarded-For"] = "192.0.2.2"
        refused(service.call("GET", path, **headers), 429, "rate_limit_exceeded")
        service.another_client()
        with service.open("GET", path, **headers) as third:
            Live(third).until("metadata", phase="live")


def test_the_choice_of_a_player_stays_inside(service: Proxied) -> None:
    body = {"name": service.source, "race": "Elf", "class_name": "Bard"}
    made = service.call("POST", "/characters", body, X_User_Id="ann").json()
    for user in ("ann", "bert"):
        listed = service.call("GET", "/characters", X_User_Id=user).json()
        assert made["character_id"] in {row["character_id"] for row in listed["characters"]}
    assert service.call("GET", "/").status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/metrics",
        "/metrics?a=1",
        "/%6detrics",
        "/metric%73",
        "/journey-log",
        "/journey-log/health",
        "/%6aourney-log/health",
        "/journey%2Dlog/health",
        "/journey-log%2fhealth",
    ],
)
def test_routes_without_a_token_stay_internal_in_every_spelling(
    service: Proxied, path: str
) -> None:
    answer = service.call("GET", path)
    assert answer.status == 404
    assert answer.header("x-request-id") is None, "the service has been asked"


@pytest.mark.parametrize("path", ["//metrics", "/static/../metrics", "/metrics/", "/METRICS"])
def test_no_other_path_leads_to_them(service: Proxied, path: str) -> None:
    assert service.call("GET", path).status == 404
