"""Tokens of a user and a day: set aside before the model is asked, settled when the turn ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from callers import MIDDAY, PLAIN, UNDER_JWT, Player, Watch

from fakes.journey_log import FakeJourneyLog, late
from fakes.model import NARRATIVE, FakeModel, Script, Usage, cut, outcome_text
from passes import bearer, token
from remote import environment, remote
from serving import Reply, Served, aside, refused, turn_body

Serve = Callable[..., Served]
SMALL = {
    "llm_max_output_tokens": 100,
    "journey_log_recent_n": 1,
}  # reservations of some 4000 tokens
ANSWER = Script(usage=Usage(900, 33))
PLENTY = 1_000_000


def budgeted(tokens: int = PLENTY, **more: Any) -> dict[str, Any]:
    return {**PLAIN, **SMALL, "tokens_per_user_per_day": tokens, **more}


@pytest.fixture
def service(serve: Serve) -> Served:
    return serve(**budgeted())


@pytest.fixture
def player(service: Served, journey_log: FakeJourneyLog) -> Player:
    return Player(service, journey_log)


@pytest.fixture
def reservation(serve: Serve, journey_log: FakeJourneyLog, tmp_path: Path) -> int:
    """What a turn sets aside under `SMALL`, read from a service of its own."""
    aside_store = f"sqlite:///{tmp_path}/other.db"
    probe = Player(serve(**budgeted(), store_url=aside_store), journey_log)
    gate = threading.Event()
    journey_log.fail("context", late(gate))
    turn = aside(probe.turn)
    probe.service.wait_for(lambda: probe.usage()["tokens_reserved"])
    reserved = int(probe.usage()["tokens_reserved"])
    gate.set()
    turn.result(300)
    return reserved


def spent(player: Player) -> tuple[int, int]:
    usage = player.usage()
    return usage["tokens_used"], usage["tokens_reserved"]


# -- set aside, then settled ----------------------------------------------------------------------


def test_tokens_are_set_aside_before_the_model_is_asked(
    player: Player, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    gate = threading.Event()
    journey_log.fail("context", late(gate))
    model.then(ANSWER)
    turn = aside(player.turn)
    player.service.wait_for(lambda: player.usage()["tokens_reserved"])
    used, reserved = spent(player)
    assert (used, model.calls) == (0, [])
    assert reserved > 933 + 100
    gate.set()
    assert turn.result(300).status == 200
    assert spent(player) == (933, 0)


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("dry_run", [True, False])
def test_turn_costs_the_usage_of_its_provider(
    serve: Serve,
    journey_log: FakeJourneyLog,
    model: FakeModel,
    api: str,
    streaming: bool,
    dry_run: bool,
) -> None:
    settings = budgeted(llm_api=api, llm_streaming=streaming)
    player = Player(serve(**settings), journey_log)
    model.default = replace(ANSWER, usage=Usage(900, 50, reasoning=17))
    assert player.turn(body={"dry_run": dry_run}).json()["usage"]["total_tokens"] == 950
    assert player.turn(body={"dry_run": dry_run}).status == 200
    assert spent(player) == (1_900, 0)


def test_without_a_report_the_cost_is_estimated(player: Player, model: FakeModel) -> None:
    model.then(replace(ANSWER, usage=None))
    usage = player.turn().json()["usage"]
    assert usage["estimated"] is True
    assert spent(player) == (usage["total_tokens"], 0)
    assert usage["total_tokens"] > 350


def test_cancelled_turn_costs_the_tokens_read_and_written_so_far(
    player: Player, service: Served, model: FakeModel
) -> None:
    model.then(replace(ANSWER, gate=threading.Event(), gate_after=8))
    body = turn_body(player.character())
    with service.open("POST", "/turn/stream", body, **player.headers) as response:
        model.wait_for(lambda: model.stats.open)
        turn_id = response.headers["X-Turn-Id"]
        service.wait_for(lambda: player.call("GET", f"/turns/{turn_id}").json()["narrative"])
        assert player.call("POST", f"/turns/{turn_id}/cancel").status == 202
        response.read()
    used, reserved = spent(player)
    assert reserved == 0
    assert 350 < used < 4_000


def test_turn_without_a_reader_costs_the_usage_of_its_provider(
    player: Player, service: Served, model: FakeModel
) -> None:
    gate = threading.Event()
    model.then(replace(ANSWER, gate=gate, gate_after=8))
    body = turn_body(player.character())
    with service.open("POST", "/turn/stream", body, **player.headers) as response:
        model.wait_for(lambda: model.stats.open)
        assert response.status == 200
    gate.set()
    service.wait_for(lambda: player.usage()["tokens_reserved"] == 0)
    assert spent(player) == (933, 0)


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize(
    ("wrong", "used"),
    [
        pytest.param({"text": '{"narrative": 7}'}, 2 * 933, id="invalid"),
        pytest.param({"incomplete_after": 4}, 933, id="cut off"),
        pytest.param({"status": 401}, 0, id="refused"),
    ],
)
def test_failed_turn_costs_the_usage_of_its_provider(
    serve: Serve,
    journey_log: FakeJourneyLog,
    model: FakeModel,
    api: str,
    wrong: dict[str, Any],
    used: int,
) -> None:
    player = Player(serve(**budgeted(llm_api=api)), journey_log)
    model.then(*[replace(ANSWER, **wrong)] * 2)
    assert player.turn().status == 502
    assert spent(player) == (used, 0)


def test_turn_that_ended_with_a_broken_stream_costs_nothing(
    player: Player, model: FakeModel
) -> None:
    model.then(replace(ANSWER, drop_after=8))
    refused(player.turn(), 502, "llm_error")
    assert spent(player) == (0, 0)


def test_every_call_of_a_turn_counts(player: Player, model: FakeModel) -> None:
    model.then(replace(ANSWER, drop_after=1), ANSWER)
    assert player.turn().status == 200
    used, _ = spent(player)
    assert used > 933 + 350


def test_a_turn_that_never_began_costs_nothing(
    player: Player, service: Served, model: FakeModel
) -> None:
    refused(player.turn("00000000-0000-4000-8000-000000000000"), 404, "character_not_found")
    assert spent(player) == (0, 0)


def test_a_turn_in_line_sets_aside_too_and_gives_it_back(
    serve: Serve, journey_log: FakeJourneyLog, model: FakeModel
) -> None:
    player = Player(serve(**budgeted(turn_conflict="queue")), journey_log)
    gate, character = threading.Event(), player.character()
    model.then(replace(ANSWER, gate=gate))
    first = aside(player.turn, character)
    model.wait_for(lambda: model.stats.open)
    one = player.usage()["tokens_reserved"]
    body = turn_body(character)
    with player.service.open("POST", "/turn/stream", body, **player.headers) as response:
        assert player.usage()["tokens_reserved"] == 2 * one
        turn_id = response.headers["X-Turn-Id"]
        assert player.call("POST", f"/turns/{turn_id}/cancel").status == 202
    assert spent(player) == (0, one)
    gate.set()
    assert first.result(300).status == 200
    assert spent(player) == (933, 0)


# -- the end of a budget --------------------------------------------------------------------------


def test_a_turn_that_might_overspend_is_refused_before_it_leaves_a_trace(
    serve: Serve, journey_log: FakeJourneyLog, model: FakeModel, reservation: int
) -> None:
    watch = Watch()
    player = Player(serve(clock=watch.clock, **budgeted(reservation + 932)), journey_log)
    model.default, calls = ANSWER, len(model.calls)
    assert player.turn().status == 200
    reply = player.turn()
    problem = refused(reply, 429, "token_budget_exceeded")
    assert problem["error"]["recoverable"] is True
    assert reply.header("retry-after") == "43200"
    assert spent(player) == (933, 0)
    assert len(model.calls) == calls + 1
    assert Player(player.service, journey_log, "else").turn().status == 200


def test_the_last_token_of_a_budget_can_be_used(
    serve: Serve, journey_log: FakeJourneyLog, model: FakeModel, reservation: int
) -> None:
    player = Player(serve(**budgeted(reservation)), journey_log)
    model.default = ANSWER
    assert player.turn().status == 200


def test_while_tokens_are_set_aside_the_wait_is_short(
    serve: Serve, journey_log: FakeJourneyLog, model: FakeModel, reservation: int
) -> None:
    player = Player(serve(**budgeted(reservation + 1_000)), journey_log)
    gate = threading.Event()
    model.then(replace(ANSWER, gate=gate), ANSWER)
    first, opened = aside(player.turn), model.stats.ended
    model.wait_for(lambda: model.stats.open)
    assert player.turn().header("retry-after") == "1"
    gate.set()
    assert first.result(300).status == 200
    assert model.stats.ended > opened
    assert player.turn().status == 200


def test_fifty_turns_at_once_never_overspend(
    serve: Serve, journey_log: FakeJourneyLog, model: FakeModel, reservation: int
) -> None:
    limit = 5 * reservation + 100
    player = Player(serve(**budgeted(limit)), journey_log)
    gate = threading.Event()
    model.default = replace(ANSWER, gate=gate)
    turns: list[Future[Reply]] = [
        aside(partial(player.turn, player.character())) for _ in range(50)
    ]
    player.service.wait_for(lambda: sum(turn.done() for turn in turns) == 45)
    model.wait_for(lambda: model.stats.open == 5)
    assert spent(player) == (0, 5 * reservation)
    assert player.usage()["tokens_remaining"] == 100
    gate.set()
    replies = [turn.result(300) for turn in turns]
    assert sorted(reply.status for reply in replies) == [200] * 5 + [429] * 45
    assert spent(player) == (5 * 933, 0)


def test_a_reservation_becomes_a_charge_when_the_process_is_killed(
    tmp_path: Path, journey_log: FakeJourneyLog, model: FakeModel, reservation: int
) -> None:
    limit = 2 * reservation - 1
    settings = environment(
        model,
        journey_log,
        TOKENS_PER_USER_PER_DAY=str(limit),
        LLM_MAX_OUTPUT_TOKENS="100",
        JOURNEY_LOG_RECENT_N="1",
    )
    character, gate = journey_log.seed_character(), threading.Event()
    model.then(replace(ANSWER, gate=gate, gate_after=8))
    with remote(tmp_path, settings) as server, server.live(character) as live:
        live.until("token")
        server.process.signal(signal.SIGKILL)
        server.process.exit_code()
    gate.set()
    with remote(tmp_path, settings) as server:
        server.wait_for(lambda: server.call("GET", "/usage").json()["tokens_reserved"] == 0)
        usage = server.call("GET", "/usage").json()
        assert usage["tokens_used"] == reservation
        reply = server.call("POST", "/turn", turn_body(character))
        refused(reply, 429, "token_budget_exceeded")
        assert server.call("GET", "/usage").json() == usage
        turn = server.call("GET", f"/turns/{live.turn_id}").json()
        assert turn["error"]["type"] == "interrupted"


def test_fifty_turns_at_once_and_a_killed_process_never_overspend(
    tmp_path: Path, journey_log: FakeJourneyLog, model: FakeModel, reservation: int
) -> None:
    limit = 2 * 933 + 5 * reservation + 100
    settings = environment(
        model,
        journey_log,
        TOKENS_PER_USER_PER_DAY=str(limit),
        LLM_MAX_OUTPUT_TOKENS="100",
        JOURNEY_LOG_RECENT_N="1",
    )
    model.default, calls = ANSWER, len(model.calls)

    def flood(server: Served) -> list[Future[Reply]]:
        characters = [journey_log.seed_character() for _ in range(50)]
        return [aside(server.call, "POST", "/turn", turn_body(one)) for one in characters]

    def usage(server: Served) -> tuple[int, int]:
        used = server.call("GET", "/usage").json()
        return used["tokens_used"], used["tokens_reserved"]

    with remote(tmp_path, settings) as server:
        for _ in range(2):
            body = turn_body(journey_log.seed_character())
            assert server.call("POST", "/turn", body).status == 200
        gate = threading.Event()
        model.default = replace(ANSWER, gate=gate)
        turns = flood(server)
        server.wait_for(lambda: sum(turn.done() for turn in turns) == 45)
        model.wait_for(lambda: model.stats.open == 5)
        assert {turn.result().status for turn in turns if turn.done()} == {429}
        assert usage(server) == (2 * 933, 5 * reservation)
        server.process.kill()
    gate.set()
    with remote(tmp_path, settings) as server:
        server.wait_for(lambda: usage(server)[1] == 0)
        assert usage(server) == (2 * 933 + 5 * reservation, 0)
        assert {turn.result(300).status for turn in flood(server)} == {429}
        assert sum(usage(server)) <= limit
    assert len(model.calls) - calls == 7


@pytest.mark.parametrize("glyph", ["x", "é", "竜", "🔥"])
def test_an_action_is_set_aside_for_as_if_every_byte_were_a_token(
    player: Player, journey_log: FakeJourneyLog, reservation: int, glyph: str
) -> None:
    gate, action = threading.Event(), glyph * 8_000
    journey_log.fail("context", late(gate))
    turn = aside(player.turn, None, {"action": action})
    player.service.wait_for(lambda: player.usage()["tokens_reserved"])
    ordinary = len(turn_body("")["user_action"].encode())
    assert spent(player) == (0, reservation - ordinary + len(action.encode()))
    gate.set()
    assert turn.result(300).status == 200


# -- the day --------------------------------------------------------------------------------------


def test_a_new_day_begins_at_midnight_utc(
    serve: Serve, journey_log: FakeJourneyLog, model: FakeModel, reservation: int
) -> None:
    watch = Watch(MIDDAY // 86_400 * 86_400 + 86_400 - 2)
    player = Player(serve(clock=watch.clock, **budgeted(reservation)), journey_log)
    model.default = ANSWER
    assert player.turn().status == 200
    watch.now += 1
    assert player.turn().header("retry-after") == "1"
    watch.now += 1
    assert spent(player) == (0, 0)
    assert player.turn().status == 200
    assert spent(player) == (933, 0)


def test_a_turn_over_midnight_is_set_aside_and_charged_on_the_day_it_ends(
    serve: Serve, journey_log: FakeJourneyLog, model: FakeModel
) -> None:
    watch, gate = Watch(MIDDAY // 86_400 * 86_400 + 86_400 - 1), threading.Event()
    player = Player(serve(clock=watch.clock, **budgeted()), journey_log)
    model.then(replace(ANSWER, gate=gate))
    turn = aside(player.turn)
    model.wait_for(lambda: model.stats.open)
    watch.now += 2
    assert player.usage()["tokens_reserved"] > 0
    gate.set()
    assert turn.result(300).status == 200
    assert spent(player) == (933, 0)
    watch.now -= 2
    assert spent(player) == (0, 0)


# -- what users and operators see -----------------------------------------------------------------


def test_usage_shows_the_budget(player: Player, model: FakeModel) -> None:
    model.then(ANSWER)
    assert player.turn().status == 200
    usage = player.usage()
    (day,) = usage.pop("days")
    assert date.fromisoformat(day.pop("date"))
    assert day == {"tokens_used": 933, "cost_micros": 0}
    assert usage == {
        "user_id": "mara",
        "tokens_used": 933,
        "tokens_reserved": 0,
        "tokens_limit": PLENTY,
        "tokens_remaining": PLENTY - 933,
        "cost_micros": 0,
        "cost_reserved_micros": 0,
        "cost_limit_micros": None,
        "cost_remaining_micros": None,
    }


def test_without_a_budget_usage_is_counted_all_the_same(
    serve: Serve, journey_log: FakeJourneyLog, model: FakeModel
) -> None:
    player = Player(serve(), journey_log)
    model.then(ANSWER)
    assert player.turn().status == 200
    usage = player.usage()
    assert (usage["tokens_used"], usage["tokens_limit"], usage["tokens_remaining"]) == (
        933,
        None,
        None,
    )


def test_an_administrator_sees_the_usage_of_anybody(
    serve: Serve, journey_log: FakeJourneyLog, model: FakeModel
) -> None:
    service = serve(**UNDER_JWT, **SMALL, tokens_per_user_per_day=PLENTY)
    player = Player(service, journey_log)
    model.then(ANSWER)
    assert player.turn().status == 200
    admin, plain = bearer(token(sub="boss")), bearer(token(sub="boss", scope="turns"))
    seen = service.call("GET", "/admin/usage/mara", **admin)
    assert seen.json() == player.usage()
    assert service.call("GET", "/admin/usage/nobody", **admin).json()["tokens_used"] == 0
    refused(service.call("GET", "/admin/usage/mara", **plain), 403, "forbidden")


def test_the_usage_of_others_needs_the_admin_endpoints(serve: Serve) -> None:
    service = serve(admin_endpoints_enabled=False)
    refused(service.call("GET", "/admin/usage/mara"), 404, "not_found")


# -- the request to the model ---------------------------------------------------------------------

BOUNDS = {"max_output_tokens", "max_completion_tokens", "max_tokens"}


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize(
    ("api", "budget", "bound"),
    [
        ("responses", PLENTY, {"max_output_tokens": 100}),
        ("chat", PLENTY, {"max_tokens": 100}),
        ("responses", 0, {}),
        ("chat", 0, {}),
    ],
)
def test_an_answer_is_bounded_when_there_is_a_budget(
    serve: Serve,
    journey_log: FakeJourneyLog,
    model: FakeModel,
    streaming: bool,
    api: str,
    budget: int,
    bound: dict[str, int],
) -> None:
    settings = budgeted(budget, llm_api=api, llm_streaming=streaming)
    assert Player(serve(**settings), journey_log).turn().status == 200
    sent = model.calls[-1]
    assert {name: sent[name] for name in BOUNDS & sent.keys()} == bound


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (422, "Unrecognized request argument supplied: max_tokens"),
        (
            400,
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
        ),
    ],
)
def test_server_that_knows_only_the_newer_name_gets_it(
    serve: Serve, journey_log: FakeJourneyLog, model: FakeModel, status: int, words: str
) -> None:
    player = Player(serve(**budgeted(llm_api="chat")), journey_log)
    model.then(Script(status=status, error_body={"error": {"message": words}}))
    for _ in range(2):
        assert player.turn().status == 200
    asked = [{name: sent[name] for name in BOUNDS & sent.keys()} for sent in model.calls]
    newer = {"max_completion_tokens": 100}
    assert asked == [{"max_tokens": 100}, newer, newer]


def test_a_long_answer_is_streamed_within_its_bound(player: Player, model: FakeModel) -> None:
    text = outcome_text(NARRATIVE * 3)
    model.then(Script(pieces=cut(text, 7), usage=Usage(900, 90)))
    assert player.turn().json()["narrative"] == NARRATIVE * 3
    assert spent(player) == (990, 0)
