"""Many turns and many readers at once: nobody sees, slows or harms another."""

from __future__ import annotations

import http.client
import io
import json
import logging
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import structlog
from app.telemetry.logs import configure_logging

from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel, Script
from fakes.server import Request
from serving import TIMEOUT, Served, Stream, aside, turn_body

Serve = Callable[..., Served]
STREAMS = 200
TOKENS = 100
NAME = re.compile(r"Hero-\d{3}")


@pytest.fixture
def logged() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What the service logs, as it stands in its JSON lines."""
    out, root, ours = io.StringIO(), logging.getLogger(), logging.getLogger("app")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    configure_logging(level="INFO", json=True, service="test", environment="test", stream=out)
    yield lambda: [json.loads(line) for line in out.getvalue().splitlines()]
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


def numbered_stories(gate: threading.Event, tokens: int = TOKENS) -> Callable[[Request], Script]:
    """A model with a story for each hero, held back in it until the gate opens."""

    def script(request: Request) -> Script:
        found = NAME.search(request.body.decode())
        assert found is not None
        tokens_of_hero = [f"[{found[0]}:{number}]" for number in range(tokens)]
        pieces = ['{"narrative": "', *tokens_of_hero, '", "intents": {}}']
        return Script(pieces=pieces, gate=gate, gate_after=2, per_write=10)

    return script


def story(name: str, tokens: int = TOKENS) -> str:
    return "".join(f"[{name}:{number}]" for number in range(tokens))


def seqs(stream: Stream) -> list[str]:
    return [frame.split(b"\n")[0].decode() for frame in stream.frames]


def play(service: Served, character: str, request_id: str) -> Stream:
    body = turn_body(character, f"I am {request_id}.")
    return service.stream("POST", "/turn/stream", body, X_Request_Id=request_id)


def test_two_hundred_streams_do_not_mix(
    serve: Serve,
    model: FakeModel,
    journey_log: FakeJourneyLog,
    logged: Callable[[], list[dict[str, Any]]],
) -> None:
    gate = threading.Event()
    model.default = numbered_stories(gate)
    service = serve(max_concurrent_llm_calls=STREAMS, quest_trigger_prob=0, poi_trigger_prob=0)
    heroes = {
        f"Hero-{number:03}": journey_log.seed_character(name=f"Hero-{number:03}")
        for number in range(STREAMS)
    }
    asked = {name: aside(play, service, heroes[name], f"req-{name}") for name in heroes}
    model.wait_for(lambda: model.stats.open == STREAMS, timeout=300)
    gate.set()
    streams = {name: future.result(300) for name, future in asked.items()}
    for name, stream in streams.items():
        check_own(stream, name, heroes[name])
        assert journey_log.narratives(heroes[name]) == [story(name)]
    check_upstream(journey_log, heroes)
    service.close()
    known = {s.turn_id: (heroes[name], f"req-{name}") for name, s in streams.items()}
    assert len(known) == STREAMS
    check_logs(logged(), known)


def check_own(stream: Stream, name: str, character: str) -> None:
    assert stream.last["type"] == "complete"
    assert stream.narrative == story(name)
    assert set(NAME.findall(stream.body.decode())) == {name}
    assert stream.events[0]["character_id"] == character
    assert stream.events[0]["turn_id"] == stream.last["turn_id"] == stream.turn_id
    assert seqs(stream) == [f"id: {stream.turn_id}:{n}" for n in range(1, len(seqs(stream)) + 1)]
    assert stream.header("x-request-id") == f"req-{name}"


def check_upstream(journey_log: FakeJourneyLog, heroes: dict[str, str]) -> None:
    names = {character: name for name, character in heroes.items()}
    for request in journey_log.requests:
        character = request.path.split("/")[2]
        assert request.headers["x-request-id"] == f"req-{names[character]}"
    for write in journey_log.writes:
        assert (write.body or {})["user_action"] == f"I am req-{names[write.character_id]}."


def check_logs(lines: list[dict[str, Any]], known: dict[str, tuple[str, str]]) -> None:
    """Where a line names a turn, its character and its request are that turn's."""
    of_turns = [line for line in lines if "turn_id" in line]
    for line in of_turns:
        assert (line["character_id"], line["request_id"]) == known[line["turn_id"]], line
    ended = [line["turn_id"] for line in of_turns if line["event"] == "turn"]
    assert sorted(ended) == sorted(known)
    answered = [line["request_id"] for line in lines if line["event"] == "request"]
    assert sorted(answered) == sorted(request for _, request in known.values())
    assert not any(NAME.search(str(line.get("narrative", ""))) for line in lines)


def test_many_readers_of_one_turn_read_the_same_bytes(
    service: Served, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    gate = threading.Event()
    model.default = numbered_stories(gate)
    character = journey_log.seed_character(name="Hero-001")
    with service.live(character) as live, ExitStack() as stack:
        live.until("token")
        readers = [stack.enter_context(service.events(live.turn_id)) for _ in range(40)]
        gate.set()
        body = live.rest().body
        assert [reader.rest().body for reader in readers] == [body] * len(readers)
    assert service.stream("GET", f"/turns/{live.turn_id}/events").body == body


@contextmanager
def idle_reader(service: Served, turn_id: str) -> Iterator[http.client.HTTPResponse]:
    """Asks for the events of a turn and takes next to nothing until it is read."""
    with socket.socket() as idle:
        idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        idle.settimeout(TIMEOUT)
        idle.connect(("127.0.0.1", service.port))
        host = f"Host: 127.0.0.1:{service.port}"
        idle.sendall(f"GET /turns/{turn_id}/events HTTP/1.1\r\n{host}\r\n\r\n".encode())
        response = http.client.HTTPResponse(idle, method="GET")
        response.begin()
        yield response


def test_a_reader_that_does_not_read_slows_nobody_and_misses_nothing(
    serve: Serve, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    service = serve(max_narrative_bytes=1_000_000)
    gate, bulk = threading.Event(), "\N{FIRE}" * 5_000
    pieces = ['{"narrative": "', "x", *[bulk] * 6, '", "intents": {}}']
    model.then(Script(text="", pieces=pieces, gate=gate, gate_after=2))
    with service.live(character) as live:
        live.until("token")
        with idle_reader(service, live.turn_id) as idle:
            gate.set()
            body = live.rest().body
            assert live.seen.last["type"] == "complete"
            completed = "dungeon_master_streams_completed_total"
            service.wait_for(lambda: service.metric(completed) == 1)
            assert service.metric("dungeon_master_streams_active") == 1
            assert idle.read() == body
    assert journey_log.narratives(character) == ["x" + bulk * 6]


def test_model_calls_beyond_the_limit_wait_their_turn(
    serve: Serve, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    gate = threading.Event()
    model.default = numbered_stories(gate, 5)
    service = serve(max_concurrent_llm_calls=3)  # as many may wait; a seventh turn is refused
    heroes = {f"Hero-{n:03}": journey_log.seed_character(name=f"Hero-{n:03}") for n in range(6)}
    asked = {name: aside(play, service, heroes[name], f"req-{name}") for name in heroes}
    service.wait_for(lambda: service.metric("dungeon_master_model_slots_waiting") == 3)
    model.wait_for(lambda: model.stats.open == 3)
    assert len(model.calls) == 3
    gate.set()
    for name, stream in asked.items():
        assert stream.result(300).narrative == story(name, 5)


def test_a_turn_that_waited_too_long_for_the_model_is_overloaded(
    serve: Serve, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    gate = threading.Event()
    model.default = numbered_stories(gate, 5)
    service = serve(max_concurrent_llm_calls=1, llm_slot_wait_seconds=0)
    first, second = (journey_log.seed_character(name=f"Hero-{n:03}") for n in range(2))
    with service.live(first) as live:
        live.until("token")
        refused = play(service, second, "req-2").last
        gate.set()
        assert live.rest().last["type"] == "complete"
    assert (refused["error_type"], refused["recoverable"]) == ("overloaded", True)
    assert refused["retry_after_seconds"] > 0
