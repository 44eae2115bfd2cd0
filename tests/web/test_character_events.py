"""One stream with all turns of a character, on whatever device they were begun."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from fakes.journey_log import FakeJourneyLog, answers
from fakes.model import FakeModel, Script
from serving import Live, Served, aside, refused

Serve = Callable[..., Served]


@contextmanager
def following(service: Served, character: str, query: str = "", **headers: str) -> Iterator[Live]:
    with service.open("GET", f"/characters/{character}/events{query}", **headers) as response:
        yield Live(response)


def gated(model: FakeModel) -> threading.Event:
    gate = threading.Event()
    model.then(Script(gate=gate, gate_after=8))
    return gate


def test_turns_of_other_devices_are_followed_one_after_another(
    service: Served, character: str
) -> None:
    with following(service, character) as feed:
        assert feed.until("metadata")["phase"] == "live"
        assert feed.seen.frames == []  # the marker has no id
        turns = [service.turn(character, f"turn {number}") for number in range(3)]
        expected = [frame for turn in turns for frame in turn.frames]
        assert feed.frames(len(expected)) == expected
        assert b"[DONE]" not in feed.seen.body
    starts = [e for e in feed.seen.events if e.get("phase") == "start"]
    assert [event["user_action"] for event in starts] == ["turn 0", "turn 1", "turn 2"]


def test_running_turn_is_followed_from_its_start(
    service: Served, model: FakeModel, character: str
) -> None:
    service.turn(character, "before")
    gate = gated(model)
    with service.live(character) as first:
        first.until("token")
        with following(service, character) as feed:
            feed.until("metadata", phase="live")
            assert first.frames(len(feed.seen.frames)) == feed.seen.frames  # more may have come
            gate.set()
            whole = first.rest()
            assert feed.frames(len(whole.frames)) == whole.frames


@pytest.mark.parametrize("seen", [1, 5, -1])
@pytest.mark.parametrize("how", ["header", "after", "lastEventId"])
def test_feed_is_resumed_behind_any_event(
    service: Served, character: str, seen: int, how: str
) -> None:
    turns = [service.turn(character, f"turn {number}") for number in range(3)]
    known = turns[1].frames[:seen] if seen > 0 else turns[1].frames
    event_id = known[-1].split(b"\n")[0].removeprefix(b"id: ").decode()
    headers = {"Last_Event_ID": event_id} if how == "header" else {}
    query = "" if how == "header" else f"?{how}={event_id}"
    with following(service, character, query, **headers) as feed:
        feed.until("metadata", phase="live")
        assert feed.seen.frames == turns[1].frames[len(known) :] + turns[2].frames
        later = service.turn(character, "later")
        expected = len(feed.seen.frames) + len(later.frames)
        assert feed.frames(expected)[-len(later.frames) :] == later.frames


def test_feed_that_was_left_in_a_running_turn_is_resumed_in_it(
    service: Served, model: FakeModel, character: str
) -> None:
    gate = gated(model)
    with service.live(character) as first:
        with following(service, character) as feed:
            feed.until("token")
        known = feed.seen.frames
        gate.set()
        whole = first.rest()
    event_id = f"{whole.turn_id}:{len(known)}"
    with following(service, character, Last_Event_ID=event_id) as feed:
        feed.until("metadata", phase="live")
        assert known + feed.seen.frames == whole.frames


@pytest.mark.parametrize(
    "position", ["", "x", "a:b", "{turn}:", "{turn}:-1", "00000000-0000-4000-8000-000000000000:3"]
)
def test_malformed_or_unknown_position_means_the_present(
    service: Served, character: str, position: str
) -> None:
    turn = service.turn(character)
    event_id = position.format(turn=turn.turn_id)
    with following(service, character, Last_Event_ID=event_id) as feed:
        feed.until("metadata", phase="live")
        assert feed.seen.frames == []


def test_only_turns_of_that_character_and_its_player_are_followed(
    service: Served, journey_log: FakeJourneyLog, character: str
) -> None:
    other = journey_log.seed_character()
    elsewhere = service.turn(other)
    with following(service, character, Last_Event_ID=f"{elsewhere.turn_id}:1") as feed:
        feed.until("metadata", phase="live")
        assert feed.seen.frames == []
        service.turn(other)
        path, body = "/turn/stream", {"character_id": character, "user_action": "I steal it."}
        assert service.call("POST", path, body, X_User_Id="ann").status == 403
        mine = service.turn(character)
        assert feed.frames(len(mine.frames)) == mine.frames


def test_foreign_and_unknown_characters_cannot_be_followed(
    serve: Serve, journey_log: FakeJourneyLog, character: str
) -> None:
    service = serve(journey_log_max_retries=0)
    path = f"/characters/{character}/events"
    refused(service.call("GET", path, X_User_Id="ann"), 403, "forbidden")
    refused(service.call("GET", f"/characters/{uuid.uuid4()}/events"), 404, "character_not_found")
    refused(service.call("GET", "/characters/no-uuid/events"), 422, "validation_error")
    journey_log.fail("character", answers(500))
    refused(service.call("GET", path), 502, "journey_log_error")
    assert service.turn(character).last["type"] == "complete"
    journey_log.always("character", answers(500))
    with following(service, character) as feed:  # a player known to us needs no journey-log
        feed.until("metadata", phase="live")


def test_queued_turns_are_followed_in_their_order(
    serve: Serve, model: FakeModel, character: str
) -> None:
    service = serve(turn_conflict="queue")
    gate = gated(model)
    with following(service, character) as feed, service.live(character, "first") as first:
        first.until("token")
        with service.live(character, "second") as second:
            second.until("metadata", phase="queued")
            gate.set()
            expected = first.rest().frames + second.rest().frames
        assert feed.frames(len(expected)) == expected


def test_failed_and_cancelled_turns_are_followed_by_the_next(
    service: Served, model: FakeModel, character: str
) -> None:
    with following(service, character) as feed:
        feed.until("metadata", phase="live")
        model.then(*[Script(text="no outcome")] * 2)
        failed = service.turn(character)
        gate = gated(model)
        with service.live(character) as live:
            live.until("token")
            assert service.cancel(live.turn_id).status == 202
            cancelled = live.rest()
        gate.set()
        complete = service.turn(character)
        expected = failed.frames + cancelled.frames + complete.frames
        assert feed.frames(len(expected)) == expected


def test_opening_is_followed(service: Served, model: FakeModel) -> None:
    model.then(*[Script(text="no outcome")] * 2)
    body = {"name": "Maren", "race": "Human", "class_name": "Ranger"}
    character = service.call("POST", "/characters", body).json()["character_id"]
    with following(service, character) as feed:
        feed.until("metadata", phase="live")
        opening = service.stream(
            "POST", f"/characters/{character}/opening", Accept="text/event-stream"
        )
        assert opening.last["type"] == "complete"
        assert feed.frames(len(opening.frames)) == opening.frames


def test_feeds_count_as_streams_and_give_their_place_back(serve: Serve, character: str) -> None:
    service = serve(max_streams_per_client=2)
    path = f"/characters/{character}/events"
    with following(service, character) as one, following(service, character) as two:
        for feed in (one, two):
            feed.until("metadata", phase="live")
        refused(service.call("GET", path), 429, "rate_limit_exceeded")
        assert service.metric("dungeon_master_streams_active") == 2
    service.wait_for(lambda: service.metric("dungeon_master_streams_active") == 0)
    refused(service.call("GET", f"/characters/{uuid.uuid4()}/events"), 404, "character_not_found")
    assert service.metric("dungeon_master_streams_active") == 0


def test_twenty_feeds_see_the_same_and_harm_nobody(service: Served, character: str) -> None:
    ready = threading.Barrier(21)

    def follow(count: int) -> list[bytes]:
        with following(service, character) as feed:
            feed.until("metadata", phase="live")
            ready.wait()
            feed.until("complete")
            return feed.seen.frames

    feeds = [aside(follow, number) for number in range(20)]
    ready.wait()
    turn = service.turn(character)
    assert turn.last["type"] == "complete"
    assert [feed.result(300) for feed in feeds] == [turn.frames] * 20


def test_feed_ends_when_readers_are_sent_away_and_can_be_resumed(
    service: Served, model: FakeModel, character: str
) -> None:
    gate = gated(model)
    with service.live(character) as first:
        first.until("token")
        with following(service, character) as feed:
            feed.until("metadata", phase="live")
            assert service.loop is not None
            service.loop.call_soon_threadsafe(service.application.send_readers_away)
            left = feed.rest()
        event_id = f"{first.turn_id}:{len(left.frames)}"
        gate.set()
        with following(service, character, Last_Event_ID=event_id) as feed:
            feed.until("complete")
            whole = service.stream("GET", f"/turns/{first.turn_id}/events").frames
            assert left.frames + feed.seen.frames == whole


def test_head_of_a_feed_ends(service: Served, character: str) -> None:
    reply = service.call("HEAD", f"/characters/{character}/events")
    assert reply.status == 200
    service.wait_for(lambda: service.metric("dungeon_master_streams_active") == 0)
