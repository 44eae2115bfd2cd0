"""`GET /hub/events`: who sees what, from where, on a real socket."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from app.adapters.store.postgres.connecting import Database
from app.hub.schemas import HubEvent
from cloudevents.core.formats.json import JSONFormat
from pydantic import TypeAdapter

from databases import SERVERS
from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel, Script
from passes import WITH_SECRET, bearer, token
from serving import Served, turn_body

SHAPE: TypeAdapter[Any] = TypeAdapter(HubEvent)


class Reading:
    """An open stream of events."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = dict(response.getheaders())
        self._response = response

    def blocks(self) -> Iterator[list[bytes]]:
        block: list[bytes] = []
        while line := self._response.readline():
            if line != b"\n":
                block.append(line.rstrip(b"\n"))
            elif block:
                yield block
                block = []

    def events(self, count: int) -> list[tuple[int, dict[str, Any]]]:
        """So many events with their positions."""
        found = []
        for block in self.blocks():
            fields = dict(line.split(b": ", 1) for line in block if not line.startswith(b":"))
            if b"data" in fields:
                found.append((int(fields[b"id"]), json.loads(fields[b"data"])))
                if len(found) == count:
                    break
        return found

    def past(self) -> list[tuple[int, dict[str, Any]]]:
        """Everything up to where the past ends."""
        found = []
        for block in self.blocks():
            if block == [b": ping"]:
                break
            fields = dict(line.split(b": ", 1) for line in block)
            found.append((int(fields[b"id"]), json.loads(fields[b"data"])))
        return found


@contextmanager
def reading(service: Served, query: str = "", **headers: str) -> Iterator[Reading]:
    with service.open("GET", f"/hub/events{query}", None, **headers) as response:
        yield Reading(response)


def kinds(events: list[tuple[int, dict[str, Any]]]) -> list[str]:
    return [event["type"] for _, event in events]


def test_the_end_of_a_turn_is_a_cloudevent_of_its_character(
    service: Served, character: str
) -> None:
    turn_id = service.turn(character).turn_id
    with reading(service) as stream:
        ((position, event),) = stream.events(1)
    assert (stream.status, position) == (200, 1)
    assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
    SHAPE.validate_python(event, strict=True)
    assert event["type"] == "turn.completed"
    assert event["id"] == f"turn-completed-{turn_id}"
    assert event["subject"] == f"characters/{character}"
    assert event["data"]["turn_id"] == turn_id
    assert event["data"]["usage"]["total_tokens"] > 0
    read = JSONFormat().read(None, json.dumps(event))
    assert read.get_type() == "turn.completed"
    assert read.get_data() == event["data"]


def test_failed_turns_and_changes_of_a_session_are_published(
    service: Served, model: FakeModel, character: str
) -> None:
    with reading(service) as stream:
        model.then(*[Script(text="no outcome at all")] * 2)
        service.turn(character)
        ((_, failed),) = stream.events(1)
        assert failed["type"] == "turn.failed"
        assert failed["data"]["error"]["type"] == "llm_response_error"
        made = service.call("POST", "/api/sessions", {"name": "The Anchor"}).json()
        ((_, created),) = stream.events(1)
        assert created["subject"] == f"sessions/{made['id']}"
        assert created["data"] == {"session_id": made["id"], "name": "The Anchor"}
        assert service.call("DELETE", f"/api/sessions/{made['id']}").status in (200, 204)
        ((_, deleted),) = stream.events(1)
    for event in (failed, created, deleted):
        SHAPE.validate_python(event, strict=True)
    assert deleted["type"] == "session.deleted"


def test_a_reader_goes_on_where_it_was_and_may_choose_types(
    service: Served, character: str
) -> None:
    service.turn(character)
    service.call("POST", "/api/sessions", {"name": "Inn"})
    service.turn(character)
    with reading(service) as stream:
        everything = stream.past()
    assert kinds(everything) == ["turn.completed", "session.created", "turn.completed"]
    positions = [position for position, _ in everything]
    for place, how in enumerate(({"last_event_id": str(positions[0])}, {}, {})):
        query = ("", f"?after={positions[0]}", f"?lastEventId={positions[0]}")[place]
        with reading(service, query, **how) as stream:
            assert stream.past() == everything[1:]
    with reading(service, "?type=session.*") as stream:
        assert stream.past() == everything[1:2]
    with reading(service, "?type=turn.completed,session.created&type=turn.failed") as stream:
        assert stream.past() == everything
    with reading(service, "?after=nonsense") as stream:
        assert stream.past() == everything


@pytest.mark.parametrize(
    ("query", "field"), [("?type=turn.exploded", "type"), ("?users=some", "users")]
)
def test_a_wish_that_cannot_be_met_is_refused(service: Served, query: str, field: str) -> None:
    reply = service.call("GET", f"/hub/events{query}")
    assert reply.status == 422
    assert reply.json()["detail"].startswith(f"{field}: ")


def test_each_sees_their_own_events_and_with_the_admin_scope_all(
    serve: Callable[..., Served], journey_log: FakeJourneyLog
) -> None:
    service = serve(**WITH_SECRET)
    for user in ("mara", "otto"):
        character = journey_log.seed_character(user)
        sent = bearer(token(sub=user))
        assert service.call("POST", "/turn", turn_body(character), **sent).status == 200
    service.call(
        "POST", "/api/sessions", {"name": "Inn"}, **bearer(token(sub="mara", scope="tables"))
    )

    def seen(query: str = "", **claims: Any) -> list[tuple[str, str]]:
        with reading(service, query, **bearer(token(**claims))) as stream:
            return [(event["userid"], event["type"]) for _, event in stream.past()]

    mara = [("mara", "turn.completed"), ("mara", "session.created")]
    assert seen(sub="mara", scope="turns tables") == mara
    assert seen(sub="mara", scope="turns") == mara[:1]
    assert seen(sub="mara", scope="chat") == []
    assert seen(sub="otto", scope="turns tables") == [("otto", "turn.completed")]
    everything = [("mara", "turn.completed"), ("otto", "turn.completed"), mara[1]]
    assert seen(sub="root", scope="admin") == everything
    assert seen("?users=own", sub="otto", scope="turns admin") == [("otto", "turn.completed")]
    refused = service.call("GET", "/hub/events?users=all", **bearer(token(scope="turns")))
    assert refused.status == 403


def test_without_authentication_all_have_to_be_asked_for(
    service: Served, journey_log: FakeJourneyLog
) -> None:
    for user in ("mara", "otto"):
        body = turn_body(journey_log.seed_character(user))
        assert service.call("POST", "/turn", body, x_user_id=user).status == 200
    with reading(service, x_user_id="otto") as stream:
        assert [event["userid"] for _, event in stream.past()] == ["otto"]
    with reading(service, "?users=all", x_user_id="otto") as stream:
        assert [event["userid"] for _, event in stream.past()] == ["mara", "otto"]


def test_health_names_a_hub_only_where_there_is_one(service: Served) -> None:
    assert service.call("GET", "/health").json()["components"]["message_hub"] == "not_configured"


def test_event_that_postgresql_commits_late_reaches_a_reader_past_its_position(
    serve: Callable[..., Served], journey_log: FakeJourneyLog
) -> None:
    url = SERVERS.postgres.url()
    service = serve(store_url=url)

    async def late(stream: Reading) -> tuple[list[str], str]:
        """What the reader sees before another transaction commits what it began before that, and then."""
        connection = await Database(url).connect("tests")
        transaction = connection.transaction()
        await transaction.start()
        added = "SELECT add_event_1('late', 'turn.failed', 'content/late', 'local', '{}', 0)"
        await connection.fetch(added)
        await asyncio.to_thread(service.turn, journey_log.seed_character())
        seen = await asyncio.to_thread(stream.events, 1)
        await transaction.commit()
        await asyncio.to_thread(service.turn, journey_log.seed_character())
        behind = await asyncio.to_thread(stream.events, 2)
        await connection.close()
        return kinds(seen), behind[0][1]["id"]

    with reading(service) as stream:
        assert asyncio.run(late(stream)) == (["turn.completed"], "late")


def test_an_event_source_reads_with_a_ticket_as_far_as_its_token_goes(
    serve: Callable[..., Served], journey_log: FakeJourneyLog
) -> None:
    service = serve(**WITH_SECRET)
    mara = journey_log.seed_character("mara")
    both = bearer(token(sub="mara", scope="turns tables"))
    service.call("POST", "/turn", turn_body(mara), **both)
    service.call("POST", "/api/sessions", {"name": "Inn"}, **both)

    def seen(**claims: Any) -> list[str]:
        made = service.call("POST", "/hub/ticket", **bearer(token(**claims)))
        assert (made.status, made.json()["expires_in"]) == (201, 60)
        ticket = made.json()["ticket"]
        for path in ("/characters", f"/characters/{mara}/events", "/hub/ticket", "/api/sessions"):
            assert service.call("GET", f"{path}?ticket={ticket}").status == 401
        until, name, signature = ticket.split(".")
        for bad in (f"{int(until) + 9}.{name}.{signature}", f"{until}.{name}x.{signature}", "x"):
            assert service.call("GET", f"/hub/events?ticket={bad}").status == 401
        with reading(service, f"?ticket={ticket}") as stream:
            return kinds(stream.past())

    assert seen(sub="mara", scope="turns tables") == ["turn.completed", "session.created"]
    assert seen(sub="mara", scope="tables") == ["session.created"]
    assert seen(sub="ben", scope="turns tables") == []
    assert seen(sub="ben", scope="admin") == ["turn.completed", "session.created"]
    of_character = service.call("POST", f"/characters/{mara}/ticket", **both).json()["ticket"]
    assert service.call("GET", f"/hub/events?ticket={of_character}").status == 401
