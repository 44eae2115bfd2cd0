"""Players of one table on different nodes see one story."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from app.adapters.signals.postgres import PostgresSignals
from app.adapters.store.postgres.connecting import Database
from app.bootstrap import lifespan
from app.ports.signals import Signal
from app.tables.budget import RESERVED
from app.tables.dm_seats import DungeonMasterSeats
from websockets.exceptions import ConnectionClosed

from databases import SERVERS
from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel, Script
from remote import environment, remote
from serving import TIMEOUT, Served, aside, refused
from tabling import NARRATIVE, RESPONSE, Guest, hear, hear_until, script_of, take_turns_fairly

Nodes = tuple[Served, Served]
CUT_LISTENERS: Final = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = 'dungeon-master listener'"
)


@pytest.fixture
def nodes(serve: Callable[..., Served], model: FakeModel) -> Nodes:
    model.default = script_of()
    return a_pair(serve)


def a_pair(serve: Callable[..., Served], on_redis: bool = False) -> Nodes:
    """Nodes on one database."""
    redis = SERVERS.redis.url if on_redis else None
    settings = {"store_url": SERVERS.postgres.emptied(), "redis_url": redis}
    return serve(**settings), serve(**settings)


@pytest.mark.parametrize("on_redis", [False, True])
def test_players_on_two_nodes_read_one_story(
    serve: Callable[..., Served], model: FakeModel, on_redis: bool
) -> None:
    model.default = script_of()
    here, there = a_pair(serve, on_redis)
    owner, mara = Guest(here, "olga"), Guest(there, "mara")
    table = owner.opens(join="open")
    assert mara.joins(table).status == 200
    with owner.follows(table) as first, mara.follows(table) as second:
        for stream in (first, second):
            stream.until("metadata", phase="live")
        assert owner.acts(table, "one").status == 200
        for stream in (first, second):
            stream.until("complete")
        assert mara.acts(table, "two").status == 200
        for stream in (first, second):
            while len(stream.seen.of("complete")) < 2:
                stream.until("complete")
        seen = [
            [event for event in stream.seen.events if event["type"] not in ("scene", "presence")]
            for stream in (first, second)
        ]
        assert seen[0] == seen[1]
    assert owner.messages(table) == mara.messages(table)


@pytest.mark.parametrize("approval", [0, 600])
def test_deed_that_awaits_its_commit_is_answered_alike_on_each_node(
    nodes: Nodes, approval: int
) -> None:
    guests = [Guest(node, "olga") for node in nodes]
    table = guests[0].opens(commit="manual", approval_seconds=approval)
    replies = [guest.acts(table, Idempotency_Key="once") for guest in guests]
    assert [reply.status for reply in replies] == [202, 202]
    assert replies[0].json() == replies[1].json()
    shown = "" if approval else f"{NARRATIVE}\n\n{RESPONSE}"
    assert replies[0].json()["message"] == shown


def test_veto_on_one_node_ends_the_turn_of_the_other(nodes: Nodes) -> None:
    here, there = (Guest(node, "olga") for node in nodes)
    table = here.opens(approval_seconds=600)
    with there.follows(table) as stream:
        acted = aside(here.acts, table)
        stream.until("metadata", phase="approval")
        veto = {"decision": "veto", "telling": 1}
        there.service.wait_for(lambda: there.call("POST", f"/{table}/approval", veto).status == 202)
        stream.until("cancelled")
        refused(acted.result(TIMEOUT), 409, "turn_cancelled")
        assert NARRATIVE not in "".join(event["content"] for event in stream.seen.of("token"))
    refused(here.call("GET", f"/{table}/approval"), 409, "not_awaiting_commit")


def test_member_removed_on_one_node_stops_reading_on_the_other(nodes: Nodes) -> None:
    here, there = nodes
    owner, mara = Guest(here, "olga"), Guest(there, "mara")
    table = owner.opens(join="open")
    mara.joins(table)
    with mara.follows(table) as stream:
        stream.until("metadata", phase="live")
        assert owner.call("DELETE", f"/{table}/members/mara").status == 204
        assert owner.acts(table).status == 200
        assert not stream.rest().of("token")
    refused(mara.call("GET", f"/{table}/messages"), 404, "not_found")


@pytest.mark.parametrize("on_redis", [False, True])
def test_the_seat_of_the_dungeon_master_is_one_on_all_nodes(
    serve: Callable[..., Served], on_redis: bool
) -> None:
    here, there = a_pair(serve, on_redis)
    owner, mara = Guest(here, "olga"), Guest(here, "mara")
    table = owner.opens(join="open")
    mara.joins(table)
    path = f"/ws/campaign/dm?session_id={table}"
    with owner.socket(path) as first, mara.socket(f"/ws/{table}") as player:
        first.send('{"type": "auth", "token": ""}')
        hear_until(first, "room.dm_joined")
        with Guest(there, "olga").socket(path) as second:
            second.send('{"type": "auth", "token": ""}')
            with pytest.raises(ConnectionClosed, match=r"1012.*Superseded DM connection"):
                hear_until(first, "no such message")
            hear_until(second, "room.dm_joined")
        said = ""
        while "left" not in said:  # the one on the other node; the first was only superseded
            said = str(hear(player).get("content"))


@pytest.mark.parametrize("on_redis", [False, True])
def test_seat_that_is_taken_while_no_signal_comes_is_lost_at_the_next_look(
    serve: Callable[..., Served], on_redis: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifespan, "HOUSEKEEPING_SECONDS", 0.05)
    lost: list[Signal] = []

    def lose(seats: DungeonMasterSeats, signal: Signal) -> None:
        if signal.kind == "seat":
            lost.append(signal)

    monkeypatch.setattr(DungeonMasterSeats, "_signalled", lose)
    here, there = a_pair(serve, on_redis)
    owner = Guest(here, "olga")
    path = f"/ws/campaign/dm?session_id={owner.opens()}"
    with owner.socket(path) as first:
        first.send('{"type": "auth", "token": ""}')
        hear_until(first, "room.dm_joined")
        with Guest(there, "olga").socket(path) as second:
            second.send('{"type": "auth", "token": ""}')
            hear_until(second, "room.dm_joined")
            with pytest.raises(ConnectionClosed, match=r"1012.*Superseded DM connection"):
                hear_until(first, "no such message")
            time.sleep(0.2)  # more than one look
            second.send('{"type": "heartbeat"}')
            hear_until(second, "heartbeat")
        assert lost


def test_what_was_said_while_no_signal_came_is_read_once_signals_are_heard_again(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers alone, and in step with others."""
    here, there = nodes
    owner, mara = Guest(here, "olga"), Guest(there, "mara")
    table = owner.opens(join="open")
    mara.joins(table)
    lost = threading.Event()
    with ExitStack() as streams:
        readers = [streams.enter_context(mara.follows(table)) for _ in range(2)]
        for reader in readers:
            reader.until("metadata", phase="live")
        with monkeypatch.context() as deaf:
            deaf.setattr(PostgresSignals, "deliver", lambda *_: lost.set())
            line = {"sender_name": "Olga", "content": "Hm."}
            assert owner.call("POST", f"/{table}/messages", line).status == 200
            assert lost.wait(TIMEOUT)
            time.sleep(0.1)
        SERVERS.postgres.psql(CUT_LISTENERS)
        for reader in readers:
            reader.until("message", content="Hm.")


def connected(guest: Guest, table: int) -> set[str]:
    """The members who are there, as one of them sees it."""
    members = guest.call("GET", f"/{table}/members").json()["members"]
    return {member["user_id"] for member in members if member["present"]}


def rows_of(node: Served, user: str) -> int:
    """On how many nodes the user is connected, as the database has it."""
    schema = node.settings.store_url.rpartition("=")[2]
    count = f"SELECT count(*) FROM {schema}.attendance WHERE user_id = '{user}'"
    return int(SERVERS.postgres.psql(count))


def test_members_of_all_nodes_are_present_on_each(nodes: Nodes) -> None:
    owner, *mara = Guest(nodes[0], "olga"), *(Guest(node, "mara") for node in nodes)
    table = owner.opens(join="open")
    mara[0].joins(table)
    with owner.follows(table) as stream, ExitStack() as second:
        stream.until("metadata", phase="live")
        assert [connected(one, table) for one in mara] == [{"olga"}] * 2
        with mara[1].follows(table) as first:
            first.until("metadata", phase="live")
            assert stream.until("presence")["present"] is True
            assert [connected(one, table) for one in mara] == [{"olga", "mara"}] * 2
            second.enter_context(mara[0].follows(table)).until("metadata", phase="live")
        nodes[1].wait_for(lambda: rows_of(nodes[1], "mara") == 1)
        assert [connected(one, table) for one in mara] == [{"olga", "mara"}] * 2
        second.close()
        assert stream.until("presence")["present"] is False  # the next one: there was none between
        assert [connected(one, table) for one in mara] == [{"olga"}] * 2


def test_socket_without_a_user_id_that_closes_is_told_on_all_nodes(nodes: Nodes) -> None:
    nobody = [Guest(node, "local") for node in nodes]
    for guest in nobody:
        guest.headers = {}
    mara = Guest(nodes[1], "mara")
    table = nobody[0].opens(join="open")
    mara.joins(table)
    gone, last = (
        {"type": "system", "content": f"{who} has disconnected"} for who in ("A player", "Local")
    )
    with ExitStack() as stay:
        sockets = [stay.enter_context(one.socket(f"/ws/{table}")) for one in (*nobody, mara)]
        nodes[0].wait_for(lambda: connected(nobody[0], table) == {"local", "mara"})
        nodes[0].wait_for(lambda: rows_of(nodes[0], "local") == 2)
        with nobody[0].socket(f"/ws/{table}") as another:
            hear_until(another, "system")
        for socket in sockets:
            while hear(socket) != gone:
                pass
        sockets[0].close()
        for socket in sockets[1:]:
            assert hear(socket) == gone
        sockets[1].close()
        assert hear(sockets[2]) == {**last, "content": f"{last['content']}."}


def test_members_on_a_killed_node_are_gone_when_its_lease_ends(
    serve: Callable[..., Served],
    model: FakeModel,
    journey_log: FakeJourneyLog,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lifespan, "HOUSEKEEPING_SECONDS", 0.05)
    url = SERVERS.postgres.url()
    here = serve(store_url=url)
    owner, mara = Guest(here, "olga"), Guest(here, "mara")
    table = owner.opens(join="open")
    mara.joins(table)
    settings = environment(model, journey_log, STORE_URL=url)
    with remote(tmp_path, settings) as there, owner.follows(table) as stream:
        stream.until("metadata", phase="live")
        with Guest(there, "mara").follows(table):
            stream.until("presence", player_name="Mara", present=True)
            assert connected(owner, table) == {"olga", "mara"}
            there.process.kill()
            stream.until("presence", player_name="Mara", present=False)
            assert connected(owner, table) == {"olga"}


@pytest.mark.parametrize("fails", [False, True], ids=["killed", "fails"])
def test_round_whose_turn_one_node_has_begun_is_taken_up_by_one_of_the_others(
    serve: Callable[..., Served],
    model: FakeModel,
    journey_log: FakeJourneyLog,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fails: bool,
) -> None:
    """The node is killed while it plays it; and again, where the turn of those who take it up fails."""
    monkeypatch.setattr(lifespan, "HOUSEKEEPING_SECONDS", 0.05)
    url, gate = SERVERS.postgres.url(), threading.Event()
    model.default, held = script_of(), replace(script_of(), gate=gate, gate_after=6)
    model.then(held, *([Script(text='{"narrative": "Hello, and g')] if fails else []))
    owner, mara = Guest(serve(store_url=url), "olga"), Guest(serve(store_url=url), "mara")
    table = owner.opens(join="open", mode="rounds", round_seconds=0)
    mara.joins(table)
    with (
        owner.follows(table) as first,
        mara.follows(table) as second,
        remote(tmp_path, environment(model, journey_log, STORE_URL=url)) as there,
    ):
        streams = (first, second)
        for stream in streams:
            stream.until("metadata", phase="live")
        assert owner.acts(table, "one").status == 202
        assert Guest(there, "mara").acts(table, "two").status == 202
        for stream in streams:
            stream.until("token")
        there.process.kill()
        gate.set()
        for stream in streams:
            stream.until("error", error_type="interrupted")
            stream.until("message", content="Round 1 was interrupted. It is played again.")
            start = stream.until("metadata", phase="start")
            assert [deed["user_action"] for deed in start["deeds"]] == ["one", "two"]
            if fails:
                assert stream.until("error")["error_type"] == "llm_response_error"
                words = stream.until("message", message_type="system")["content"]
                assert words.startswith("Round 1 could not be played.")
        if fails:
            assert mara.acts(table, "two").status == 202
        for stream in streams:
            stream.until("complete")
    owner.service.wait_for(lambda: owner.call("GET", f"/{table}/round").json()["round"] == 2)
    said = [row["content"] for row in owner.messages(table)]
    assert said.count(f"{NARRATIVE}\n\n{RESPONSE}") == 1
    assert len([words for words in said if words.startswith("Round 1")]) == 1 + fails
    assert len(model.calls) == 2 + fails


def test_rules_that_are_changed_on_two_nodes_at_once_are_all_kept(nodes: Nodes) -> None:
    owners = [Guest(node, "olga") for node in nodes]
    table, topics = owners[0].opens(), [f"topic {number}" for number in range(6)]
    changes: list[tuple[str, str, Any]]
    changes = [("POST", f"/{table}/x_card", {"topic": topic}) for topic in topics]
    changes[2:2] = [("PUT", f"/{table}", {"veils": ["wolves"]})]
    changes[4:4] = [("PUT", f"/{table}", {"round_seconds": 77})]
    made = [aside(owners[n % 2].call, *change) for n, change in enumerate(changes)]
    assert {one.result(TIMEOUT).status for one in made} <= {200, 202, 204}
    for owner in owners:
        shown = owner.call("GET", f"/{table}").json()
        assert sorted(shown["lines"]) == topics
        assert (shown["veils"], shown["round_seconds"]) == (["wolves"], 77)


@contextmanager
def admissions_held(table: int, waiting: int) -> Iterator[None]:
    """No turn of the table is admitted within, until so many sessions wait for it at the end."""
    key = f"hashtextextended('exclusive:table:{table}', 0)"
    waits = (
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        f" AND (classid::bigint << 32 | objid::bigint) = {key}"
    )

    async def hold() -> Any:
        connection = await Database(SERVERS.postgres.url()).connect("tests")
        await connection.fetch(f"SELECT pg_advisory_lock({key})")
        return connection

    async def let_go(connection: Any) -> None:
        while await connection.fetchval(waits) < waiting:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await connection.close()

    with asyncio.Runner() as runner:
        connection = runner.run(hold())
        yield
        runner.run(let_go(connection))


@pytest.mark.parametrize("deed", ["acts", "asks"])
@pytest.mark.parametrize("room", [1, 3])
def test_posts_at_once_to_two_nodes_are_taken_as_far_as_the_budget_has_room(
    nodes: Nodes, model: FakeModel, room: int, deed: str
) -> None:
    posts, gate = 10, threading.Event()
    model.default = replace(script_of(), gate=gate)
    owner = Guest(nodes[0], "olga")
    budget = (room - 1) * RESERVED + 1
    table = owner.opens(requests_per_minute=0, token_budget=budget)
    with admissions_held(table, waiting=2):  # each node has seen that there is room
        guests = [Guest(nodes[n % 2], "olga") for n in range(posts)]
        acts = [aside(getattr(guest, deed), table, f"deed+{n}") for n, guest in enumerate(guests)]
    nodes[0].wait_for(lambda: sum(one.done() for one in acts) >= posts - room)
    gate.set()
    replies = [one.result(TIMEOUT) for one in acts]
    for reply in replies:
        if reply.status != 200:
            refused(reply, 429, "token_budget_exceeded")
    assert sum(reply.status == 200 for reply in replies) == room == len(model.calls)


def test_players_on_two_nodes_wait_in_one_fair_queue(nodes: Nodes, model: FakeModel) -> None:
    owner, mara = Guest(nodes[0], "olga"), Guest(nodes[1], "mara")
    table = owner.opens(join="open")
    assert mara.joins(table).status == 200
    take_turns_fairly(owner, mara, table, model)


def test_requests_of_a_table_are_limited_over_its_nodes(nodes: Nodes, model: FakeModel) -> None:
    rate, posts = 5, 12
    owner, began = Guest(nodes[0], "olga"), time.monotonic()
    table, another = owner.opens(requests_per_minute=rate), owner.opens()
    acts = [aside(Guest(nodes[n % 2], "olga").acts, table, f"deed+{n}") for n in range(posts)]
    replies = [one.result(TIMEOUT) for one in acts]
    windows = 1 + (time.monotonic() - began) // 60  # one, unless the machine is very slow
    played = sum(reply.status == 200 for reply in replies)
    assert rate <= played <= rate * windows
    for reply in replies:
        if reply.status != 200:
            refused(reply, 429, "rate_limit_exceeded")
    assert len(model.calls) == played
    assert Guest(nodes[1], "olga").acts(another).status == 200
