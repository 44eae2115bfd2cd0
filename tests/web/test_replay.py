"""Reading a turn again: from any event on, by its id, by its idempotency key."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from fakes.journey_log import FakeJourneyLog
from fakes.model import (
    COMBAT_START,
    NARRATIVE,
    POI_CREATE,
    QUEST_OFFER,
    FakeModel,
    Script,
    outcome_text,
)
from serving import SOON, Live, Reply, Served, Stream, aside, refused, turn_body

Serve = Callable[..., Served]
RETRY, DONE = b"retry: 2000\n", b"data: [DONE]\n\n"
EVERYTHING = outcome_text(quest=QUEST_OFFER, combat=COMBAT_START, poi=POI_CREATE)
GRANTED = {"quest_trigger_prob": 1, "poi_trigger_prob": 1, "rng_seed": "x"}
FOREIGN = "7b6f1f34-6a0e-4f5a-9a53-0d6e6d3f6f10"


def replay(service: Served, turn_id: str, query: str = "", **headers: str) -> Stream:
    return service.stream("GET", f"/turns/{turn_id}/events{query}", **headers)


@pytest.fixture
def granting(serve: Serve) -> Served:
    return serve(**GRANTED)


@pytest.fixture
def full(granting: Served, model: FakeModel, character: str) -> Stream:
    """A finished turn in which everything happened, as it was streamed."""
    model.then(Script(text=EVERYTHING))
    return granting.turn(character)


@contextmanager
def halfway(service: Served, model: FakeModel, character: str, **fields: Any) -> Iterator[Live]:
    """A running turn, read up to where the model is held back; goes on when the block ends."""
    gate = threading.Event()
    model.then(Script(text=EVERYTHING, gate=gate, gate_after=16))
    shown = EVERYTHING[: 16 * 4].removeprefix('{"narrative": "').replace("\\n", "\n")
    with service.live(character, **fields) as live:
        while live.seen.narrative != shown.replace('\\"', '"'):
            live.until("token")
        yield live
        gate.set()


# -- resuming -------------------------------------------------------------------------------------


def test_a_finished_turn_resumes_after_every_event(granting: Served, full: Stream) -> None:
    frames = full.frames
    for seen in range(len(frames)):
        rest = RETRY + b"".join(frames[seen:]) + DONE
        by_header = replay(granting, full.turn_id, Last_Event_ID=f"{full.turn_id}:{seen}")
        by_number = replay(granting, full.turn_id, f"?after={seen}")
        by_id = replay(granting, full.turn_id, f"?after={full.turn_id}:{seen}")
        assert by_header.body == by_number.body == by_id.body == rest
    assert replay(granting, full.turn_id).body == full.body


def test_a_running_turn_resumes_after_every_event(
    granting: Served, model: FakeModel, character: str
) -> None:
    with ExitStack() as readers:
        with halfway(granting, model, character) as live:
            turn_id, shown = live.turn_id, len(live.seen.frames)
            by_header = [
                readers.enter_context(granting.events(turn_id, Last_Event_ID=f"{turn_id}:{seen}"))
                for seen in range(shown + 1)
            ]
            by_number = [
                readers.enter_context(granting.events(turn_id, f"?after={seen}"))
                for seen in range(shown + 1)
            ]
        frames = granting.stream("GET", f"/turns/{turn_id}/events").frames
        assert len(frames) > shown >= 5
        for resumed in (by_header, by_number):
            for seen, reader in enumerate(resumed):
                assert reader.rest().body == RETRY + b"".join(frames[seen:]) + DONE


def test_a_resumed_stream_has_the_head_of_the_first(granting: Served, full: Stream) -> None:
    again = replay(granting, full.turn_id, "?after=3")
    for name in ("content-type", "cache-control", "x-accel-buffering", "location", "x-turn-id"):
        assert again.header(name) == full.header(name)


def test_at_the_terminal_event_there_is_nothing_more(granting: Served, full: Stream) -> None:
    last = len(full.frames)
    for reply in (
        replay(granting, full.turn_id, Last_Event_ID=f"{full.turn_id}:{last}"),
        replay(granting, full.turn_id, f"?after={last}"),
    ):
        assert (reply.status, reply.body) == (204, b"")


def test_the_header_beats_the_query(granting: Served, full: Stream) -> None:
    last, id_of = len(full.frames), f"{full.turn_id}:{{}}".format
    early = replay(granting, full.turn_id, f"?after={last}", Last_Event_ID=id_of(2))
    late = replay(granting, full.turn_id, "?after=2", Last_Event_ID=id_of(last))
    assert early.frames == full.frames[2:]
    assert late.status == 204


@pytest.mark.parametrize(
    "event_id",
    [
        "",
        "7",
        "garbage",
        "{turn}:",
        "{turn}:x",
        "{turn}:-2",
        "{turn}:1.5",
        "{turn}:²",
        "{turn}:999",
        "{turn}:" + "9" * 40,
        "{turn}:5:5",
        FOREIGN + ":5",
        ":5",
    ],
)
def test_a_malformed_or_foreign_id_replays_from_the_start(
    granting: Served, full: Stream, event_id: str
) -> None:
    sent = event_id.format(turn=full.turn_id).encode().decode("latin-1")
    assert replay(granting, full.turn_id, "?after=5", Last_Event_ID=sent).body == full.body


@pytest.mark.parametrize("after", ["", "x", "-1", "1.5", "999", FOREIGN + ":5"])
def test_a_malformed_query_replays_from_the_start(
    granting: Served, full: Stream, after: str
) -> None:
    assert replay(granting, full.turn_id, f"?after={after}").body == full.body


def test_an_id_that_was_never_given_replays_from_the_start(granting: Served, full: Stream) -> None:
    stream = replay(granting, full.turn_id, f"?after={len(full.frames) + 3}")
    assert stream.body == full.body


def test_a_turn_is_replayed_after_a_restart(serve: Serve, model: FakeModel, character: str) -> None:
    first = serve(**GRANTED)
    model.then(Script(text=EVERYTHING))
    full = first.turn(character)
    described = first.call("GET", f"/turns/{full.turn_id}").json()
    first.close()
    second = serve(**GRANTED)
    assert replay(second, full.turn_id).body == full.body
    assert replay(second, full.turn_id, "?after=7").frames == full.frames[7:]
    assert second.call("GET", f"/turns/{full.turn_id}").json() == described


@pytest.mark.parametrize("path", ["/turns/{}", "/turns/{}/events"])
def test_turns_that_are_unknown_or_of_somebody_else_are_not_found(
    granting: Served, full: Stream, path: str
) -> None:
    refused(granting.call("GET", path.format(FOREIGN)), 404, "turn_not_found")
    refused(granting.call("GET", path.format("nowhere")), 404, "turn_not_found")
    foreign = granting.call("GET", path.format(full.turn_id), X_User_Id="somebody-else")
    refused(foreign, 404, "turn_not_found")


def test_a_running_turn_of_somebody_else_is_not_found(
    granting: Served, model: FakeModel, character: str
) -> None:
    with halfway(granting, model, character) as live:
        for path in (f"/turns/{live.turn_id}", f"/turns/{live.turn_id}/events"):
            reply = granting.call("GET", path, X_User_Id="somebody-else")
            refused(reply, 404, "turn_not_found")


# -- one turn as a resource -----------------------------------------------------------------------


def test_a_running_turn_shows_its_story_so_far(
    granting: Served, model: FakeModel, character: str
) -> None:
    with halfway(granting, model, character) as live:
        shown = granting.call("GET", f"/turns/{live.turn_id}").json()
        assert (shown["turn_id"], shown["character_id"]) == (live.turn_id, character)
        assert (shown["status"], shown["phase"]) == ("running", "narrative")
        assert shown["narrative"] == live.seen.narrative != ""
        assert shown["intents"] is shown["subsystem_summary"] is shown["usage"] is None
        assert shown["timing"]["total_duration_ms"] > 0


def test_finished_turn_shows_its_result(granting: Served, full: Stream) -> None:
    shown = granting.call("GET", f"/turns/{full.turn_id}").json()
    assert (shown["status"], shown["narrative"]) == ("complete", NARRATIVE)
    for name in ("turn_id", "intents", "subsystem_summary", "timing", "usage"):
        assert shown[name] == full.last[name]
    assert shown["error"] is None


def test_a_failed_turn_shows_its_error(granting: Served, model: FakeModel, character: str) -> None:
    model.then(Script(drop_after=8))
    stream = granting.turn(character)
    shown = granting.call("GET", f"/turns/{stream.turn_id}").json()
    assert (shown["status"], shown["narrative"]) == ("error", stream.narrative)
    assert shown["error"]["type"] == "llm_error"
    assert shown["error"]["message"] == stream.last["message"]


# -- idempotency ----------------------------------------------------------------------------------


def attach(service: Served, character: str, action: str, **fields: Any) -> Reply:
    return service.call("POST", "/turn", turn_body(character, action, **fields))


def test_a_retry_while_the_turn_runs_attaches_to_it(
    granting: Served, model: FakeModel, character: str
) -> None:
    waiting: Future[Reply]
    with halfway(granting, model, character, idempotency_key="k") as live, ExitStack() as stack:
        again = stack.enter_context(granting.live(character, idempotency_key="k", trace_id="other"))
        again.frames(len(live.seen.frames))
        waiting = aside(attach, granting, character, "I open the door.", idempotency_key="k")
        granting.wait_for(lambda: granting.requests_under_way == 3)
        gate_opens = stack.pop_all()
    with gate_opens:
        attached = again.rest()
    whole = waiting.result(300)
    first = replay(granting, attached.turn_id)
    assert attached.body == first.body
    assert whole.json()["turn_id"] == attached.turn_id
    assert whole.json()["narrative"] == NARRATIVE
    assert len(model.calls) == 1


@pytest.mark.parametrize("header", [False, True], ids=["body", "header"])
def test_a_retry_after_the_end_gets_the_stored_turn(
    granting: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str, header: bool
) -> None:
    fields = {} if header else {"idempotency_key": "k"}
    headers = {"Idempotency_Key": "k"} if header else {}
    body = turn_body(character, **fields)
    first = granting.stream("POST", "/turn/stream", body, **headers)
    again = granting.stream("POST", "/turn/stream", body, **headers)
    whole = granting.call("POST", "/turn", {**body, "trace_id": "t-2"}, **headers)
    assert again.body == first.body
    assert whole.json()["turn_id"] == first.turn_id
    assert whole.json()["subsystem_summary"] == first.last["subsystem_summary"]
    assert journey_log.narratives(character) == [NARRATIVE]
    assert len(model.calls) == 1


def test_the_key_means_the_same_in_the_header_and_in_the_body(
    granting: Served, model: FakeModel, character: str
) -> None:
    first = granting.turn(character, idempotency_key="k")
    again = granting.call("POST", "/turn", turn_body(character), Idempotency_Key="k")
    assert again.json()["turn_id"] == first.turn_id
    assert len(model.calls) == 1


def test_stored_failure_is_replayed(granting: Served, model: FakeModel, character: str) -> None:
    model.then(*[Script(text="no outcome")] * 2)
    first = attach(granting, character, "I sing.", idempotency_key="k")
    again = attach(granting, character, "I sing.", idempotency_key="k")
    for reply in (first, again):
        refused(reply, 502, "llm_response_error")
    assert len(model.calls) == 2  # streamed, then whole


@pytest.mark.parametrize("running", [True, False])
@pytest.mark.parametrize(
    "other", [{"action": "I sing."}, {"dry_run": True}, {"character_id": FOREIGN}]
)
def test_a_key_used_with_another_body_is_refused(
    granting: Served, model: FakeModel, character: str, running: bool, other: dict[str, Any]
) -> None:
    second = {"character_id": character, **other, "idempotency_key": "k"}
    with halfway(granting, model, character, idempotency_key="k") as live:
        if running:
            refused(
                granting.call("POST", "/turn", turn_body(**second)), 422, "idempotency_key_reused"
            )
    if not running:
        granting.wait_for(lambda: status(granting, live.turn_id) == "complete")
        refused(granting.call("POST", "/turn", turn_body(**second)), 422, "idempotency_key_reused")
    assert len(model.calls) == 1


def status(service: Served, turn_id: str) -> Any:
    return service.call("GET", f"/turns/{turn_id}").json()["status"]


def test_keys_of_different_callers_are_different_keys(
    granting: Served, journey_log: FakeJourneyLog
) -> None:
    turns = set()
    for user in ("mara", "odo"):
        body = turn_body(journey_log.seed_character(user), idempotency_key="k")
        turns.add(granting.call("POST", "/turn", body, X_User_Id=user).json()["turn_id"])
    assert len(turns) == 2


def test_a_refused_request_does_not_bind_its_key(
    granting: Served, model: FakeModel, character: str
) -> None:
    with halfway(granting, model, character) as live:
        refused(attach(granting, character, "One.", idempotency_key="k"), 409, "turn_in_progress")
    granting.wait_for(lambda: status(granting, live.turn_id) == "complete")
    refused(attach(granting, FOREIGN, "Two.", idempotency_key="k"), 404, "character_not_found")
    assert attach(granting, character, "Three.", idempotency_key="k").status == 200


def test_a_turn_that_may_be_tried_again_gives_its_key_back(
    serve: Serve, model: FakeModel, character: str
) -> None:
    service = serve(llm_max_retries=0, timeout=SOON)
    model.then(Script(hang=True))
    refused(attach(service, character, "I sing.", idempotency_key="k"), 504, "llm_timeout")
    assert attach(service, character, "I sing.", idempotency_key="k").status == 200
    assert len(model.calls) == 2


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_a_key_that_is_none_is_refused(service: Served, character: str, key: str) -> None:
    body = turn_body(character, idempotency_key=key)
    refused(service.call("POST", "/turn", body), 422, "validation_error")
    header = service.call("POST", "/turn", turn_body(character), Idempotency_Key=key)
    refused(header, 422, "validation_error")


def test_many_retries_at_once_are_one_turn(
    granting: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    asked = [aside(attach, granting, character, "I sing.", idempotency_key="k") for _ in range(20)]
    replies = [reply.result(300) for reply in asked]
    assert [reply.status for reply in replies] == [200] * 20
    assert len({reply.json()["turn_id"] for reply in replies}) == 1
    assert len(model.calls) == 1
    assert journey_log.narratives(character) == [NARRATIVE]


# -- one turn at a time ---------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/turn", "/turn/stream"])
def test_a_character_plays_one_turn_at_a_time(
    granting: Served, model: FakeModel, character: str, path: str
) -> None:
    with halfway(granting, model, character) as live:
        reply = granting.call("POST", path, turn_body(character, "Another."))
        problem = refused(reply, 409, "turn_in_progress")
        assert problem["error"]["recoverable"] is True
        assert reply.header("location") == f"/turns/{live.turn_id}/events"
        assert int(reply.header("retry-after") or 0) >= 1
    granting.wait_for(lambda: status(granting, live.turn_id) == "complete")
    assert granting.call("POST", path, turn_body(character, "Another.")).status == 200


def test_character_is_free_once_the_terminal_event_is_visible(
    granting: Served, character: str
) -> None:
    for number in range(10):
        with granting.live(character, f"Step {number}.") as live:
            live.until("complete")
            assert status(granting, live.turn_id) == "complete"
