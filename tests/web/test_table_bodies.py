"""Fields that nobody knows: ignored where clients of older services may send them, refused elsewhere."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fakes.model import FakeModel
from serving import Served, refused
from tabling import hear, hear_until, party, script_of

UNKNOWN: dict[str, Any] = {"max_players": 6, "settings": {"voice": "on"}, "tags": ["a", None]}
INHERITED: list[tuple[str, dict[str, Any]]] = [
    ("/api/sessions", {"name": "The Drowned Bell", "dm_name": "Otto"}),
    ("/api/sessions/{}/messages", {"sender_name": "Olga", "content": "Hm."}),
    ("/api/sessions/{}/messages", {"sender_name": "Olga", "content": "Hm.", "message_type": "dm"}),
    ("/api/chat", {"message": "I knock.", "session_id": "{}"}),
    (
        "/api/chat",
        {
            "message": "I knock.",
            "session_id": "{}",
            "player_character": {"character_name": "Olga", "hit_points": 9},
        },
    ),
]
OWN: list[tuple[str, str, dict[str, Any]]] = [
    ("PUT", "/{}", {"name": "The Mill"}),
    ("POST", "/{}/join", {"player_name": "Olga"}),
    ("POST", "/{}/whisper", {"user_id": "mara", "content": "Psst."}),
    ("POST", "/{}/ask", {"question": "Who is there?"}),
    ("POST", "/{}/x_card", {"topic": "rats"}),
    ("POST", "/{}/approval", {"decision": "veto"}),
    ("POST", "/{}/retell", {"guidance": "shorter"}),
    ("POST", "/{}/roll", {"dice": "1d6"}),
    ("POST", "/{}/invitations", {"role": "dm"}),
    ("POST", "/{}/away", {"away": True}),
    ("PUT", "/{}/summary", {"summary": "Nobody lied."}),
]


@pytest.fixture
def at_table(service: Served, model: FakeModel) -> Served:
    model.default = script_of()
    return service


@pytest.mark.parametrize(("path", "body"), INHERITED)
def test_older_clients_may_send_fields_that_nobody_knows(
    at_table: Served, path: str, body: dict[str, Any]
) -> None:
    table, (owner, _) = party(at_table, "olga", "mara")
    filled = json.loads(json.dumps(body).replace('"{}"', f'"{table}"'))
    plain, more = [
        at_table.call("POST", path.format(table), filled | extra, **owner.headers)
        for extra in ({}, UNKNOWN)
    ]
    assert (more.status, more.json().keys()) == (200, plain.json().keys())
    assert "voice" not in more.body.decode()


@pytest.mark.parametrize(("method", "path", "body"), OWN, ids=[path for _, path, _ in OWN])
def test_other_bodies_of_a_table_name_the_field_that_nobody_knows(
    at_table: Served, method: str, path: str, body: dict[str, Any]
) -> None:
    table, (owner, _) = party(at_table, "olga", "mara")
    before = owner.call("GET", f"/{table}").json()
    problem = refused(
        owner.call(method, path.format(table), body | UNKNOWN), 422, "validation_error"
    )
    assert {row["field"] for row in problem["errors"]} == UNKNOWN.keys()
    assert owner.call("GET", f"/{table}").json() == before


@pytest.mark.parametrize(
    "said",
    [
        {"type": "action", "content": "I knock."},
        {"content": "I knock."},
        {"type": "roll", "result": 9},
        {"type": "message", "content": "Hm."},
    ],
)
def test_socket_of_the_older_table_service_ignores_fields_that_nobody_knows(
    at_table: Served, said: dict[str, Any]
) -> None:
    table, (owner, _) = party(at_table, "olga", "mara")
    with owner.socket(f"/ws/{table}") as ws:
        ws.send(json.dumps(said | UNKNOWN))
        assert "error" not in [one["type"] for one in hear_until(ws, "message")]


@pytest.mark.parametrize(
    "said",
    [
        {"type": "submit_turn", "message": "I knock."},
        {"type": "submit_turn", "active_player_input": {"text": "I knock.", "mood": "calm"}},
    ],
)
def test_socket_of_the_older_dungeon_master_ignores_fields_that_nobody_knows(
    at_table: Served, said: dict[str, Any]
) -> None:
    table, (owner, _) = party(at_table, "olga", "mara")
    with owner.socket(f"/ws/campaign/player?session_id={table}") as ws:
        ws.send(json.dumps({"type": "auth", "token": "", **UNKNOWN}))
        assert hear(ws)["type"] == "connection_registered"
        ws.send(json.dumps(said | UNKNOWN))
        assert "turn_error" not in [one["type"] for one in hear_until(ws, "turn_complete")]
