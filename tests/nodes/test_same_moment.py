"""Requests that reach two nodes at the same moment: both have looked before either of them writes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from app.bootstrap.features import FEATURES
from app.feature import Feature, FeatureSpec, Platform
from app.tables.wiring import FEATURE as TABLES

from conftest import settings_of
from databases import SERVERS
from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel
from serving import TIMEOUT, Reply, Served, aside, refused
from tabling import Guest, script_of

KEY = {"Idempotency_Key": "k1"}


class Gated:
    """A node's store of tables, whose next call of a method may have to wait."""

    def __init__(self, tables: Any, waits: dict[str, Callable[[], object]]) -> None:
        self._tables = tables
        self._waits = waits

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._tables, name)

        async def call(*given: Any, **named: Any) -> Any:
            await self._pass(name)
            result = await found(*given, **named)
            await self._pass(f"after {name}")
            return result

        return call

    async def _pass(self, name: str) -> None:
        if (wait := self._waits.pop(name, None)) is not None:
            await asyncio.to_thread(wait)


class Node(Served):
    """`waits`: by the method of its tables whose next call waits, or the answer to it (`after …`)."""

    def __init__(self, **settings: Any) -> None:
        self.waits: dict[str, Callable[[], object]] = {}
        super().__init__(features=gated(self.waits), **settings)


def gated(waits: dict[str, Callable[[], object]]) -> tuple[FeatureSpec, ...]:
    """All features; that of tables has a `Gated` store."""

    def wire(platform: Platform) -> Feature:
        tables: Any = Gated(platform.tables, waits)
        return TABLES.wire(replace(platform, tables=tables))

    return tuple(replace(one, wire=wire) if one is TABLES else one for one in FEATURES)


@dataclass(frozen=True)
class Pair:
    """Two nodes on one database."""

    nodes: tuple[Node, Node]
    model: FakeModel

    def guests(self, name: str) -> tuple[Guest, Guest]:
        """The same user at each of them."""
        here, there = self.nodes
        return Guest(here, name), Guest(there, name)

    def meet(self, method: str, *calls: Callable[[], Reply]) -> list[Reply]:
        """The answers of calls to both nodes, neither of which passes `method` before the other."""
        line = threading.Barrier(2)
        for node in self.nodes:
            node.waits[method] = lambda: line.wait(TIMEOUT)
        return [one.result(TIMEOUT) for one in [aside(call) for call in calls]]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    url, store = SERVERS.postgres.url(), tmp_path_factory.mktemp("nodes") / "store.db"
    with FakeModel() as model, FakeJourneyLog() as journey_log:
        model.default = script_of()
        settings = settings_of(store, model, journey_log) | {"store_url": url}
        here, there = Node(**settings), Node(**settings)
        with here, there:
            yield Pair((here, there), model)


def contents(guest: Guest, table: int, words: str) -> list[str]:
    return [row["content"] for row in guest.messages(table) if words in row["content"]]


def members(guest: Guest, table: int) -> list[dict[str, Any]]:
    found = guest.call("GET", f"/{table}/members").json()["members"]
    assert isinstance(found, list)
    return found


def test_deed_that_reaches_two_nodes_is_shown_and_played_once(pair: Pair) -> None:
    here, there = pair.guests("olga")
    table, calls = here.opens(), len(pair.model.calls)
    replies = pair.meet("say_deed", *(lambda at=at: at.acts(table, **KEY) for at in (here, there)))
    assert {(one.status, one.body) for one in replies} == {(200, replies[0].body)}
    assert contents(here, table, "I knock.") == ["I knock."]
    assert len(pair.model.calls) == calls + 1


@pytest.mark.parametrize(("mode", "method"), [("turns", "say_deed"), ("rounds", "collect")])
def test_roll_that_reaches_two_nodes_is_made_once(pair: Pair, mode: str, method: str) -> None:
    here, there = pair.guests(f"rolls in {mode}")
    table = here.opens(mode=mode, round_seconds=0)
    body = {"dice": "1d20", "content": "Stealthily."}
    calls = (lambda at=at: at.call("POST", f"/{table}/roll", body, **KEY) for at in (here, there))
    replies = pair.meet(method, *calls)
    assert {one.status for one in replies} == {200 if mode == "turns" else 202}
    (shown,) = contents(there, table, "rolls 1d20")
    with there.follows(table) as stream:
        assert stream.until("dice")["index"] == 1
        start = stream.until("metadata", phase="start")
        played = [start["user_action"], *(one["user_action"] for one in start.get("deeds") or ())]
        assert shown in played
        there.call("POST", f"/{table}/roll", body)
        assert stream.until("dice")["index"] == 2  # none was made in vain


def test_other_request_with_a_key_that_another_node_is_given_is_refused(pair: Pair) -> None:
    here, there = pair.guests("reuses")
    table = here.opens()
    replies = pair.meet(
        "say_deed",
        lambda: here.acts(table, "one", **KEY),
        lambda: there.acts(table, "two", **KEY),
    )
    first, second = sorted(replies, key=lambda reply: reply.status)
    assert first.status == 200
    refused(second, 422, "idempotency_key_reused")
    assert len(contents(here, table, "one") + contents(here, table, "two")) == 1


def test_node_that_stops_before_a_deed_is_admitted_leaves_its_line_and_roll(pair: Pair) -> None:
    here, there = pair.guests("stops")
    table, body, path = here.opens(), {"dice": "1d100"}, "/roll"
    gone_on, node = threading.Event(), pair.nodes[0]
    node.waits["after say_deed"] = lambda: gone_on.wait(TIMEOUT)
    stopped = aside(here.call, "POST", f"/{table}{path}", body, **KEY)
    node.wait_for(lambda: contents(there, table, "rolls 1d100"))
    (shown,) = contents(there, table, "rolls 1d100")
    repeated = there.call("POST", f"/{table}{path}", body, **KEY)
    assert repeated.status == 200
    assert shown in str(pair.model.calls[-1])
    gone_on.set()
    assert stopped.result(TIMEOUT).body == repeated.body
    assert contents(here, table, "rolls 1d100") == [shown]


def test_deed_that_was_refused_is_shown_once_it_is_admitted_at_any_node(pair: Pair) -> None:
    here, there = pair.guests("refused")
    table, path = here.opens(token_budget=1), "/roll"
    assert here.acts(table).status == 200
    refused(here.call("POST", f"/{table}{path}", {}, **KEY), 429, "token_budget_exceeded")
    assert contents(there, table, "rolls 1d20") == []
    there.call("PUT", f"/{table}", {"token_budget": 100_000})
    assert there.call("POST", f"/{table}{path}", {}, **KEY).status == 200
    (shown,) = contents(here, table, "rolls 1d20")
    assert shown in str(pair.model.calls[-1])


def test_repeated_deed_is_what_it_was_at_first_whatever_the_mode_is_now(pair: Pair) -> None:
    here, there = pair.guests("switches")
    table = here.opens(mode="rounds", round_seconds=0)
    with here.follows(table) as stream:
        assert here.acts(table, **KEY).status == 202
        stream.until("complete")
    here.call("PUT", f"/{table}", {"mode": "turns"})
    assert there.acts(table, **KEY).status == 202
    turn = there.acts(table, "two", Idempotency_Key="k2")
    here.call("PUT", f"/{table}", {"mode": "rounds"})
    again = here.acts(table, "two", Idempotency_Key="k2")
    assert (again.status, again.body) == (200, turn.body)
    assert [len(contents(here, table, words)) for words in ("I knock.", "two")] == [1, 1]


def test_name_that_two_take_at_two_nodes_is_given_to_one(pair: Pair) -> None:
    here, there = pair.guests("names")
    table = here.opens(join="open")
    joining = [Guest(node, name) for node, name in zip(pair.nodes, ("mara", "otto"), strict=True)]
    replies = pair.meet(
        "take_seat",
        *(lambda one=one: one.joins(table, player_name="Élise") for one in joining),
    )
    (reply,) = [one for one in replies if one.status != 200]
    error = refused(reply, 403, "forbidden")
    assert error["detail"] == "Somebody else at the table has this name."
    assert [row["player_name"] for row in members(there, table)] == ["Names", "Élise"]
    assert len(contents(here, table, "has joined.")) == 1


def test_two_without_a_name_at_two_nodes_are_given_different_ones(pair: Pair) -> None:
    here, there = pair.guests("nameless")
    table = here.opens(join="open")
    joining = [Guest(node, name) for node, name in zip(pair.nodes, ("mara", "otto"), strict=True)]
    replies = pair.meet(
        "take_seat",
        *(lambda one=one: one.joins(table, player_name=None) for one in joining),
    )
    assert {one.status for one in replies} == {200}
    owner, *names = [row["player_name"] for row in members(there, table)]
    assert (owner, "Player" in names, len(set(names) & {"mara", "otto"})) == ("Nameless", True, 1)


def test_join_that_reaches_two_nodes_is_announced_once(pair: Pair) -> None:
    here, there = pair.guests("mara")
    table = Guest(pair.nodes[0], "hosts").opens(join="open")
    for path in ("join", "leave"):
        replies = pair.meet(
            "take_seat",
            *(
                lambda one=one, path=path: one.call("POST", f"/{table}/{path}", {})
                for one in (here, there)
            ),
        )
        assert len({one.status for one in replies}) == 1
    owner = Guest(pair.nodes[1], "hosts")
    assert (
        len(contents(owner, table, "has joined.")) == len(contents(owner, table, "has left.")) == 1
    )


def test_first_messages_to_two_nodes_have_one_session(pair: Pair) -> None:
    guests = pair.guests("chats")
    body = {"message": "I knock."}
    replies = pair.meet(
        "create",
        *(
            lambda one=one: one.service.call("POST", "/api/chat", body, **one.headers)
            for one in guests
        ),
    )
    numbers = {reply.json()["message"]["session_id"] for reply in replies}
    assert numbers == {str(row["id"]) for row in guests[0].call("GET", "").json()}
    assert len(numbers) == 1
