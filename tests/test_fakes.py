import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import httpx2
import openai
import pytest
from app.core.outcome import DungeonMasterOutcome
from openai.types import Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from fakes.journey_log import (
    FakeJourneyLog,
    Fault,
    answers,
    drops,
    hangs,
    late,
    proxy_error,
    resets,
)
from fakes.model import COMBAT_START, QUEST_OFFER, FakeModel, Script, Usage, outcome, outcome_text
from fakes.server import Connection, FakeServer, Request

EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
RESPONSES = ("/v1/responses", {"model": "m", "input": "go", "stream": True})
CHAT = (
    "/v1/chat/completions",
    {
        "model": "m",
        "messages": [{"role": "user", "content": "go"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    },
)
SCRIPTS = {
    "plain": Script(),
    "pieces": Script(pieces=["a", "", "🔥"]),
    "reasoning": Script(reasoning="first, the bell", first_delta_null=True),
    "refusal": Script(refusal="I would rather not."),
    "length": Script(finish="length"),
    "filtered": Script(finish="content_filter"),
    "no usage": Script(usage=None),
    "exact usage": Script(usage=Usage(7, 5, cached=2, reasoning=1)),
    "cut short": Script(incomplete_after=3),
    "error": Script(error_after=2),
    "failed": Script(failed_after=2),
    "dropped": Script(drop_after=2),
    "odd wire": Script(crlf=True, comments=True, split_bytes=3, per_write=0),
}


@pytest.fixture
def model() -> Iterator[FakeModel]:
    with FakeModel() as server:
        yield server


@pytest.fixture
def log() -> Iterator[FakeJourneyLog]:
    with FakeJourneyLog() as server:
        yield server


def read(server: FakeServer, call: tuple[str, dict[str, Any]]) -> bytes:
    """The body, as far as it came."""
    body = b""
    with (
        httpx.Client(trust_env=False) as client,
        client.stream("POST", server.url + call[0], json=call[1]) as answer,
    ):
        try:
            for chunk in answer.iter_raw():
                body += chunk
        except (httpx.RemoteProtocolError, httpx.ReadError):
            pass
    return body


def events(body: bytes) -> list[dict[str, Any]]:
    lines = body.decode().replace("\r\n", "\n").split("\n")
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    return [json.loads(item) for item in data if item != "[DONE]"]


def unknown_fields(parsed: Any, path: str = "") -> set[str]:
    """Names that the SDK's types do not have, anywhere in what was parsed."""
    if isinstance(parsed, list):
        return set().union(*(unknown_fields(item, path) for item in parsed))
    extra = getattr(parsed, "model_extra", None)
    found = set() if extra is None else {f"{path}{name}" for name in extra}
    for name in getattr(type(parsed), "model_fields", {}):
        found |= unknown_fields(getattr(parsed, name), f"{path}{name}.")
    return found


def connect(server: FakeServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=300)


def send(server: FakeServer, call: tuple[str, dict[str, Any]]) -> socket.socket:
    body = json.dumps(call[1]).encode()
    client = connect(server)
    client.sendall(b"POST %s HTTP/1.1\r\n" % call[0].encode())
    client.sendall(b"Host: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    return client


def until(client: socket.socket, mark: bytes) -> bytes:
    received = b""
    while mark not in received:
        data = client.recv(65536)
        assert data, received
        received += data
    return received


def until_end(client: socket.socket) -> bytes:
    received = b""
    while data := client.recv(65536):
        received += data
    return received


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_every_responses_event_is_one_of_the_sdk(model: FakeModel, script: Script) -> None:
    model.then(script)
    received = events(read(model, RESPONSES))
    assert [event["sequence_number"] for event in received] == list(range(len(received)))
    for event in received:
        parsed = EVENTS.validate_python(event)
        assert parsed.type == event["type"]
        assert unknown_fields(parsed) <= {"obfuscation"}


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_every_chat_chunk_is_one_of_the_sdk(model: FakeModel, script: Script) -> None:
    model.then(script)
    received = events(read(model, CHAT))
    chunks = [event for event in received if "error" not in event]
    assert len(received) - len(chunks) == int(script.ending()[1] in ("error", "failed"))
    for chunk in chunks:
        parsed = ChatCompletionChunk.model_validate(chunk)
        assert unknown_fields(parsed) <= {"choices.delta.reasoning_content"}


@pytest.mark.parametrize("name", ["plain", "reasoning", "refusal", "length", "cut short"])
def test_whole_answers_are_those_of_the_sdk(model: FakeModel, name: str) -> None:
    model.default = SCRIPTS[name]
    whole = Response.model_validate_json(read(model, (RESPONSES[0], {"model": "m"})))
    chat = ChatCompletion.model_validate_json(read(model, (CHAT[0], {"model": "m"})))
    assert unknown_fields(whole) == set()
    assert unknown_fields(chat) <= {"choices.message.reasoning_content"}
    assert whole.output_text == (chat.choices[0].message.content or "")
    assert chat.choices[0].finish_reason == {"length": "length", "cut short": "length"}.get(
        name, "stop"
    )


def test_text_survives_every_cut_of_the_wire(model: FakeModel) -> None:
    text = outcome_text(quest=QUEST_OFFER)
    model.default = Script(text=text, split_bytes=1, crlf=True, comments=True)
    deltas = [event["delta"] for event in events(read(model, RESPONSES)) if "delta" in event]
    assert "".join(deltas) == text
    model.default = Script(raw_stream="data: é\n\n".encode(), split_bytes=7)
    with send(model, RESPONSES) as client:
        received = until(client, b"0\r\n\r\n")
    assert received.endswith(b"7\r\ndata: \xc3\r\n3\r\n\xa9\n\n\r\n0\r\n\r\n")


def test_outcomes_are_valid() -> None:
    parsed = DungeonMasterOutcome.model_validate(outcome(quest=QUEST_OFFER, combat=COMBAT_START))
    assert parsed.intents.quest_intent is not None
    assert "\\u00c9" in outcome_text(ensure_ascii=True)


def test_the_sdk_reads_both_streams(model: FakeModel) -> None:
    async def talk() -> tuple[str, str]:
        # However long a request takes, its connection is kept for the next one.
        kept = openai.DefaultAsyncHttpxClient(limits=httpx2.Limits(keepalive_expiry=None))
        made = openai.AsyncOpenAI(api_key="k1", base_url=model.base_url, http_client=kept)
        async with made as client:
            models = [item async for item in client.models.list()]
            assert isinstance(models[0], Model)
            said = ""
            async for event in await client.responses.create(model="m", input="x", stream=True):
                said += event.delta if event.type == "response.output_text.delta" else ""
            content = ""
            stream = await client.chat.completions.create(model="m", messages=[], stream=True)
            async for chunk in stream:
                content += chunk.choices[0].delta.content or ""
        return said, content

    assert asyncio.run(talk()) == (outcome_text(), outcome_text())
    assert {r.headers["authorization"] for r in model.requests} == {"Bearer k1"}
    assert [call.get("input") for call in model.calls] == ["x", None]
    assert model.accepted == 1


def test_the_sdk_sees_failures_as_it_should(model: FakeModel) -> None:
    model.then(Script(status=429, headers={"Retry-After": "3"}), Script(error_after=1))

    async def talk() -> None:
        made = openai.AsyncOpenAI(api_key="k", base_url=model.base_url, max_retries=0)
        async with made as client:
            with pytest.raises(openai.RateLimitError) as limited:
                await client.chat.completions.create(model="m", messages=[], stream=True)
            assert limited.value.response.headers["retry-after"] == "3"
            stream = await client.chat.completions.create(model="m", messages=[], stream=True)
            with pytest.raises(openai.APIError, match="fell over"):
                async for _ in stream:
                    pass

    asyncio.run(talk())


@pytest.mark.parametrize("call", [RESPONSES, CHAT, (CHAT[0], {"model": "m"})])
def test_a_drop_is_a_fin_without_an_end(model: FakeModel, call: tuple[str, dict[str, Any]]) -> None:
    model.then(Script(drop_after=2))
    with send(model, call) as client:
        received = until_end(client)
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"0\r\n\r\n" not in received
    assert b"[DONE]" not in received


@pytest.mark.parametrize("call", [RESPONSES, CHAT, (CHAT[0], {"model": "m"})])
def test_a_reset_is_a_rst(model: FakeModel, call: tuple[str, dict[str, Any]]) -> None:
    model.then(Script(reset_after=2))
    with send(model, call) as client, pytest.raises(ConnectionResetError):
        until_end(client)


def test_a_gated_stream_waits_and_a_client_that_leaves_is_counted(model: FakeModel) -> None:
    gate = threading.Event()
    model.then(Script(pieces=["one", "two"], gate=gate, gate_after=1), Script(hang_after=1))
    with send(model, RESPONSES) as client:
        received = until(client, b'"delta":"one"')
        assert b'"two"' not in received
        assert model.stats.open == 1
        gate.set()
        assert b'"delta":"two"' in until(client, b"0\r\n\r\n")
    with send(model, CHAT) as client:
        model.wait_for(lambda: len(model.requests) == 2 and model.stats.open == 1)
    model.wait_for(lambda: model.stats.aborted == 1)
    assert (model.stats.open, model.stats.ended) == (0, 1)


def test_a_script_may_depend_on_the_request(model: FakeModel) -> None:
    model.default = lambda request: Script(hang=request.json()["model"] == "slow")
    asyncio.run(model.eventually(lambda: model.stats.open == 0))
    with send(model, (CHAT[0], {"model": "slow"})):
        asyncio.run(model.eventually(lambda: model.stats.open == 1))
    assert json.loads(read(model, (CHAT[0], {"model": "m"})))["object"] == "chat.completion"
    with pytest.raises(AssertionError, match="/v1/chat/completions"):
        model.wait_for(lambda: False, timeout=0.01)


def test_a_server_that_was_down_comes_back_on_its_port(model: FakeModel) -> None:
    url = f"{model.url}/v1/models"
    model.close()
    with pytest.raises(ConnectionRefusedError):
        connect(model)
    model.start()
    assert httpx.get(url, trust_env=False).status_code == 200


def test_a_handler_that_breaks_ends_its_connection_and_fails_the_test() -> None:
    class Broken(FakeServer):
        async def respond(self, request: Request, connection: Connection) -> None:
            raise ZeroDivisionError

    server = Broken().start()
    with send(server, CHAT) as client:
        assert until_end(client) == b""
    with pytest.raises(ZeroDivisionError):
        server.close()


QUEST = {
    "name": "The Ninth Bell",
    "description": "Silence it.",
    "rewards": {"items": [], "currency": {"gold": 4}, "experience": 9},
    "completion_state": "in_progress",
    "updated_at": "2026-01-01T02:00:00.123457+02:00",
}
ENEMY = {"enemy_id": "e1", "name": "Warden", "status": "Healthy"}
COMBAT = {"combat_id": "c1", "started_at": "2026-01-01T00:00:00Z", "enemies": [ENEMY]}
TURN = {"user_action": "look", "ai_response": "dust", "timestamp": "2026-01-01T00:00:00.000001Z"}


class Player:
    def __init__(self, log: FakeJourneyLog, character_id: str, user: str | None = "local") -> None:
        self._url = f"{log.url}/characters/{character_id}"
        self._headers = {} if user is None else {"X-User-Id": user}

    def __call__(self, method: str, path: str, body: object = None, **query: Any) -> httpx.Response:
        sent: dict[str, Any] = {} if body is None else {"json": body}
        with httpx.Client(trust_env=False, headers=self._headers, timeout=300) as client:
            return client.request(method, f"{self._url}{path}", params=query, **sent)


def test_writes_need_the_owner(log: FakeJourneyLog) -> None:
    made = log.seed_character(user="ann")
    assert Player(log, made, None)("POST", "/narrative", TURN).json()["errors"][0]["loc"] == [
        "header",
        "x-user-id",
    ]
    assert Player(log, made, "")("POST", "/narrative", TURN).status_code == 400
    assert Player(log, made, "bob")("POST", "/narrative", TURN).status_code == 403
    assert Player(log, made, "bob")("GET", "/context").status_code == 403
    assert Player(log, made, None)("GET", "/context").status_code == 200
    missing = Player(log, "00000000-0000-4000-8000-000000000000")("DELETE", "/quest")
    assert missing.json()["error"] == "http_error"
    assert (missing.status_code, missing.json()["status_code"]) == (404, 404)
    assert Player(log, "nonsense")("GET", "/quest").status_code == 422
    assert Player(log, made)("GET", "/nothing").json() == {"detail": "Not Found"}
    assert Player(log, made)("PATCH", "/quest").status_code == 405
    assert log.writes == []


def test_a_quest_is_replaced_only_after_it_is_deleted(log: FakeJourneyLog) -> None:
    made = log.seed_character()
    call = Player(log, made)
    stored = call("PUT", "/quest", QUEST).json()["quest"]
    assert stored["updated_at"] == "2026-01-01T00:00:00.123457Z"
    assert call("PUT", "/quest", QUEST).status_code == 409
    assert call("GET", "/quest").json()["quest"] == stored
    assert call("DELETE", "/quest").status_code == 204
    assert call("DELETE", "/quest").content == b""
    assert log.character(made)["archived_quests"][0]["quest"] == stored
    assert log.kinds(made) == ["quest", "quest_delete"]
    assert log.writes[0].body == QUEST
    bad = call("PUT", "/quest", {**QUEST, "note": "x"}).json()
    assert bad["errors"][0]["type"] == "extra_forbidden"


def test_turns_keep_their_microseconds_and_their_order(log: FakeJourneyLog) -> None:
    made = log.seed_character(turns=[{**TURN, "timestamp": "2026-01-01T00:00:01Z"}])
    call = Player(log, made)
    for _ in range(2):
        assert call("POST", "/narrative", TURN).status_code == 201
    answer = call("GET", "/narrative").json()
    stamps = [turn["timestamp"] for turn in answer["turns"]]
    assert stamps == [TURN["timestamp"], TURN["timestamp"], "2026-01-01T00:00:01Z"]
    later = call("GET", "/narrative", since=TURN["timestamp"]).json()
    assert later["metadata"]["total_available"] == 1
    assert call("GET", "/narrative", since="2026-01-01T00:00:00Z", n=1).json()["metadata"] == {
        "requested_n": 1,
        "returned_count": 1,
        "total_available": 3,
    }
    assert call("GET", "/narrative", n=101).status_code == 400
    assert call("GET", "/narrative", n="x").status_code == 422
    assert call("GET", "/narrative", since="yesterday").status_code == 400
    assert call("POST", "/narrative", {**TURN, "timestamp": "then"}).json()["error"] == "http_error"
    assert call("POST", "/narrative", {**TURN, "user_action": "a" * 8001}).status_code == 422


def test_combat_is_hidden_once_all_are_dead_and_a_bad_time_poisons(log: FakeJourneyLog) -> None:
    made = log.seed_character(quest=QUEST, combat=COMBAT)
    call = Player(log, made)
    context = call("GET", "/context", include_quest=False).json()
    assert context["combat"]["state"]["turn"] == 1
    assert (context["quest"], context["has_active_quest"]) == (None, False)
    dead = {**COMBAT, "enemies": [{**ENEMY, "status": "Dead"}]}
    assert call("PUT", "/combat", {"combat_state": dead}).json()["state"] is not None
    assert call("GET", "/combat").json() == {"active": False, "state": None}
    assert call("PUT", "/combat", dead).status_code == 422
    poison = {"combat_state": {**COMBAT, "started_at": "at dusk"}}
    assert call("PUT", "/combat", poison).status_code == 200
    assert call("GET", "/context").json()["error"] == "internal_error"
    assert call("PUT", "/combat", {"combat_state": None}).status_code == 200
    assert call("GET", "/context").status_code == 200


def test_pois_are_paged_newest_first(log: FakeJourneyLog) -> None:
    made = log.seed_character()
    call = Player(log, made)
    for second in range(5):
        stamp = f"2026-01-01T00:00:0{second}.5Z"
        poi = {"name": f"P{second}", "description": "d", "timestamp": stamp, "tags": ["t"]}
        assert call("POST", "/pois", poi).json()["poi"]["created_at"] == stamp.replace(
            ".5Z", ".500000Z"
        )
    first = call("GET", "/pois", limit=3).json()
    assert [poi["name"] for poi in first["pois"]] == ["P4", "P3", "P2"]
    second_page = call("GET", "/pois", limit=3, cursor=first["cursor"]).json()
    assert [poi["name"] for poi in second_page["pois"]] == ["P1", "P0"]
    assert second_page["cursor"] is None
    assert call("GET", "/pois", cursor="x").status_code == 400
    assert call("GET", "/pois", limit=101).json()["error"] == "validation_error"
    drawn = call("GET", "/pois/random", n=20).json()
    assert (len({poi["id"] for poi in drawn["pois"]}), drawn["total_available"]) == (5, 5)
    assert call("GET", "/pois/random", n=21).status_code == 400
    assert call("GET", "/pois/summary").json()["preview"][0]["name"] == "P4"
    sample = call("GET", "/context", include_pois=True).json()["world"]
    assert len(sample["pois_sample"]) == sample["pois_cap"] == 3


def test_characters_are_created_read_and_listed(log: FakeJourneyLog) -> None:
    with httpx.Client(base_url=log.url, headers={"X-User-Id": "ann"}, trust_env=False) as client:
        asked = {"name": "Ann  B", "race": "Elf", "class": "Bard", "adventure_prompt": "a  b"}
        answer = client.post("/characters", json=asked, headers={"X-Request-ID": "r1"})
        made = answer.json()["character"]
        assert (answer.status_code, answer.headers["x-request-id"]) == (201, "r1")
        assert made["player_state"]["identity"] == {"name": "Ann B", "race": "Elf", "class": "Bard"}
        assert client.post("/characters", json={**asked, "name": "Ann B"}).status_code == 409
        assert client.post("/characters", json={**asked, "name": " "}).status_code == 500
        other = log.seed_character(user="ann", name="Z")
        listed = client.get("/characters").json()
        assert [row["character_id"] for row in listed["characters"]] == [
            other,
            made["character_id"],
        ]
        read_back = client.get(f"/characters/{made['character_id']}").json()["character"]
        assert read_back["adventure_prompt"] == "a b"
        assert client.get("/health").json()["status"] == "healthy"


def test_failing_answers_commit_only_if_configured(log: FakeJourneyLog) -> None:
    made = log.seed_character()
    call = Player(log, made)
    log.fail(
        "narrative", answers(503), proxy_error(502), answers(422), None, proxy_error(commit=True)
    )
    own, foreign, refused, fine, spoiled = (call("POST", "/narrative", TURN) for _ in range(5))
    assert (own.status_code, own.json()["status_code"]) == (503, 503)
    assert foreign.headers["content-type"] == "text/html"
    assert (refused.status_code, refused.json()["error"]) == (422, "validation_error")
    assert (fine.status_code, spoiled.status_code) == (201, 502)
    assert len(log.character(made)["turns"]) == 2
    log.always("context", answers(500))
    assert [call("GET", "/context").status_code for _ in range(2)] == [500, 500]
    log.heal()
    assert call("GET", "/context").status_code == 200


@pytest.mark.parametrize("commit", [False, True])
@pytest.mark.parametrize(
    ("make", "seen"),
    [
        (drops, httpx.RemoteProtocolError),
        (resets, httpx.ReadError),
        (hangs, httpx.ReadTimeout),
    ],
)
def test_a_broken_connection_may_or_may_not_have_committed(
    log: FakeJourneyLog, make: Any, seen: type[Exception], commit: bool
) -> None:
    made = log.seed_character()
    log.fail("quest", make(commit=commit))
    url = f"{log.url}/characters/{made}/quest"
    headers = {"X-User-Id": "local"}
    with httpx.Client(trust_env=False, timeout=0.2) as client, pytest.raises(seen):
        client.put(url, json=QUEST, headers=headers)
    assert log.kinds() == (["quest"] if commit else [])
    assert len(log.requests) == 1


@pytest.mark.parametrize("hold", ["commit", "answer"])
def test_a_late_request_is_carried_out_for_a_client_that_left(
    log: FakeJourneyLog, hold: Any
) -> None:
    made, gate = log.seed_character(), threading.Event()
    log.fail("combat", late(gate, hold=hold))
    url = f"{log.url}/characters/{made}/combat"
    with (
        httpx.Client(trust_env=False, timeout=0.2) as client,
        pytest.raises(httpx.ReadTimeout),
    ):
        client.put(url, json={"combat_state": COMBAT}, headers={"X-User-Id": "local"})
    log.wait_for(lambda: log.open_connections == 0)
    assert log.kinds() == ([] if hold == "commit" else ["combat"])
    gate.set()
    log.wait_for(lambda: log.kinds() == ["combat"])


def test_a_quest_put_that_is_late_is_judged_when_it_lands(log: FakeJourneyLog) -> None:
    made, gate = log.seed_character(), threading.Event()
    log.fail("quest", Fault(gate=gate))
    answers_seen: list[int] = []
    call = Player(log, made)
    slow = threading.Thread(
        target=lambda: answers_seen.append(call("PUT", "/quest", QUEST).status_code)
    )
    slow.start()
    log.wait_for(lambda: len(log.requests) == 1)
    assert call("PUT", "/quest", QUEST).status_code == 200
    gate.set()
    slow.join(timeout=300)
    assert answers_seen == [409]
