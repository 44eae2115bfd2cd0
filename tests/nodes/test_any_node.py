"""Any node serves any turn, whichever runs it."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from databases import SERVERS
from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel, Script
from serving import Live, Served, Stream, aside, frame_event, turn_body

Serve = Callable[..., Served]
Nodes = tuple[Served, Served]


@pytest.fixture
def nodes(serve: Serve) -> Nodes:
    url = SERVERS.postgres.emptied()
    return serve(store_url=url), serve(store_url=url)


def gated(model: FakeModel, after: int = 8) -> threading.Event:
    gate = threading.Event()
    model.then(Script(gate=gate, gate_after=after))
    return gate


def test_running_turn_is_resumed_on_another_node(
    nodes: Nodes, model: FakeModel, character: str
) -> None:
    here, there = nodes
    gate = gated(model)
    with here.live(character) as live:
        live.until("token")
        seen = len(live.seen.frames)
        with (
            there.events(live.turn_id, Last_Event_ID=f"{live.turn_id}:{seen}") as rest,
            there.events(live.turn_id) as whole,
        ):
            whole.frames(seen)
            gate.set()
            first = live.rest()
            assert rest.rest().frames == first.frames[seen:]
            assert whole.rest().frames == first.frames
    assert first.last["type"] == "complete"
    replayed = there.stream("GET", f"/turns/{first.turn_id}/events")
    assert replayed.frames == first.frames
    end = f"{first.turn_id}:{len(first.frames)}"
    path = f"/turns/{first.turn_id}/events"
    assert there.call("GET", path, Last_Event_ID=end).status == 204


def test_turn_is_described_on_another_node(nodes: Nodes, model: FakeModel, character: str) -> None:
    here, there = nodes
    gate = gated(model)
    with here.live(character) as live:
        live.until("token")
        there.wait_for(
            lambda: there.call("GET", f"/turns/{live.turn_id}").json()["narrative"] != ""
        )
        shown = there.call("GET", f"/turns/{live.turn_id}").json()
        assert (shown["status"], shown["phase"]) == ("running", "narrative")
        assert there.call("GET", f"/characters/{character}").json()["active_turn"] == {
            "turn_id": live.turn_id,
            "status": "running",
        }
        gate.set()
        assert live.rest().narrative.startswith(shown["narrative"])
    assert there.call("GET", f"/turns/{live.turn_id}").json()["status"] == "complete"


def test_turn_is_cancelled_from_another_node(
    nodes: Nodes, model: FakeModel, character: str
) -> None:
    here, there = nodes
    gated(model)
    with here.live(character) as live:
        live.until("token")
        assert there.cancel(live.turn_id).status == 202
        assert live.rest().last["type"] == "cancelled"
    again = there.cancel(live.turn_id)
    assert (again.status, again.error["type"]) == (409, "not_cancellable")
    assert there.turn(character).last["type"] == "complete"


@pytest.mark.parametrize("path", ["/turn/stream", "/turn"])
def test_repeated_request_attaches_to_the_turn_on_another_node(
    nodes: Nodes, model: FakeModel, character: str, path: str
) -> None:
    here, there = nodes
    gate = gated(model)
    body = turn_body(character, idempotency_key="k")
    with here.live(character, idempotency_key="k") as live:
        live.until("token")
        repeated = aside(there.call, "POST", path, body)
        gate.set()
        first = live.rest()
    reply = repeated.result(300)
    assert reply.status == 200
    if path == "/turn":
        assert reply.json()["narrative"] == first.narrative
    else:
        assert Stream(200, reply.headers, reply.body).frames == first.frames
    assert len(model.calls) == 1


def test_second_turn_of_a_busy_character_is_refused_on_any_node(
    nodes: Nodes, model: FakeModel, character: str
) -> None:
    here, there = nodes
    gate = gated(model)
    with here.live(character) as live:
        live.until("token")
        reply = there.call("POST", "/turn", turn_body(character, "another"))
        assert (reply.status, reply.error["type"]) == (409, "turn_in_progress")
        assert reply.header("location") == f"/turns/{live.turn_id}/events"
        gate.set()
        live.rest()


def test_turns_of_other_nodes_are_in_the_stream_of_a_character(
    nodes: Nodes, character: str
) -> None:
    here, there = nodes
    with there.open("GET", f"/characters/{character}/events") as response:
        feed = Live(response)
        feed.until("metadata", phase="live")
        turns = [here.turn(character, f"turn {number}") for number in range(2)]
        expected = [frame for turn in turns for frame in turn.frames]
        assert feed.frames(len(expected)) == expected


def test_queued_turns_of_two_nodes_run_in_the_order_in_which_they_came(
    serve: Serve, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    url = SERVERS.postgres.url()
    here, there = (serve(store_url=url, turn_conflict="queue") for _ in range(2))
    gate = gated(model)
    with here.live(character, "turn 0") as live:
        live.until("token")
        waiting = []
        for number, node in enumerate((there, here, there), start=1):
            waiting.append(aside(node.turn, character, f"turn {number}"))
            _wait_for_queue(here, character, number)
        gate.set()
        live.rest()
    for turn in waiting:
        assert turn.result(300).last["type"] == "complete"
    bodies = [write.body or {} for write in journey_log.writes if write.kind == "narrative"]
    actions = [body["user_action"] for body in bodies]
    assert actions == [f"turn {number}" for number in range(4)]


def _wait_for_queue(node: Served, character: str, length: int) -> None:
    node.wait_for(lambda: _queued(node, character) == length)


def _queued(node: Served, character: str) -> int:
    turns = node.call("GET", f"/characters/{character}/turns").json()["turns"]
    return sum(turn["status"] == "queued" for turn in turns)


def test_turns_of_a_node_that_leaves_are_taken_over(
    nodes: Nodes, model: FakeModel, character: str
) -> None:
    here, there = nodes
    gated(model)
    with here.live(character) as live:
        live.until("token")
        with there.events(live.turn_id) as elsewhere:
            elsewhere.until("token")
            here.close()
            last = elsewhere.rest().last
    assert (last["type"], last["error_type"]) == ("error", "interrupted")
    assert there.turn(character).last["type"] == "complete"


def test_frames_are_the_same_for_whoever_reads_them_wherever(
    nodes: Nodes, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    here, there = nodes
    model.default = Script(pace=0.002)
    players = [journey_log.seed_character() for _ in range(6)]

    def play(number: int) -> tuple[list[bytes], list[bytes]]:
        with here.live(players[number]) as live:
            read = list(live.frames(1))
            turn_id = live.turn_id
            hop = 0
            while frame_event(read[-1])["type"] not in ("complete", "error"):
                hop += 1
                node = (there, here)[hop % 2]
                with node.events(turn_id, Last_Event_ID=f"{turn_id}:{len(read)}") as part:
                    read += part.frames(1)
            return live.rest().frames, read

    for whole, pieces in [done.result(300) for done in [aside(play, n) for n in range(6)]]:
        assert pieces == whole
