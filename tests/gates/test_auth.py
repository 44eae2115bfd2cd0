"""Who gets in: tokens, the keys they are checked with, and tickets."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from app.adapters.auth.jwt import JWKS, JWTAuthenticator, _keys_in
from app.errors import Overloaded, Unauthorized
from app.ports.clock import Clock
from app.web.auth import TICKET_SECONDS, Tickets
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidStatus

from descriptions import DOCUMENTS
from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel
from passes import (
    AUDIENCE,
    CHALLENGE,
    EC_KEY,
    ISSUER,
    RSA_KEY,
    SECRET,
    USER,
    WITH_SECRET,
    Json,
    KeyServer,
    bearer,
    by_hand,
    claims,
    dial,
    jwk,
    public_pem,
    seconds,
    tampered,
    token,
    turned_away,
)
from processes import running
from serving import TIMEOUT, Live, Reply, Served, aside, dialled, refused, turn_body

Serve = Callable[..., Served]


@pytest.fixture
def guarded(serve: Serve) -> Served:
    return serve(**WITH_SECRET)


@pytest.fixture
def mine(journey_log: FakeJourneyLog) -> str:
    return journey_log.seed_character(USER)


# -- tokens with a shared secret ------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"exp": seconds(-10)},
        {"nbf": seconds(10)},
        {"aud": ["elsewhere", AUDIENCE]},
        {"sub": "u" * 128},
        {"sub": "mara of the hill"},
        {"scope": "chat turns"},
        {"email": "mara@example.org"},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_a_good_token_is_let_in(guarded: Served, changes: dict[str, Any]) -> None:
    reply = guarded.call("GET", "/usage", **bearer(token(**changes)))
    assert reply.status == 200
    assert reply.json()["user_id"] == changes.get("sub", USER)


BAD_CLAIMS: dict[str, Json] = {
    "another secret": {"key": "x" * 40},
    "expired": {"exp": seconds(-60)},
    "not yet": {"nbf": seconds(600)},
    "issued in the future": {"iat": seconds(600)},
    "wrong issuer": {"iss": "https://other.example"},
    "no issuer": {"iss": None},
    "wrong audience": {"aud": "another-service"},
    "no wanted audience among many": {"aud": ["a", "b"]},
    "no audience": {"aud": None},
    "no expiry": {"exp": None},
    "an expiry that is no number": {"exp": "tomorrow"},
    "an endless expiry": {"exp": float("inf")},
    "no user": {"sub": None},
    "an empty user": {"sub": ""},
    "a blank user": {"sub": "  "},
    "a user with a space at the end": {"sub": "mara "},
    "a non-ASCII user": {"sub": "Zoë"},
    "a user with a line break": {"sub": "mara\r\nX-Admin: 1"},
    "a long user": {"sub": "u" * 129},
    "a user that is a number": {"sub": 7},
    "a user that is a list": {"sub": [USER]},
    "scope as a list": {"scope": ["turns"]},
    "another algorithm of the same secret": {"algorithm": "HS512"},
    "an asymmetric algorithm": {"key": RSA_KEY, "algorithm": "RS256"},
    "a demand nobody understands": {"header": {"crit": ["unheard"], "unheard": 1}},
    "detached payload": {"header": {"b64": False, "crit": ["b64"]}},
    "a key id that is no text": {"header": {"kid": ["a"]}},
    "huge": {"padding": "x" * 9_000},
}
NONES = ("none", "None", "NONE", "")
DEEP = b'{"alg":"HS256","deep":' + b"[" * 5_000
FORGED: dict[str, Callable[[], str]] = {
    "unsigned": lambda: token().rpartition(".")[0] + ".",
    "signed for another payload": lambda: spliced(token(), token(sub="otto")),
    "payload that is no object": lambda: by_hand({"alg": "HS256"}, b"[1]", SECRET.encode()),
    "payload that is no JSON": lambda: by_hand({"alg": "HS256"}, b"\xff\x00", SECRET.encode()),
    "header that is deep": lambda: by_hand(DEEP, {}),
    "header that is no object": lambda: by_hand(b'"HS256"', {}),
    "header without an algorithm": lambda: by_hand({}, claims(), SECRET.encode()),
    **{f"algorithm {name!r}": partial(by_hand, {"alg": name}, b"{}") for name in NONES},
    "algorithm none for good claims": lambda: by_hand({"alg": "none"}, claims()),
    "one word": lambda: "token",
    "two parts": lambda: "a.b",
    "dots": lambda: "....",
    "five parts, as if encrypted": lambda: "a.b.c.d.e",
    "outside of ASCII": lambda: "é.é.é",
    "two words": lambda: f"{token()} {token()}",
}
BAD_TOKENS = {name: partial(token, **changes) for name, changes in BAD_CLAIMS.items()} | FORGED


def spliced(first: str, second: str) -> str:
    """The payload of the second under the signature of the first."""
    header, _, signature = first.split(".")
    return ".".join([header, second.split(".")[1], signature])


@pytest.mark.parametrize("forge", BAD_TOKENS.values(), ids=BAD_TOKENS)
def test_bad_token_is_refused_without_details(gate: Served, forge: Callable[[], str]) -> None:
    bad = forge()
    reply = gate.call("GET", "/usage", **bearer(bad))
    turned_away(reply)
    assert reply.error["message"] in ("The token is not valid.", "The token has expired.")
    answer = (reply.body + json.dumps(reply.headers).encode()).decode()
    secrets = [SECRET, ISSUER, *(part for part in bad.split(".") if len(part) > 8)]
    assert not [secret for secret in secrets if secret in answer]


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A guarded service that nothing is changed in."""
    store = tmp_path_factory.mktemp("gate") / "store.db"
    with Served(
        store_url=f"sqlite:///{store}",
        openai_stub_mode=True,
        admin_endpoints_enabled=True,
        **WITH_SECRET,
    ) as served:
        yield served


def test_that_a_token_has_expired_is_said(gate: Served) -> None:
    reply = gate.call("GET", "/usage", **bearer(BAD_TOKENS["expired"]()))
    assert reply.error["message"] == "The token has expired."


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer   "},
        {"Authorization": "{token}"},
        {"Authorization": "Basic {token}"},
        {"Authorization": "Token {token}"},
        {"Cookie": "token={token}; Authorization={token}"},
        {"X_User_Id": USER},
    ],
    ids=["nothing", "empty", "no token", "blank", "bare", "Basic", "Token", "cookie", "X-User-Id"],
)
def test_without_a_token_the_challenge_is_bare(gate: Served, sent: dict[str, str]) -> None:
    filled = {name: value.format(token=token()) for name, value in sent.items()}
    turned_away(gate.call("GET", "/usage", **filled), CHALLENGE)


@pytest.mark.parametrize("name", ["access_token", "token", "authorization", "bearer"])
def test_a_token_in_the_query_does_not_count(gate: Served, name: str) -> None:
    turned_away(gate.call("GET", f"/usage?{name}={token()}"), CHALLENGE)


def test_the_scheme_may_be_in_any_case(gate: Served) -> None:
    assert gate.call("GET", "/usage", Authorization=f"bEaReR {token()}").status == 200


def test_issuer_and_audience_count_only_where_they_are_set(serve: Serve) -> None:
    service = serve(auth_mode="jwt", jwt_secret=SECRET)
    for changes in ({"iss": None, "aud": None}, {"iss": "x", "aud": ["y"]}):
        assert service.call("GET", "/usage", **bearer(token(**changes))).status == 200


def test_the_leeway_is_a_setting(serve: Serve) -> None:
    service = serve(**WITH_SECRET, jwt_leeway_seconds=0)
    turned_away(service.call("GET", "/usage", **bearer(token(exp=seconds(-10)))))


# -- what comes before what -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/nope", None),
        ("GET", "/usage/", None),
        ("DELETE", "/turn", None),
        ("POST", "/turn", {}),
        ("POST", "/turn", b"{"),
        ("POST", "/turn/stream", b"x" * 300_000),
        ("GET", "/characters/not-a-uuid", None),
        ("GET", "/admin/nope", None),
        ("OPTIONS", "/turn", None),
        ("GET", "/journey-log/health", None),
        ("GET", "/static", None),
    ],
)
def test_the_token_comes_before_address_method_and_body(
    gate: Served, method: str, path: str, body: Any
) -> None:
    turned_away(gate.call(method, path, body), CHALLENGE)


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", ""])
@pytest.mark.parametrize(("method", "path"), [("POST", "/turn"), ("PUT", "/nope")])
def test_the_token_comes_before_the_type_of_the_body(
    gate: Served, method: str, path: str, kind: str
) -> None:
    turned_away(gate.call(method, path, b"x", Content_Type=kind), CHALLENGE)
    typed = gate.call(method, path, b"x", Content_Type=kind, **bearer(token()))
    refused(typed, 400, "bad_request")


def test_with_a_token_an_unknown_address_is_unknown(gate: Served) -> None:
    refused(gate.call("GET", "/nope", **bearer(token())), 404, "not_found")
    refused(gate.call("GET", "/journey-log/health", **bearer(token())), 404, "not_found")


OPEN = [
    path
    for path, item in DOCUMENTS.openapi["paths"].items()
    if item.get("get", {}).get("security") == [] and not path.startswith("/ws/")
]
"""Without the sockets that authenticate by their first message (see `test_table_matrix.py`)."""


@pytest.mark.parametrize("path", OPEN)
def test_routes_documented_as_open_are_open(gate: Served, path: str) -> None:
    assert gate.call("GET", path.format(path="play.css")).status == 200
    assert gate.call("GET", path.format(path="play.css"), **bearer("garbage")).status == 200


def test_exactly_the_contracts_addresses_are_open() -> None:
    operational = {"/health", "/ready", "/live", "/metrics"}
    described = {"/docs", "/openapi.json", "/asyncapi.json"}
    assert set(OPEN) == operational | described | {"/", "/static/{path}"}


SIDEWAYS = [
    "/static/../admin/policy/config",
    "/static/%2e%2e/admin/policy/config",
    "/static/..%2f..%2f..%2fsettings.py",
    "/static//etc/passwd",
    "/static/%00",
    "/static/../../auth.py",
    "//admin/policy/config",
    "/./admin/policy/config",
    "/health/../admin/policy/config",
    "/health;/admin/policy/config",
    "/%2fadmin/policy/config",
    "/%61dmin/policy/config",
    "/ADMIN/policy/config",
    "/admin%2fpolicy%2fconfig",
    "/admin/policy/config/",
    "/admin/policy/config%00",
]


@pytest.mark.parametrize("path", SIDEWAYS)
def test_no_spelling_of_an_address_leads_around_the_gate(guarded: Served, path: str) -> None:
    assert guarded.call("GET", path).status in (401, 404)
    assert guarded.call("GET", path, **bearer(token(scope="turns"))).status in (403, 404)


# -- scopes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", [None, "", "chat content", "turn", "turnsadmin", "TURNS"])
@pytest.mark.parametrize(
    ("path", "needed"), [("/usage", "turns"), ("/admin/policy/config", "admin")]
)
def test_token_without_the_scope_is_refused_with_its_name(
    gate: Served, scope: str | None, path: str, needed: str
) -> None:
    reply = gate.call("GET", path, **bearer(token(scope=scope)))
    refused(reply, 403, "forbidden")
    wanted = f'{CHALLENGE}, error="insufficient_scope", scope="{needed}"'
    assert reply.header("www-authenticate") == wanted


def test_each_scope_opens_its_own_addresses_only(guarded: Served) -> None:
    players, operators = bearer(token(scope="turns")), bearer(token(scope="admin"))
    assert guarded.call("GET", "/usage", **players).status == 200
    assert guarded.call("GET", "/admin/policy/config", **operators).status == 200
    refused(guarded.call("GET", "/admin/policy/config", **players), 403, "forbidden")
    refused(guarded.call("GET", "/usage", **operators), 403, "forbidden")
    refused(guarded.call("POST", "/debug/parse_llm", {}, **players), 403, "forbidden")


@pytest.mark.parametrize("scope", ["turns", "admin", ""])
def test_disabled_route_is_absent_whatever_the_scope(serve: Serve, scope: str) -> None:
    service = serve(**WITH_SECRET, admin_endpoints_enabled=False, enable_debug_endpoints=False)
    sent = bearer(token(scope=scope))
    refused(service.call("GET", "/admin/policy/config", **sent), 404, "not_found")
    refused(service.call("POST", "/debug/parse_llm", {}, **sent), 404, "not_found")
    turned_away(service.call("GET", "/admin/policy/config"), CHALLENGE)


# -- who the caller is ----------------------------------------------------------------------------


def test_journey_log_gets_the_user_of_the_token(
    guarded: Served, journey_log: FakeJourneyLog, mine: str
) -> None:
    sent = {**bearer(token()), "X_User_Id": "otto"}
    assert (
        guarded.stream("POST", "/turn/stream", turn_body(mine), **sent).last["type"] == "complete"
    )
    assert guarded.call("GET", "/characters", **sent).json()["count"] == 1
    assert {request.headers["x-user-id"] for request in journey_log.requests} == {USER}


def test_upstreams_never_see_the_token(
    guarded: Served, journey_log: FakeJourneyLog, model: FakeModel, mine: str
) -> None:
    bearer_token = token()
    assert guarded.call("POST", "/turn", turn_body(mine), **bearer(bearer_token)).status == 200
    assert len(model.calls) == 1
    for request in (*journey_log.requests, *model.requests):
        assert bearer_token not in f"{request.headers}{request.body!r}{request.query}"


# -- WebSockets -----------------------------------------------------------------------------------


def complete_turn(service: Served, character: str, *protocols: str, **headers: str) -> str | None:
    """Plays one turn; the subprotocol that the server chose."""
    with dial(service, *protocols, **headers) as socket:
        socket.send(json.dumps(turn_body(character)))
        kind = ""
        while kind not in ("complete", "error", "cancelled"):
            kind = json.loads(socket.recv(TIMEOUT))["type"]
        assert kind == "complete"
        return socket.subprotocol


def test_a_websocket_brings_its_token_as_a_subprotocol(guarded: Served, mine: str) -> None:
    assert complete_turn(guarded, mine, "bearer", token()) == "bearer"


def test_a_websocket_may_bring_its_token_as_a_header(guarded: Served, mine: str) -> None:
    assert complete_turn(guarded, mine, **bearer(token())) is None


def test_without_authentication_the_subprotocol_is_echoed_all_the_same(
    service: Served, character: str
) -> None:
    assert complete_turn(service, character, "bearer", "whatever") == "bearer"


def denied(service: Served, *protocols: str, query: str = "", **headers: str) -> Reply:
    """The answer to a handshake that was refused."""
    with pytest.raises(InvalidStatus) as caught, dial(service, *protocols, query=query, **headers):
        pass
    response = caught.value.response
    return Reply(response.status_code, dict(response.headers.raw_items()), bytes(response.body))


@pytest.mark.parametrize(
    "protocols",
    [[], ["bearer"], ["{token}"], ["{token}", "bearer"], ["bearer", "{token}", "chat"]],
    ids=["none", "no token", "bare", "swapped", "three"],
)
def test_a_websocket_without_a_token_is_denied(gate: Served, protocols: list[str]) -> None:
    reply = denied(gate, *(name.format(token=token()) for name in protocols))
    turned_away(reply, CHALLENGE)
    assert reply.header("sec-websocket-protocol") is None


@pytest.mark.parametrize("name", ["expired", "wrong audience", "algorithm 'none'", "one word"])
def test_a_websocket_with_a_bad_token_is_denied(gate: Served, name: str) -> None:
    turned_away(denied(gate, "bearer", BAD_TOKENS[name]()))


def test_a_websocket_without_the_scope_is_denied(gate: Served) -> None:
    refused(denied(gate, "bearer", token(scope="admin")), 403, "forbidden")


def test_the_token_is_not_echoed_in_the_handshake(gate: Served) -> None:
    bearer_token = token()
    with dial(gate, "bearer", bearer_token) as socket:
        assert socket.response is not None
        assert bearer_token not in str(socket.response.headers)


# -- tickets --------------------------------------------------------------------------------------


class Shifted:
    """A clock that can be put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def clock(self) -> Clock:
        return Clock(now=lambda: time.time() + self.ahead)


def played(service: Served, character: str, user: str = USER) -> str:
    sent = bearer(token(sub=user))
    turn_id = service.call("POST", "/turn", turn_body(character), **sent).json()["turn_id"]
    return str(turn_id)


def ticket_for(service: Served, turn_id: str, user: str = USER) -> str:
    reply = service.call("POST", f"/turns/{turn_id}/ticket", **bearer(token(sub=user)))
    assert reply.status == 201
    assert reply.header("cache-control") == "no-store"
    assert reply.json()["expires_in"] == TICKET_SECONDS
    return str(reply.json()["ticket"])


def events_with(service: Served, turn_id: str, ticket: str, **headers: str) -> Reply:
    return service.stream("GET", f"/turns/{turn_id}/events?ticket={ticket}", **headers)


def test_a_ticket_reads_the_events_of_its_turn(guarded: Served, mine: str) -> None:
    turn_id = played(guarded, mine)
    with_token = guarded.stream("GET", f"/turns/{turn_id}/events", **bearer(token()))
    ticket = ticket_for(guarded, turn_id)
    for _ in range(2):
        assert events_with(guarded, turn_id, ticket).body == with_token.body
    last = f"{turn_id}:{len(with_token.frames)}"
    assert events_with(guarded, turn_id, ticket, Last_Event_ID=last).status == 204


def test_a_signed_ticket_of_an_older_release_is_refused() -> None:
    """It named the user alone."""
    turn = str(uuid.uuid4())
    tickets = Tickets("secret")
    for named in (b"mara", b"12345", b"\xff"):
        until, name = int(time.time()) + 60, base64.urlsafe_b64encode(named).decode().rstrip("=")
        ticket = f"{until}.{name}.{tickets._sign('turns', turn, until, name)}"
        with pytest.raises(Unauthorized):
            tickets.redeem(ticket, f"/turns/{turn}/events")


def feed_ticket(service: Served, character: str, user: str = USER) -> str:
    reply = service.call("POST", f"/characters/{character}/ticket", **bearer(token(sub=user)))
    assert (reply.status, reply.json()["expires_in"]) == (201, TICKET_SECONDS)
    return str(reply.json()["ticket"])


@pytest.mark.parametrize("spelled", [str, str.upper])
def test_a_ticket_of_a_character_reads_all_its_turns(
    guarded: Served, mine: str, spelled: Callable[[str], str]
) -> None:
    turns = [played(guarded, mine) for _ in range(2)]
    character = spelled(mine)
    ticket = feed_ticket(guarded, character)
    path = f"/characters/{character}/events?ticket={ticket}&lastEventId={turns[0]}:1"
    with guarded.open("GET", path) as response:
        feed = Live(response)
        feed.until("metadata", phase="live")
        last = played(guarded, mine)
        feed.until("complete", turn_id=last)
    assert {event["turn_id"] for event in feed.seen.of("complete")} == {*turns, last}


def test_a_ticket_of_a_character_is_for_its_events_only(
    guarded: Served, journey_log: FakeJourneyLog, mine: str
) -> None:
    turn_id, other = played(guarded, mine), journey_log.seed_character(USER)
    ticket = feed_ticket(guarded, mine)
    for method, path in (
        ("GET", f"/characters/{other}/events"),
        ("GET", f"/turns/{turn_id}/events"),
        ("GET", f"/turns/{mine}/events"),
        ("GET", f"/characters/{mine}"),
        ("GET", f"/characters/{mine}/turns"),
        ("POST", f"/characters/{mine}/ticket"),
        ("POST", f"/characters/{mine}/opening"),
    ):
        turned_away(guarded.call(method, f"{path}?ticket={ticket}"), CHALLENGE)
    of_turn = ticket_for(guarded, turn_id)
    reply = guarded.call("GET", f"/characters/{mine}/events?ticket={of_turn}")
    turned_away(reply, CHALLENGE)
    for bad in tampered(ticket):
        path = f"/characters/{mine}/events?ticket={bad}"
        turned_away(guarded.call("GET", path), CHALLENGE)


def test_nobody_gets_a_ticket_for_the_character_of_another(
    guarded: Served, journey_log: FakeJourneyLog
) -> None:
    others = journey_log.seed_character("otto")
    for character in (others, str(uuid.uuid4())):
        reply = guarded.call("POST", f"/characters/{character}/ticket", **bearer(token()))
        assert reply.status in (403, 404)


def test_a_ticket_is_for_its_turn_only(
    guarded: Served, journey_log: FakeJourneyLog, mine: str
) -> None:
    first, second = played(guarded, mine), played(guarded, mine)
    others = played(guarded, journey_log.seed_character("otto"), "otto")
    ticket = ticket_for(guarded, first)
    for turn_id in (second, others, "nope"):
        turned_away(events_with(guarded, turn_id, ticket), CHALLENGE)


def test_nobody_gets_a_ticket_for_the_turn_of_another(
    guarded: Served, journey_log: FakeJourneyLog
) -> None:
    others = played(guarded, journey_log.seed_character("otto"), "otto")
    reply = guarded.call("POST", f"/turns/{others}/ticket", **bearer(token()))
    refused(reply, 404, "turn_not_found")


def test_a_ticket_lasts_a_minute(serve: Serve, mine: str) -> None:
    time_machine = Shifted()
    service = serve(**WITH_SECRET, clock=time_machine.clock())
    turn_id = played(service, mine)
    ticket = ticket_for(service, turn_id)
    time_machine.ahead = TICKET_SECONDS - 5
    assert events_with(service, turn_id, ticket).status == 200
    time_machine.ahead = TICKET_SECONDS + 1
    reply = events_with(service, turn_id, ticket)
    turned_away(reply, CHALLENGE)
    assert reply.error["message"] == "The ticket has expired."


def test_a_ticket_that_was_tampered_with_is_worth_nothing(guarded: Served, mine: str) -> None:
    turn_id = played(guarded, mine)
    for bad in tampered(ticket_for(guarded, turn_id)):
        turned_away(events_with(guarded, turn_id, bad), CHALLENGE)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/usage"),
        ("GET", "/characters"),
        ("GET", "/turns/{turn}"),
        ("POST", "/turns/{turn}/cancel"),
        ("POST", "/turns/{turn}/ticket"),
        ("GET", "/turns/{turn}/events/"),
        ("GET", "/turns/x/../{turn}/events"),
        ("GET", "/admin/turns/{turn}"),
        ("GET", "/nope"),
    ],
)
def test_a_ticket_opens_nothing_but_events(
    guarded: Served, mine: str, method: str, path: str
) -> None:
    turn_id = played(guarded, mine)
    ticket = ticket_for(guarded, turn_id)
    reply = guarded.call(method, f"{path.format(turn=turn_id)}?ticket={ticket}")
    turned_away(reply, CHALLENGE)


def test_a_ticket_opens_no_websocket(guarded: Served, mine: str) -> None:
    ticket = ticket_for(guarded, played(guarded, mine))
    turned_away(denied(guarded, query=f"?ticket={ticket}"), CHALLENGE)


# -- keys from an address -------------------------------------------------------------------------


@pytest.fixture
def keys() -> Iterator[KeyServer]:
    with KeyServer(jwk(RSA_KEY, "r1", use="sig", alg="RS256"), jwk(EC_KEY, "e1")) as server:
        yield server


@pytest.fixture
def with_keys(serve: Serve, keys: KeyServer) -> Served:
    return serve(
        auth_mode="jwt", jwt_jwks_url=keys.address, jwt_issuer=ISSUER, jwt_audience=AUDIENCE
    )


def rs256(kid: Any = "r1", **changes: Any) -> str:
    return token(RSA_KEY, "RS256", {"kid": kid} if kid else {}, **changes)


def es256(kid: Any = "e1", **changes: Any) -> str:
    return token(EC_KEY, "ES256", {"kid": kid} if kid else {}, **changes)


def test_rs256_and_es256_tokens_are_let_in_and_the_keys_are_kept(
    with_keys: Served, keys: KeyServer
) -> None:
    for _ in range(5):
        assert with_keys.call("GET", "/usage", **bearer(rs256())).status == 200
        assert with_keys.call("GET", "/usage", **bearer(es256())).status == 200
    assert keys.fetches == 1


CONFUSED: dict[str, Callable[[], str]] = {
    "the public key as a shared secret": lambda: by_hand(
        {"alg": "HS256", "kid": "r1"}, claims(), public_pem()
    ),
    "the public key's JSON as a shared secret": lambda: by_hand(
        {"alg": "HS256", "kid": "r1"}, claims(), json.dumps(jwk(RSA_KEY, "r1")).encode()
    ),
    "none": lambda: by_hand({"alg": "none", "kid": "r1"}, claims()),
    "RS256 with the EC key's id": lambda: rs256("e1"),
    "ES256 with the RSA key's id": lambda: es256("r1"),
    "an unknown id": lambda: rs256("r9"),
    "no id among several keys": lambda: rs256(None),
    "an id that leads elsewhere": lambda: rs256("../../etc/passwd"),
    "PS256": lambda: token(RSA_KEY, "PS256", {"kid": "r1"}),
    "a key in its own header": lambda: token(
        EC_KEY, "ES256", {"jwk": jwk(EC_KEY), "jku": "http://127.0.0.1:1/keys"}
    ),
    "expired": lambda: rs256(exp=seconds(-60)),
    "wrong audience": lambda: es256(aud="x"),
}


@pytest.mark.parametrize("forge", CONFUSED.values(), ids=CONFUSED)
def test_no_confusion_of_algorithms_and_keys_gets_in(
    with_keys: Served, forge: Callable[[], str]
) -> None:
    turned_away(with_keys.call("GET", "/usage", **bearer(forge())))


def test_without_keys_a_token_cannot_be_checked(serve: Serve, keys: KeyServer) -> None:
    keys.status = 500
    service = serve(auth_mode="jwt", jwt_jwks_url=keys.address)
    for _ in range(3):
        refused(service.call("GET", "/usage", **bearer(rs256())), 503, "overloaded")
    assert keys.fetches == 1
    turned_away(service.call("GET", "/usage"), CHALLENGE)
    assert service.call("GET", "/live").status == 200


def test_socket_whose_token_cannot_be_checked_is_told_to_try_again(
    serve: Serve, keys: KeyServer
) -> None:
    keys.status = 500
    service = serve(auth_mode="jwt", jwt_jwks_url=keys.address)
    with dialled(f"ws://{service.host}/ws/campaign/player?session_id=1") as socket:
        socket.send(json.dumps({"type": "auth", "token": rs256()}))
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=TIMEOUT)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1013


def test_callers_that_come_during_the_first_fetch_wait_for_it(
    with_keys: Served, keys: KeyServer
) -> None:
    keys.gate = threading.Event()
    waiting = [
        aside(with_keys.call, "GET", "/usage", **bearer(good)) for good in (rs256(), es256()) * 4
    ]
    keys.wait_for(lambda: keys.fetches == 1)
    with_keys.wait_for(lambda: with_keys.requests_under_way == len(waiting))
    keys.gate.set()
    assert [done.result(300).status for done in waiting] == [200] * 8
    assert keys.fetches == 1


# -- the keeping of keys, by its clock ------------------------------------------------------------

LIFETIME, PAUSE = 600.0, 10.0


class KeptKeys:
    """The real keeper of keys against a server, at a time of the test's choosing."""

    def __init__(self, source: JWKS) -> None:
        self.time = 0.0
        self.source = source
        self._authenticator = JWTAuthenticator(source)

    async def lets_in(self, sent: str) -> bool:
        try:
            await self._authenticator.authenticate(sent)
        except Unauthorized:
            return False
        return True


@asynccontextmanager
async def kept(server: KeyServer) -> AsyncIterator[KeptKeys]:
    client = httpx.AsyncClient(timeout=300, trust_env=False)
    made = KeptKeys(
        JWKS(server.address, client, lifetime=LIFETIME, pause=PAUSE, now=lambda: made.time)
    )
    try:
        yield made
    finally:
        await made.source.aclose()


def test_an_unknown_key_is_fetched_at_most_once_a_pause(keys: KeyServer) -> None:
    async def scene() -> None:
        async with kept(keys) as seen:
            assert await seen.lets_in(rs256("r1"))
            keys.document = {"keys": [jwk(RSA_KEY, "r2")]}
            seen.time = PAUSE - 1
            for _ in range(5):
                assert not await seen.lets_in(rs256("r2"))
            assert keys.fetches == 1
            seen.time = PAUSE
            assert await seen.lets_in(rs256("r2"))
            assert not await seen.lets_in(rs256("r1")), "a key that was taken back"
            assert keys.fetches == 2

    asyncio.run(scene())


def test_keys_are_looked_after_when_their_time_is_over(keys: KeyServer) -> None:
    async def scene() -> None:
        async with kept(keys) as seen:
            assert await seen.lets_in(rs256())
            seen.time = LIFETIME - 1
            assert await seen.lets_in(rs256())
            assert keys.fetches == 1
            seen.time = LIFETIME
            assert await seen.lets_in(rs256())
            await keys.eventually(lambda: keys.fetches == 2)

    asyncio.run(scene())


@pytest.mark.parametrize("document", [b"down", b"[]", b"null", b'{"keys": 7}', {"keys": []}])
def test_old_keys_outlast_an_outage(keys: KeyServer, document: Any) -> None:
    async def scene() -> None:
        async with kept(keys) as seen:
            assert await seen.lets_in(rs256())
            keys.document, seen.time = document, LIFETIME
            for _ in range(3):
                assert await seen.lets_in(rs256())
                assert not await seen.lets_in(rs256("r2"))
            assert keys.fetches == 2
            keys.document = {"keys": [jwk(RSA_KEY, "r2")]}
            seen.time += PAUSE
            assert await seen.lets_in(rs256("r2"))

    asyncio.run(scene())


def test_a_slow_provider_holds_up_nobody_with_a_known_key(keys: KeyServer) -> None:
    async def scene() -> None:
        async with kept(keys) as seen:
            assert await seen.lets_in(rs256())
            keys.gate, seen.time = threading.Event(), LIFETIME
            assert await seen.lets_in(rs256())
            await keys.eventually(lambda: keys.fetches == 2)
            assert await seen.lets_in(es256())
            keys.gate.set()

    asyncio.run(scene())


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"no JSON",
        b"[]",
        b"null",
        b'"keys"',
        b'{"keys": "x"}',
        b'{"keys": [7, "x", null, {}]}',
        {"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "r1"}]},
        {"keys": [jwk(RSA_KEY, "r1", use="enc")]},
        {"keys": [jwk(RSA_KEY, ["r1"])]},
        b"[" * 100_000,
    ],
    ids=lambda document: str(document)[:24],
)
def test_invalid_key_set_is_an_outage(keys: KeyServer, document: Any) -> None:
    async def scene() -> None:
        async with kept(keys) as seen:
            keys.document = document
            with pytest.raises(Overloaded):
                await seen.lets_in(rs256())
            keys.document, seen.time = {"keys": [jwk(RSA_KEY, "r1")]}, PAUSE
            assert await seen.lets_in(rs256())

    asyncio.run(scene())


UNUSABLE: dict[str, Any] = {
    "null": None,
    "a number": 7,
    "a list": [],
    "empty": {},
    "symmetric, no key": {"kty": "oct"},
    "a curve nobody knows": {"kty": "OKP", "crv": "X448", "x": "AA"},
    "a kind nobody knows": {"kty": "unheard"},
    "a list of kinds": {"kty": ["RSA"]},
    "a number for n": {**jwk(RSA_KEY, "a"), "n": 7},
    "no algorithm": {**jwk(RSA_KEY, "a"), "alg": "none"},
    "the wrong curve": {**jwk(EC_KEY, "a"), "crv": "P-1"},
    "half a point": {**jwk(EC_KEY, "a"), "x": "AAAA"},
    "a list of names": jwk(EC_KEY, ["a"]),
    "for encryption": jwk(EC_KEY, "a", use="enc"),
}


@pytest.mark.parametrize("unusable", UNUSABLE.values(), ids=UNUSABLE)
def test_a_key_of_no_use_does_not_spoil_the_others(keys: KeyServer, unusable: Any) -> None:
    async def scene() -> None:
        async with kept(keys) as seen:
            keys.document = {"keys": [unusable, jwk(RSA_KEY, "r1")]}
            assert await seen.lets_in(rs256())
            assert not await seen.lets_in(es256("a"))
            keys.document, seen.time = {"keys": [unusable]}, LIFETIME
            assert await seen.lets_in(rs256())
            await keys.eventually(lambda: keys.fetches == 2)
            assert await seen.lets_in(rs256())

    asyncio.run(scene())


json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "RSA", "EC", "AA", "x" * 999]),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)


@given(
    st.sampled_from([RSA_KEY, EC_KEY]),
    st.dictionaries(
        st.sampled_from(["kty", "n", "e", "crv", "x", "y", "kid", "use", "alg", "k"]), json_value
    ),
    st.sets(st.sampled_from(["kty", "n", "e", "crv", "x", "y"])),
)
def test_any_key_is_read_or_left_out(key: Any, changed: Json, left_out: set[str]) -> None:
    row = {name: value for name, value in jwk(key, "a").items() if name not in left_out}
    assert "r1" in _keys_in({"keys": [row | changed, jwk(RSA_KEY, "r1")]})


@pytest.mark.parametrize("named", [None, "r1"])
def test_the_only_key_needs_no_name(keys: KeyServer, named: str | None) -> None:
    async def scene() -> None:
        async with kept(keys) as seen:
            keys.document = {"keys": [jwk(RSA_KEY, named), {"kty": "oct", "k": "c2VjcmV0"}]}
            assert await seen.lets_in(rs256(None))
            assert not await seen.lets_in(rs256("r9"))

    asyncio.run(scene())


# -- logs -----------------------------------------------------------------------------------------


def test_no_log_line_holds_a_token_or_a_ticket(
    tmp_path: Path, model: FakeModel, journey_log: FakeJourneyLog, keys: KeyServer
) -> None:
    character = journey_log.seed_character(USER)
    environment = {
        "AUTH_MODE": "jwt",
        "JWT_JWKS_URL": keys.address,
        "OPENAI_BASE_URL": model.base_url,
        "JOURNEY_LOG_BASE_URL": journey_log.url,
        "LOG_LEVEL": "DEBUG",
    }
    with running(tmp_path, **environment) as process:
        service = Remote(process.port())
        good, bad, expired = rs256(), rs256(sub="otto")[:-9] + "tampered9", rs256(exp=seconds(-60))
        turn_id = played_with(service, character, good)
        ticket = service.call("POST", f"/turns/{turn_id}/ticket", **bearer(good)).json()["ticket"]
        for path in (f"/turns/{turn_id}/events?ticket={ticket}", f"/usage?ticket={ticket}"):
            service.call("GET", path)
        for sent in (bad, expired, "x" * 8_000):
            service.call("GET", f"/usage?access_token={sent}", **bearer(sent))
            denied(service, "bearer", sent)
        complete_turn(service, character, "bearer", good)
        assert process.stop() == 0
    assert "/turn/ws" in process.text
    assert f"/turns/{turn_id}/events" in process.text
    for sent in (good, bad, expired, ticket, "x" * 8_000):
        for part in sent.split(".")[1:] or [sent]:
            assert part not in process.text


class Remote(Served):
    """A service in another process, to be called only."""

    def __init__(self, port: int) -> None:
        self.port = port


def played_with(service: Served, character: str, sent: str) -> str:
    reply = service.call("POST", "/turn", turn_body(character), **bearer(sent))
    assert reply.status == 200
    return str(reply.json()["turn_id"])
