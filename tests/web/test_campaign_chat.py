"""`POST /api/chat`: what the clients of an older streaming dungeon master send and read."""

from __future__ import annotations

import re
from typing import Any

import pytest

from fakes.model import FakeModel
from serving import TIMEOUT, Reply, Served, aside, refused
from tabling import NARRATIVE, NOTES, OPTIONS, RESPONSE, SCENE, Guest, party, script_of


@pytest.fixture
def at_table(service: Served, model: FakeModel) -> Served:
    model.default = script_of()
    return service


def chats(guest: Guest, message: str = "I knock.", **fields: Any) -> Reply:
    body = {"message": message, **fields}
    return guest.service.call("POST", "/api/chat", body, **guest.headers)


def test_message_is_an_action_at_its_table_and_answered_field_by_field(at_table: Served) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    reply = chats(
        mara,
        session_id=str(table),
        input_type="CHAT",
        metadata={"turn_info": {}},
        player_character={"character_id": "pc:mara", "character_name": "Mara"},
        use_legacy=True,  # what nobody knows is ignored
    )
    assert reply.status == 200
    assert reply.header("location") == f"/api/sessions/{table}/events"
    answer = reply.json()
    message = answer.pop("message")
    assert answer == {"success": True, "conversation_context": None}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", message.pop("timestamp"))
    details = message.pop("execution_details")
    assert details["agent_name"] == "Dungeon Master"
    assert details["tokens_used"] > 0
    assert message == {
        "message_id": reply.header("x-turn-id"),
        "session_id": str(table),
        "message_type": "MACHINE_RESPONSE",
        "agent_name": "Dungeon Master",
        "agent_type": "DUNGEON_MASTER",
        "structured_data": {
            "narrative": NARRATIVE,
            "answer": RESPONSE,
            "turn": "",
            "status": "",
            "characters": "",
            "player_options": OPTIONS,
            "environmental_conditions": SCENE["environmental_conditions"],
            "immediate_threats": SCENE["immediate_threats"],
            "story_progression": SCENE["story_progression"],
        },
        "thinking_details": None,
        "conversation_context": None,
    }
    assert NOTES not in str(message)
    said = [(row["sender_name"], row["content"]) for row in owner.messages(table)]
    assert said[-2:] == [("Mara", "I knock."), ("Dungeon Master", f"{NARRATIVE}\n\n{RESPONSE}")]


def test_without_a_session_the_caller_has_one_of_their_own(at_table: Served) -> None:
    first, other = Guest(at_table, "olga"), Guest(at_table, "mara")
    numbers = [chats(guest).json()["message"]["session_id"] for guest in (first, other, first)]
    assert (numbers[0] == numbers[2]) is (numbers[0] != numbers[1]) is True
    assert [row["name"] for row in first.call("GET", "").json()] == ["default-session"]


def test_first_messages_at_the_same_time_have_one_session(at_table: Served) -> None:
    guest = Guest(at_table, "olga")
    replies = [one.result(TIMEOUT) for one in [aside(chats, guest) for _ in range(6)]]
    assert len({reply.json()["message"]["session_id"] for reply in replies}) == 1


def test_action_that_waits_for_its_round_or_its_commit_says_so(at_table: Served) -> None:
    owner = Guest(at_table, "olga")
    table, (owner, _) = party(at_table, "olga", "mara", mode="rounds", round_seconds=0)
    collected = chats(owner, session_id=str(table))
    assert (collected.status, collected.json()["message"]["message_id"]) == (202, None)
    assert collected.json()["message"]["structured_data"]["status"] == "collected"
    manual = owner.opens(commit="manual")
    awaiting = chats(owner, session_id=str(manual))
    shown = awaiting.json()["message"]["structured_data"]
    assert (awaiting.status, shown["status"]) == (202, "awaiting_commit")
    assert shown["narrative"] == NARRATIVE


def test_foreign_table_or_invalid_action_is_refused(at_table: Served) -> None:
    table, (_, mara) = party(at_table, "olga", "mara")
    stranger = Guest(at_table, "otto")
    for guest, session in ((mara, "campaign_9"), (mara, "999"), (stranger, str(table))):
        problem = refused(chats(guest, session_id=session), 404, "not_found")
        assert problem["detail"] == "Session not found"
    refused(chats(mara, " ", session_id=str(table)), 422, "validation_error")
    named = {"character_name": "Olga"}
    refused(chats(mara, session_id=str(table), player_character=named), 403, "forbidden")
