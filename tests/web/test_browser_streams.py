"""What a real browser reads: the README's EventSource behind a proxy that fails for a while, and the
sockets of a campaign, message by message."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from app.tables.messages import GaiaMessage
from pydantic import TypeAdapter
from starlette.types import Receive, Scope, Send

from browser import Browser, Tab
from fakes.model import FakeModel, Script
from listener import listening
from passes import WITH_SECRET, token
from serving import Served
from tabling import NARRATIVE, NOTES, OPTIONS, RESPONSE, SCENE, Guest, party, script_of

README = Path(__file__).parent.parent.parent / "README.md"
PATH = "/turns/t/events"


def example() -> str:
    """The function `follow` of the EventSource example."""
    section = README.read_text("utf-8").partition("### Browser: EventSource")[2]
    code = re.findall(r"```js\n(.*?)```", section, re.DOTALL)[0]
    return str(code.partition("const started")[0])


def block(seq: int, kind: str) -> bytes:
    data = json.dumps({"type": kind, "content": str(seq)})
    return f"retry: 1\nid: t:{seq}\ndata: {data}\n\n".encode()


class FailingProxy:
    """Two pieces of one stream, with an answer of 502 before each of them but the first."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._answers = [
            (200, block(1, "token")),
            (502, b"Bad Gateway"),
            (502, b"Bad Gateway"),
            (200, block(2, "token") + block(3, "complete") + b"data: [DONE]\n\n"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, kind, body = 200, b"text/html", b"<title>page</title>"
        if scope["path"] == PATH:
            header = dict(scope["headers"]).get(b"last-event-id", b"")
            self.asked.append((header or scope["query_string"]).decode())
            kind, (status, body) = b"text/event-stream", self._answers.pop(0)
        head = [(b"content-type", kind), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": body})


def test_event_source_of_the_readme_goes_on_after_a_proxy_s_502(browser: Browser) -> None:
    proxy = FailingProxy()
    with listening(proxy) as url:
        tab = browser.tab(url)
        tab.run("window.seen = []; 0")
        follow = f"follow('{PATH}', (event) => seen.push([event.type, event.content]))"
        at_once = "const setTimeout = (work) => queueMicrotask(work)"
        tab.run(f"{{ {at_once}; {example()}; {follow}; }} 0")
        tab.wait("seen.length === 3")
        assert tab.run("seen") == [["token", "1"], ["token", "2"], ["complete", "3"]]
    assert proxy.asked == ["", "t:1", "lastEventId=t%3A1", "lastEventId=t%3A1"]


# -- sockets of a campaign ------------------------------------------------------------------------

Json = dict[str, Any]
DM = "Dungeon Master"
FIRST = 2  # the number that turns of a connection grow from: that of the table's next line
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
OTTO: Json = {
    "seat_id": "otto",
    "seat_type": "player",
    "owner_user_id": "otto",
    "character_id": None,
    "character_name": "Otto",
}
CHARACTER = "6f1c0b52-8a55-4f6e-9d6e-0c5f0c6f0a99"
DIAL = """
window.sockets = [];
window.dial = (address, first) => {
  const ws = new WebSocket(address), seen = {ws, heard: [], closed: null};
  ws.onopen = () => ws.send(JSON.stringify(first));
  ws.onmessage = (event) => seen.heard.push(JSON.parse(event.data));
  ws.onclose = (event) => { seen.closed = [event.code, event.reason, event.wasClean]; };
  return sockets.push(seen) - 1;
};
0
"""


class Dialled:
    """A socket of a page. Each message is checked for what all of them have, which is left out then."""

    def __init__(self, tab: Tab, address: str, first: Json) -> None:
        """`first`: the message that authenticates."""
        self._tab = tab
        self._seen = f"sockets[{tab.run(f'dial({json.dumps(address)}, {json.dumps(first)})')}]"
        self.kinds: set[str] = set()

    def say(self, **message: Any) -> None:
        self._tab.run(f"{self._seen}.ws.send(JSON.stringify({json.dumps(message)})); 0")

    def take(self, count: int) -> list[Json]:
        """The next ones, in whatever order those of one deed have come."""
        heard = self._taken(f"{self._seen}.heard.length >= {count} && {count}")
        return sorted(heard, key=lambda one: str(one["type"]))

    def until(self, kind: str) -> list[Json]:
        """Up to the first of this type; the pieces of a text are put together."""
        heard: list[Json] = []
        for one in self._taken(f"{self._seen}.heard.findIndex((one) => one.type === '{kind}') + 1"):
            assert not one.get("is_final") or one["content"] == ""
            if heard and heard[-1].get("is_final") is False:
                assert heard[-1].keys() == one.keys()
                assert heard[-1]["type"] == one["type"]
                one["content"] = heard.pop()["content"] + one["content"]
            heard.append(one)
        return heard

    def _taken(self, count: str) -> list[Json]:
        self._tab.wait(count)
        heard: list[Json] = self._tab.run(f"{self._seen}.heard.splice(0, {count})")
        for one in heard:
            self.kinds.add(one["type"])
            assert one.pop("campaign_id") == "1"
            assert STAMP.fullmatch(one["timestamp"])
            assert datetime.fromisoformat(one.pop("timestamp"))
            assert one["type"] != "turn_message" or one.pop("message_id") != ""
        return heard

    def close(self) -> None:
        self._tab.run(f"{self._seen}.ws.close(); 0")

    @property
    def closed(self) -> tuple[int, str, bool]:
        """Code, reason and whether there was a closing handshake."""
        self._tab.wait(f"{self._seen}.closed")
        code, reason, clean = self._tab.run(f"{self._seen}.closed")
        return code, reason, clean


@pytest.fixture
def campaign(serve: Callable[..., Served], model: FakeModel) -> Served:
    model.default = script_of()
    return serve(**WITH_SECRET)


@pytest.fixture
def page(browser: Browser, campaign: Served) -> Tab:
    tab = browser.tab(f"{campaign.url}/live")
    tab.run(DIAL)
    return tab


def pass_of(name: str) -> Json:
    return {"type": "auth", "token": token(sub=name, scope="tables")}


SHOWN: Json = {
    "narrative": NARRATIVE,
    "answer": RESPONSE,
    "player_options": OPTIONS,
    **{name: SCENE[name] for name in SCENE if name != "scene_elements"},
}
"""What a turn leaves."""


def dialled(
    page: Tab, service: Served, role: str, name: str, history: list[Json], **newest: Any
) -> Dialled:
    """Behind its greetings. `newest`: what the newest turn has left."""
    address = f"ws://{service.host}/ws/campaign/{role}?session_id=1"
    found = Dialled(page, address, pass_of(name))
    registered, active = found.until("campaign_active")
    assert registered.pop("type") == "connection_registered"
    assert registered.keys() == {"connection_id", "connection_token"}
    assert all(isinstance(value, str) and len(value) >= 16 for value in registered.values())
    structured = {"name": "The Anchor", "history": history, **newest}
    assert active == {"type": "campaign_active", "structured_data": structured}
    return found


def said(kind: str, number: int, name: str, content: str) -> Json:
    roles = {"turn_input": "player", "system": "system"}
    return {
        "type": "turn_message",
        "turn_number": number,
        "response_index": 0 if kind == "turn_input" else 1,
        "response_type": kind,
        "role": roles.get(kind, "dm"),
        "content": content,
        "character_name": name,
        "has_audio": False,
    }


def begun(number: int, name: str, words: str) -> list[Json]:
    """The beginning of a turn; of the opening, where there are no words."""
    numbered = {"session_id": "1", "turn_number": number}
    given = {"character_name": name, "text": words} if words else None
    before = said("turn_input", number, name, words) if words else {"type": "room.campaign_started"}
    received = {"input_text": words, "active_player_input": given, "dm_input": None}
    return [
        before,
        {"type": "turn_started", **numbered},
        {"type": "input_received", **numbered, **received},
    ]


def chunks(phase: str, content: str) -> Json:
    return {"type": phase, "content": content, "is_final": True}


def told(number: int, notes: Json) -> list[Json]:
    """A turn from its narrative on."""
    return [
        chunks("narrative_chunk", NARRATIVE),
        chunks("player_response_chunk", RESPONSE),
        {"type": "player_options", "options": OPTIONS},
        {"type": "metadata_update", "metadata": {**SCENE, **notes}},
        {"type": "turn_complete", "session_id": "1", "turn_number": number},
        {"type": "campaign_updated", "structured_data": SHOWN},
    ]


def failed(number: int, words: str) -> Json:
    return {"type": "turn_error", "error": words, "session_id": "1", "turn_number": number}


@dataclass
class Played:
    """A campaign of Olga's, with Mara; each on a socket."""

    page: Tab
    service: Served
    model: FakeModel
    table: int
    olga: Guest
    mara: Guest
    player: Dialled
    dm: Dialled

    def post(self, path: str, body: Any = None, guest: Guest | None = None) -> None:
        reply = (guest or self.olga).call("POST", f"/{self.table}{path}", body)
        assert reply.status in (200, 502), reply.body

    def both(self, messages: list[Json]) -> None:
        """Both have read these next."""
        for socket in (self.player, self.dm):
            assert socket.take(len(messages)) == messages


@pytest.fixture
def played(page: Tab, campaign: Served, model: FakeModel) -> Played:
    table, (olga, mara) = party(campaign, "olga", "mara")
    joined = [{"sender": DM, "role": "system", "content": "Mara has joined."}]
    player = dialled(page, campaign, "player", "mara", joined)
    dm = dialled(page, campaign, "dm", "olga", joined)
    here = {"type": "room.dm_joined"}
    assert player.take(2) == [{"type": "player_connected", "player_name": "Olga"}, here]
    assert dm.take(1) == [here]
    return Played(page, campaign, model, table, olga, mara, player, dm)


def test_browser_reads_every_field_of_every_message_of_a_campaign(played: Played) -> None:
    _comings_and_goings(played)
    _lines(played)
    following = _turns(played)
    _failures(played, following)
    _to_one_alone(played)
    _ends(played)
    every = TypeAdapter(GaiaMessage).json_schema()["$defs"].values()
    kinds = [one["properties"]["type"] for one in every if "type" in one["properties"]]
    known = {name for one in kinds for name in one.get("enum", [one.get("const")])}
    assert played.player.kinds == known


def _comings_and_goings(played: Played) -> None:
    otto, table = Guest(played.service, "otto"), played.table
    otto.joins(table)
    came = said("system", FIRST, DM, "Otto has joined.")
    played.both([{"type": "room.seat_updated", "seat": OTTO}, came])
    otto.joins(table, character_id=CHARACTER)
    recast = {**OTTO, "character_id": CHARACTER}
    changed = {"seat_id": "otto", "character_id": CHARACTER}
    played.both(
        [
            {"type": "room.seat_character_updated", **changed},
            {"type": "room.seat_updated", "seat": recast},
        ]
    )
    played.olga.call("DELETE", f"/{table}/members/otto")
    played.both(
        [
            {"type": "room.player_vacated", "seat_id": "otto", "user_id": "otto"},
            {"type": "room.seat_updated", "seat": {**recast, "owner_user_id": None}},
            said("system", FIRST, DM, "Otto was removed."),
        ]
    )


def _lines(played: Played) -> None:
    played.post("/whisper", {"user_id": "mara", "content": "Psst."})
    played.both([said("private", FIRST, DM, "Psst.")])
    ruling = {"sender_name": "Olga", "content": "So it is.", "message_type": "dm"}
    played.post("/messages", ruling)
    played.both([said("final", FIRST, "Olga", "So it is.")])


def _turns(played: Played) -> int:
    """The number of the turn that follows."""
    played.model.then(script_of(), script_of("scene", "player_options", "player_response"))
    submitted: Json = {
        "session_id": "1",
        "message": "I knock.",
        "active_player_input": {"character_id": "pc:mara", "character_name": "Mara", "text": "I."},
        "observer_inputs": [],
        "dm_input": None,
        "metadata": {"source": "web"},
    }
    rolled = "rolls 1d1 (check): 1."
    turns: list[tuple[Callable[[], None], str, str]] = [
        (lambda: played.post("/start"), "", ""),
        (lambda: played.player.say(type="submit_turn", **submitted), "Mara", "I knock."),
        (lambda: played.post("/roll", {"dice": "1d1"}, played.mara), "Mara", rolled),
    ]
    for number, (act, name, words) in enumerate(turns, FIRST + 1):
        act()
        for socket, notes in ((played.player, {}), (played.dm, {"dm_notes": NOTES})):
            whole = [*begun(number, name, words), *told(number, notes)]
            assert socket.until("campaign_updated") == whole
    return FIRST + 1 + len(turns)


def _failures(played: Played, number: int) -> None:
    played.model.then(Script(script_of().text, drop_after=6))
    played.player.say(type="submit_turn", active_player_input={"text": "I fail."})
    for socket in (played.player, played.dm):
        *before, cut, end = socket.until("turn_error")
        assert before == begun(number, "Mara", "I fail.")
        assert cut == chunks("narrative_chunk", cut["content"])
        assert NARRATIVE.startswith(cut["content"] or "nothing")
        assert end == failed(number, "The model failed: the connection to the model broke.")
    played.model.then(Script("none"), Script("none"))
    played.post("/start")
    words = "The model's answer is not a valid outcome; nothing was saved."
    for socket in (played.player, played.dm):
        assert socket.until("turn_error") == [
            *begun(number + 1, "", ""),
            {"type": "initialization_error", "error": words},
            failed(number + 1, words),
        ]


def _to_one_alone(played: Played) -> None:
    player = played.player
    player.say(type="submit_turn", message=" ")
    blank = "message: must have a visible character"
    assert player.take(1) == [{"type": "turn_error", "error": blank, "session_id": "1"}]
    played.model.then(Script("Nobody."))
    player.say(type="ask", message="Who rang?")
    answer = {**said("private", 0, DM, "Nobody."), "response_index": 0}
    assert player.take(1) == [answer]
    for ignored in ("audio_played", "yjs_update", "awareness_update", "broadcast_test"):
        player.say(type=ignored, data=[1])
    for socket in (player, played.dm):  # nothing else has come meanwhile
        socket.say(type="heartbeat")
        assert socket.take(1) == [{"type": "heartbeat"}]


def _ends(played: Played) -> None:
    history = [
        {"sender": one["sender_name"], "role": one["message_type"], "content": one["content"]}
        for one in played.olga.messages(played.table)
    ]
    second = dialled(played.page, played.service, "dm", "olga", history, **SHOWN)
    assert played.dm.closed == (1012, "Superseded DM connection", True)
    second.close()
    assert second.closed == (1005, "", True)  # no code was given
    changes = [one["type"] for one in played.player.until("room.dm_left")]
    assert changes == ["room.dm_joined", "room.dm_left"]
    played.olga.call("DELETE", f"/{played.table}/members/mara")
    assert played.player.closed == (4403, "", True)


REFUSED: list[tuple[str, str, Json, tuple[int, str]]] = [
    ("player", "1", {"type": "auth", "token": "bad"}, (4401, "Authentication failed")),
    ("player", "1", {"type": "auth"}, (4401, "Authentication failed")),
    ("dm", "1", {"type": "submit_turn", "message": "go"}, (4401, "Authentication failed")),
    ("player", "1", pass_of("otto"), (4403, "Not allowed")),
    ("dm", "1", pass_of("mara"), (4403, "Not allowed")),
    ("player", "999", pass_of("mara"), (4404, "Session not found")),
    ("dm", "", pass_of("olga"), (4404, "Session not found")),
]


def test_browser_reads_why_it_is_turned_away(page: Tab, browser: Browser, campaign: Served) -> None:
    party(campaign, "olga", "mara")
    sockets = [
        Dialled(page, f"ws://{campaign.host}/ws/campaign/{role}?session_id={session}", first)
        for role, session, first, _ in REFUSED
    ]
    closed = [socket.closed for socket in sockets]
    assert closed == [(code, reason, True) for *_, (code, reason) in REFUSED]
    elsewhere = browser.tab("about:blank")
    elsewhere.run(DIAL)
    address = f"ws://{campaign.host}/ws/campaign/player?session_id=1"
    assert Dialled(elsewhere, address, pass_of("mara")).closed == (1006, "", False)


def test_event_source_of_a_browser_reads_a_table_with_a_ticket(page: Tab, campaign: Served) -> None:
    table, (olga, mara) = party(campaign, "olga", "mara")
    ticket = mara.call("POST", f"/{table}/ticket").json()["ticket"]
    address = f"/api/sessions/{table}/events?ticket={ticket}"
    page.run(
        f"window.seen = []; window.source = new EventSource('{address}');"
        " source.onmessage = (message) => seen.push(JSON.parse(message.data)); 0"
    )
    page.wait("seen.some((event) => event.phase === 'live')")
    assert olga.acts(table).status == 200
    page.wait("seen.some((event) => event.type === 'complete')")
    told = page.run("seen.filter((event) => event.type === 'token').map((event) => event.content)")
    assert "".join(told) == f"{NARRATIVE}{RESPONSE}"
    page.run("source.close(); 0")
