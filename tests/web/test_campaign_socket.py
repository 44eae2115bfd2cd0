"""`WS /ws/campaign/player` and `/ws/campaign/dm`: what the clients of an older streaming dungeon master
send and read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from fakes.model import FakeModel, Script
from passes import WITH_SECRET, token
from serving import Served
from tabling import (
    NARRATIVE,
    NOTES,
    OPTIONS,
    RESPONSE,
    SCENE,
    Guest,
    hear,
    hear_until,
    party,
    script_of,
)

PHASES = ["narrative_chunk", "player_response_chunk", "player_options", "metadata_update"]


@pytest.fixture
def at_table(service: Served, model: FakeModel) -> Served:
    model.default = script_of()
    return service


@contextmanager
def joined(guest: Guest, table: int, role: str = "player") -> Iterator[Any]:
    """An authenticated socket behind its greetings."""
    with guest.socket(f"/ws/campaign/{role}?session_id={table}") as ws:
        say(ws, type="auth", token="none")
        assert hear(ws).keys() == {
            "type",
            "campaign_id",
            "timestamp",
            "connection_id",
            "connection_token",
        }
        assert hear(ws)["type"] == "campaign_active"
        yield ws


def say(ws: Any, **message: Any) -> None:
    ws.send(json.dumps(message))


def closed_with(ws: Any) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as closed:
        hear_until(ws, "nothing")
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


@pytest.mark.parametrize("order", [("narrative",), ("scene", "player_options", "player_response")])
def test_turn_comes_in_its_four_phases_to_everybody(
    at_table: Served, model: FakeModel, order: tuple[str, ...]
) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    model.then(script_of(*order))
    with joined(owner, table, "dm") as dm, joined(mara, table) as player:
        say(player, type="submit_turn", session_id=str(table), message="I knock.", metadata={})
        for ws, notes in ((dm, {"dm_notes": NOTES}), (player, {})):
            heard = hear_until(ws, "metadata_update")
            (said,) = [one for one in heard if one["type"] == "turn_message"]
            assert (said["content"], said["character_name"]) == ("I knock.", "Mara")
            phased = [one for one in heard if one["type"] in PHASES]
            assert list(dict.fromkeys(one["type"] for one in phased)) == PHASES
            for phase, text in zip(PHASES, (NARRATIVE, RESPONSE), strict=False):
                chunks = [one for one in phased if one["type"] == phase]
                assert "".join(one["content"] for one in chunks) == text
                assert [one["is_final"] for one in chunks] == [False] * (len(chunks) - 1) + [True]
                assert chunks[-1]["content"] == ""
            assert phased[-2]["options"] == OPTIONS
            assert phased[-1]["metadata"] == {**SCENE, **notes}
            assert {one["campaign_id"] for one in phased} == {str(table)}
            assert all(one["timestamp"] for one in phased)


def test_second_dungeon_master_supersedes_the_first(at_table: Served) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    with joined(mara, table) as player, joined(owner, table, "dm") as first:
        assert hear_until(player, "room.dm_joined")
        with joined(owner, table, "dm") as second:
            assert closed_with(first) == (1012, "Superseded DM connection")
            say(second, type="heartbeat")
            hear_until(second, "heartbeat")
        hear_until(player, "room.dm_left")


def test_dungeon_master_who_becomes_a_player_loses_the_seat_at_once(at_table: Served) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    mara.joins(table, owner.invites(table, role="dm"))
    with (
        joined(owner, table) as first,
        joined(mara, table, "dm") as dm,
        joined(mara, table) as player,
    ):
        assert mara.joins(table, owner.invites(table)).status == 200
        assert closed_with(dm)[0] == 4403
        hear_until(first, "room.dm_left")
        say(player, type="heartbeat")
        hear_until(player, "heartbeat")


def test_late_joiner_gets_the_story_so_far(at_table: Served) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    owner.acts(table)
    with mara.socket(f"/ws/campaign/player?session_id={table}") as ws:
        say(ws, type="auth", token="")
        active = hear_until(ws, "campaign_active")[-1]["structured_data"]
    assert [one["content"] for one in active["history"]][-1] == f"{NARRATIVE}\n\n{RESPONSE}"


@pytest.mark.parametrize("later", ["", "fails", "is stopped"])
def test_late_joiner_gets_what_the_newest_turn_left(
    at_table: Served, model: FakeModel, later: str
) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    with joined(mara, table) as player:
        owner.acts(table)
        say(player, type="submit_turn", message="I knock.")
        hear_until(player, "campaign_updated")
        known = hear_until(player, "campaign_updated")[-1]["structured_data"]
    if later == "fails":
        model.default = Script("no JSON at all")
        assert owner.acts(table).status == 502
    elif later:
        owner.call("PUT", f"/{table}", {"commit": "manual"})
        assert owner.acts(table).status == 202
        owner.call("POST", f"/{table}/x_card")
    assert known.keys() > {"narrative", "answer", "player_options", "story_progression"}
    with owner.socket(f"/ws/campaign/player?session_id={table}") as ws:
        say(ws, type="auth", token="")
        active = hear_until(ws, "campaign_active")[-1]["structured_data"]
    assert {name: active[name] for name in active.keys() - {"name", "history"}} == known


def test_turns_are_numbered_and_changes_of_seats_are_announced(at_table: Served) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    otto, character = Guest(at_table, "otto"), "6f1c0b52-8a55-4f6e-9d6e-0c5f0c6f0a99"
    with joined(mara, table) as player:
        otto.joins(table)
        seat = hear_until(player, "room.seat_updated")[-1]["seat"]
        assert (seat["owner_user_id"], seat["character_name"]) == ("otto", "Otto")
        otto.joins(table, character_id=character)
        assert hear_until(player, "room.seat_character_updated")[-1]["character_id"] == character
        owner.call("DELETE", f"/{table}/members/otto")
        assert hear_until(player, "room.player_vacated")[-1]["seat_id"] == "otto"
        numbers = []
        for _ in range(2):
            say(player, type="submit_turn", active_player_input={"text": "I knock."})
            heard = hear_until(player, "campaign_updated")
            kinds = [one["type"] for one in heard]
            order = ("turn_started", "input_received", "metadata_update", "turn_complete")
            assert sorted(order, key=kinds.index) == list(order)
            by_type = {one["type"]: one for one in heard}
            assert by_type["input_received"]["active_player_input"]["text"] == "I knock."
            assert by_type["campaign_updated"]["structured_data"]["answer"] == RESPONSE
            begun, ended = (by_type[kind] for kind in ("turn_started", "turn_complete"))
            assert begun["turn_number"] == ended["turn_number"]
            assert by_type["turn_message"]["turn_number"] == begun["turn_number"]
            numbers.append(begun["turn_number"])
        owner.call("POST", f"/{table}/start")
        assert hear_until(player, "room.campaign_started")
    assert numbers[1] == numbers[0] + 1


def test_question_is_answered_privately(at_table: Served, model: FakeModel) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    model.then(Script("Nobody."))
    with joined(owner, table) as first, joined(mara, table) as second:
        say(second, type="ask", message="Who rang the bell?")
        answer = hear_until(second, "turn_message")[-1]
        assert (answer["response_type"], answer["content"]) == ("private", "Nobody.")
        assert answer["character_name"] == "Dungeon Master"
        say(second, type="ask", message="")
        assert "message: " in hear_until(second, "turn_error")[-1]["error"]
        say(first, type="submit_turn", message="I knock.")
        heard = hear_until(first, "turn_message")  # the answer has not come before it
        assert heard[-1]["content"] == "I knock."


def test_failed_turn_is_an_error_for_everybody(at_table: Served, model: FakeModel) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    model.then(Script("none"), Script("none"))
    with joined(owner, table) as first, joined(mara, table) as second:
        say(second, type="submit_turn", message="go")
        for ws in (first, second):
            assert hear_until(ws, "turn_error")[-1]["error"]


@pytest.mark.parametrize(
    ("who", "role", "session", "code"),
    [
        ("olga", "player", "999", 4404),
        ("olga", "player", "", 4404),
        ("otto", "player", None, 4403),
        ("mara", "dm", None, 4403),
    ],
)
def test_socket_without_permission_is_closed_with_the_reason(
    at_table: Served, who: str, role: str, session: str | None, code: int
) -> None:
    table, _ = party(at_table, "olga", "mara")
    number = table if session is None else session
    with Guest(at_table, who).socket(f"/ws/campaign/{role}?session_id={number}") as ws:
        say(ws, type="auth", token="")
        assert closed_with(ws)[0] == code


@pytest.mark.parametrize(
    ("first", "code"),
    [
        ({"type": "auth"}, 4401),
        ({"type": "auth", "token": "bad"}, 4401),
        ({"type": "auth", "token": token(scope="turns")}, 4403),
        ({"type": "submit_turn", "message": "go"}, 4401),
        ({}, 4401),
    ],
)
def test_without_a_good_token_in_the_first_message_it_is_closed(
    serve: Callable[..., Served], first: dict[str, str], code: int
) -> None:
    service = serve(**WITH_SECRET)
    nobody = Guest(service, "olga")
    nobody.headers = {}
    with nobody.socket("/ws/campaign/player?session_id=1") as ws:
        say(ws, **first)
        assert closed_with(ws)[0] == code


def test_good_token_in_the_first_message_opens_the_table(
    serve: Callable[..., Served], model: FakeModel
) -> None:
    model.default = script_of()
    service = serve(**WITH_SECRET)
    owner = Guest(service, "olga")
    table = owner.opens()
    owner.headers = {}
    with owner.socket(f"/ws/campaign/player?session_id={table}") as ws:
        say(ws, type="auth", token=token(sub="olga", scope="tables"))
        hear_until(ws, "campaign_active")
        say(ws, type="submit_turn", message="I knock.")
        hear_until(ws, "metadata_update")
