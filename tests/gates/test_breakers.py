"""What is down is left alone: turns fail at once, writes wait, another model takes over."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from callers import PLAIN, Player, Watch

from fakes.journey_log import FakeJourneyLog, Fault, answers, drops, proxy_error, resets
from fakes.model import NARRATIVE, FakeModel, Script, outcome_text
from fakes.server import Request
from serving import SOON, TIMEOUT, Live, Served, aside, refused, turn_body

Serve = Callable[..., Served]
WINDOW = 30
NERVOUS = {
    **PLAIN,
    "breaker_failures": 3,
    "breaker_window_seconds": WINDOW,
    "llm_max_retries": 0,
    "journey_log_max_retries": 0,
    "write_deadline_seconds": 900,
}
DOWN = Script(status=502)
GAUGE = "dungeon_master_{}_circuit_open"
OPEN, HALF_OPEN, CLOSED = ("open", 1.0), ("half_open", 0.5), ("closed", 0.0)


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def service(serve: Serve, watch: Watch) -> Served:
    return serve(clock=watch.clock, **NERVOUS)


@pytest.fixture
def player(service: Served, journey_log: FakeJourneyLog) -> Player:
    return Player(service, journey_log)


def circuit(service: Served, name: str) -> tuple[str, float]:
    state = service.call("GET", "/health").json()["circuits"][name]
    return state, service.metric(GAUGE.format(name))


def break_model(player: Player, model: FakeModel) -> None:
    model.then(DOWN, DOWN, DOWN)
    for _ in range(3):
        refused(player.turn(), 502, "llm_error")
    assert model.unused == 0


# -- the model ------------------------------------------------------------------------------------


def test_a_model_that_is_down_is_not_asked_again(player: Player, model: FakeModel) -> None:
    break_model(player, model)
    for _ in range(5):
        reply = player.turn()
        problem = refused(reply, 503, "llm_unavailable")
        assert problem["error"]["recoverable"] is True
        assert WINDOW - 15 <= int(reply.header("retry-after") or "") <= WINDOW
    assert len(model.calls) == 3


def test_open_circuit_is_an_event_of_a_stream_that_has_begun(
    player: Player, model: FakeModel
) -> None:
    break_model(player, model)
    body = turn_body(player.character())
    stream = player.service.stream("POST", "/turn/stream", body, **player.headers)
    assert stream.status == 200
    assert stream.last["error_type"] == "llm_unavailable"
    assert stream.last["recoverable"] is True
    assert 0 < stream.last["retry_after_seconds"] <= WINDOW
    assert len(model.calls) == 3


def test_health_and_metrics_show_the_models_circuit(
    player: Player, service: Served, watch: Watch, model: FakeModel
) -> None:
    assert circuit(service, "llm") == CLOSED
    break_model(player, model)
    assert circuit(service, "llm") == OPEN
    health = service.call("GET", "/health").json()
    assert (health["status"], health["llm_available"]) == ("degraded", False)
    assert health["components"]["llm"] == health["components"]["openai"] == "unhealthy"
    assert circuit(service, "journey_log") == CLOSED
    watch.ahead += WINDOW
    assert circuit(service, "llm") == HALF_OPEN
    assert player.turn().status == 200
    assert circuit(service, "llm") == CLOSED
    assert service.call("GET", "/health").json()["status"] == "healthy"


def test_one_probe_at_a_time_finds_out_whether_it_is_back(
    player: Player, service: Served, watch: Watch, model: FakeModel
) -> None:
    break_model(player, model)
    watch.ahead += WINDOW
    gate = threading.Event()
    model.then(Script(gate=gate))
    probe = aside(player.turn)
    model.wait_for(lambda: model.stats.open)
    for _ in range(3):
        refused(player.turn(), 503, "llm_unavailable")
    assert len(model.calls) == 4
    gate.set()
    assert probe.result(300).status == 200
    assert [player.turn().status for _ in range(3)] == [200] * 3


def test_a_probe_that_fails_opens_the_circuit_for_another_while(
    player: Player, service: Served, watch: Watch, model: FakeModel
) -> None:
    break_model(player, model)
    watch.ahead += WINDOW
    model.then(DOWN)
    refused(player.turn(), 502, "llm_error")
    assert circuit(service, "llm") == OPEN
    watch.ahead += WINDOW - 15
    refused(player.turn(), 503, "llm_unavailable")
    watch.ahead += 15
    assert player.turn().status == 200


def test_a_probe_that_is_cancelled_leaves_room_for_another(
    player: Player, service: Served, watch: Watch, model: FakeModel
) -> None:
    break_model(player, model)
    watch.ahead += WINDOW
    cancelled_midway(player, model)
    assert circuit(service, "llm") == HALF_OPEN
    assert player.turn().status == 200
    assert circuit(service, "llm") == CLOSED


def cancelled_midway(player: Player, model: FakeModel) -> None:
    gone = model.stats.aborted
    model.then(Script(gate=threading.Event(), gate_after=8))
    body = turn_body(player.character())
    with player.service.open("POST", "/turn/stream", body, **player.headers) as response:
        live = Live(response)
        live.until("token")
        assert player.call("POST", f"/turns/{live.turn_id}/cancel").status == 202
        assert live.rest().last["type"] == "cancelled"
    model.wait_for(lambda: model.stats.aborted == gone + 1)


@pytest.mark.parametrize(
    ("answer", "calls"),
    [
        (Script(text='{"narrative": 7}'), 2),  # streamed, then whole
        (Script(refusal="I will not."), 1),
        (Script(incomplete_after=4), 1),
        (Script(text="no JSON"), 2),
    ],
)
def test_an_answer_that_cannot_be_used_says_nothing_about_the_model(
    player: Player, service: Served, model: FakeModel, answer: Script, calls: int
) -> None:
    model.default = answer
    for _ in range(5):
        refused(player.turn(), 502, "llm_response_error")
    assert len(model.calls) == 5 * calls
    assert circuit(service, "llm") == CLOSED


def test_a_cancel_says_nothing_about_the_model(
    player: Player, service: Served, model: FakeModel
) -> None:
    for _ in range(4):
        cancelled_midway(player, model)
    assert circuit(service, "llm") == CLOSED


@pytest.mark.parametrize(
    "broken", [Script(drop_after=8), Script(reset_after=8), Script(error_after=8)]
)
def test_streams_that_break_count(
    player: Player, service: Served, model: FakeModel, broken: Script
) -> None:
    model.default = broken
    for _ in range(3):
        refused(player.turn(), 502, "llm_error")
    assert circuit(service, "llm") == OPEN


def test_a_server_that_is_gone_counts(player: Player, service: Served, model: FakeModel) -> None:
    model.close()
    for _ in range(3):
        refused(player.turn(), 502, "llm_error")
    refused(player.turn(), 503, "llm_unavailable")


def test_half_of_the_calls_must_have_failed(
    player: Player, service: Served, model: FakeModel
) -> None:
    assert [player.turn().status for _ in range(5)] == [200] * 5
    model.default = DOWN
    assert [player.turn().status for _ in range(5)] == [502] * 5
    refused(player.turn(), 503, "llm_unavailable")


def test_a_turn_gives_up_its_retries_when_the_circuit_opens(
    serve: Serve, journey_log: FakeJourneyLog, model: FakeModel, watch: Watch
) -> None:
    model.default = DOWN
    player = Player(serve(clock=watch.clock, **{**NERVOUS, "llm_max_retries": 10}), journey_log)
    refused(player.turn(), 503, "llm_unavailable")
    assert len(model.calls) == 3


def test_a_story_that_began_before_goes_on_and_closes_nothing(
    player: Player, service: Served, model: FakeModel
) -> None:
    gate = threading.Event()
    model.then(Script(gate=gate, gate_after=8))
    turn = aside(player.turn)
    model.wait_for(lambda: model.stats.open)
    break_model(player, model)
    gate.set()
    assert turn.result(300).json()["narrative"] == NARRATIVE
    assert circuit(service, "llm") == OPEN


# -- journey-log ----------------------------------------------------------------------------------


def break_journey_log(player: Player, journey_log: FakeJourneyLog) -> None:
    journey_log.fail("context", drops(), drops(), drops())
    for _ in range(3):
        refused(player.turn(), 502, "journey_log_error")


def test_while_journey_log_is_down_turns_fail_at_once(
    player: Player, journey_log: FakeJourneyLog, model: FakeModel, watch: Watch
) -> None:
    break_journey_log(player, journey_log)
    asked, character = len(journey_log.requests), player.character()
    made = {"name": "Nim", "race": "Elf", "class_name": "Bard"}
    attempts = [
        ("POST", "/turn", turn_body(character)),
        ("POST", "/turn/stream", turn_body(character)),
        ("GET", "/characters", None),
        ("GET", f"/characters/{character}", None),
        ("POST", "/characters", made),
    ]
    for method, path, body in attempts:
        reply = player.call(method, path, body)
        assert (reply.status, reply.error["type"]) == (502, "journey_log_error")
        assert 0 < int(reply.header("retry-after") or "") <= WINDOW
    assert (len(journey_log.requests), model.calls) == (asked, [])
    watch.ahead += WINDOW
    assert player.turn(character).status == 200


@pytest.mark.parametrize("fault", [drops(), resets(), proxy_error(), answers(500)])
def test_silence_a_broken_connection_and_a_server_error_count(
    player: Player, service: Served, journey_log: FakeJourneyLog, fault: Fault
) -> None:
    journey_log.always("context", fault)
    for _ in range(3):
        assert player.turn().error["type"] == "journey_log_error"
    assert circuit(service, "journey_log") == OPEN


def test_refusals_of_journey_log_do_not_count(
    player: Player, service: Served, journey_log: FakeJourneyLog
) -> None:
    strange = journey_log.seed_character("else")
    for _ in range(5):
        assert player.turn("00000000-0000-4000-8000-000000000000").status == 404
        assert player.turn(strange).status in (403, 404)
    assert circuit(service, "journey_log") == CLOSED


def test_a_remote_journey_log_that_is_down_shows_in_health(
    serve: Serve, journey_log: FakeJourneyLog, watch: Watch
) -> None:
    settings = {**NERVOUS, "health_check_journey_log": True}
    player = Player(serve(clock=watch.clock, **settings), journey_log)
    break_journey_log(player, journey_log)
    health = player.call("GET", "/health").json()
    assert (health["status"], health["journey_log_accessible"]) == ("degraded", False)
    assert health["components"]["journey_log"] == "unhealthy"
    assert circuit(player.service, "journey_log") == OPEN
    watch.ahead += WINDOW
    assert circuit(player.service, "journey_log") == HALF_OPEN
    assert player.turn().status == 200
    assert circuit(player.service, "journey_log") == CLOSED
    assert player.call("GET", "/health").json()["status"] == "healthy"


def test_writes_wait_for_journey_log_and_land_once_when_it_is_back(
    player: Player, service: Served, journey_log: FakeJourneyLog, model: FakeModel, watch: Watch
) -> None:
    character, gate = player.character(), threading.Event()
    model.then(Script(gate=gate))
    body = turn_body(character)
    with service.open("POST", "/turn/stream", body, **player.headers) as response:
        live = Live(response)
        model.wait_for(lambda: model.stats.open)
        break_journey_log(player, journey_log)
        asked = len(journey_log.requests)
        gate.set()
        live.until("metadata", phase="settling")
        assert len(journey_log.requests) == asked
        watch.ahead += WINDOW
        last = live.rest().last
    assert last["subsystem_summary"]["narrative_persisted"] is True
    assert journey_log.kinds(character) == ["narrative"]
    assert journey_log.narratives(character) == [NARRATIVE]
    assert circuit(service, "journey_log") == CLOSED


def test_a_write_without_an_answer_counts(
    player: Player, service: Served, journey_log: FakeJourneyLog, watch: Watch
) -> None:
    character = player.character()
    journey_log.fail("narrative", drops(commit=True))
    journey_log.always("narrative_get", proxy_error())
    turn = aside(player.turn, character)
    service.wait_for(lambda: circuit(service, "journey_log") == OPEN)
    journey_log.heal()
    watch.ahead += WINDOW
    assert turn.result(300).json()["subsystem_summary"]["narrative_persisted"] is True
    assert journey_log.kinds(character) == ["narrative"]


# -- who takes over -------------------------------------------------------------------------------

WITH_BACKUP = {**NERVOUS, "openai_model": "main", "openai_fallback_model": "backup"}


def main_answers(script: Script) -> Callable[[Request], Script]:
    return lambda request: script if request.json()["model"] == "main" else Script()


def asked(model: FakeModel) -> list[str]:
    return [call["model"] for call in model.calls]


def test_the_fallback_model_takes_over_after_the_retries(
    serve: Serve, journey_log: FakeJourneyLog, model: FakeModel, watch: Watch
) -> None:
    model.default = main_answers(DOWN)
    settings = {**WITH_BACKUP, "llm_max_retries": 1}
    player = Player(serve(clock=watch.clock, **settings), journey_log)
    body = turn_body(player.character())
    stream = player.service.stream("POST", "/turn/stream", body, **player.headers)
    assert asked(model) == ["main", "main", "backup"]
    assert stream.narrative == NARRATIVE
    assert stream.last["usage"]["model"] == "backup"
    assert player.turn().json()["usage"]["model"] == "backup"


def test_with_an_open_circuit_the_fallback_model_is_asked_at_once(
    serve: Serve, journey_log: FakeJourneyLog, model: FakeModel, watch: Watch
) -> None:
    model.default = main_answers(DOWN)
    player = Player(serve(clock=watch.clock, **WITH_BACKUP), journey_log)
    assert [player.turn().status for _ in range(5)] == [200] * 5
    assert asked(model) == ["main", "backup"] * 3 + ["backup"] * 2
    assert circuit(player.service, "llm") == OPEN
    watch.ahead += WINDOW
    model.default = Script()
    assert player.turn().json()["usage"]["model"] == "main"


def test_the_fallback_model_takes_over_a_story_without_a_word(
    serve: Serve, journey_log: FakeJourneyLog, model: FakeModel, watch: Watch
) -> None:
    model.default = main_answers(Script(drop_after=1))
    player = Player(serve(clock=watch.clock, **WITH_BACKUP), journey_log)
    reply = player.turn()
    assert reply.json()["narrative"] == NARRATIVE
    assert reply.json()["usage"]["model"] == "backup"
    assert asked(model) == ["main", "main", "backup"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Script(drop_after=8), "llm_error"),
        (Script(error_after=8), "llm_error"),
        (Script(refusal="I will not."), "llm_response_error"),
        (Script(incomplete_after=8), "llm_response_error"),
        (Script(text="no JSON"), "llm_response_error"),
    ],
)
def test_nobody_takes_over_once_text_is_out_or_the_model_has_answered(
    serve: Serve,
    journey_log: FakeJourneyLog,
    model: FakeModel,
    watch: Watch,
    answer: Script,
    kind: str,
) -> None:
    model.default = main_answers(answer)
    settings = {**WITH_BACKUP, "offline_fallback": True}
    player = Player(serve(clock=watch.clock, **settings), journey_log)
    body = turn_body(player.character())
    stream = player.service.stream("POST", "/turn/stream", body, **player.headers)
    assert stream.last["error_type"] == kind
    assert (stream.last.get("partial_narrative") or "") == stream.narrative
    assert set(asked(model)) == {"main"}
    assert journey_log.writes == []


@pytest.mark.parametrize("backup", [{}, {"openai_fallback_model": "backup"}])
def test_the_offline_storyteller_takes_over_where_it_is_wanted(
    serve: Serve,
    journey_log: FakeJourneyLog,
    model: FakeModel,
    watch: Watch,
    backup: dict[str, Any],
) -> None:
    model.default = DOWN
    settings = {**NERVOUS, **backup, "offline_fallback": True, "storyteller_tokens_per_second": 0}
    player = Player(serve(clock=watch.clock, **settings), journey_log)
    character = player.character()
    turn = player.turn(character).json()
    assert turn["usage"]["model"] == "offline-storyteller"
    assert journey_log.narratives(character) == [turn["narrative"]]
    events = f"/turns/{turn['turn_id']}/events"
    log = player.service.stream("GET", events, **player.headers)
    assert log.last["usage"]["model"] == "offline-storyteller"
    assert len(model.calls) == 1 + len(backup)


@pytest.mark.parametrize("backup", [{}, {"openai_fallback_model": "backup"}])
def test_the_offline_storyteller_stays_away_where_it_is_not(
    serve: Serve,
    journey_log: FakeJourneyLog,
    model: FakeModel,
    watch: Watch,
    backup: dict[str, Any],
) -> None:
    model.default = DOWN
    player = Player(serve(clock=watch.clock, **NERVOUS, **backup), journey_log)
    for _ in range(3):
        refused(player.turn(), 502, "llm_error")
    refused(player.turn(), 503, "llm_unavailable")


def test_the_fallback_model_has_a_circuit_of_its_own(
    serve: Serve, journey_log: FakeJourneyLog, model: FakeModel, watch: Watch
) -> None:
    player = Player(serve(clock=watch.clock, **WITH_BACKUP), journey_log)
    model.default = DOWN
    for _ in range(3):
        assert player.turn().status == 502
    assert asked(model) == ["main", "backup"] * 3
    refused(player.turn(), 503, "llm_unavailable")
    watch.ahead += WINDOW
    model.default = main_answers(DOWN)
    assert player.turn().json()["usage"]["model"] == "backup"


# -- a server that answers one call at a time -----------------------------------------------------

WAITING = {
    "it takes no second call": Script(hang=True),
    "it begins and says nothing": Script(hang_after=0),
    "it says that it is busy": Script(status=503),
    "it says that there are too many": Script(status=429),
}


@pytest.mark.parametrize("answered", [True, False], ids=["serving another", "serving nobody"])
@pytest.mark.parametrize("how", WAITING)
def test_a_server_that_serves_one_player_at_a_time_is_not_down(
    serve: Serve, model: FakeModel, journey_log: FakeJourneyLog, how: str, answered: bool
) -> None:
    service = serve(timeout=SOON, **{**NERVOUS, "llm_api": "chat"})
    others = [Player(service, journey_log) for _ in range(4)]
    model.default = WAITING[how]
    with ExitStack() as stack:
        if answered:
            long = outcome_text("word " * 1_000)  # it ends by being cancelled
            model.then(Script(long, token_chars=2, pace=0.02))
            live = stack.enter_context(service.live(journey_log.seed_character()))
            live.until("token")
        statuses = [one.result(TIMEOUT).status for one in [aside(player.turn) for player in others]]
        assert set(statuses) <= {502, 503, 504}
        assert circuit(service, "llm") == (CLOSED if answered else OPEN)
        if answered:
            assert service.cancel(live.turn_id).status == 202
            assert live.rest().last["type"] == "cancelled"
