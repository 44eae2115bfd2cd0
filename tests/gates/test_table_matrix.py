"""Every route of a table, called by everybody who may knock: who has no token, who is a stranger, who
was a member, a player, a dungeon master, the owner."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from descriptions import DOCUMENTS
from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel
from passes import CHALLENGE, WITH_SECRET, bearer, token, turned_away
from serving import Reply, Served, refused
from tabling import Guest, script_of

WHO = ["stranger", "former", "player", "dm", "owner"]
OPEN = "everybody with a token"
SEATED = ["player", "dm", "owner"]
MODERATORS = ["dm", "owner"]
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
    ("post", "/{session_id}/whisper"): MODERATORS,
    ("post", "/{session_id}/pause"): MODERATORS,
    ("post", "/{session_id}/resume"): MODERATORS,
    ("post", "/{session_id}/x_card"): SEATED,
    ("post", "/{session_id}/start"): SEATED,
    ("post", "/{session_id}/action"): SEATED,
    ("post", "/{session_id}/roll"): SEATED,
    ("get", "/{session_id}/round"): SEATED,
    ("post", "/{session_id}/round/close"): MODERATORS,
    ("post", "/{session_id}/away"): MODERATORS,  # of somebody else
    ("get", "/{session_id}/approval"): MODERATORS,
    ("post", "/{session_id}/approval"): MODERATORS,
    ("post", "/{session_id}/commit"): SEATED,
    ("post", "/{session_id}/retell"): SEATED,
    ("get", "/{session_id}/summary"): SEATED,
    ("put", "/{session_id}/summary"): MODERATORS,
    ("get", "/{session_id}/tokens"): SEATED,
    ("get", "/{session_id}/events"): SEATED,
}
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


def seated(service: Served) -> int:
    """A new table with somebody in every role."""
    owner = Guest(service, "owner")
    number = owner.opens(absent="model")
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


def _is_idle(reply: Reply) -> bool:
    """Let in, and there is nothing to approve."""
    return reply.status == 409 and reply.error["type"] == "not_awaiting_commit"


def test_every_route_of_a_table_is_in_the_matrix() -> None:
    paths = DOCUMENTS.openapi["paths"]
    prefix = "/api/sessions"
    described = {
        (method, path.removeprefix(prefix))
        for path, item in paths.items()
        if path.startswith(prefix)
        for method in item
    }
    assert described == set(ALLOWED)


@pytest.mark.parametrize("key", ALLOWED, ids=lambda key: f"{key[0]} {key[1]}")
def test_without_a_token_nothing_is_reached(
    service: Served, table: int, key: tuple[str, str]
) -> None:
    nobody = Guest(service, "nobody")
    nobody.headers = {}
    turned_away(called(service, nobody, key, table), CHALLENGE)
    nobody.headers = bearer(token(scope="turns"))
    refused(called(service, nobody, key, table), 403, "forbidden")


@pytest.mark.parametrize("who", ["nobody", *WHO])
def test_path_of_an_older_service_is_for_members_of_the_table(service: Served, who: str) -> None:
    guest = Guest(service, who)
    if who == "nobody":
        guest.headers = {}
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
