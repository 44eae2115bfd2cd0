"""What a real process lets out: nothing of what players write, and no secret."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from contextlib import closing

import pytest

from fakes.journey_log import FakeJourneyLog, answers, proxy_error
from fakes.model import FakeModel, Script, outcome_text
from processes import Process, running
from serving import TIMEOUT, dialled

KEY = "sk-live-hunter2"
STORY = "The-narrative-that-nobody-may-log"
SAID = "The-action-that-nobody-may-log"
ASKED = "The-query-that-nobody-may-log"
OTHER = "The-upstream-text-that-nobody-may-log"
WORDS = "The-complaint-that-operators-need"
TOKEN = "The-token-that-nobody-may-log"
SECRETS = (KEY, STORY, SAID, ASKED, OTHER, TOKEN)


class Client:
    def __init__(self, port: int) -> None:
        self._port = port

    def call(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        sent = {"Content-Type": "application/json"} if body is not None else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        with closing(
            http.client.HTTPConnection("127.0.0.1", self._port, timeout=300)
        ) as connection:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return response.status, found, response.read()

    def turn(self, path: str, character: str) -> int:
        body = json.dumps({"character_id": character, "user_action": SAID}).encode()
        return self.call("POST", f"{path}?q={ASKED}", body, Authorization=f"Bearer {TOKEN}")[0]

    def whisper(self, character: str) -> None:
        with dialled(f"ws://127.0.0.1:{self._port}/turn/ws?q={ASKED}") as socket:
            socket.send(json.dumps({"character_id": character, "user_action": SAID}))
            while json.loads(socket.recv(TIMEOUT))["type"] not in ("complete", "error"):
                pass
            socket.send(SAID)
            socket.recv(TIMEOUT)


@pytest.fixture(scope="module")
def model() -> Iterator[FakeModel]:
    with FakeModel() as server:
        yield server


@pytest.fixture(scope="module")
def journey_log() -> Iterator[FakeJourneyLog]:
    with FakeJourneyLog() as server:
        yield server


@pytest.fixture(scope="module", params=["text", "json"])
def process(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    model: FakeModel,
    journey_log: FakeJourneyLog,
) -> Iterator[Process]:
    environment = {
        "OPENAI_API_KEY": KEY,
        "OPENAI_BASE_URL": model.base_url,
        "LLM_MAX_RETRIES": "1",
        "LLM_RETRY_DELAY_BASE": "0.1",
        "JOURNEY_LOG_BASE_URL": journey_log.url,
        "JOURNEY_LOG_MAX_RETRIES": "1",
        "JOURNEY_LOG_RETRY_DELAY_BASE": "0.1",
        "MAX_TURNS_PER_CHARACTER_PER_SECOND": "100",
        "LOG_LEVEL": "DEBUG",
        "LOG_JSON_FORMAT": str(request.param == "json"),
    }
    with running(tmp_path_factory.mktemp(request.param), **environment) as started:
        yield started


def test_no_answer_names_the_server(process: Process) -> None:
    client = Client(process.port())
    for method, path in (("GET", "/"), ("GET", "/live"), ("GET", "/nope"), ("PUT", "/turn")):
        _, headers, _ = client.call(method, path)
        assert "server" not in headers
        assert "x-powered-by" not in headers


def test_every_log_line_of_a_request_names_it(process: Process) -> None:
    client = Client(process.port())
    client.call("GET", "/live", X_Request_Id="me-7")
    line = process.logged(re.compile(r".*me-7.*")).group()
    assert "/live" in line
    assert "200" in line


def test_no_log_line_holds_a_secret_a_query_or_the_words_of_a_player(
    process: Process, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    """The last one: it ends the process, so that the log is whole."""
    client = Client(process.port())
    everything_goes_wrong(client, model, journey_log)
    assert process.stop() == 0
    for path in ("/turn", "/turn/stream", "/turn/ws"):
        assert path in process.text
    assert len(process.log) > 30
    for secret in SECRETS:
        assert secret not in process.text
    assert WORDS in process.text


def everything_goes_wrong(client: Client, model: FakeModel, journey_log: FakeJourneyLog) -> None:
    character = journey_log.seed_character()
    failure = {"error": {"message": f"{WORDS} {KEY} {SAID}", "type": "server_error"}}
    well = Script(text=outcome_text(STORY))
    model.default = well
    for path in ("/turn", "/turn/stream"):
        assert client.turn(path, character) == 200
    client.whisper(character)
    cut_off = f'{{"narrative": "{STORY}", "intents": "{STORY}'
    for script in (
        Script(text=f"{STORY} without an outcome"),
        Script(text=cut_off),
        Script(status=500, error_body=failure),
        Script(status=400, error_body=failure),
        Script(text=outcome_text(STORY), drop_after=8),
        Script(text=outcome_text(STORY), error_after=8, error_body=failure["error"]),
    ):
        model.default = script
        assert client.turn("/turn", character) == 502
    model.default = well
    journey_log.fail("context", *[proxy_error(502, OTHER.encode())] * 2)
    assert client.turn("/turn/stream", character) == 502
    journey_log.fail("narrative", answers(422))
    assert client.turn("/turn", character) == 200
    for body in (SAID.encode(), json.dumps({"user_action": [SAID], "character_id": SAID}).encode()):
        assert client.call("POST", f"/turn?q={ASKED}", body)[0] == 422
    assert client.call("GET", f"/nope?q={ASKED}", X_Request_Id=f"{SAID} {TOKEN}")[0] == 404
    assert client.call("GET", "/health", Host=f"{OTHER}.example")[0] == 400
