"""Turns per second and minute: who is admitted, who is refused, and the headers of both."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from app.web.inputs import address_of
from callers import PLAIN, UNDER_JWT, Player, Watch, all_at_once, statuses
from starlette.requests import HTTPConnection
from websockets.sync.client import ClientConnection

from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel, Script
from passes import SECRET, bearer, token
from remote import environment, remote
from serving import TIMEOUT, Reply, Served, frame_event, refused, turn_body

Serve = Callable[..., Served]
TWO_A_SECOND = {**PLAIN, "max_turns_per_character_per_second": 2}


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def paced(serve: Serve, watch: Watch) -> Served:
    return serve(clock=watch.clock, **TWO_A_SECOND)


@pytest.fixture
def player(paced: Served, journey_log: FakeJourneyLog) -> Player:
    return Player(paced, journey_log)


# -- a character's pace ---------------------------------------------------------------------------


def test_a_character_may_begin_two_turns_a_second_of_thirty_two(
    player: Player, watch: Watch, model: FakeModel
) -> None:
    character = player.character()
    replies = []
    for _ in range(32):
        replies.append(player.turn(character))
        watch.now += 1 / 16
    assert [number for number, reply in enumerate(replies) if reply.status == 200] == [0, 1, 16, 17]
    assert statuses(replies) == [200] * 4 + [429] * 28
    assert len(model.calls) == 4


def test_the_pace_holds_by_the_real_clock(serve: Serve, journey_log: FakeJourneyLog) -> None:
    player = Player(serve(**TWO_A_SECOND), journey_log)
    character, began = player.character(), time.monotonic()
    replies = [player.turn(character) for _ in range(32)]
    seconds = time.monotonic() - began
    assert 2 <= statuses(replies).count(200) <= 2 * (int(seconds) + 1)


def test_refused_turns_do_not_lengthen_the_wait(player: Player, watch: Watch) -> None:
    character = player.character()
    for _ in range(2):
        assert player.turn(character).status == 200
    for _ in range(24):
        watch.now += 1 / 32
        refused(player.turn(character), 429, "rate_limit_exceeded")
    watch.now += 1 / 4
    assert player.turn(character).status == 200


def test_a_pace_below_one_means_one_turn_in_several_seconds(
    serve: Serve, journey_log: FakeJourneyLog, watch: Watch
) -> None:
    service = serve(clock=watch.clock, max_turns_per_character_per_second=0.5)
    player = Player(service, journey_log)
    character = player.character()
    assert player.turn(character).status == 200
    watch.now += 1.5
    problem = refused(player.turn(character), 429, "rate_limit_exceeded")
    assert problem["error"]["retry_after_seconds"] == 0.5
    watch.now += 0.5
    assert player.turn(character).status == 200


def test_characters_have_paces_of_their_own(player: Player) -> None:
    for _ in range(10):
        assert player.turn().status == 200


@pytest.mark.parametrize("path", ["/turn", "/turn/stream"])
def test_the_pace_holds_on_every_way_in(player: Player, path: str) -> None:
    character = player.character()
    for _ in range(2):
        assert player.turn(character).status == 200
    refused(player.call("POST", path, turn_body(character)), 429, "rate_limit_exceeded")


def read_event(socket: ClientConnection) -> dict[str, Any]:
    return frame_event(b"data: " + str(socket.recv(TIMEOUT)).encode())


def test_the_pace_holds_on_a_websocket(player: Player, paced: Served) -> None:
    character = player.character()
    for _ in range(2):
        assert player.turn(character).status == 200
    with paced.socket(X_User_Id=player.name) as socket:
        socket.send(f'{{"character_id": "{character}", "user_action": "I run."}}')
        event = read_event(socket)
    assert (event["type"], event["error_type"]) == ("error", "rate_limit_exceeded")
    assert 0 < event["retry_after_seconds"] <= 1


# -- the limits that need to know who calls -------------------------------------------------------

LIMITS = [
    ("limit_user_per_minute", "user"),
    ("limit_address_per_minute", "address"),
    ("limit_global_per_minute", "all users together"),
    ("limit_models_per_minute", "model"),
]
HERE, ELSEWHERE = {"X_Forwarded_For": "203.0.113.7"}, {"X_Forwarded_For": "203.0.113.8"}


def limited(setting: str) -> dict[str, Any]:
    value = {"gpt-5.1": 3} if setting == "limit_models_per_minute" else 3
    return {**UNDER_JWT, setting: value}


@pytest.mark.parametrize(("setting", "name"), LIMITS)
def test_a_limit_per_minute_lets_in_that_many_in_any_minute(
    serve: Serve, journey_log: FakeJourneyLog, watch: Watch, setting: str, name: str
) -> None:
    player = Player(serve(clock=watch.clock, **limited(setting)), journey_log)
    for _ in range(3):
        assert player.turn(**HERE).status == 200
        watch.now += 10
    problem = refused(player.turn(**HERE), 429, "rate_limit_exceeded")
    assert name in problem["detail"]
    assert problem["error"]["retry_after_seconds"] == 30
    watch.now += 30
    assert player.turn(**HERE).status == 200
    refused(player.turn(**HERE), 429, "rate_limit_exceeded")


@pytest.mark.parametrize(
    ("setting", "another_user", "another_address"),
    [
        ("limit_user_per_minute", 200, 429),
        ("limit_address_per_minute", 429, 200),
        ("limit_global_per_minute", 429, 429),
        ("limit_models_per_minute", 429, 429),
    ],
)
def test_limit_counts_by_the_subject_in_its_name(
    serve: Serve,
    journey_log: FakeJourneyLog,
    watch: Watch,
    setting: str,
    another_user: int,
    another_address: int,
) -> None:
    service = serve(clock=watch.clock, **limited(setting))
    player, other = Player(service, journey_log), Player(service, journey_log, "else")
    for _ in range(3):
        assert player.turn(**HERE).status == 200
    assert other.turn(**HERE).status == another_user
    assert player.turn(**ELSEWHERE).status == another_address


@pytest.mark.parametrize(("setting", "name"), LIMITS)
def test_without_authentication_only_the_characters_pace_counts(
    serve: Serve, journey_log: FakeJourneyLog, watch: Watch, setting: str, name: str
) -> None:
    settings = {**limited(setting), "auth_mode": "off", "jwt_secret": None}
    player = Player(serve(clock=watch.clock, **settings), journey_log)
    assert [player.turn(**HERE).status for _ in range(5)] == [200] * 5


def test_zero_is_off(serve: Serve, journey_log: FakeJourneyLog, watch: Watch) -> None:
    off = dict.fromkeys((setting for setting, _ in LIMITS[:3]), 0)
    player = Player(serve(clock=watch.clock, **UNDER_JWT, **off), journey_log)
    assert [player.turn().status for _ in range(5)] == [200] * 5


def test_health_shows_what_the_limits_of_all_have_left(
    serve: Serve, journey_log: FakeJourneyLog, watch: Watch
) -> None:
    limits = {"limit_global_per_minute": 5, "limit_models_per_minute": {"gpt-5.1": 4}}
    service = serve(clock=watch.clock, **UNDER_JWT, **limits)

    def left() -> dict[str, int]:
        shown: dict[str, int] = service.call("GET", "/health").json()["rate_limits"]
        return shown

    assert left() == {"concurrent_llm_calls": 200, "global": 5, "model": 4}
    for player in (Player(service, journey_log), Player(service, journey_log, "else")):
        assert player.turn().status == 200
    assert left() == {"concurrent_llm_calls": 200, "global": 3, "model": 2}
    watch.now += 61
    assert left() == {"concurrent_llm_calls": 200, "global": 5, "model": 4}


def test_health_shows_no_limit_that_is_off(service: Served) -> None:
    assert service.call("GET", "/health").json()["rate_limits"] == {"concurrent_llm_calls": 200}


def test_a_model_without_a_limit_has_none(serve: Serve, journey_log: FakeJourneyLog) -> None:
    limits = {"gpt-4-turbo": 1}
    player = Player(serve(**UNDER_JWT, limit_models_per_minute=limits), journey_log)
    assert [player.turn().status for _ in range(3)] == [200] * 3


@pytest.mark.parametrize("setting", ["limit_user_per_minute", "limit_address_per_minute"])
def test_the_opening_of_a_character_is_a_turn_of_its_user_and_address(
    serve: Serve, journey_log: FakeJourneyLog, watch: Watch, setting: str
) -> None:
    service = serve(clock=watch.clock, **limited(setting))
    player = Player(service, journey_log)
    body = {"race": "Elf", "class_name": "Bard"}
    for number in range(3):
        made = player.call("POST", "/characters", {**body, "name": f"Mara {number}"}, **HERE)
        assert made.status == 201
    refused(player.turn(**HERE), 429, "rate_limit_exceeded")
    other = Player(service, journey_log, "else")
    fine = {**body, "name": "Else"}
    assert other.call("POST", "/characters", fine, **ELSEWHERE).status == 201


# -- headers for clients --------------------------------------------------------------------------


def headers_of(reply: Reply) -> list[str | None]:
    names = ("Limit", "Remaining", "Reset")
    older = [reply.header(f"x-ratelimit-{name}") for name in names]
    return [*older, reply.header("ratelimit"), reply.header("ratelimit-policy")]


@pytest.mark.parametrize("path", ["/turn", "/turn/stream"])
def test_admitted_turn_shows_the_remaining_requests(
    serve: Serve, journey_log: FakeJourneyLog, watch: Watch, path: str
) -> None:
    service = serve(clock=watch.clock, **UNDER_JWT, limit_user_per_minute=3)
    player = Player(service, journey_log)
    for left, reset in ((2, 60), (1, 60), (0, 40)):
        reply = player.call("POST", path, turn_body(player.character()))
        policy = ['"user";q=3;w=60']
        shown = ["3", str(left), str(int(watch.now) + reset), f'"user";r={left};t={reset}']
        assert headers_of(reply) == shown + policy
        watch.now += 10
    assert player.call("GET", "/usage").header("x-ratelimit-limit") is None


def test_refused_turn_shows_when_to_retry(
    serve: Serve, journey_log: FakeJourneyLog, watch: Watch
) -> None:
    service = serve(clock=watch.clock, **UNDER_JWT, limit_user_per_minute=1)
    player = Player(service, journey_log)
    assert player.turn().status == 200
    watch.now += 17.5
    reply = player.turn()
    refused(reply, 429, "rate_limit_exceeded")
    assert reply.header("retry-after") == "43"
    reset = str(int(watch.now) + 43)
    assert headers_of(reply) == ["1", "0", reset, '"user";r=0;t=43', '"user";q=1;w=60']


def test_headers_show_the_tightest_limit(paced: Served, player: Player) -> None:
    assert player.turn().header("ratelimit-policy") == '"character";q=2;w=1'


# -- exact, and nothing spent without a turn ------------------------------------------------------


def test_fifty_simultaneous_posts_get_exactly_the_remaining_requests(
    serve: Serve, journey_log: FakeJourneyLog, watch: Watch, model: FakeModel
) -> None:
    service = serve(clock=watch.clock, **UNDER_JWT, limit_user_per_minute=20)
    player = Player(service, journey_log)
    replies = all_at_once([partial(player.turn, player.character()) for _ in range(50)])
    assert statuses(replies) == [200] * 20 + [429] * 30
    assert len(model.calls) == 20


def test_a_retry_by_its_key_passes_every_limit_and_spends_nothing(
    player: Player, model: FakeModel
) -> None:
    character = player.character()
    again = [player.turn(character, Idempotency_Key="k") for _ in range(10)]
    assert len({reply.json()["turn_id"] for reply in again}) == 1
    assert again[0].header("ratelimit") == '"character";r=1;t=1'
    assert all(reply.header("ratelimit") is None for reply in again[1:])
    assert player.turn(character).status == 200
    refused(player.turn(character), 429, "rate_limit_exceeded")
    assert player.turn(character, Idempotency_Key="k").status == 200
    assert len(model.calls) == 2


def test_fifty_copies_of_one_post_at_once_are_one_turn(player: Player, model: FakeModel) -> None:
    character = player.character()
    copy = partial(player.turn, character, Idempotency_Key="k")
    replies = all_at_once([copy] * 50)
    assert statuses(replies) == [200] * 50
    assert len({reply.json()["turn_id"] for reply in replies}) == 1
    assert len(model.calls) == 1
    assert player.turn(character).status == 200


def test_a_refusal_because_the_character_is_busy_spends_nothing(
    player: Player, paced: Served, model: FakeModel
) -> None:
    character, gate = player.character(), threading.Event()
    model.then(Script(gate=gate))
    body = turn_body(character)
    with paced.open("POST", "/turn/stream", body, **player.headers) as response:
        for _ in range(10):
            refused(player.turn(character), 409, "turn_in_progress")
        gate.set()
        response.read()
    assert player.turn(character).status == 200
    refused(player.turn(character), 429, "rate_limit_exceeded")


def test_a_refusal_by_the_budget_spends_nothing(
    serve: Serve, journey_log: FakeJourneyLog, watch: Watch
) -> None:
    limits = {"limit_user_per_minute": 1, "tokens_per_user_per_day": 100}
    player = Player(serve(clock=watch.clock, **UNDER_JWT, **limits), journey_log)
    for _ in range(5):
        refused(player.turn(), 429, "token_budget_exceeded")


def test_a_request_that_is_not_valid_spends_nothing(player: Player) -> None:
    character = player.character()
    for _ in range(5):
        refused(player.turn(character, {"action": ""}), 422, "validation_error")
    for _ in range(2):
        assert player.turn(character).status == 200


def test_limits_outlast_a_restart(serve: Serve, journey_log: FakeJourneyLog, watch: Watch) -> None:
    settings = {**TWO_A_SECOND, **UNDER_JWT, "limit_user_per_minute": 5}
    first = serve(clock=watch.clock, **{**settings, "max_turns_per_character_per_second": 2})
    player = Player(first, journey_log)
    character = player.character()
    for _ in range(2):
        assert player.turn(character).status == 200
    first.close()
    watch.now += 0.5
    second = Player(serve(clock=watch.clock, **settings), journey_log)
    refused(second.turn(character), 429, "rate_limit_exceeded")
    watch.now += 0.5
    assert [second.turn(character).status for _ in range(2)] == [200, 200]
    assert second.turn().status == 200
    assert '"user"' in (second.turn().header("ratelimit-policy") or "")


def test_limits_outlast_a_process_that_is_killed(
    tmp_path: Path, journey_log: FakeJourneyLog, model: FakeModel
) -> None:
    """By the real clock: a minute is longer than this takes."""
    settings = environment(
        model, journey_log, AUTH_MODE="jwt", JWT_SECRET=SECRET, LIMIT_USER_PER_MINUTE="3"
    )
    mine, others = bearer(token(sub="mara")), bearer(token(sub="otto"))

    def turn(service: Served, user: str) -> Reply:
        body = turn_body(journey_log.seed_character(user))
        sent = mine if user == "mara" else others
        return service.call("POST", "/turn", body, **sent)

    with remote(tmp_path, settings) as server:
        assert [turn(server, "mara").status for _ in range(3)] == [200] * 3
        server.process.kill()
    with remote(tmp_path, settings) as server:
        reply = turn(server, "mara")
        refused(reply, 429, "rate_limit_exceeded")
        assert 1 <= int(reply.header("retry-after") or "") <= 60
        assert reply.header("ratelimit-policy") == '"user";q=3;w=60'
        assert turn(server, "otto").status == 200
    assert len(model.calls) == 4


def test_a_stranger_neither_uses_up_a_players_pace_nor_their_key(
    serve: Serve, journey_log: FakeJourneyLog, watch: Watch
) -> None:
    """The pace of a character and the key are its player's own."""
    settings = {**UNDER_JWT, "max_turns_per_character_per_second": 1}
    service = serve(clock=watch.clock, **settings)
    player = Player(service, journey_log)
    character = player.character()
    assert player.turn(character, Idempotency_Key="k").status == 200
    stranger = bearer(token(sub="else"))
    reply = service.call("POST", "/turn", turn_body(character), **stranger, Idempotency_Key="k")
    refused(reply, 403, "forbidden")


# -- addresses ------------------------------------------------------------------------------------


def seen_from(host: str) -> str:
    return address_of(HTTPConnection({"type": "http", "client": (host, 1), "headers": []}))


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("203.0.113.7", "203.0.113.7", True),
        ("203.0.113.7", "203.0.113.8", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:203.0.113.7", "203.0.113.7", True),
        ("::ffff:203.0.113.7", "::ffff:203.0.113.8", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("unix:path", "unix:path", True),
    ],
)
def test_addresses_of_one_network_are_one_client(first: str, second: str, same: bool) -> None:
    assert (seen_from(first) == seen_from(second)) == same


def test_a_client_without_an_address_has_none() -> None:
    assert address_of(HTTPConnection({"type": "http", "client": None, "headers": []})) == ""
