"""Every operation of the document, called by everybody who may knock."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from descriptions import DOCUMENTS
from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel, Script, any_text
from passes import CHALLENGE, RSA_KEY, USER, WITH_SECRET, Json, bearer, seconds, token, turned_away
from serving import Reply, Served, refused, turn_body

OTHER = "otto"
OPENAPI = DOCUMENTS.openapi
OPERATIONS = [
    (method, path, operation)
    for path, item in OPENAPI["paths"].items()
    for method, operation in item.items()
]
GUARDED = [row for row in OPERATIONS if row[2].get("security") != []]
OWN = [row for row in GUARDED if row[2]["tags"] != ["Tables"]]
"""What a caller has alone; tables, which have members, have a matrix of their own."""
PASSES: dict[str, Callable[[], dict[str, str]]] = {
    "no token": dict,
    "bad": lambda: bearer(token(key="x" * 40)),
    "expired": lambda: bearer(token(exp=seconds(-60))),
    "wrong audience": lambda: bearer(token(aud="another-service")),
    "missing scope": lambda: bearer(token(scope="nothing")),
    "good": lambda: bearer(token()),
}
# What a good token gets where it is no success: the turn has ended, this is no handshake, and so on.
SETTLED = {
    ("post", "/turns/{turn_id}/cancel"): (409, "not_cancellable"),
    ("post", "/turns/{turn_id}/commit"): (409, "not_awaiting_commit"),
    ("post", "/turns/{turn_id}/retell"): (409, "not_awaiting_commit"),
    ("post", "/v1/chat/completions/{completion_id}/cancel"): (409, "not_cancellable"),
    ("get", "/turn/ws"): (426, "bad_request"),
    ("get", "/ws/campaign/player"): (426, "bad_request"),
    ("get", "/ws/campaign/dm"): (426, "bad_request"),
    ("post", "/characters/{character_id}/opening"): (409, "character_exists"),
}


ENDLESS = {"/characters/{character_id}/events", "/hub/events"}


def rows(operations: list[Any]) -> pytest.MarkDecorator:
    names = [f"{method} {path}" for method, path, _ in operations]
    return pytest.mark.parametrize(("method", "path", "operation"), operations, ids=names)


@dataclass(frozen=True)
class World:
    """A guarded service with a character and a finished turn of the caller and of somebody else."""

    service: Served
    journey_log: FakeJourneyLog
    model: FakeModel
    characters: dict[str, str]
    turns: dict[str, str]
    contents: dict[str, str]

    def call(self, method: str, path: str, operation: Json, owner: str, **sent: str) -> Reply:
        """With the objects of `owner`; sent by whoever the headers say."""
        filled = path.format(
            turn_id=self.turns[owner],
            character_id=self.characters[owner],
            user_id=owner,
            content_id=self.contents[owner],
            chat="chat-1",
            completion_id=f"chatcmpl-{self.turns[owner]}",
            session_id=1,
            invitation_id="none",
            path="play.css",
            model=f"dungeon-master/{self.characters[owner]}",
        )
        body = body_of(operation, self.characters[owner])
        if path in ENDLESS:
            with self.service.open(method.upper(), filled, body, **sent) as response:
                text = b"" if response.status == 200 else response.read()
                return Reply(response.status, dict(response.getheaders()), text)
        return self.service.call(method.upper(), filled, body, **sent)

    def seen(self) -> int:
        """Everything that the upstreams were asked."""
        return len(self.journey_log.requests) + len(self.model.requests)


def body_of(operation: Json, character_id: str) -> Any:
    if "requestBody" not in operation:
        return None
    example = dict(operation["requestBody"]["content"]["application/json"]["example"])
    if "character_id" in example:
        example["character_id"] = character_id
    if "name" in example:
        example["name"] = f"Maren {uuid.uuid4().hex}"
    return example


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    store = tmp_path_factory.mktemp("matrix") / "store.db"
    with FakeModel() as model, FakeJourneyLog() as journey_log:
        settings: dict[str, Any] = {
            "store_url": f"sqlite:///{store}",
            "openai_base_url": model.base_url,
            "journey_log_base_url": journey_log.url,
            "admin_endpoints_enabled": True,
            "enable_debug_endpoints": True,
            "max_turns_per_character_per_second": 100,
        }
        model.default = Script(text=any_text())
        with Served(**settings, **WITH_SECRET) as service:
            characters = {user: journey_log.seed_character(user) for user in (USER, OTHER)}
            turns = {user: played(service, characters[user], user) for user in characters}
            contents = {user: validated(service, user) for user in characters}
            yield World(service, journey_log, model, characters, turns, contents)


def played(service: Served, character: str, user: str) -> str:
    sent = bearer(token(sub=user))
    return str(service.call("POST", "/turn", turn_body(character), **sent).json()["turn_id"])


def validated(service: Served, user: str) -> str:
    """Content that needs no model."""
    body = {"content": "Ash.", "content_type": "scene", "rules": []}
    reply = service.call("POST", "/api/v2/validation/content", body, **bearer(token(sub=user)))
    return str(reply.json()["content_id"])


def documented(reply: Reply, operation: Json) -> None:
    """The answer's status, content type and headers stand in the document."""
    assert str(reply.status) in operation["responses"], reply.body
    answer = operation["responses"][str(reply.status)]
    kind = (reply.header("content-type") or "").partition(";")[0]
    kinds = answer.get("content", {"": {}})
    assert kind in kinds or "*/*" in kinds
    if reply.status in (401, 405, 503):
        wanted = {401: "WWW-Authenticate", 405: "Allow", 503: "Retry-After"}[reply.status]
        assert wanted in answer["headers"]
        assert reply.header(wanted) is not None


@pytest.mark.parametrize("name", PASSES)
@rows([row for row in OPERATIONS if row not in GUARDED])
def test_open_route_needs_no_token(
    world: World, method: str, path: str, operation: Json, name: str
) -> None:
    reply = world.call(method, path, operation, USER, **PASSES[name]())
    documented(reply, operation)
    if (method, path) in SETTLED:  # its token comes in the first message
        refused(reply, *SETTLED[method, path])
    else:
        assert reply.status == 200


@pytest.mark.parametrize("name", ["no token", "bad", "expired", "wrong audience"])
@rows(GUARDED)
def test_without_a_good_token_nothing_is_done(
    world: World, method: str, path: str, operation: Json, name: str
) -> None:
    before = world.seen()
    reply = world.call(method, path, operation, USER, **PASSES[name]())
    documented(reply, operation)
    bare = name == "no token"
    turned_away(reply, CHALLENGE if bare else f'{CHALLENGE}, error="invalid_token"', path)
    assert world.seen() == before


@rows(GUARDED)
def test_without_the_scope_nothing_is_done(
    world: World, method: str, path: str, operation: Json
) -> None:
    before = world.seen()
    wrong = "turns" if operation["tags"] == ["Admin"] else "admin"
    wrong = "nothing" if path.startswith("/hub/") else wrong  # whose operators see everything
    for sent in (PASSES["missing scope"](), bearer(token(scope=wrong))):
        reply = world.call(method, path, operation, USER, **sent)
        documented(reply, operation)
        refused(reply, 403, "forbidden", path)
    assert world.seen() == before


@rows(OWN)
def test_valid_token_gets_the_documented_answer(
    world: World, method: str, path: str, operation: Json
) -> None:
    reply = world.call(method, path, operation, USER, **PASSES["good"]())
    documented(reply, operation)
    if (method, path) in SETTLED:
        refused(reply, *SETTLED[method, path], path)
    else:
        assert 200 <= reply.status < 300


OWNED = [
    row
    for row in OWN
    if row[2]["tags"] != ["Admin"]
    and ("{" in row[1] or "character_id" in (body_of(row[2], "") or {}))
]


@rows(OWNED)
def test_resources_of_another_user_are_out_of_reach(
    world: World, method: str, path: str, operation: Json
) -> None:
    before = list(world.journey_log.writes), len(world.model.calls)
    reply = world.call(method, path, operation, OTHER, **bearer(token(sub=USER)))
    documented(reply, operation)
    if "{chat}" in path:  # only one's own turns are looked at
        assert OTHER.encode() not in reply.body
        return
    if "{turn_id}" in path or "{completion_id}" in path:
        problem = refused(reply, 404, "turn_not_found", path)
    elif "{model}" in path:
        problem = refused(reply, 404, "model_not_found", path)
    elif "{content_id}" in path:
        problem = refused(reply, 404, "not_found", path)
    else:
        problem = refused(reply, 403, "forbidden")
    assert OTHER not in str(problem)
    assert (list(world.journey_log.writes), len(world.model.calls)) == before


def test_every_kind_of_object_is_asked_for_by_a_stranger() -> None:
    paths = {path for _, path, _ in OWNED}
    assert {"/turn", "/turn/stream", "/characters/{character_id}", "/turns/{turn_id}"} <= paths
    assert sum("{turn_id}" in path for path in paths) == 6
    assert "/api/v2/content/{content_id}" in paths


def test_a_list_holds_the_callers_own_only(world: World) -> None:
    mine = world.service.call("GET", "/characters", **bearer(token())).json()["characters"]
    assert world.characters[USER] in [row["character_id"] for row in mine]
    assert world.characters[OTHER] not in [row["character_id"] for row in mine]


@rows([row for row in GUARDED if row[2]["tags"] == ["Admin"]])
def test_operators_see_the_objects_of_everybody(
    world: World, method: str, path: str, operation: Json
) -> None:
    reply = world.call(method, path, operation, OTHER, **bearer(token(scope="admin")))
    documented(reply, operation)
    assert reply.status == 200


@rows(GUARDED)
def test_an_outage_of_the_keys_is_documented(
    keyless: Served, world: World, method: str, path: str, operation: Json
) -> None:
    there = replace(world, service=keyless)
    sent = bearer(token(RSA_KEY, "RS256"))
    reply = there.call(method, path, operation, USER, **sent)
    documented(reply, operation)
    refused(reply, 503, "overloaded", path)


@pytest.fixture(scope="module")
def keyless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service whose keys cannot be had."""
    store = tmp_path_factory.mktemp("keyless") / "store.db"
    address = "http://127.0.0.1:1/keys"
    with Served(
        store_url=f"sqlite:///{store}",
        openai_stub_mode=True,
        auth_mode="jwt",
        jwt_jwks_url=address,
    ) as served:
        yield served
