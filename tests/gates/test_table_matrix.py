"""Every route of a table, called by everybody who may knock: who has no token, who is a stranger, who
was a member, a player, a dungeon master, the owner."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from descriptions import DOCUMENTS
from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel
from passes import CHALLENGE, WITH_SECRET, bearer, token, turned_away
from serving import Reply, Served, refused
from tabling import Guest, hear, hear_until, script_of

WHO = ["stranger", "former", "player", "dm", "owner"]
OPEN = "everybody with a token"
SEATED = ["player", "dm", "owner"]
MODERATORS = ["dm", "owner"]
NARRATOR = ["dm"]
"""Who reads and says what is the dungeon master's alone: the owner, too, where nobody else has the seat."""
ALLOWED: dict[tuple[str, str], Any] = {
    ("post", ""): OPEN,
    ("get", ""): OPEN,
    ("get", "/{session_id}"): SEATED,
    ("put", "/{session_id}"): ["owner"],
    ("delete", "/{session_id}"): ["owner"],
    ("get", "/{session_id}/members"): SEATED,
    ("delete", "/{session_id}/members/{user_id}"): MODERATORS,
    ("post", "/{session_id}/join"): SEATED,
    ("post", "/{session_id}/leave"): SEATED,
    ("get", "/{session_id}/removed"): MODERATORS,
    ("delete", "/{session_id}/removed/{user_id}"): MODERATORS,
    ("post", "/{session_id}/invitations"): MODERATORS,
    ("get", "/{session_id}/invitations"): MODERATORS,
    ("delete", "/{session_id}/invitations/{invitation_id}"): MODERATORS,
    ("get", "/{session_id}/messages"): SEATED,
    ("post", "/{session_id}/messages"): SEATED,
    ("post", "/{session_id}/ask"): SEATED,
    ("post", "/{session_id}/whisper"): NARRATOR,
    ("post", "/{session_id}/pause"): MODERATORS,
    ("post", "/{session_id}/resume"): MODERATORS,
    ("post", "/{session_id}/x_card"): SEATED,
    ("post", "/{session_id}/start"): SEATED,
    ("post", "/{session_id}/action"): SEATED,
    ("post", "/{session_id}/roll"): SEATED,
    ("get", "/{session_id}/round"): SEATED,
    ("post", "/{session_id}/round/close"): MODERATORS,
    ("post", "/{session_id}/away"): MODERATORS,  # of somebody else
    ("get", "/{session_id}/approval"): NARRATOR,
    ("post", "/{session_id}/approval"): NARRATOR,
    ("post", "/{session_id}/commit"): SEATED,
    ("post", "/{session_id}/retell"): SEATED,
    ("get", "/{session_id}/summary"): SEATED,
    ("put", "/{session_id}/summary"): MODERATORS,
    ("get", "/{session_id}/tokens"): SEATED,
    ("get", "/{session_id}/events"): SEATED,
    ("post", "/{session_id}/ticket"): SEATED,
}
TURN: dict[tuple[str, str], list[str]] = {
    ("get", "/turns/{turn_id}"): [],
    ("get", "/turns/{turn_id}/events"): [],
    ("post", "/turns/{turn_id}/cancel"): [],
    ("post", "/turns/{turn_id}/commit"): SEATED,
    ("post", "/turns/{turn_id}/retell"): SEATED,
    ("post", "/turns/{turn_id}/ticket"): [],
    ("post", "/v1/chat/completions/{completion_id}/cancel"): [],
}
"""Of a turn of the table by its id: it is no turn of the player who began it."""
OPEN_SOCKET = 101
SOCKETS: dict[str, dict[str, int]] = {
    "/ws/{session_id}": {
        "nobody": 401, "unscoped": 403, "stranger": 404, "former": 404,
        **dict.fromkeys(SEATED, OPEN_SOCKET),
    },
    "/ws/campaign/player": {
        "nobody": 4401, "unscoped": 4403, "stranger": 4403, "former": 4403,
        **dict.fromkeys(SEATED, OPEN_SOCKET),
    },
    "/ws/campaign/dm": {
        "nobody": 4401, "unscoped": 4403, "stranger": 4403, "former": 4403, "player": 4403,
        "owner": 4403, **dict.fromkeys(NARRATOR, OPEN_SOCKET),
    },
}  # fmt: skip
"""What a handshake is answered, or the code that the socket is closed with."""
BODIES: dict[tuple[str, str], Any] = {
    ("post", ""): {"name": "Another"},
    ("put", "/{session_id}"): {"name": "Renamed"},
    ("put", "/{session_id}/summary"): {"summary": "Nobody lied."},
    ("post", "/{session_id}/messages"): {"sender_name": "Somebody", "content": "Hm."},
    ("post", "/{session_id}/ask"): {"question": "Who is there?"},
    ("post", "/{session_id}/away"): {"user_id": "victim"},
    ("post", "/{session_id}/whisper"): {"user_id": "victim", "content": "Psst."},
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    store = tmp_path_factory.mktemp("tables") / "store.db"
    with FakeModel(script_of()) as model, FakeJourneyLog() as journey_log:
        settings: dict[str, Any] = {
            "store_url": f"sqlite:///{store}",
            "openai_base_url": model.base_url,
            "journey_log_base_url": journey_log.url,
            "table_requests_per_minute": 0,
            "max_streams_per_client": 1000,
        }
        with Served(**settings, **WITH_SECRET) as served:
            yield served


@pytest.fixture(scope="module")
def table(service: Served) -> int:
    """One that no test changes."""
    return seated(service)


def seated(service: Served, **rules: Any) -> int:
    """A new table with somebody in every role."""
    owner = Guest(service, "owner")
    number = owner.opens(absent="model", **rules)
    for name, role in (
        ("player", "player"),
        ("dm", "dm"),
        ("former", "player"),
        ("victim", "player"),
    ):
        Guest(service, name).joins(number, owner.invites(number, role=role))
    owner.call("DELETE", f"/{number}/members/former")
    return number


def called(service: Served, guest: Guest, key: tuple[str, str], table: int) -> Reply:
    method, path = key
    invitation = ""
    if "{invitation_id}" in path:
        owner = Guest(service, "owner")
        invitation = owner.call("GET", f"/{table}/invitations").json()["invitations"][0]["id"]
    filled = path.format(session_id=table, user_id="victim", invitation_id=invitation)
    filled += "?action=go" if path.endswith("/action") else ""
    if path.endswith("/events"):
        address = f"/api/sessions{filled}"
        with service.open(method.upper(), address, None, **guest.headers) as response:
            text = b"" if response.status == 200 else response.read()
            return Reply(response.status, dict(response.getheaders()), text)
    return guest.call(method.upper(), filled, BODIES.get(key))


def test_owner_moderates_where_nobody_else_is_the_dungeon_master(service: Served) -> None:
    table, owner = seated(service), Guest(service, "owner")
    alone = [key for key, allowed in ALLOWED.items() if allowed is NARRATOR]
    assert len(alone) == 3
    for ends in ("leave", "members/dm", ""):
        if ends == "leave":
            assert Guest(service, "dm").call("POST", f"/{table}/leave").status == 204
        elif ends:
            assert owner.call("DELETE", f"/{table}/{ends}").status == 204
        else:
            owner.joins(table, owner.invites(table, role="dm"))
        for key in alone:
            reply = called(service, owner, key, table)
            assert reply.status == 200 or _is_idle(reply), reply.body
        assert opened(knocking(service, "owner"), "/ws/campaign/dm", table) == OPEN_SOCKET
        if ends:
            Guest(service, "dm").joins(table, owner.invites(table, role="dm"))
            owner.call("DELETE", f"/{table}/removed/dm")
            Guest(service, "dm").joins(table, owner.invites(table, role="dm"))
            refused(called(service, owner, alone[0], table), 403, "forbidden")


def _is_idle(reply: Reply) -> bool:
    """Let in, and there is nothing to approve."""
    return reply.status == 409 and reply.error["type"] == "not_awaiting_commit"


def knocking(service: Served, who: str) -> Guest:
    guest = Guest(service, who)
    if who == "nobody":
        guest.headers = {}
    elif who == "unscoped":
        guest.headers = bearer(token(sub="owner", scope="turns"))
    return guest


def test_every_route_of_a_table_or_of_its_turns_is_in_the_matrix() -> None:
    described = {
        (method, path)
        for path, item in DOCUMENTS.openapi["paths"].items()
        for method, operation in item.items()
        if operation["tags"] == ["Tables"]
        or (operation["tags"] != ["Admin"] and ("{turn_id}" in path or "{completion_id}" in path))
    }
    sessions = {(method, f"/api/sessions{path}") for method, path in ALLOWED}
    sockets = {("get", path) for path in SOCKETS}
    assert described == sessions | sockets | TURN.keys() | {("post", "/api/chat")}


@pytest.mark.parametrize("key", ALLOWED, ids=lambda key: f"{key[0]} {key[1]}")
def test_without_a_token_nothing_is_reached(
    service: Served, table: int, key: tuple[str, str]
) -> None:
    nobody = knocking(service, "nobody")
    turned_away(called(service, nobody, key, table), CHALLENGE)
    nobody.headers = bearer(token(scope="turns"))
    refused(called(service, nobody, key, table), 403, "forbidden")


@pytest.mark.parametrize("who", ["nobody", *WHO])
def test_path_of_an_older_service_is_for_members_of_the_table(service: Served, who: str) -> None:
    guest = knocking(service, who)
    body = {"message": "I knock.", "session_id": str(seated(service))}
    reply = service.call("POST", "/api/chat", body, **guest.headers)
    if who == "nobody":
        turned_away(reply, CHALLENGE)
    elif who in SEATED:
        assert reply.status == 200, reply.body
    else:
        refused(reply, 404, "not_found")


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("key", ALLOWED, ids=lambda key: f"{key[0]} {key[1]}")
def test_each_caller_reaches_their_own_resources(
    service: Served, table: int, key: tuple[str, str], who: str
) -> None:
    allowed = ALLOWED[key] == OPEN or who in ALLOWED[key]
    changed = allowed and key[0] != "get"
    reply = called(service, Guest(service, who), key, seated(service) if changed else table)
    if allowed:
        assert reply.status in (200, 201, 202, 204) or _is_idle(reply), reply.body
    elif who in SEATED or key[1].endswith("/join"):
        refused(reply, 403, "forbidden")
    else:
        problem = refused(reply, 404, "not_found")
        assert problem["detail"] == "Session not found"


# -- sockets --------------------------------------------------------------------------------------


def opened(guest: Guest, path: str, table: int) -> int:
    """See `SOCKETS`. Sockets of a campaign have their token in the first message alone, as browsers do."""
    filled, said = path.format(session_id=table), None
    if "campaign" in path:
        filled += f"?session_id={table}"
        said = {"type": "auth", "token": guest.headers.pop("Authorization", "")[len("Bearer ") :]}
    try:
        with guest.socket(filled) as ws:
            if said is not None:
                ws.send(json.dumps(said))
            assert hear(ws)["type"] in ("system", "connection_registered")
            return OPEN_SOCKET
    except InvalidStatus as refusal:
        return refusal.response.status_code
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd is not None else 0


@pytest.mark.parametrize("who", ["nobody", "unscoped", *WHO])
@pytest.mark.parametrize("path", SOCKETS)
def test_socket_opens_for_members_of_the_table_alone(
    service: Served, table: int, path: str, who: str
) -> None:
    assert opened(knocking(service, who), path, table) == SOCKETS[path][who]


# -- turns by their ids ---------------------------------------------------------------------------


def held(service: Served, reason: str) -> str:
    """A turn of a new table that awaits what `reason` says; its id."""
    rules = {"commit": "manual"} if reason == "commit" else {"approval_seconds": 3_600}
    table, leader = seated(service, **rules), Guest(service, "dm")
    with Guest(service, "player").socket(f"/ws/{table}") as ws, leader.follows(table) as stream:
        ws.send(json.dumps({"sender": "Player", "content": "I knock."}))
        started = stream.until("metadata", phase="start")
        stream.until("metadata", phase="awaiting_commit" if reason == "commit" else "approval")
    return str(started["turn_id"])


@pytest.fixture(scope="module")
def turns(service: Served) -> dict[str, str]:
    """Those that no test changes."""
    return {reason: held(service, reason) for reason in ("commit", "approval")}


@pytest.mark.parametrize("who", ["nobody", "unscoped", *WHO])
@pytest.mark.parametrize("reason", ["commit", "approval"])
@pytest.mark.parametrize("key", TURN, ids=lambda key: f"{key[0]} {key[1]}")
def test_turn_of_a_table_is_chosen_for_by_its_members_and_read_by_its_id_by_nobody(
    service: Served, turns: dict[str, str], key: tuple[str, str], reason: str, who: str
) -> None:
    method, path = key
    allowed = who in TURN[key] and (reason == "commit" or who in NARRATOR)
    turn = held(service, reason) if allowed else turns[reason]
    filled = path.format(turn_id=turn, completion_id=f"chatcmpl-{turn}")
    reply = service.call(method.upper(), filled, **knocking(service, who).headers)
    if who == "nobody":
        turned_away(reply, CHALLENGE, path)
    elif allowed:
        assert (reply.status, reply.json()["turn_id"]) == (202, turn)
    elif who in TURN[key]:
        refused(reply, 409, "not_awaiting_commit")
    else:
        refused(reply, 404, "turn_not_found", path)


@pytest.mark.parametrize("who", WHO)
def test_turn_of_a_table_is_not_resumed_over_the_socket_of_a_character(
    service: Served, turns: dict[str, str], who: str
) -> None:
    with Guest(service, who).socket("/turn/ws") as ws:
        ws.send(json.dumps({"type": "resume", "turn_id": turns["commit"], "after": 0}))
        assert hear_until(ws, "error")[0]["error_type"] == "turn_not_found"
