"""Players of a table: what they send, and what a model answers at one."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from app.core.encoding import dump
from app.tables.play import TablePlay
from websockets.sync.client import ClientConnection

from fakes.model import FakeModel, Script
from passes import bearer, token
from serving import TIMEOUT, Live, Reply, Served, aside, dialled

NARRATIVE = "The pier groans. Fog lifts."
RESPONSE = "Your knuckles sting; nobody answers."
OPTIONS = ["Knock again", "Walk around", "Call out"]
SCENE = {
    "environmental_conditions": "fog",
    "immediate_threats": "a shadow",
    "story_progression": "The door is found.",
    "scene_elements": {
        "npcs_present": ["Élise"],
        "objects_of_interest": ["a bell"],
        "current_location": "The pier",
    },
}
NOTES = "Élise lies."


def answer(**changes: Any) -> dict[str, Any]:
    """A table's outcome in the order asked for; None leaves a field out."""
    usual = {
        "narrative": NARRATIVE,
        "player_response": RESPONSE,
        "player_options": OPTIONS,
        "scene": {**SCENE, "dm_notes": NOTES},
        "intents": None,
    }
    return {name: value for name, value in (usual | changes).items() if value is not ...}


def script_of(*order: str, **changes: Any) -> Script:
    """A model's answer, its fields in another order where one is given."""
    whole = answer(**changes)
    return Script(dump({name: whole[name] for name in order} | whole))


class Guest:
    """One user of the service."""

    def __init__(self, service: Served, name: str) -> None:
        self.service = service
        self.name = name
        settings = vars(service).get("settings")  # a process of its own has none
        known = settings is not None and settings.auth_mode == "jwt"
        scope = "turns tables"
        self.headers = bearer(token(sub=name, scope=scope)) if known else {"X_User_Id": name}

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        return self.service.call(method, f"/api/sessions{path}", body, **self.headers, **headers)

    def opens(self, name: str = "The Anchor", **fields: Any) -> int:
        """A table of one's own; its number."""
        body = {"name": name, "player_name": self.name.title(), **fields}
        reply = self.call("POST", "", body)
        assert reply.status == 200, reply.body
        return int(reply.json()["id"])

    def joins(self, table: int, invitation: str | None = None, **fields: Any) -> Reply:
        body = {"player_name": self.name.title(), **fields}
        return self.call("POST", f"/{table}/join", body | _given(invitation=invitation))

    def invites(self, table: int, **fields: Any) -> str:
        """The token of a new invitation."""
        reply = self.call("POST", f"/{table}/invitations", fields)
        assert reply.status == 201, reply.body
        return str(reply.json()["token"])

    def acts(self, table: int, action: str = "I+knock.", **headers: str) -> Reply:
        path = f"/{table}/action?player_name={self.name.title()}&action={action}"
        return self.call("POST", path, **headers)

    def asks(self, table: int, question: str = "Who rang?") -> Reply:
        return self.call("POST", f"/{table}/ask", {"question": question})

    def messages(self, table: int) -> list[dict[str, Any]]:
        found = self.call("GET", f"/{table}/messages").json()
        assert isinstance(found, list)
        return found

    @contextmanager
    def follows(self, table: int, query: str = "", **headers: str) -> Iterator[Live]:
        path = f"/api/sessions/{table}/events{query}"
        with self.service.open("GET", path, None, **self.headers, **headers) as response:
            yield Live(response)

    @contextmanager
    def socket(self, path: str) -> Iterator[ClientConnection]:
        sent = {name.replace("_", "-"): value for name, value in self.headers.items()}
        with dialled(f"ws://{self.service.host}{path}", additional_headers=sent) as opened:
            yield opened


def waiting(guest: Guest, table: int) -> int:
    """How many turns of the table wait in its queue."""
    service = guest.service
    assert service.loop is not None
    looked = service.application.services.get(TablePlay)._tables.turns(table, None)
    found = asyncio.run_coroutine_threadsafe(looked, service.loop).result(TIMEOUT)
    return sum(turn.status == "queued" for turn in found)


def take_turns_fairly(owner: Guest, mara: Guest, table: int, model: FakeModel) -> None:
    """The queue is fair: who has just had a turn comes behind who has not, whoever was first."""
    gates = [threading.Event() for _ in range(2)]
    for gate in gates:
        model.then(Script(script_of().text, gate=gate, gate_after=4))
    with mara.follows(table) as stream:
        stream.until("metadata", phase="live")
        acts = [aside(owner.acts, table, "first")]
        stream.until("token")
        for guest, action in ((owner, "third"), (mara, "second")):
            acts.append(aside(guest.acts, table, action))
            guest.service.wait_for(lambda: waiting(owner, table) == len(acts) - 1)
        gates[0].set()
        stream.until("metadata", phase="start", user_action="second")
        stream.until("token")  # while it is generated, and not afterwards
        gates[1].set()
        stream.until("metadata", phase="start", user_action="third")
        stream.until("complete")
    assert [act.result(TIMEOUT).status for act in acts] == [200, 200, 200]
    with owner.follows(table) as stream:
        stream.until("metadata", phase="live")
        begun = [event for event in stream.seen.events if event.get("phase") == "start"]
    assert [event["user_action"] for event in begun] == ["first", "second", "third"]


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def party(service: Served, *names: str, **fields: Any) -> tuple[int, list[Guest]]:
    """A table with these guests, of whom the first owns it."""
    owner, *others = [Guest(service, name) for name in names]
    table = owner.opens(join="open", **fields)
    for guest in others:
        assert guest.joins(table).status == 200
    return table, [owner, *others]


def hear(socket: ClientConnection) -> dict[str, Any]:
    message = json.loads(socket.recv(timeout=TIMEOUT))
    assert isinstance(message, dict)
    return message


def hear_until(socket: ClientConnection, kind: str) -> list[dict[str, Any]]:
    """All messages up to the first of this type."""
    heard = [hear(socket)]
    while heard[-1]["type"] != kind:
        heard.append(hear(socket))
    return heard


def hear_aside(socket: ClientConnection, words: str) -> list[dict[str, Any]]:
    """All messages up to the `system` one of these words."""
    heard = hear_until(socket, "system")
    while heard[-1]["content"] != words:
        heard += hear_until(socket, "system")
    return heard
