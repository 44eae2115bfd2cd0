"""`WS /ws/{session_id}`: what the clients of an older table service send and read."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from app.errors import StoreUnavailable
from app.tables.feed import TableFeed
from app.tables.messages import RpgMessage
from app.tables.news import TableNews
from app.tables.rooms import Rooms
from pydantic import TypeAdapter
from websockets.exceptions import ConnectionClosed, InvalidStatus

from fakes.model import FakeModel, Script
from serving import Served
from tabling import NARRATIVE, RESPONSE, Guest, hear, hear_until, party, script_of

STORY = f"{NARRATIVE}\n\n{RESPONSE}"
DM = "Dungeon Master"
Json = dict[str, Any]


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
        assert hear(ws) == {"type": "system", "content": f"Connected to session {table}"}
        assert hear(ws) == {"type": "system", "content": "Token usage: 0/100000"}


def echo(content: str, sender: str = "Mara", kind: str = "player") -> Json:
    return {"type": "message", "sender": sender, "content": content, "message_type": kind}


def system(content: str) -> Json:
    return {"type": "system", "content": content}


def refusal(content: str) -> Json:
    return {"type": "error", "content": f"Error processing message: {content}"}


TOLD: Final[list[Json]] = [
    {"type": "stream", "sender": DM, "content": STORY},
    {"type": "stream_end", "sender": DM, "full_content": STORY},
]
ANSWERED: Final = echo(STORY, DM, "dm")
ROLL: Final[Json] = {"roll_type": "stealth", "result": 17, "dice": "2d6", "modifier": -1}
ROLLED_TEN: Final = "rolls 1d20 (check): 10."
ROLLED: Final = "rolls 2d6-1 (stealth): 17."
X_CARD: Final = "The story moves on to something else."
TAKEN: Final = refusal("Somebody else at the table has this name.")
SAID: Final[list[tuple[Json, list[Json], list[Json], bool]]] = [
    ({"content": "I knock."}, [echo("I knock."), *TOLD], [], True),
    ({"type": "action", "sender": None, "content": "Hm."}, [echo("Hm."), *TOLD], [], True),
    ({"sender": "Old Mara", "content": "Hm.", "x": 1}, [echo("Hm.", "Old Mara"), *TOLD], [], True),
    ({"type": "roll"}, [echo(ROLLED_TEN), ANSWERED], [], True),
    (
        {"type": "roll", **ROLL, "modifier": 3, "content": "Softly."},
        [echo("rolls 2d6+3 (stealth): 17. Softly."), ANSWERED],
        [],
        True,
    ),
    ({"type": "roll", "sender": "Mara", **ROLL}, [echo(ROLLED), ANSWERED], [], True),
    (
        {"type": "dice", "dice": "2d1", "content": "Now!"},
        [system("Mara rolls 2d1 (check): 2. Now!"), ANSWERED],
        [],
        True,
    ),
    ({"type": "message", "content": "Hush."}, [echo("Hush.")], [], False),
    ({"type": "x_card"}, [system(f"Mara has played the X card. {X_CARD}")], [], False),
    ({"sender": "olga", "content": "Hm."}, [], [TAKEN], True),
    ({"type": "roll", "sender": DM}, [], [TAKEN], True),
    ({"content": ""}, [], [refusal("content: must have a visible character")], True),
    ({"type": "commit"}, [], [refusal("The turn awaits no commit.")], True),
]
"""What Mara says, what everybody hears then, and what she alone hears: before her usage, if it comes."""
CALLED: Final[list[tuple[str, Json | None, list[Json]]]] = [
    ("/start", None, TOLD),
    ("/action?player_name=Olga&action=Hm.", None, [echo("Hm.", "Olga"), *TOLD]),
    ("/roll", ROLL, [echo(ROLLED, "Olga"), ANSWERED]),
    ("/roll", {"dice": "1d1"}, [system("Olga rolls 1d1 (check): 1."), ANSWERED]),
    ("/messages", {"sender_name": "Olga", "content": "Hush."}, [echo("Hush.", "Olga")]),
    (
        "/messages",
        {"sender_name": "Grim", "content": "So it is.", "message_type": "dm"},
        [echo("So it is.", "Grim", "dm")],
    ),
    ("/whisper", {"user_id": "mara", "content": "Psst."}, [echo("Psst.", DM, "dm")]),
    ("/pause", None, [system("The session is paused.")]),
    ("/resume", None, [system("The session is resumed.")]),
    ("/x_card", {"silent": True}, [system(f"The X card was played. {X_CARD}")]),
]
"""What Olga calls, and what everybody hears then; it concerns no socket alone."""


def heard(ws: Any, last: str = "") -> list[Json]:
    """All up to the first message of this type, and what there is behind it by now. The pieces of a story
    are put together."""
    messages = hear_until(ws, last) if last else []
    say(ws, type="ping")
    *rest, pong = hear_until(ws, "pong")
    assert pong == {"type": "pong"}
    found: list[Json] = []
    for one in [*messages, *rest]:
        if found and one["type"] == found[-1]["type"] == "stream":
            one["content"] = found.pop()["content"] + one["content"]
        found.append(one)
    return found


def test_every_message_has_every_field_and_reaches_whom_it_concerns(
    at_table: Served, model: FakeModel
) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara", requests_per_minute=0)
    kinds = {"system", "pong"}
    with opened(owner, table) as first, opened(mara, table) as second:
        for message, everybody, sender, usage in SAID:
            say(second, **message)
            own = heard(second, "token_usage" if usage else "")
            counted = [usage_of(mara, table)] if usage else []
            assert own == [*everybody, *sender, *counted], message
            assert heard(first) == everybody, message
            kinds |= {one["type"] for one in own}
            if message.get("result") and everybody:
                assert "result 17" in str(model.calls[-1])
        for path, body, everybody in CALLED:
            assert owner.call("POST", f"/{table}{path}", body).status in (200, 201)
            for ws in (first, second):
                assert heard(ws) == everybody, path
    every = TypeAdapter(RpgMessage).json_schema()["$defs"].values()
    assert kinds | {"answer"} == {one["properties"]["type"]["const"] for one in every}


def usage_of(guest: Guest, table: int) -> Json:
    shown = guest.call("GET", f"/{table}/tokens").json()
    return {"type": "token_usage", **{name: shown[name] for name in ("used", "limit", "remaining")}}


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
        hear_until(first, "stream_end")
        for message, shown in (({"content": "twice"}, "twice"), ({"type": "roll"}, ROLLED_TEN)):
            say(second, **message)
            said, refused, usage = hear_until(second, "token_usage")
            assert said == echo(shown)
            assert refused == {"type": "error", "content": refused["content"]}
            assert refused["content"].startswith(prefix)
            assert usage == usage_of(mara, table)
            assert heard(first) == [echo(shown)]


def test_failed_turn_ends_its_stream_and_is_explained_to_its_sender(
    at_table: Served, model: FakeModel
) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    model.then(Script(script_of().text, drop_after=6))
    with opened(owner, table) as first, opened(mara, table) as second:
        say(second, content="I fail.")
        said, stream, end, error, usage = heard(second, "token_usage")
        assert said == echo("I fail.")
        assert stream == {"type": "stream", "sender": DM, "content": end["full_content"]}
        assert NARRATIVE.startswith(stream["content"])
        assert end.keys() == TOLD[1].keys()
        assert error == refusal("The model failed: the connection to the model broke.")
        assert usage == usage_of(mara, table)
        assert heard(first) == [said, stream, end]


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
        with opened(mara, table) as second:
            with opened(mara, table):
                pass  # she is still there
            say(second, type="message", content="Hm.")
            assert hear(first) == echo("Hm.")
        assert hear(first) == system("Mara has disconnected.")


def test_each_socket_without_a_user_id_is_another_player_when_it_disconnects(
    at_table: Served,
) -> None:
    nobody, mara = Guest(at_table, "local"), Guest(at_table, "mara")
    nobody.headers = {}
    table = nobody.opens(join="open")
    mara.joins(table)
    with opened(mara, table) as named:
        with opened(nobody, table) as first:
            with opened(nobody, table):
                pass
            for one in (first, named):
                assert hear(one) == system("A player has disconnected")
        assert hear(named) == system("Local has disconnected.")


@pytest.mark.parametrize(
    ("who", "method", "path"),
    [
        ("olga", "DELETE", "/members/mara"),
        ("mara", "POST", "/leave"),
        ("olga", "DELETE", ""),
    ],
    ids=["removed", "left", "deleted"],
)
def test_whoever_has_no_seat_any_more_stops_reading_at_once(
    at_table: Served, who: str, method: str, path: str
) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    owner.call("PUT", f"/{table}", {"join": "invitation"})
    mara.joins(table, owner.invites(table, role="dm"))
    campaign = [f"/ws/campaign/{role}?session_id={table}" for role in ("player", "dm")]
    with (
        mara.follows(table) as stream,
        opened(mara, table) as ws,
        mara.socket(campaign[0]) as player,
        mara.socket(campaign[1]) as dm,
    ):
        stream.until("metadata", phase="live")
        for socket in (player, dm):
            say(socket, type="auth", token="")
            hear_until(socket, "campaign_active")
        assert {"olga": owner, "mara": mara}[who].call(method, f"/{table}{path}").status == 204
        owner.call("POST", f"/{table}/messages", {"sender_name": "Olga", "content": "Gone?"})
        for one in (ws, player, dm):
            with pytest.raises(ConnectionClosed) as closed:
                assert "Gone?" not in str(hear_until(one, "nothing"))
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4403
        assert "Gone?" not in str(stream.rest().body)


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


def test_readers_are_asked_to_come_back_where_the_store_cannot_be_used(
    at_table: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")

    async def fails(*_: Any) -> None:
        raise StoreUnavailable

    with opened(mara, table) as ws, mara.follows(table) as stream, opened(owner, table) as other:
        stream.until("metadata", phase="live")
        rooms = at_table.application.services.get(Rooms)
        monkeypatch.setattr(TableNews, "_read", fails)
        assert at_table.loop is not None
        at_table.loop.call_soon_threadsafe(rooms.said, table)
        for socket_ in (ws, other):
            with pytest.raises(ConnectionClosed, match="1012"):
                hear_until(socket_, "no such message")
        assert not stream.rest().body.endswith(b"[DONE]\n\n")
    monkeypatch.undo()
    with opened(mara, table):
        pass


@pytest.mark.parametrize("path", ["/ws/{}", "/ws/campaign/player?session_id={}"])
def test_socket_that_cannot_be_greeted_is_asked_to_try_again_later(
    at_table: Served, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    table, (owner,) = party(at_table, "olga")

    async def fails(*_: Any, **__: Any) -> None:
        raise StoreUnavailable

    monkeypatch.setattr(TableFeed, "begin", fails)
    with owner.socket(path.format(table)) as ws:
        if "campaign" in path:
            say(ws, type="auth", token="")
        with pytest.raises(ConnectionClosed, match="1013"):
            hear_until(ws, "no such message")
