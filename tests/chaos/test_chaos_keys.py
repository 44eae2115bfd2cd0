"""Many requests at once for one key or one character, and turns that wait in line."""

from __future__ import annotations

import json
import signal
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path

from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel, Script, outcome_text
from fakes.server import Request
from remote import environment, remote
from serving import Served, Stream, aside, turn_body

Serve = Callable[..., Served]
MANY = 50
LINE = 4  # how many may wait for one character


def begun(service: Served, character: str, keys: list[str]) -> list[Future[Stream]]:
    """One stream per key, all begun at once."""
    start = threading.Barrier(len(keys))

    def post(key: str) -> Stream:
        body = turn_body(character, idempotency_key=key)
        start.wait()
        return service.stream("POST", "/turn/stream", body)

    return [aside(post, key) for key in keys]


def posts(service: Served, character: str, keys: list[str]) -> list[Stream]:
    return [done.result(300) for done in begun(service, character, keys)]


def test_fifty_posts_with_one_key_are_one_turn(
    service: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    answers = posts(service, character, ["one"] * MANY)
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body for answer in answers}) == 1
    assert answers[0].last["type"] == "complete"
    assert len(model.calls) == 1
    assert journey_log.kinds(character).count("narrative") == 1


def test_one_of_fifty_keys_for_one_character_runs_at_a_time(
    service: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    gate = threading.Event()
    model.default = Script(gate=gate)
    answers = begun(service, character, [str(number) for number in range(MANY)])
    service.wait_for(lambda: sum(answer.done() for answer in answers) == MANY - 1)
    gate.set()
    statuses = Counter(answer.result(300).status for answer in answers)
    assert statuses == {200: 1, 409: MANY - 1}
    assert len(model.calls) == 1
    assert journey_log.kinds(character).count("narrative") == 1


def test_a_line_takes_four_and_keeps_their_order(
    serve: Serve, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    gate = threading.Event()
    model.then(Script(gate=gate))
    model.default = echo
    service = serve(turn_conflict="queue")
    with ExitStack() as open_streams:
        first = open_streams.enter_context(service.live(character, "action 0"))
        first.until("metadata", phase="narrative")
        line = []
        for number in range(1, LINE + 1):
            live = open_streams.enter_context(service.live(character, f"action {number}"))
            assert live.until("metadata", phase="queued")["position"] == number
            line.append(live)
        refused = posts(service, character, [str(number) for number in range(MANY)])
        assert {answer.status for answer in refused} == {409}
        gate.set()
        ends = [live.rest().last["type"] for live in [first, *line]]
    assert ends == ["complete"] * (LINE + 1)
    assert actions(journey_log, character) == [f"action {number}" for number in range(LINE + 1)]
    assert never_two_at_once(journey_log, character)


def echo(request: Request) -> Script:
    return Script(outcome_text(f"Call {request.order}."))


def actions(journey_log: FakeJourneyLog, character: str) -> list[str]:
    return [turn["player_action"] for turn in journey_log.character(character)["turns"]]


def never_two_at_once(journey_log: FakeJourneyLog, character: str) -> bool:
    """A turn reads its context only when the one before has written its narrative."""
    seen = [
        request.method
        for request in journey_log.requests
        if request.path.endswith(("/context", "/narrative"))
    ]
    return seen == ["GET", "POST"] * (len(seen) // 2)


def test_a_line_is_served_in_order_after_a_kill(
    tmp_path: Path, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    settings = environment(model, journey_log, TURN_CONFLICT="queue")
    gate = threading.Event()
    model.then(Script(gate=gate, gate_after=8))
    model.default = echo
    with remote(tmp_path, settings) as server, ExitStack() as open_streams:
        first = open_streams.enter_context(server.live(character, "action 0"))
        first.until("token")
        turn_ids = [first.turn_id]
        for number in range(1, LINE + 1):
            live = open_streams.enter_context(server.live(character, f"action {number}"))
            live.until("metadata", phase="queued")
            turn_ids.append(live.turn_id)
        server.process.signal(signal.SIGKILL)
        server.process.exit_code()
    gate.set()
    with remote(tmp_path, settings) as server:
        streams = [server.stream("GET", f"/turns/{turn_id}/events") for turn_id in turn_ids]
        ends = [stream.last for stream in streams]
        assert ends[0]["error_type"] == "interrupted"
        assert [end["type"] for end in ends[1:]] == ["complete"] * LINE
        assert [json.loads(s.frames[0].split(b"data: ")[1])["phase"] for s in streams[1:]] == [
            "queued"
        ] * LINE
    assert actions(journey_log, character) == [f"action {number}" for number in range(1, LINE + 1)]
