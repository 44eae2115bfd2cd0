"""The events of a table for an EventSource, which can send no header."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from fakes.model import FakeModel
from passes import CHALLENGE, WITH_SECRET, tampered, turned_away
from serving import Live, Served, refused
from tabling import Guest, party, script_of


@pytest.fixture
def service(serve: Callable[..., Served], model: FakeModel) -> Served:
    model.default = script_of()
    return serve(**WITH_SECRET)


def ticket_of(guest: Guest, table: int) -> str:
    reply = guest.call("POST", f"/{table}/ticket")
    assert (reply.status, reply.header("cache-control")) == (201, "no-store")
    assert reply.json().keys() == {"ticket", "expires_in"}
    return str(reply.json()["ticket"])


@contextmanager
def reading(service: Served, table: int, ticket: str, **headers: str) -> Iterator[Live]:
    """As an EventSource does."""
    path = f"/api/sessions/{table}/events?ticket={ticket}"
    with service.open("GET", path, **headers) as response:
        stream = Live(response)
        stream.until("metadata", phase="live")
        yield stream


@pytest.mark.parametrize("who", ["mara", "bo"])
def test_ticket_of_a_table_reads_what_a_token_reads(service: Served, who: str) -> None:
    """The dungeon master's notes among it, for who may read them."""
    table, (mara, bo) = party(service, "mara", "bo")
    guest = {"mara": mara, "bo": bo}[who]
    bo.acts(table)
    ticket = ticket_of(guest, table)
    with guest.follows(table) as stream:
        stream.until("metadata", phase="live")
        known = stream.seen
    assert (known.of("scene")[0]["dm_notes"] is not None) == (who == "mara")
    with reading(service, table, ticket) as with_ticket:
        assert with_ticket.seen.frames == known.frames
        with reading(service, table, ticket) as other:
            mara.acts(table)
            for one in (with_ticket, other):
                one.until("complete")
                notes = one.seen.of("scene")[-1]["dm_notes"]
                assert (notes is not None) == (who == "mara")
    last = known.frames[-1].split(b"\n")[0].removeprefix(b"id: ").decode()
    with reading(service, table, ticket, Last_Event_ID=last) as rest:
        assert len(rest.seen.of("complete")) == 1
    with reading(service, table, f"{ticket}&lastEventId={last}") as rest:
        assert len(rest.seen.of("complete")) == 1


@pytest.mark.parametrize("ends", ["removed", "left", "deleted"])
def test_ticket_reads_no_further_than_its_user_is_at_the_table(service: Served, ends: str) -> None:
    table, (mara, bo, cy) = party(service, "mara", "bo", "cy")
    ticket = ticket_of(bo, table)
    with (
        reading(service, table, ticket) as stream,
        reading(service, table, ticket) as again,
        reading(service, table, ticket_of(cy, table)) as others,
    ):
        match ends:
            case "removed":
                assert mara.call("DELETE", f"/{table}/members/bo").status == 204
            case "left":
                assert bo.call("POST", f"/{table}/leave").status == 204
            case _:
                assert mara.call("DELETE", f"/{table}").status == 204
        for one in (stream, again):
            one.rest()  # it ends
            assert "complete" not in {event["type"] for event in one.seen.events}
        if ends != "deleted":
            mara.acts(table)
            others.until("complete")
    with service.open("GET", f"/api/sessions/{table}/events?ticket={ticket}") as response:
        assert response.status == 404


def test_ticket_of_a_table_is_for_its_events_only(service: Served) -> None:
    table, (_, bo) = party(service, "mara", "bo")
    other = bo.opens()
    turn = bo.acts(table).json()["turn_id"]
    ticket = ticket_of(bo, table)
    for method, path in (
        ("GET", f"/api/sessions/{other}/events"),
        ("GET", f"/api/sessions/{table}"),
        ("GET", f"/api/sessions/{table}/messages"),
        ("POST", f"/api/sessions/{table}/ticket"),
        ("POST", f"/api/sessions/{table}/action?action=go"),
        ("POST", f"/api/sessions/{table}/leave"),
        ("GET", f"/sessions/{table}/events"),
        ("GET", f"/turns/{table}/events"),
        ("GET", f"/characters/{table}/events"),
        ("GET", f"/turns/{turn}/events"),
        ("GET", "/hub/events"),
    ):
        sign = "&" if "?" in path else "?"
        turned_away(service.call(method, f"{path}{sign}ticket={ticket}"), CHALLENGE)
    for bad in tampered(ticket):
        turned_away(service.call("GET", f"/api/sessions/{table}/events?ticket={bad}"), CHALLENGE)


def test_nobody_gets_a_ticket_for_the_table_of_others(service: Served) -> None:
    table, (mara, bo) = party(service, "mara", "bo")
    assert mara.call("DELETE", f"/{table}/members/bo").status == 204
    for guest in (bo, Guest(service, "otto")):
        refused(guest.call("POST", f"/{table}/ticket"), 404, "not_found")
