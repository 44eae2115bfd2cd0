"""`WS /ws/{session_id}`: what the clients of an older table service send and read."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from fakes.model import FakeModel, Script
from serving import Served
from tabling import NARRATIVE, RESPONSE, Guest, hear, hear_until, party, script_of

STORY = f"{NARRATIVE}\n\n{RESPONSE}"
DM = "Dungeon Master"


@pytest.fixture
def at_table(service: Served, model: FakeModel) -> Served:
    model.default = script_of()
    return service


@contextmanager
def opened(guest: Guest, table: int) -> Iterator[Any]:
    """A socket behind its two greetings."""
    with guest.socket(f"/ws/{table}") as found:
        assert [hear(found)["type"] for _ in range(2)] == ["system", "system"]
        yield found


def say(ws: Any, **message: Any) -> None:
    ws.send(json.dumps(message))


def test_greeting_names_the_session_and_its_tokens(at_table: Served) -> None:
    owner = Guest(at_table, "olga")
    table = owner.opens()
    with owner.socket(f"/ws/{table}") as ws:
        assert hear(ws) == {"type": "system", "content": "Connected to session The Anchor"}
        assert hear(ws) == {"type": "system", "content": "Token usage: 0/100000"}


def test_action_is_echoed_streamed_to_all_and_accounted_to_its_sender(at_table: Served) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    with opened(owner, table) as first, opened(mara, table) as second:
        say(second, sender="Mara", content="I knock.")  # an action is the default
        echo = {
            "type": "message",
            "sender": "Mara",
            "content": "I knock.",
            "message_type": "player",
        }
        for ws in (first, second):
            heard = hear_until(ws, "stream_end")
            assert heard[0] == echo
            streams = heard[1:-1]
            assert {(one["type"], one["sender"]) for one in streams} == {("stream", DM)}
            assert "".join(one["content"] for one in streams) == STORY
            assert heard[-1] == {"type": "stream_end", "sender": DM, "full_content": STORY}
        usage = hear(second)
        assert usage.keys() == {"type", "used", "limit", "remaining"}
        assert (usage["type"], usage["limit"]) == ("token_usage", 100_000)
        assert usage["used"] + usage["remaining"] == 100_000
        say(first, type="message", sender="Olga", content="Hush.")
        assert hear(first)["content"] == "Hush."  # no usage of another's came before it


def test_answer_to_a_roll_is_one_message(at_table: Served, model: FakeModel) -> None:
    owner = Guest(at_table, "olga")
    table = owner.opens()
    with opened(owner, table) as ws:
        say(ws, type="roll", sender="Olga", roll_type="check", result=15, dice="1d20", modifier=2)
        heard = hear_until(ws, "token_usage")
        assert [one["type"] for one in heard] == ["message", "message", "token_usage"]
        assert heard[0]["content"] == "rolls 1d20+2 (check): 15."
        assert heard[1] == {
            "type": "message",
            "sender": DM,
            "content": STORY,
            "message_type": "dm",
        }
    assert "result 15" in str(model.calls[-1])


def test_question_is_answered_to_its_asker_alone_unless_it_is_shared(
    at_table: Served, model: FakeModel
) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara", requests_per_minute=2)
    question = "Who rang the bell?"
    model.then(Script("Nobody."), Script("The ferryman."))
    with opened(owner, table) as first, opened(mara, table) as second:
        say(second, type="ask", content=question)
        heard = hear_until(second, "token_usage")
        assert heard[0] == {"type": "answer", "question": question, "content": "Nobody."}
        assert heard[1]["used"] > 0
        say(second, type="ask", content=question, shared=True)
        hear_until(second, "token_usage")
        shared = hear(first)  # the first answer has not come before it
        assert shared == {
            "type": "system",
            "content": f"Mara asks: {question}\nThe ferryman.",
        }
        for content in (question, " "):
            say(second, type="ask", content=content)
            assert hear_until(second, "token_usage")[-2]["type"] == "error"
    assert [row["message_type"] for row in owner.messages(table)][-1] == "system"


@pytest.mark.parametrize(
    ("rules", "prefix"),
    [
        ({"requests_per_minute": 1}, "Rate limit exceeded: "),
        ({"token_budget": 1}, "Token limit exceeded: "),
    ],
)
def test_refusal_is_said_to_the_sender_alone_behind_the_echo(
    at_table: Served, rules: dict[str, int], prefix: str
) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara", **rules)
    with opened(owner, table) as first, opened(mara, table) as second:
        say(second, sender="Mara", content="once")
        hear_until(second, "token_usage")
        say(second, sender="Mara", content="twice")
        heard = hear_until(second, "token_usage")
        assert [one["type"] for one in heard] == ["message", "error", "token_usage"]
        assert heard[0]["content"] == "twice"
        assert heard[1]["content"].startswith(prefix)
        hear_until(first, "stream_end")
        assert hear(first)["content"] == "twice"
        say(first, type="ping")
        assert hear(first) == {"type": "pong"}


def test_failed_turn_ends_its_stream_and_is_explained_to_its_sender(
    at_table: Served, model: FakeModel
) -> None:
    owner = Guest(at_table, "olga")
    table = owner.opens()
    model.then(Script(script_of().text, drop_after=6))
    with opened(owner, table) as ws:
        say(ws, sender="Olga", content="go")
        heard = hear_until(ws, "token_usage")
    assert [one["type"] for one in heard][-3:] == ["stream_end", "error", "token_usage"]
    assert heard[-2]["content"].startswith("Error processing message: ")
    assert NARRATIVE.startswith(heard[-3]["full_content"])


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        '{"type":"dance"}',
        '{"content":""}',
        '{"type":"message","content":" "}',
        '{"content":7}',
        "[]",
    ],
)
def test_unreadable_message_is_refused_and_the_socket_stays(at_table: Served, text: str) -> None:
    owner = Guest(at_table, "olga")
    table = owner.opens()
    with opened(owner, table) as ws:
        ws.send(text)
        assert hear(ws)["content"].startswith("Error processing message: ")
        assert hear(ws)["type"] == "token_usage"
        say(ws, sender="Olga", content="go")
        hear_until(ws, "stream_end")


def test_disconnect_is_announced_to_the_others(at_table: Served) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    with opened(owner, table) as first:
        with opened(mara, table):
            pass
        assert hear(first) == {"type": "system", "content": "Mara has disconnected."}


def test_removed_member_s_socket_is_closed(at_table: Served) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    with opened(mara, table) as ws:
        owner.call("DELETE", f"/{table}/members/mara")
        with pytest.raises(ConnectionClosed) as closed:
            hear_until(ws, "nothing")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4403


def test_stranger_and_unknown_session_are_turned_away(at_table: Served) -> None:
    table = Guest(at_table, "olga").opens()
    for name, number in (("otto", table), ("olga", 999)):
        with pytest.raises(InvalidStatus) as refused, Guest(at_table, name).socket(f"/ws/{number}"):
            pass
        assert refused.value.response.status_code == 404


def test_late_joiner_sees_the_running_turn_from_its_start(
    at_table: Served, model: FakeModel
) -> None:
    gate = threading.Event()
    table, (owner, mara) = party(at_table, "olga", "mara")
    model.then(Script(script_of().text, gate=gate, gate_after=6))
    with opened(owner, table) as first:
        say(first, sender="Olga", content="go")
        hear_until(first, "stream")
        with opened(mara, table) as second:
            hear_until(second, "stream")
            gate.set()
            assert hear_until(second, "stream_end")[-1]["full_content"] == STORY


def test_dead_socket_harms_nobody(at_table: Served) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    with opened(owner, table) as first, opened(mara, table) as dead:
        dead.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        dead.socket.close()
        for _ in range(3):
            say(first, sender="Olga", content="go")
            assert hear_until(first, "stream_end")[-1]["full_content"] == STORY
