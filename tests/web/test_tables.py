"""Tables over HTTP: sessions, seats, invitations, turns, and the stream that everybody follows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from app.core.dice import roll
from app.core.encoding import dump
from app.ports.clock import Clock
from app.tables.budget import RESERVED
from app.tables.play import MOST_OF_ONE, MOST_WAITING

from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel, Script
from journal import Hands
from serving import Live, Served, Stream, aside, payload, refused
from tabling import (
    NARRATIVE,
    NOTES,
    OPTIONS,
    RESPONSE,
    SCENE,
    Guest,
    hear_until,
    party,
    script_of,
    take_turns_fairly,
    waiting,
)

DEFAULT_RATE = 20  # requests a minute
STORY = f"{NARRATIVE}\n\n{RESPONSE}"


@pytest.fixture
def at_table(service: Served, model: FakeModel) -> Served:
    """The service with a model that answers as a table asks."""
    model.default = script_of()
    return service


def types(stream: Stream) -> list[str]:
    return [event["type"] for event in stream.events]


# -- sessions -------------------------------------------------------------------------------------


def test_session_is_created_listed_changed_and_deleted(at_table: Served) -> None:
    owner = Guest(at_table, "olga")
    shown = owner.call("POST", "", {"name": "The Anchor"}).json()
    assert shown["dm_name"] == "Dungeon Master"
    assert shown["is_active"] is True
    assert {"id", "name", "dm_name", "created_at", "is_active"} <= shown.keys()
    table = shown["id"]
    assert owner.call("GET", "").json() == [shown]
    assert owner.call("GET", f"/{table}").json() == shown
    changed = owner.call("PUT", f"/{table}", {"name": "The Bell", "token_budget": 7}).json()
    assert changed == {**shown, "name": "The Bell", "token_budget": 7}
    assert owner.call("DELETE", f"/{table}").status == 204
    assert owner.call("GET", "").json() == []
    refused(owner.call("GET", f"/{table}"), 404, "not_found")


UNKNOWN = [
    ("GET", ""),
    ("GET", "/messages"),
    ("POST", "/start"),
    ("POST", "/action?action=go"),
    ("POST", "/roll"),
    ("GET", "/tokens"),
    ("GET", "/events"),
    ("GET", "/members"),
    ("GET", "/invitations"),
    ("GET", "/summary"),
    ("GET", "/round"),
    ("POST", "/join"),
    ("POST", "/leave"),
    ("DELETE", ""),
]


def test_unknown_session_is_not_found(at_table: Served) -> None:
    guest = Guest(at_table, "olga")
    for method, path in UNKNOWN:
        for number in ("999", "9" * 30):
            problem = refused(guest.call(method, f"/{number}{path}"), 404, "not_found")
            assert problem["detail"] == "Session not found"
        for number in ("one", "-1", "1.5", "%D9%A1"):
            refused(guest.call(method, f"/{number}{path}"), 422, "validation_error")


def test_sessions_outlive_a_restart(serve: Callable[..., Served], model: FakeModel) -> None:
    model.default = script_of()
    first = serve()
    table, (owner, _) = party(first, "olga", "mara")
    owner.acts(table)
    before = owner.messages(table), owner.call("GET", f"/{table}/tokens").json()
    first.close()
    again = Guest(serve(), "olga")
    assert (again.messages(table), again.call("GET", f"/{table}/tokens").json()) == before


# -- seats and invitations ------------------------------------------------------------------------


def test_invitation_seats_whoever_has_its_token_until_it_is_revoked(at_table: Served) -> None:
    owner, mara, otto = (Guest(at_table, name) for name in ("olga", "mara", "otto"))
    table = owner.opens()
    refused(mara.joins(table), 403, "forbidden")
    refused(mara.joins(table, "wrong"), 403, "forbidden")
    invitation = owner.invites(table)
    assert mara.joins(table, invitation).status == 200
    (listed,) = owner.call("GET", f"/{table}/invitations").json()["invitations"]
    assert invitation not in str(listed)
    assert owner.call("DELETE", f"/{table}/invitations/{listed['id']}").status == 204
    refused(otto.joins(table, invitation), 403, "forbidden")
    assert mara.call("GET", f"/{table}").status == 200


def test_members_are_shown_with_their_connection_state(at_table: Served) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    with mara.follows(table) as stream:
        stream.until("metadata", phase="live")
        rows = owner.call("GET", f"/{table}/members").json()["members"]
        assert [(r["user_id"], r["owner"], r["you"], r["present"]) for r in rows] == [
            ("olga", True, True, False),
            ("mara", False, False, True),
        ]
    assert mara.call("POST", f"/{table}/leave").status == 204
    rows = owner.call("GET", f"/{table}/members").json()["members"]
    assert [row["user_id"] for row in rows] == ["olga"]


def test_seat_that_is_taken_again_keeps_its_character_until_it_is_left(
    at_table: Served, journey_log: FakeJourneyLog
) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    first, second = (journey_log.seed_character("mara") for _ in range(2))

    def character() -> str | None:
        *_, row = owner.call("GET", f"/{table}/members").json()["members"]
        found = row["character_id"]
        assert (row["user_id"], found is None or isinstance(found, str)) == ("mara", True)
        return str(found) if found else None

    for given, kept in (
        ({"character_id": first}, first),
        ({}, first),
        ({"player_name": "M"}, first),
    ):
        assert mara.joins(table, **given).status == 200
        assert character() == kept
    assert mara.joins(table, character_id=second).status == 200
    assert character() == second
    assert mara.call("POST", f"/{table}/leave").status == 204
    assert mara.joins(table).status == 200
    assert character() is None


def test_removed_member_stops_reading_at_once_and_takes_no_seat_until_readmitted(
    at_table: Served,
) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    link = owner.invites(table)
    with mara.follows(table) as stream:
        stream.until("metadata", phase="live")
        assert owner.call("DELETE", f"/{table}/members/mara").status == 204
        owner.call("POST", f"/{table}/messages", {"sender_name": "Olga", "content": "Gone?"})
        assert "Gone?" not in str(stream.rest().events)
    refused(mara.call("GET", f"/{table}/messages"), 404, "not_found")
    for invitation in (None, link, owner.invites(table)):
        problem = refused(mara.joins(table, invitation), 403, "forbidden")
        assert problem["detail"].startswith("You were removed from this session")
    removed = [{"user_id": "mara", "player_name": "Mara"}]
    assert owner.call("GET", f"/{table}/removed").json() == {"removed": removed}
    assert owner.call("DELETE", f"/{table}/removed/mara").status == 204
    refused(owner.call("DELETE", f"/{table}/removed/otto"), 404, "not_found")
    assert owner.call("GET", f"/{table}/removed").json() == {"removed": []}
    assert mara.joins(table, link).status == 200


def test_member_who_left_can_still_be_removed(at_table: Served) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    assert mara.call("POST", f"/{table}/leave").status == 204
    assert owner.call("DELETE", f"/{table}/members/mara").status == 204
    refused(owner.call("DELETE", f"/{table}/members/mara"), 404, "not_found")
    refused(mara.joins(table), 403, "forbidden")


def test_history_is_as_long_as_an_older_client_asks_for(at_table: Served) -> None:
    owner = Guest(at_table, "olga")
    table = owner.opens()
    for number in range(102):
        said = {"sender_name": "Olga", "content": str(number)}
        assert owner.call("POST", f"/{table}/messages", said).status == 200

    def newest(query: str = "") -> list[str]:
        return [row["content"] for row in owner.call("GET", f"/{table}/messages{query}").json()]

    every = [str(number) for number in range(102)]
    assert newest() == every[-50:]
    assert newest("?limit=101") == every[1:]
    assert newest("?limit=1000") == every
    assert newest(f"?limit=1000&before={2**63}") == every
    assert newest("?before=0") == []
    for limit in ("0", "1001", "-1", "many", ""):
        reply = owner.call("GET", f"/{table}/messages?limit={limit}")
        assert "from 1 to 1000" in refused(reply, 400, "invalid_limit")["detail"]


def test_nobody_speaks_in_another_s_name_or_as_the_dungeon_master(at_table: Served) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    for name in ("Olga", "olga", "Ol\u200bga", "\uff2flga", " OLGA ", "Dungeon  Master"):
        said = {"sender_name": name, "content": "I give up."}
        refused(mara.call("POST", f"/{table}/messages", said), 403, "forbidden")
        path = f"/{table}/action?player_name={quote(name)}&action=go"
        refused(mara.call("POST", path), 403, "forbidden")
    said = {"sender_name": "Mara", "content": "So it is.", "message_type": "dm"}
    refused(mara.call("POST", f"/{table}/messages", said), 403, "forbidden")
    assert owner.call("POST", f"/{table}/messages", {**said, "sender_name": "DM"}).status == 200


# -- turns ----------------------------------------------------------------------------------------


def test_start_action_and_roll_are_played_and_kept(at_table: Served, model: FakeModel) -> None:
    owner = Guest(at_table, "olga")
    table = owner.opens()
    assert owner.call("POST", f"/{table}/start").json()["message"] == STORY
    acted = owner.acts(table)
    assert acted.json()["message"] == STORY
    assert acted.header("location") == f"/api/sessions/{table}/events"
    made = {"roll_type": "stealth", "dice": "1d20", "result": 17, "modifier": 3}
    assert owner.call("POST", f"/{table}/roll", made).status == 200
    said = [(row["message_type"], row["content"]) for row in owner.messages(table)]
    words = "rolls 1d20+3 (stealth): 17."
    assert said == [
        ("dm", STORY),
        ("player", "I knock."),
        ("dm", STORY),
        ("system", words),
        ("dm", STORY),
    ]
    prompt = str(model.calls[-1])
    assert "I knock." in prompt
    assert "result 17" in prompt


INVISIBLE = ["", " ", "\u200b", "\u2060\u00ad", "\u3164"]


def test_action_and_name_without_a_visible_character_are_refused(
    at_table: Served, model: FakeModel
) -> None:
    owner = Guest(at_table, "olga")
    table = owner.opens()
    for text in INVISIBLE:
        refused(owner.acts(table, quote(text)), 422, "validation_error")
        if text:  # without a name it is the seat's
            path = f"/{table}/action?action=go&player_name={quote(text)}"
            refused(owner.call("POST", path), 422, "validation_error")
    refused(owner.acts(table, "x" * 8_001), 422, "validation_error")
    assert owner.messages(table) == []
    assert model.calls == []


def test_dice_are_rolled_by_the_service_shown_to_all_and_recomputed(
    at_table: Served, model: FakeModel
) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    with mara.follows(table) as stream:
        stream.until("metadata", phase="live")
        body = {"roll_type": "stealth", "dice": "2d20kh1", "modifier": 3}
        assert owner.call("POST", f"/{table}/roll", body).status == 200
        shown = stream.until("dice")
        stream.until("complete")
    again = roll(shown["notation"], shown["seed"])
    assert (shown["notation"], shown["modifier"]) == ("2d20kh1+3", 3)
    assert shown["total"] == again.total
    assert shown["dice"] == list(again.shown()["dice"])
    assert (shown["roll_type"], shown["sender_name"]) == ("stealth", "Olga")
    said = owner.messages(table)[-2]
    assert (said["message_type"], str(again.total) in said["content"]) == ("system", True)
    assert f"result {again.total}" in str(model.calls[-1])
    refused(owner.call("POST", f"/{table}/roll", {"dice": "seven"}), 422, "validation_error")
    assert shown["index"] == 1
    with mara.follows(table) as stream:
        assert owner.call("POST", f"/{table}/roll", {"dice": "1d20"}).status == 200
        assert [stream.until("dice")["index"] for _ in range(2)] == [1, 2]


def _stating(result: int, notes: str = "") -> dict[str, Any]:
    """Parts of an answer that goes by this result of a roll."""
    combat = {"action": "start", "enemies": [{"name": "Rat"}], "combat_notes": notes}
    return {"roll_results": [result], "intents": {"combat_intent": combat}}


ROLLS: list[tuple[list[dict[str, Any]], int, list[str]]] = [
    ([_stating(14, "They rolled a 14.")], 1, []),
    ([_stating(3), _stating(14)], 2, []),
    ([_stating(14, "They rolled a 3."), _stating(14)], 2, []),
    ([_stating(3), _stating(4)], 2, ["roll_results: [4] instead of [14]"]),
    ([_stating(3), {"narrative": "No intents."}], 2, ["roll_results: [3] instead of [14]"]),
    ([{"narrative": "You roll a 3."}], 1, ["narrative: a roll of 3"]),
]


def test_intents_that_contradict_a_roll_are_asked_for_once_more_or_flagged(
    at_table: Served, model: FakeModel
) -> None:
    owner = Guest(at_table, "olga")
    table = owner.opens(requests_per_minute=0)
    with owner.follows(table) as stream:
        for answers, calls, conflicts in ROLLS:
            first, *again = answers
            model.then(script_of(**first), *(Script(dump(one)) for one in again))
            before = len(model.calls)
            assert owner.call("POST", f"/{table}/roll", {"result": 14}).status == 200
            end = stream.until("complete")
            assert end["validation"].get("roll_conflicts", []) == conflicts
            assert len(model.calls) == before + calls
            assert "'roll_results'" in str(model.calls[before])
            if not conflicts:
                notes = end["intents"]["combat_intent"]["combat_notes"]
                assert notes != "They rolled a 3."


def test_tokens_are_those_really_used_and_end_with_the_budget(
    at_table: Served, model: FakeModel
) -> None:
    owner = Guest(at_table, "olga")
    table = owner.opens(token_budget=950)
    assert owner.call("GET", f"/{table}/tokens").json() == {
        "used": 0,
        "limit": 950,
        "remaining": 950,
        "cost_micros": 0,
        "cost_limit_micros": 0,
        "cost_remaining_micros": 0,
    }
    owner.acts(table)
    used = owner.call("GET", f"/{table}/tokens").json()["used"]
    assert used > 950  # the fake reports 900 for the prompt
    before = len(model.calls)
    refused(owner.acts(table), 429, "token_budget_exceeded")
    assert len(model.calls) == before
    owner.call("PUT", f"/{table}", {"token_budget": 0})
    assert owner.acts(table).status == 200


def test_budget_is_set_aside_while_a_turn_runs_and_charged_with_what_it_used(
    at_table: Served, model: FakeModel
) -> None:
    owner, other = Guest(at_table, "olga"), Guest(at_table, "mara")
    table, another = owner.opens(), other.opens(token_budget=2 * RESERVED)

    def used() -> int:
        return int(owner.call("GET", f"/{table}/tokens").json()["used"])

    def leave(tokens: int) -> None:
        changed = owner.call("PUT", f"/{table}", {"token_budget": used() + tokens})
        assert changed.status == 200

    for ending in ("complete", "cancelled"):
        gate, before = threading.Event(), used()
        leave(RESERVED)
        model.then(Script(script_of().text, gate=gate, gate_after=4))
        with owner.follows(table) as stream:
            stream.until("metadata", phase="live")
            acted = aside(owner.acts, table)
            stream.until("token")
            refused(owner.acts(table, "more"), 429, "token_budget_exceeded")
            assert used() == before
            assert other.acts(another).status == 200  # its budget is its own
            if ending == "cancelled":
                assert owner.call("POST", f"/{table}/x_card").json()["stopped"]
            gate.set()
            assert acted.result(300).status == (200 if ending == "complete" else 409)
        assert before < used() < before + RESERVED
    leave(1)  # nothing is set aside any more
    assert owner.acts(table).status == 200
    refused(owner.acts(table), 429, "token_budget_exceeded")


@pytest.mark.parametrize(
    ("failing", "costs"),
    [
        pytest.param(Script(script_of().text, drop_after=12), True, id="in mid-story"),
        pytest.param(Script(status=500), False, id="before a word"),
        pytest.param(Script(drop_after=0), False, id="with no word"),
    ],
)
def test_story_that_broke_off_is_charged_what_it_used(
    serve: Callable[..., Served], model: FakeModel, failing: Script, costs: bool
) -> None:
    owner = Guest(serve(llm_max_retries=0), "olga")
    table = owner.opens()
    model.default = failing
    with owner.follows(table) as stream:
        refused(owner.acts(table), 502, "llm_error")
        stream.until("error")
        assert (stream.seen.of("token") != []) == costs
    used = owner.call("GET", f"/{table}/tokens").json()["used"]
    assert (used > 0) == costs
    assert used < RESERVED


def test_requests_are_limited_per_table_across_a_restart(
    serve: Callable[..., Served], model: FakeModel
) -> None:
    model.default = script_of()
    clock = Clock(now=Hands())  # no request leaves the minute
    first = serve(clock=clock)
    table, (owner, mara) = party(first, "olga", "mara")
    another = owner.opens()
    for number in range(DEFAULT_RATE):
        assert (owner, mara)[number % 2].acts(table).status == 200
    refused(mara.acts(table), 429, "rate_limit_exceeded")
    refused(owner.call("POST", f"/{table}/roll", {"dice": "1d20"}), 429, "rate_limit_exceeded")
    refused(owner.call("POST", f"/{table}/start"), 429, "rate_limit_exceeded")
    assert owner.acts(another).status == 200
    said = [row["content"] for row in owner.messages(table)]
    assert said.count("I knock.") == DEFAULT_RATE
    changed = owner.call("PUT", f"/{table}", {"requests_per_minute": DEFAULT_RATE + 1})
    assert changed.status == 200
    assert mara.acts(table).status == 200
    first.close()
    again = Guest(serve(clock=clock), "mara")
    refused(again.acts(table), 429, "rate_limit_exceeded")
    kept = again.call("GET", f"/{table}").json()
    assert (kept["requests_per_minute"], kept["token_budget"]) == (DEFAULT_RATE + 1, 100_000)


@pytest.mark.parametrize(
    ("rules", "kind"),
    [
        ({"requests_per_minute": 1}, "rate_limit_exceeded"),
        ({"token_budget": 1}, "token_budget_exceeded"),
    ],
)
def test_deed_that_a_limit_refuses_leaves_nothing_behind(
    at_table: Served, rules: dict[str, int], kind: str
) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara", **rules)
    assert owner.acts(table).status == 200
    before = owner.messages(table)
    with mara.socket(f"/ws/campaign/player?session_id={table}") as socket:
        socket.send('{"type": "auth", "token": ""}')
        hear_until(socket, "campaign_active")
        for path, body in (
            ("/action?action=Hm.", None),
            ("/roll", {"dice": "1d20"}),
            ("/roll", {"dice": "1d20", "result": 7}),
        ):
            reply = owner.call("POST", f"/{table}{path}", body, Idempotency_Key=path)
            refused(reply, 429, kind)
        chat = {"message": "Hm.", "session_id": str(table)}
        refused(at_table.call("POST", "/api/chat", chat, **owner.headers), 429, kind)
        socket.send('{"type": "submit_turn", "message": "Hm."}')
        assert [one["type"] for one in hear_until(socket, "turn_error")] == ["turn_error"]
    assert owner.messages(table) == before
    owner.call("PUT", f"/{table}", {"requests_per_minute": 0, "token_budget": 0})
    with owner.follows(table) as stream:
        rolled = owner.call("POST", f"/{table}/roll", {"dice": "1d20"}, Idempotency_Key="/roll")
        assert rolled.status == 200  # its key is free
        assert stream.until("dice")["index"] == 1


def test_repeated_key_attaches_and_says_nothing_twice(at_table: Served, model: FakeModel) -> None:
    table, (owner, _) = party(at_table, "olga", "mara")
    replies = [owner.acts(table, Idempotency_Key="k1") for _ in range(2)]
    assert replies[0].json() == replies[1].json()
    assert [row["content"] for row in owner.messages(table)].count("I knock.") == 1
    other = owner.opens("Another")
    refused(owner.acts(other, Idempotency_Key="k1"), 422, "idempotency_key_reused")


def test_repeated_key_of_a_roll_answers_the_first_roll(at_table: Served, model: FakeModel) -> None:
    table, (owner, _) = party(at_table, "olga", "mara")
    body = {"dice": "1d20", "content": "Stealthily."}
    path = f"/{table}/roll"
    copies = [aside(owner.call, "POST", path, body, Idempotency_Key="k1") for _ in range(3)]
    replies = [copy.result(300) for copy in copies]
    replies.append(owner.call("POST", path, body, Idempotency_Key="k1"))
    assert {(one.status, one.body) for one in replies} == {(200, replies[0].body)}
    assert len(model.calls) == 1
    rolls = [row for row in owner.messages(table) if "rolls 1d20" in row["content"]]
    assert len(rolls) == 1
    for other in ({**body, "dice": "2d20"}, {**body, "content": ""}, {**body, "result": 20}):
        refused(
            owner.call("POST", path, other, Idempotency_Key="k1"), 422, "idempotency_key_reused"
        )
    refused(owner.acts(table, Idempotency_Key="k1"), 422, "idempotency_key_reused")
    with owner.follows(table) as stream:
        assert owner.call("POST", path, body).status == 200
        assert [stream.until("dice")["index"] for _ in range(2)] == [1, 2]  # none was made in vain


def test_character_at_the_table_is_written_to_its_journey(
    at_table: Served, journey_log: FakeJourneyLog
) -> None:
    owner = Guest(at_table, "olga")
    character = journey_log.seed_character("olga")
    table = owner.opens(character_id=character)
    assert owner.acts(table).status == 200
    assert journey_log.narratives(character) == [STORY]


def test_failed_turn_says_nothing_and_the_table_goes_on(at_table: Served, model: FakeModel) -> None:
    owner = Guest(at_table, "olga")
    table = owner.opens()
    model.then(Script("no JSON at all"), Script("still none"))
    refused(owner.acts(table), 502, "llm_response_error")
    assert [row["message_type"] for row in owner.messages(table)] == ["player"]
    assert owner.acts(table).status == 200


def test_table_that_is_deleted_while_a_turn_runs_is_gone_for_everybody(
    at_table: Served, model: FakeModel
) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    gate = threading.Event()
    model.then(Script(script_of().text, gate=gate, gate_after=4))
    with mara.follows(table) as stream:
        stream.until("metadata", phase="live")
        acted = aside(mara.acts, table)
        stream.until("token")
        assert owner.call("DELETE", f"/{table}").status == 204
        assert "complete" not in types(stream.rest())
    gate.set()
    refused(acted.result(300), 404, "not_found")
    for guest in (owner, mara):
        refused(guest.call("GET", f"/{table}/messages"), 404, "not_found")
    assert mara.acts(mara.opens()).status == 200


def test_a_table_s_turn_is_no_turn_of_its_player(at_table: Served) -> None:
    owner = Guest(at_table, "olga")
    turn = owner.acts(owner.opens()).header("x-turn-id")
    for path in (f"/turns/{turn}", f"/turns/{turn}/events"):
        refused(at_table.call("GET", path, **owner.headers), 404, "turn_not_found")


# -- the stream -----------------------------------------------------------------------------------


def test_phases_come_in_order_whatever_order_the_model_used(
    at_table: Served, model: FakeModel
) -> None:
    orders = [
        ("narrative",),
        ("scene", "player_options", "player_response", "narrative"),
        ("player_response", "narrative", "scene"),
        ("intents", "narrative", "scene", "player_options"),
    ]
    owner = Guest(at_table, "olga")
    table = owner.opens(requests_per_minute=0)
    for order in orders:
        model.then(script_of(*order))
        owner.acts(table)
    with owner.follows(table) as stream:
        stream.until("metadata", phase="live")
        for turn in _turns(stream.seen):
            kinds = [event.get("field", event["type"]) for event in turn]
            streamed = [kind for kind in kinds if kind not in ("metadata", "message")]
            assert list(dict.fromkeys(streamed)) == [
                "narrative",
                "player_response",
                "player_options",
                "scene",
                "complete",
            ]
            by_field = dict.fromkeys(("narrative", "player_response"), "")
            for event in turn:
                if event["type"] == "token":
                    by_field[event["field"]] += event["content"]
            assert by_field == {"narrative": NARRATIVE, "player_response": RESPONSE}
            (options,) = [e for e in turn if e["type"] == "player_options"]
            assert options["player_options"] == OPTIONS
            (scene,) = [e for e in turn if e["type"] == "scene"]
            assert (scene["scene"], scene["dm_notes"]) == (SCENE, NOTES)
    assert len(model.calls) == len(orders)


def _turns(stream: Stream) -> list[list[dict[str, Any]]]:
    """The events of each turn."""
    found: list[list[dict[str, Any]]] = []
    for event in stream.events:
        if event.get("phase") == "start":
            found.append([])
        if found:
            found[-1].append(event)
    return found


NO_OPTIONS: list[Any] = [..., None, [], ["only one"], ["a", "a", "a"], [" ", "", "-", "b"], {}, 3]
NO_SCENE: list[Any] = [
    ...,
    None,
    {},
    [],
    "fog",
    {"weather": "fog"},
    {"environmental_conditions": " ", "immediate_threats": None, "scene_elements": {}},
    {"scene_elements": {"npcs_present": [], "current_location": ""}},
    {"scene_elements": "Ada"},
]


def test_missing_parts_of_an_answer_are_supplied_by_one_small_generation(
    at_table: Served, model: FakeModel
) -> None:
    owner = Guest(at_table, "olga")
    bad = [{"player_options": one} for one in NO_OPTIONS] + [{"scene": one} for one in NO_SCENE]
    for count, changes in enumerate(bad, 1):
        table = owner.opens()
        more = script_of("player_options", narrative=..., intents=...)
        model.then(script_of(**changes), more)
        owner.acts(table)
        assert len(model.calls) == 2 * count, changes
        with owner.follows(table) as stream:
            stream.until("metadata", phase="live")
            shown = stream.seen.of("player_options"), stream.seen.of("scene")
        assert [e["player_options"] for e in shown[0]] == [OPTIONS], changes
        assert [e["scene"] for e in shown[1]] == [SCENE], changes


LATE_SCENES: list[tuple[tuple[str, ...], dict[str, Any]]] = [
    ((), {}),
    (("player_options", "player_response"), {}),
    ((), {"player_response": None}),
]


def test_options_wait_neither_for_the_scene_nor_for_its_supplement(
    at_table: Served, model: FakeModel
) -> None:
    owner = Guest(at_table, "olga")
    table = owner.opens(requests_per_minute=0)

    def acts_until_options(stream: Live, *scripts: Script) -> None:
        model.then(*scripts)
        before = len(stream.seen.of("scene"))
        acted = aside(owner.acts, table)
        assert stream.until("player_options")["player_options"] == OPTIONS
        assert len(stream.seen.of("scene")) == before
        gate = scripts[-1].gate
        assert gate is not None
        gate.set()
        assert stream.until("scene")["scene"] == SCENE
        stream.until("complete")
        assert acted.result(300).status == 200

    with owner.follows(table) as stream:
        stream.until("metadata", phase="live")
        for order, changes in LATE_SCENES:
            text = script_of(*order, **changes).text
            pieces = text.partition('"fog"')
            late = Script(text, pieces=pieces, gate=threading.Event(), gate_after=1)
            acts_until_options(stream, late)
        owner.call("PUT", f"/{table}", {"lines": ["goblins"]})  # moderated: shown at the end
        for lacking in (..., None, "fog"):
            more = Script(script_of().text, gate=threading.Event())
            acts_until_options(stream, script_of(scene=lacking), more)


FAILING: list[Script] = [
    Script("Look around."),
    Script(dump({"player_options": ["only one"], "scene": []})),
    Script(status=500),
    Script(status=429, headers={"Retry-After": "15"}),
]


@pytest.mark.parametrize("lacking", [["player_options"], ["scene"], ["player_options", "scene"]])
def test_turn_goes_on_without_what_no_supplement_supplies(
    at_table: Served, model: FakeModel, monkeypatch: pytest.MonkeyPatch, lacking: list[str]
) -> None:
    owner = Guest(at_table, "olga")
    table = owner.opens()
    first = script_of(**dict.fromkeys(lacking, ...))
    for count, failing in enumerate(FAILING, 1):
        model.then(first, failing)
        assert owner.acts(table).json()["message"] == STORY
        assert len(model.calls) == 2 * count
    monkeypatch.setattr("app.tables.story.SUPPLEMENT_SECONDS", 0.05)
    model.then(first, Script(gate=threading.Event()))  # no answer comes
    assert owner.acts(table).json()["message"] == STORY
    with owner.follows(table) as stream:
        stream.until("metadata", phase="live")
        turns = _turns(stream.seen)
        assert len(turns) == len(FAILING) + 1
        for turn in turns:
            kinds = {event["type"] for event in turn}
            assert {"player_options", "scene"} - kinds == set(lacking)
            assert "complete" in kinds


def test_turn_can_be_stopped_while_a_supplement_is_waited_for(
    at_table: Served, model: FakeModel
) -> None:
    owner, gate = Guest(at_table, "olga"), threading.Event()
    table = owner.opens()
    model.then(script_of(scene=...), Script(gate=gate))
    with owner.follows(table) as stream:
        stream.until("metadata", phase="live")
        acted = aside(owner.acts, table)
        stream.until("player_options")
        assert owner.call("POST", f"/{table}/x_card").json() == {"stopped": True}
        stream.until("cancelled")
    gate.set()
    assert acted.result(300).status == 409
    assert [row["message_type"] for row in owner.messages(table)] == ["player", "system"]
    assert owner.acts(table).status == 200


def test_everybody_sees_the_same_and_only_moderators_see_notes(at_table: Served) -> None:
    table, (owner, mara, otto) = party(at_table, "olga", "mara", "otto")
    owner.acts(table)
    with mara.follows(table) as first, otto.follows(table) as second:
        for stream in (first, second):
            stream.until("metadata", phase="live")
        mara.call("POST", f"/{table}/messages", {"sender_name": "Mara", "content": "Hm."})
        mara.acts(table)
        for stream in (first, second):
            stream.until("complete")
        assert first.seen.events == second.seen.events
        assert [event["dm_notes"] for event in first.seen.of("scene")] == [None, None]


def resumed(guest: Guest, table: int, seen: list[bytes]) -> list[bytes]:
    """What has happened by now behind the last of these events."""
    last = seen[-1].split(b"\n")[0].removeprefix(b"id: ").decode()
    with guest.follows(table, Last_Event_ID=last) as stream:
        stream.until("metadata", phase="live")
        return stream.seen.frames


def test_stream_is_resumed_behind_any_event(at_table: Served) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    owner.acts(table)
    owner.call("POST", f"/{table}/messages", {"sender_name": "Olga", "content": "Hm."})
    mara.acts(table)
    with mara.follows(table) as stream:
        stream.until("metadata", phase="live")
        whole = stream.seen.frames
    for cut in range(1, len(whole) + 1):
        assert resumed(mara, table, whole[:cut]) == whole[cut:]


def test_position_is_the_header_s_else_after_s_else_last_event_id_s(at_table: Served) -> None:
    owner = Guest(at_table, "olga")
    table = owner.opens()
    owner.acts(table)

    def read(query: str = "", **headers: str) -> list[bytes]:
        with owner.follows(table, query, **headers) as stream:
            stream.until("metadata", phase="live")
            return stream.seen.frames

    whole = read()
    second, third, fourth = (
        frame.split(b"\n")[0].removeprefix(b"id: ").decode() for frame in whole[1:4]
    )
    assert read(f"?lastEventId={fourth}") == whole[4:]
    assert read(f"?lastEventId={fourth}&after={third}") == whole[3:]
    assert read(f"?lastEventId={fourth}&after={third}", Last_Event_ID=second) == whole[2:]
    assert read(f"?after={third}", Last_Event_ID="foreign") == whole


@pytest.mark.parametrize("dialect", ["ag-ui", "openai", "morse"])
def test_events_of_a_table_come_in_no_other_dialect(at_table: Served, dialect: str) -> None:
    owner = Guest(at_table, "olga")
    path = f"/{owner.opens()}/events?dialect={dialect}"
    assert "dialect" in refused(owner.call("GET", path), 422, "validation_error")["detail"]


def test_reader_resumed_behind_any_event_has_every_line_of_a_turn_once(
    at_table: Served, model: FakeModel
) -> None:
    """What was said while a turn was told comes behind the turn to whoever reads them both later."""
    table, (owner, mara) = party(at_table, "olga", "mara")
    gate = threading.Event()
    model.then(Script(script_of().text, gate=gate, gate_after=6))
    with mara.follows(table) as stream:
        stream.until("metadata", phase="live")
        acting = aside(owner.acts, table)
        stream.until("token")
        for words in ("Hm.", "Hush."):
            mara.call("POST", f"/{table}/messages", {"sender_name": "Mara", "content": words})
            stream.until("message", content=words)
        gate.set()
        stream.until("complete")
        assert acting.result(300).status == 200
        whole = stream.seen.frames
    latest = max(cut for cut, frame in enumerate(whole) if b'"type":"message"' in frame)
    for cut in range(1, len(whole) + 1):
        rest = resumed(mara, table, whole[:cut])
        told = [*whole[:cut], *rest]
        assert sorted(map(payload, told)) == sorted(map(payload, whole))
        if cut > latest:
            assert rest == whole[cut:]


def test_long_line_comes_in_parts_of_which_the_last_has_its_id(at_table: Served) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    line = {"sender_name": "Olga", "content": "é" * 8_000}

    def parts(stream: Live) -> list[bytes]:
        heard = [stream.until("message", part=part, parts=4) for part in (1, 2, 3, 4)]
        assert "".join(event["content"] for event in heard) == line["content"]
        return [block for block in stream.seen.blocks if b'"part":' in block]

    with mara.follows(table) as stream:
        stream.until("metadata", phase="live")
        before = stream.seen.frames[-1].split(b"\n")[0].removeprefix(b"id: ").decode()
        owner.call("POST", f"/{table}/messages", line)
        blocks = parts(stream)
    assert max(map(len, blocks)) < 32 * 1024
    assert [block.startswith(b"id: ") for block in blocks] == [False, False, False, True]
    with mara.follows(table, Last_Event_ID=before) as stream:
        assert parts(stream) == blocks
    with mara.socket(f"/ws/campaign/player?session_id={table}") as socket:
        socket.send('{"type": "auth", "token": ""}')
        hear_until(socket, "campaign_active")
        owner.call("POST", f"/{table}/messages", line)
        heard = [hear_until(socket, "turn_message")[-1] for _ in range(4)]
    assert "".join(one["content"] for one in heard) == line["content"]
    assert len({one["message_id"] for one in heard}) == 4


def test_late_joiner_gets_the_story_so_far_in_its_order(at_table: Served) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    owner.acts(table, "first")
    mara.acts(table, "second")
    late = Guest(at_table, "otto")
    late.joins(table)
    with late.follows(table) as stream:
        stream.until("metadata", phase="live")
        events = [
            event.get("content") if event["type"] == "message" else event["type"]
            for event in stream.seen.events
            if event["type"] in ("message", "complete")
        ]
    assert events == [
        "Mara has joined.",
        "first",
        "complete",
        "second",
        "complete",
        "Otto has joined.",
    ]


def test_actions_wait_their_turn_and_are_seen_meanwhile(at_table: Served, model: FakeModel) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    gate = threading.Event()
    model.then(Script(script_of().text, gate=gate, gate_after=4))
    with mara.follows(table) as stream:
        stream.until("metadata", phase="live")
        first = aside(owner.acts, table, "first")
        stream.until("token")
        second = aside(mara.acts, table, "second")
        stream.until("message", content="second")
        assert "complete" not in types(stream.seen)
        at_table.wait_for(lambda: waiting(mara, table) == 1)
        gate.set()
        stream.until("complete")
        stream.until("metadata", phase="queued", position=1)
        stream.until("complete")
    assert [first.result(300).status, second.result(300).status] == [200, 200]


def test_turns_are_seen_in_the_order_in_which_they_begin(
    at_table: Served, model: FakeModel
) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    take_turns_fairly(owner, mara, table, model)


def test_player_who_fills_their_share_of_the_queue_keeps_nobody_out(
    at_table: Served, model: FakeModel
) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara", requests_per_minute=0)
    gate = threading.Event()
    model.then(Script(script_of().text, gate=gate, gate_after=4))
    with mara.follows(table) as stream:
        stream.until("metadata", phase="live")
        acted = [aside(mara.acts, table, "first")]
        stream.until("token")
        acted += [aside(mara.acts, table, f"more+{number}") for number in range(MOST_OF_ONE)]
        at_table.wait_for(lambda: waiting(mara, table) == MOST_OF_ONE)
        for _ in range(MOST_WAITING):
            error = refused(mara.acts(table, "too+many"), 409, "turn_in_progress")
            assert "As many of your actions wait" in error["detail"]
        with mara.socket(f"/ws/{table}") as socket:
            socket.send('{"sender": "Mara", "content": "too many"}')
            assert "As many of your actions wait" in hear_until(socket, "error")[-1]["content"]
        acted.append(aside(owner.acts, table, "mine"))
        at_table.wait_for(lambda: waiting(mara, table) == MOST_OF_ONE + 1)
        gate.set()
        stream.until("complete")
        stream.until("metadata", phase="start", user_action="mine")  # before all that wait longer
    assert {act.result(300).status for act in acted} == {200}


def test_moderated_turn_is_streamed_whole_and_in_order(
    serve: Callable[..., Served], model: FakeModel, tmp_path: Path
) -> None:
    words = tmp_path / "words.txt"
    words.write_text("slaughter\n", "utf-8")
    owner = Guest(serve(moderation="words", moderation_words_file=words), "olga")
    table = owner.opens()
    model.then(script_of("scene", "player_response"), script_of(player_response="A slaughter."))
    assert owner.acts(table).json()["message"] == STORY
    refused(owner.acts(table), 502, "llm_response_error")
    with owner.follows(table) as stream:
        stream.until("metadata", phase="live")
        events, cut = _turns(stream.seen)
        kinds = [event.get("field", event["type"]) for event in events]
        shown = [kind for kind in kinds if kind not in ("metadata", "message")]
        assert list(dict.fromkeys(shown)) == [
            "narrative",
            "player_response",
            "player_options",
            "scene",
            "complete",
        ]
        assert "slaughter" not in str(cut)


def test_answer_that_cannot_be_persisted_ends_the_turn(at_table: Served, model: FakeModel) -> None:
    owner = Guest(at_table, "olga")
    table = owner.opens()
    model.then(script_of(narrative="n" * 20_000, player_response="r" * 11_998))
    model.then(script_of(narrative="n" * 20_000, player_response="r" * 11_999))
    assert len(owner.acts(table).json()["message"]) == 32_000
    refused(owner.acts(table), 502, "llm_response_error")


def test_document_whose_intents_are_broken_keeps_its_story(
    at_table: Served, model: FakeModel
) -> None:
    owner = Guest(at_table, "olga")
    table = owner.opens()
    broken = script_of().text.replace('"intents":null', '"intents":tru')
    model.then(Script(broken))
    assert owner.acts(table).json()["message"] == STORY
