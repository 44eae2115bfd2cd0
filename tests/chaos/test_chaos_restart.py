"""Reconnecting at every event and shutting down, with the real process."""

from __future__ import annotations

import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from fakes.journey_log import FakeJourneyLog, late
from fakes.model import COMBAT_START, POI_CREATE, QUEST_OFFER, FakeModel, Script, outcome_text
from remote import environment, remote
from serving import Served, aside, refused, turn_body

DRAINING = re.compile("shutdown_started")
FULL = outcome_text(quest=QUEST_OFFER, combat=COMBAT_START, poi=POI_CREATE)


def remainders(server: Served, turn_id: str, frames: list[bytes]) -> None:
    """Resuming after every event gives exactly the rest."""
    for seen in range(len(frames)):
        resumed = server.stream(
            "GET", f"/turns/{turn_id}/events", last_event_id=f"{turn_id}:{seen}"
        )
        assert resumed.frames == frames[seen:]
    last = server.call("GET", f"/turns/{turn_id}/events", last_event_id=f"{turn_id}:{len(frames)}")
    assert last.status == 204


def test_a_reader_resumes_at_every_event_before_and_after_a_restart(
    tmp_path: Path, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    model.default = Script(FULL, token_chars=40)
    settings = environment(model, journey_log)
    with remote(tmp_path, settings) as server:
        stream = server.turn(character)
        assert stream.last["type"] == "complete"
        remainders(server, stream.turn_id, stream.frames)
        server.process.signal(signal.SIGTERM)
        assert server.process.exit_code() == 0
    with remote(tmp_path, settings) as server:
        remainders(server, stream.turn_id, stream.frames)
        server.process.signal(signal.SIGKILL)
        assert server.process.exit_code() == -signal.SIGKILL
    with remote(tmp_path, settings) as server:
        remainders(server, stream.turn_id, stream.frames)


def test_a_reader_of_a_turn_that_was_killed_while_it_wrote_reads_the_same_and_the_rest(
    tmp_path: Path, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    model.default = Script(FULL, token_chars=40)
    settings = environment(model, journey_log)
    gate = threading.Event()
    journey_log.fail("poi", late(gate))
    with remote(tmp_path, settings) as server, server.live(character) as live:
        live.until("write", subsystem="combat")
        seen = live.seen
        journey_log.wait_for(lambda: any(r.path.endswith("/pois") for r in journey_log.requests))
        server.process.signal(signal.SIGKILL)
        server.process.exit_code()
    gate.set()
    with remote(tmp_path, settings) as server:
        whole = server.stream("GET", f"/turns/{seen.turn_id}/events")
        assert whole.frames[: len(seen.frames)] == seen.frames
        assert whole.last["type"] == "complete"
        assert [event["success"] for event in whole.of("write")] == [True] * 4
        settling = [event for event in whole.of("metadata") if event["phase"] == "settling"]
        assert {event["subsystem"] for event in settling} <= {"poi"}  # only it was under way
        remainders(server, seen.turn_id, whole.frames)
    assert journey_log.kinds(character) == ["quest", "combat", "poi", "narrative"]


# -- the first signal, the grace, the second signal ----------------------------------------------


def test_the_first_signal_refuses_new_turns_and_lets_the_running_ones_end(
    tmp_path: Path, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    gate = threading.Event()
    model.default = Script(gate=gate, gate_after=20)
    other = journey_log.seed_character()
    with remote(tmp_path, environment(model, journey_log)) as server:
        with server.live(character) as live, server.live(other) as unwanted:
            live.until("token")
            unwanted.until("token")
            server.process.signal(signal.SIGTERM)
            server.process.logged(DRAINING)
            reply = server.call("POST", "/turn/stream", turn_body(journey_log.seed_character()))
            refused(reply, 503, "overloaded")
            assert server.call("GET", "/health").status == 200
            assert server.cancel(unwanted.turn_id).status == 202
            assert unwanted.rest().last["type"] == "cancelled"
            resumed = aside(server.stream, "GET", f"/turns/{live.turn_id}/events")
            gate.set()
            whole = live.rest()
        assert whole.last["type"] == "complete"
        assert whole.body.endswith(b"data: [DONE]\n\n")
        assert resumed.result(300).frames == whole.frames
        assert server.process.exit_code() == 0
    assert journey_log.kinds(other) == []
    assert journey_log.narratives(character) == [whole.narrative]


def test_turn_that_outlives_the_grace_period_is_left_to_the_next_start(
    tmp_path: Path, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    gate, other = threading.Event(), journey_log.seed_character()
    settings = environment(model, journey_log, SHUTDOWN_GRACE_SECONDS="0.1")
    journey_log.fail("narrative", late(gate))
    with remote(tmp_path, settings) as server, server.live(character) as writing:
        writing.until("metadata", phase="writes")
        model.then(Script(gate=gate, gate_after=20))
        with server.live(other) as generating:
            generating.until("token")
            server.process.signal(signal.SIGTERM)
            assert server.process.exit_code() == 0
    gate.set()
    with remote(tmp_path, settings) as server:
        for live, expected in ((writing, "complete"), (generating, "interrupted")):
            last = server.stream("GET", f"/turns/{live.turn_id}/events").last
            assert last.get("error_type", last["type"]) == expected
        for played in (character, other):
            assert server.turn(played).last["type"] == "complete"


def test_a_second_signal_ends_it_at_once_whoever_still_reads(
    tmp_path: Path, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    model.then(Script(outcome_text("x" * 30_000), token_chars=100, gate=threading.Event()))
    model.default = Script(gate=threading.Event(), gate_after=20)
    body = turn_body(journey_log.seed_character())
    with (
        remote(tmp_path, environment(model, journey_log, SHUTDOWN_GRACE_SECONDS="600")) as server,
        stuck_reader(server, body),
        server.live(character) as live,
    ):
        live.until("metadata", phase="narrative")
        server.process.signal(signal.SIGTERM)
        server.process.logged(DRAINING)
        server.process.signal(signal.SIGTERM)
        assert server.process.exit_code() == 128 + signal.SIGTERM


@contextmanager
def stuck_reader(server: Served, body: dict[str, Any]) -> Iterator[None]:
    """Posts a turn and never reads what comes."""
    with closing(server.send("POST", "/turn/stream", body)) as connection:
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        yield
