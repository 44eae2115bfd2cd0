"""What every `Outbox` does. An adapter joins by one line in `store_adapters`."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from app.adapters.store.postgres.connecting import Database
from app.adapters.store.retention import UNDELIVERED, WEEK, Retention
from app.core.hub import NewEvent, session_event
from app.core.tables import NewLine, Seat, TableRules
from app.ports.outbox import Backlog, Failure, StoredEvent
from app.ports.store import Verdict
from app.ports.tables import SeatNews, TableNews, TableStore
from store_adapters import ADAPTERS, Stores, admitted

from databases import SERVERS
from journal import NOON, USER, add_event, ending
from loops import in_loop

ODD = 'a \0 é \\ "'


@pytest.fixture(params=list(ADAPTERS))
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    return Stores(request.param, tmp_path)


def event(number: int, content: str = "c1", user: str = USER) -> NewEvent:
    return NewEvent(f"e{number}", "content.generated", f"content/{content}", user, {"n": number})


async def fill(tables: TableStore, *contents: str, user: str = USER) -> None:
    """One event of each of these contents, numbered from 1."""
    for number, content in enumerate(contents, start=1):
        await add_event(tables, event(number, content, user))


def ids(events: list[StoredEvent]) -> list[str]:
    return [one.id for one in events]


@in_loop
async def test_a_turn_s_end_adds_its_event_and_a_restart_keeps_it(stores: Stores) -> None:
    async with stores.process() as store:
        claim = await admitted(store)
        assert await store.finish(claim, ending(event=event(1))) is Verdict.STORED
        assert await store.finish(claim, ending("error", event=event(2))) is Verdict.LOST
        found = await store.outbox.events_after(0, None, 9)
    async with stores.process() as store:
        assert await store.outbox.events_after(0, None, 9) == found
        (one,) = await store.outbox.take_events((), 9)
        assert (one.id, one.type, one.subject) == ("e1", "content.generated", "content/c1")
        assert (one.user_id, json.loads(one.data), one.created_at) == (USER, {"n": 1}, NOON)


@in_loop
async def test_an_end_without_an_event_adds_none(stores: Stores) -> None:
    async with stores.process() as store:
        await store.finish(await admitted(store), ending("error"))
        assert await store.outbox.events_after(0, None, 9) == []


@in_loop
async def test_change_of_a_table_adds_its_event(stores: Stores) -> None:
    async with stores.process() as store:
        tables, owner = store.tables, Seat(USER, "Mara", joined_at=NOON)

        def event(kind: Any, number: int) -> NewEvent:
            return session_event(kind, number, f"{kind}-{number}", USER, {})

        table = await tables.create(
            owner, "Inn", "DM", TableRules(), NOON, lambda n: event("session.created", n)
        )
        renamed = replace(table, name="The Bell")
        await tables.change(
            table.id,
            lambda _: renamed,
            lambda _, new: TableNews(event("session.changed", new.id), None, NOON),
        )
        said = NewLine("DM", "He has joined.", "system")
        for present in (True, False, False):  # the owner sits there already
            number = table.id + present
            news = SeatNews(event("session.left", number), said, NOON)
            await tables.take_seat(table.id, replace(owner, present=present), news)
        assert await tables.delete(table.id, event("session.deleted", table.id))
        assert not await tables.delete(table.id, event("session.left", table.id))
        found = await store.outbox.events_after(0, USER, 9)
        kinds = ["session.created", "session.changed", "session.left", "session.deleted"]
        assert [one.type for one in found] == kinds
        assert {one.subject for one in found} == {f"sessions/{table.id}"}


@in_loop
async def test_odd_text_comes_back_as_it_was(stores: Stores) -> None:
    async with stores.process() as store:
        await add_event(
            store.tables,
            NewEvent(
                f"id {ODD}", "theme.analyzed", f"content/{ODD}", ODD, {"text": f"{ODD}\ud800"}
            ),
        )
        (one,) = await store.outbox.events_after(0, ODD, 9)
        assert (one.subject, one.user_id) == (f"content/{ODD}", ODD)
        assert one.id == f"id {ODD}"
        assert json.loads(one.data) == {"text": f"{ODD}\ud800"}


@in_loop
async def test_only_the_earliest_waiting_event_of_a_subject_can_be_taken(stores: Stores) -> None:
    async with stores.process() as store:
        outbox = store.outbox
        await fill(store.tables, "a", "a", "b", "a", "c")
        first = await outbox.take_events((), 9)
        assert ids(first) == ["e1", "e3", "e5"]
        held = {one.number for one in first}
        assert await outbox.take_events(held, 9) == []
        await outbox.event_delivered(first[0].number)
        (second,) = await outbox.take_events(held - {first[0].number}, 9)
        assert second.id == "e2"


@in_loop
async def test_an_event_that_failed_waits_and_keeps_its_subject_back(stores: Stores) -> None:
    async with stores.process() as store:
        outbox = store.outbox
        await fill(store.tables, "a", "a", "b")
        first, other = await outbox.take_events((), 9)
        await outbox.event_failed(first.number, Failure(1, "503 \0", 30.0))
        held = {other.number}
        stores.clock.now += 29
        assert await outbox.take_events(held, 9) == []
        stores.clock.now += 2
        (again,) = await outbox.take_events(held, 9)
        assert (again.id, again.refusals) == ("e1", 1)
        assert await outbox.backlog() == Backlog(waiting=3, dead=0)


@in_loop
async def test_a_given_up_event_lets_the_next_of_its_subject_go(stores: Stores) -> None:
    async with stores.process() as store:
        outbox = store.outbox
        await fill(store.tables, "a", "a")
        (first,) = await outbox.take_events((), 9)
        await outbox.event_failed(first.number, Failure(10, "400", None))
        (second,) = await outbox.take_events((), 9)
        assert second.id == "e2"
        assert await outbox.backlog() == Backlog(waiting=1, dead=1)
        await outbox.event_delivered(first.number)
        assert await outbox.backlog() == Backlog(waiting=1, dead=1)


@in_loop
async def test_events_held_by_an_ended_process_can_be_taken_again(stores: Stores) -> None:
    async with stores.process() as store:
        await fill(store.tables, "a", "b")
        assert len(await store.outbox.take_events((), 9)) == 2
    async with stores.process() as store:
        assert ids(await store.outbox.take_events((), 9)) == ["e1", "e2"]


@in_loop
async def test_an_answer_that_was_lost_loses_no_event(stores: Stores) -> None:
    async with stores.process() as store:
        await fill(store.tables, "a", "b")
        await store.outbox.take_events((), 9)  # whose answer nobody has read
        assert ids(await store.outbox.take_events((), 1)) == ["e1"]


@in_loop
async def test_readers_see_their_own_events_or_all_and_go_on_where_they_were(
    stores: Stores,
) -> None:
    async with stores.process() as store:
        outbox = store.outbox
        for number in range(1, 7):
            await add_event(store.tables, event(number, user="mara" if number % 2 else "ben"))
        own = await outbox.events_after(0, "mara", 2)
        assert ids(own) == ["e1", "e3"]
        assert ids(await outbox.events_after(own[-1].position, "mara", 9)) == ["e5"]
        everything = await outbox.events_after(0, None, 9)
        assert ids(everything) == [f"e{number}" for number in range(1, 7)]
        assert ids(await outbox.events_after(everything[3].position, None, 9)) == ["e5", "e6"]


@in_loop
async def test_delivery_hides_nothing_from_readers(stores: Stores) -> None:
    async with stores.process() as store:
        await fill(store.tables, "a", "b")
        one, other = await store.outbox.take_events((), 9)
        await store.outbox.event_delivered(one.number)
        await store.outbox.event_failed(other.number, Failure(10, "400", None))
        assert ids(await store.outbox.events_after(0, USER, 9)) == ["e1", "e2"]


@pytest.mark.parametrize("adapter", ["sqlite", "postgres"])
@in_loop
async def test_delivered_events_go_after_a_week_and_waiting_ones_after_a_month(
    adapter: str, tmp_path: Path
) -> None:
    stores = Stores(adapter, tmp_path)
    async with stores.process(Retention()) as store:
        for number in (1, 2):  # ends of turns, whose times are of the test's clock on every adapter
            claim = await admitted(store, f"t{number}")
            await store.finish(claim, ending(event=event(number, f"c{number}")))
        one, _ = await store.outbox.take_events((), 9)
        await store.outbox.event_delivered(one.number)
        await store.expire(stores.clock.now + WEEK - 1)
        assert len(await store.outbox.events_after(0, None, 9)) == 2
        await store.expire(stores.clock.now + WEEK + 1)
        assert ids(await store.outbox.events_after(0, None, 9)) == ["e2"]
        await store.expire(stores.clock.now + UNDELIVERED - 1)
        assert ids(await store.outbox.events_after(0, None, 9)) == ["e2"]
        await store.expire(stores.clock.now + UNDELIVERED + 1)
        assert await store.outbox.events_after(0, None, 9) == []
        await add_event(store.tables, event(3))
        (later,) = await store.outbox.events_after(2, None, 9)
        assert later.id == "e3"


@in_loop
async def test_processes_on_postgresql_take_each_event_once(tmp_path: Path) -> None:
    stores = Stores("postgres", tmp_path)
    async with stores.process() as one, stores.process() as other:
        await fill(one.tables, *(f"c{number}" for number in range(40)))
        taken = await asyncio.gather(*(s.outbox.take_events((), 30) for s in (one, other)))
        both = ids(taken[0]) + ids(taken[1])
        assert len(both) == len(set(both))
        held = [{event.number for event in events} for events in taken]
        rest = await other.outbox.take_events(held[1], 40)
        assert sorted(both + ids(rest)) == sorted(f"e{number}" for number in range(1, 41))


_ADD = "SELECT add_event_1($1, 'turn.failed', $2, 'mara', '{}', 0)"


@in_loop
async def test_an_event_that_postgresql_commits_late_is_missed_by_no_reader(tmp_path: Path) -> None:
    """Its number is lower than that of an event that a reader has seen before it was there."""
    stores = Stores("postgres", tmp_path)
    async with stores.process() as store:
        connection = await Database(SERVERS.postgres.url("emptied")).connect("tests")
        late = connection.transaction()
        await late.start()
        await connection.fetch(_ADD, "late", "content/late")
        await fill(store.tables, "a", "b")
        seen = await store.outbox.events_after(0, None, 9)
        assert ids(seen) == ["e1", "e2"]
        await late.commit()
        await connection.close()
        (missed,) = await store.outbox.events_after(seen[-1].position, None, 9)
        assert missed.id == "late"
        assert missed.number < seen[0].number


@in_loop
async def test_events_of_a_subject_are_committed_in_their_order_on_postgresql(
    tmp_path: Path,
) -> None:
    """Else the later one could be delivered before the earlier one is there."""
    stores = Stores("postgres", tmp_path)
    async with stores.process() as store:
        connection = await Database(SERVERS.postgres.url("emptied")).connect("tests")
        first = connection.transaction()
        await first.start()
        await connection.fetch(_ADD, "first", "content/c1")
        second = asyncio.create_task(add_event(store.tables, event(2)))
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while not await connection.fetchval(waiting):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert await store.outbox.take_events((), 9) == []
        await first.commit()
        await connection.close()
        await second
        (head,) = await store.outbox.take_events((), 9)
        assert head.id == "first"
        assert ids(await store.outbox.events_after(0, None, 9)) == ["first", "e2"]
