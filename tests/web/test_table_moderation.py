"""A table that is paused, words for one ear, and the X card."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

import pytest
from app.core.tables import MAX_TOPICS, TableRules
from app.tables.budget import RESERVED

from fakes.journey_log import FakeJourneyLog, late
from fakes.model import FakeModel, Script
from serving import Served, aside, refused
from tabling import NARRATIVE, RESPONSE, SCENE, Guest, hear, party, script_of

PATHS = ["/ws/{}", "/ws/campaign/player?session_id={}"]
MOVE_ON = "leave that and move on"


@pytest.fixture
def at_table(service: Served, model: FakeModel) -> Served:
    model.default = script_of()
    return service


def test_whisper_is_shown_to_its_two_players_and_never_to_the_model(
    at_table: Served, model: FakeModel
) -> None:
    table, (owner, mara, otto) = party(at_table, "olga", "mara", "otto")
    said = {"user_id": "mara", "content": "The bell is a trap."}
    with mara.follows(table) as ear, otto.follows(table) as other:
        for stream in (ear, other):
            stream.until("metadata", phase="live")
        assert owner.call("POST", f"/{table}/whisper", said).status == 200
        heard = ear.until("message", content="The bell is a trap.")
        assert (heard["private"], heard["message_type"]) == (True, "dm")
        owner.acts(table)
        other.until("complete")
        assert "trap" not in str(other.seen.body)
    assert ["trap" in str(guest.messages(table)) for guest in (owner, mara, otto)] == [
        True,
        True,
        False,
    ]
    assert "trap" not in str(model.calls)
    refused(owner.call("POST", f"/{table}/whisper", {**said, "user_id": "x"}), 404, "not_found")


def test_paused_table_takes_no_deed_until_it_is_resumed(at_table: Served, model: FakeModel) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    assert owner.call("POST", f"/{table}/pause").json()["paused"] is True
    for path in ("start", "action?action=go", "roll"):
        refused(mara.call("POST", f"/{table}/{path}"), 403, "forbidden")
    said = {"sender_name": "Mara", "content": "Still here."}
    assert mara.call("POST", f"/{table}/messages", said).status == 200
    assert model.calls == []
    assert owner.call("POST", f"/{table}/resume").json()["paused"] is False
    assert mara.acts(table).status == 200


def test_x_card_stops_the_turn_and_nothing_of_it_is_kept(
    at_table: Served, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    character = journey_log.seed_character("olga")
    table, (owner, mara) = party(at_table, "olga", "mara", character_id=character)
    gate = threading.Event()
    model.then(Script(script_of(narrative="Spiders pour out.").text, gate=gate, gate_after=8))
    with mara.follows(table) as stream:
        stream.until("metadata", phase="live")
        acted = aside(owner.acts, table)
        stream.until("token")
        played = mara.call("POST", f"/{table}/x_card", {"silent": True, "topic": "spiders"})
        assert played.json() == {"stopped": True}
        said = stream.until("message", message_type="system")
        if "cancelled" not in [event["type"] for event in stream.seen.events]:
            stream.until("cancelled")  # the two come in either order
    gate.set()
    assert "Mara" not in said["content"]
    refused(acted.result(300), 409, "turn_cancelled")
    assert journey_log.narratives(character) == []
    assert [row for row in owner.messages(table) if row["message_type"] == "dm"] == []
    assert owner.acts(table).status == 200
    assert "spiders" in str(model.calls[-1])


@pytest.mark.parametrize("path", PATHS)
def test_x_card_is_played_over_a_socket_and_the_model_moves_on(
    at_table: Served, model: FakeModel, path: str
) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    gate = threading.Event()
    model.then(Script(script_of(narrative="Spiders pour out.").text, gate=gate, gate_after=8))
    with owner.follows(table) as stream, mara.socket(path.format(table)) as socket:
        socket.send('{"type": "auth", "token": ""}' if "campaign" in path else '{"type": "ping"}')
        acted = aside(owner.acts, table)
        stream.until("token")
        socket.send('{"type": "x_card", "silent": true, "topic": "spiders"}')
        refused(acted.result(300), 409, "turn_cancelled")
        while "X card" not in (said := stream.until("message", message_type="system")["content"]):
            pass
        assert "Mara" not in said
        while "The X card was played" not in str(hear(socket)):
            pass
    gate.set()
    for number in range(2):
        assert owner.acts(table).status == 200
        assert (MOVE_ON in str(model.calls[-1])) is (number == 0)
    assert owner.call("GET", f"/{table}").json()["lines"] == ["spiders"]


def test_turn_that_waits_behind_an_x_card_moves_on_too(at_table: Served, model: FakeModel) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    gate = threading.Event()
    model.then(Script(script_of(narrative="Spiders pour out.").text, gate=gate, gate_after=8))
    with mara.follows(table) as stream:
        first = aside(owner.acts, table)
        stream.until("token")
        second = aside(mara.acts, table, "two")
        at_table.wait_for(lambda: at_table.metric("dungeon_master_turns_running") == 2)
        played = mara.call("POST", f"/{table}/x_card", {"topic": "spiders"})
        assert played.json() == {"stopped": True}
        refused(first.result(300), 409, "turn_cancelled")
        assert second.result(300).status == 200
    gate.set()
    asked = json.dumps(model.calls[-1]).replace("\\", "")
    assert MOVE_ON in asked
    assert '"spiders"' in asked


def test_x_card_that_comes_too_late_for_a_turn_counts_for_the_next(
    at_table: Served, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    gate = threading.Event()
    journey_log.fail("narrative", late(gate, hold="commit"))
    character = journey_log.seed_character("olga")
    table, (owner, mara) = party(at_table, "olga", "mara", character_id=character)
    with mara.follows(table) as stream:
        first = aside(owner.acts, table)
        stream.until("metadata", phase="writes")
        assert mara.call("POST", f"/{table}/x_card").json() == {"stopped": False}
        gate.set()
        assert first.result(300).status == 200
    for number in range(2):
        assert owner.acts(table).status == 200
        assert (MOVE_ON in str(model.calls[-1])) is (number == 0)


def test_x_card_without_a_running_turn_names_its_player(at_table: Served) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    assert mara.call("POST", f"/{table}/x_card").json() == {"stopped": False}
    assert "Mara has played the X card" in owner.messages(table)[-1]["content"]


def test_question_is_answered_to_its_asker_alone_unless_it_is_shared(
    at_table: Served, model: FakeModel
) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara", requests_per_minute=2)
    owner.acts(table)
    before = owner.call("GET", f"/{table}/tokens").json()["used"]
    model.then(Script("Nobody has rung it yet."), Script("The ferryman."))
    asked = {"question": "Who rang the bell?"}
    reply = mara.call("POST", f"/{table}/ask", asked)
    assert reply.json() == {"answer": "Nobody has rung it yet."}
    assert "The pier groans" in str(model.calls[-1])
    assert "Nobody has rung" not in str(owner.messages(table))
    assert owner.call("GET", f"/{table}/tokens").json()["used"] > before
    assert mara.call("POST", f"/{table}/ask", {**asked, "shared": True}).status == 200
    assert owner.messages(table)[-1]["content"].endswith("The ferryman.")
    refused(mara.call("POST", f"/{table}/ask", asked), 429, "rate_limit_exceeded")
    assert owner.acts(table).status == 200


def used(guest: Guest, table: int) -> int:
    return int(guest.call("GET", f"/{table}/tokens").json()["used"])


@pytest.mark.parametrize("room", [1, 3])
def test_questions_at_once_are_taken_as_far_as_the_budget_has_room(
    at_table: Served, model: FakeModel, room: int
) -> None:
    gate = threading.Event()
    model.default = Script("Nobody.", gate=gate)
    budget = (room - 1) * RESERVED + 1
    table, (owner,) = party(at_table, "olga", requests_per_minute=0, token_budget=budget)
    asked = [aside(owner.asks, table) for _ in range(10)]
    at_table.wait_for(lambda: sum(one.done() for one in asked) >= 10 - room)
    refused(owner.acts(table), 429, "token_budget_exceeded")
    assert used(owner, table) == 0
    gate.set()
    replies = [one.result(300) for one in asked]
    assert sum(reply.status == 200 for reply in replies) == room == len(model.calls)
    assert sum(reply.status == 429 for reply in replies) == 10 - room
    owner.call("PUT", f"/{table}", {"token_budget": used(owner, table) + 1})
    assert owner.asks(table).status == 200  # nothing is set aside any more


@pytest.mark.parametrize("how", ["failed", "left"])
def test_question_without_an_answer_is_charged_with_what_it_used(
    at_table: Served, model: FakeModel, how: str
) -> None:
    table, (owner,) = party(at_table, "olga", token_budget=RESERVED)
    gate = threading.Event()
    if how == "failed":
        model.default = Script(status=400)
        assert owner.asks(table).status == 502
    else:
        model.default = Script("Nobody.", gate=gate)
        body = {"question": "Who rang?"}
        with socket.create_connection((at_table.host.split(":")[0], at_table.port)) as line:
            line.sendall(
                b"POST /api/sessions/%d/ask HTTP/1.1\r\nHost: localhost\r\nX-User-Id: olga\r\n"
                b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                % (table, len(json.dumps(body)), json.dumps(body).encode())
            )
            at_table.wait_for(lambda: model.calls)
            refused(owner.asks(table), 429, "token_budget_exceeded")
        gate.set()
    model.default = script_of()
    at_table.wait_for(lambda: owner.asks(table).status == 200)


@pytest.mark.parametrize("rule", ["lines", "veils"])
@pytest.mark.parametrize(
    "answered",
    [
        {"narrative": "The fog lifts. Giant   SPIDERS pour out."},
        {"player_response": "You see giant spiders."},
        {"player_options": ["Run", "Fight the giant spiders", "Hide"]},
        {"scene": {"environmental_conditions": "giant spiders everywhere"}},
    ],
    ids=lambda answered: next(iter(answered)),
)
def test_topic_that_players_have_excluded_is_stopped_before_they_read_it(
    at_table: Served, model: FakeModel, rule: str, answered: dict[str, Any]
) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara", **{rule: ["giant spiders"]})
    model.then(script_of(**answered))
    with mara.follows(table) as stream:
        refused(owner.acts(table), 502, "llm_response_error")
        stream.until("error")
    assert "giant" not in str(stream.seen.events).casefold()
    assert [row for row in owner.messages(table) if row["message_type"] == "dm"] == []
    assert owner.acts(table).status == 200


def test_parts_that_are_supplied_later_keep_to_the_lines_or_stay_away(
    at_table: Served, model: FakeModel
) -> None:
    table, (owner, _) = party(at_table, "olga", "mara", lines=["spiders"])
    supplied = {"player_options": ["Fight spiders", "Run", "Hide"], "scene": SCENE}
    model.then(script_of(player_options=..., scene=...), Script(json.dumps(supplied)))
    with owner.follows(table) as stream:
        assert owner.acts(table).json()["message"] == f"{NARRATIVE}\n\n{RESPONSE}"
        stream.until("complete")
    assert "spiders" in str(model.calls[-1])
    assert "spiders" not in str(stream.seen.events)


def test_an_answer_to_a_question_keeps_to_the_lines(at_table: Served, model: FakeModel) -> None:
    table, (owner, _) = party(at_table, "olga", "mara", lines=["spiders"])
    model.then(Script("It is full of spiders."))
    asked = owner.call("POST", f"/{table}/ask", {"question": "What is in there?"})
    refused(asked, 502, "llm_response_error")


@pytest.mark.parametrize("path", ["action?action=go", "ask"])
def test_member_who_is_removed_meanwhile_gets_no_answer(
    at_table: Served, model: FakeModel, path: str
) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    gate = threading.Event()
    model.then(Script(script_of().text, gate=gate, gate_after=4))
    body = {"question": "Who rang?", "shared": True} if path == "ask" else None
    asked = aside(mara.call, "POST", f"/{table}/{path}", body)
    at_table.wait_for(lambda: len(model.calls) == 1)
    assert owner.call("DELETE", f"/{table}/members/mara").status == 204
    gate.set()
    refused(asked.result(300), 404, "not_found")
    assert "Who rang" not in str(owner.messages(table))


def test_topics_of_x_cards_that_are_played_at_once_are_all_kept(at_table: Served) -> None:
    names = [f"player{number}" for number in range(6)]
    table, guests = party(at_table, *names)
    played = [
        aside(guest.call, "POST", f"/{table}/x_card", {"topic": guest.name}) for guest in guests
    ]
    paused = aside(guests[0].call, "POST", f"/{table}/pause")
    assert {one.result(300).status for one in [*played, paused]} == {200}
    shown = guests[0].call("GET", f"/{table}").json()
    assert (sorted(shown["lines"]), shown["paused"]) == (names, True)


@pytest.mark.parametrize("path", ["", *PATHS])
def test_x_card_takes_no_line_from_the_table(at_table: Served, path: str) -> None:
    lines = [f"topic {number}" for number in range(MAX_TOPICS - 1)]
    table, (owner, mara) = party(at_table, "olga", "mara", lines=lines)
    for topic, kept in (("one more", True), ("ONE More", True), ("too many", False)):
        if not path:
            reply = mara.call("POST", f"/{table}/x_card", {"topic": topic})
            if kept:
                assert reply.status == 200
            else:
                assert "topic: " in refused(reply, 422, "validation_error")["detail"]
        else:
            with mara.socket(path.format(table)) as ws:
                ws.send(json.dumps({"type": "auth", "token": ""})) if "campaign" in path else None
                ws.send(json.dumps({"type": "x_card", "topic": topic}))
                kinds = {True: ("system", "turn_message"), False: ("error", "turn_error")}[kept]
                while True:
                    said = hear(ws)
                    text = said.get("content") or said.get("error") or ""
                    if said["type"] in kinds and ("X card" in text or "topic: " in text):
                        break
        assert owner.call("GET", f"/{table}").json()["lines"] == [*lines, "one more"]
    played = [row for row in owner.messages(table) if "X card" in row["content"]]
    assert len(played) == 3


@pytest.mark.parametrize("topic", ["", " ", "\u200b", "the", "The", "of the", "...", "der"])
def test_x_card_with_a_blank_topic_or_none_is_one_without(at_table: Served, topic: str) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    assert mara.call("POST", f"/{table}/x_card", {"topic": topic}).json() == {"stopped": False}
    assert owner.call("GET", f"/{table}").json()["lines"] == []
    assert mara.acts(table, "I+open+the+door+of+der+Turm,+and+wait...").status == 200


@pytest.mark.parametrize("path", PATHS)
def test_x_card_over_a_socket_whose_topic_is_none_is_one_without(
    at_table: Served, path: str
) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    with mara.socket(path.format(table)) as ws:
        ws.send(json.dumps({"type": "auth", "token": ""})) if "campaign" in path else None
        ws.send(json.dumps({"type": "x_card", "topic": "the"}))
        at_table.wait_for(lambda: "X card" in str(owner.messages(table)))
    assert owner.call("GET", f"/{table}").json()["lines"] == []


def test_rules_of_a_table_have_no_line_or_veil_that_is_no_topic(at_table: Served) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara", lines=["the", "eels"], veils=["of a"])
    shown = owner.call("GET", f"/{table}").json()
    assert (shown["lines"], shown["veils"]) == (["eels"], [])
    shown = owner.call("PUT", f"/{table}", {"lines": ["and"], "veils": ["blood", "!"]}).json()
    assert (shown["lines"], shown["veils"]) == ([], ["blood"])
    assert mara.acts(table, "I+take+the+lamp+and+go!").status == 200


def test_topic_that_is_none_counts_no_more_where_an_older_release_has_kept_it() -> None:
    stored = TableRules(lines=("eels",)).model_dump_json().replace('"eels"', '"the","eels"')
    assert TableRules.model_validate_json(stored).lines == ("eels",)
