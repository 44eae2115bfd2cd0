"""Money of a user and a day, over a socket: priced, set aside, settled, limited, and warned of."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from callers import PLAIN, Player

from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel, Script, Usage
from serving import Served, aside, refused, turn_body

Serve = Callable[..., Served]
MODEL = "gpt-9"
PRICED = {"openai_model": MODEL, "model_prices": f"{MODEL}=2/10/1"}
ANSWER = Script(usage=Usage(900, 33, cached=100))
COST = 800 * 2 + 100 * 1 + 33 * 10
SMALL = {"llm_max_output_tokens": 100, "journey_log_recent_n": 1}


def money(player: Player) -> dict[str, Any]:
    return {name: value for name, value in player.usage().items() if name.startswith("cost")}


def start_of(service: Served, player: Player) -> dict[str, Any]:
    """The first event of a turn."""
    return service.stream(
        "POST", "/turn/stream", turn_body(player.character()), **player.headers
    ).events[0]


def test_costs_of_turn_user_and_character_follow_the_prices(
    serve: Serve, journey_log: FakeJourneyLog, model: FakeModel
) -> None:
    player = Player(serve(**PLAIN, **PRICED), journey_log)
    model.default = ANSWER
    hero, other = player.character(), player.character()
    for character in (hero, hero, other):
        assert player.turn(character).json()["usage"]["cost_micros"] == COST
    assert money(player) == {
        "cost_micros": 3 * COST,
        "cost_reserved_micros": 0,
        "cost_limit_micros": None,
        "cost_remaining_micros": None,
    }
    costs = [
        player.call("GET", f"/characters/{one}").json()["cost_micros"] for one in (hero, other)
    ]
    assert costs == [2 * COST, COST]
    scraped = player.service.call("GET", "/metrics").body.decode()
    labels = f'{{model="{MODEL}",purpose="turn"}}'
    assert f"dungeon_master_model_cost_dollars_total{labels} {3 * COST / 10**6!r}" in scraped


def test_a_model_without_a_price_costs_nothing_that_is_shown(
    serve: Serve, journey_log: FakeJourneyLog, model: FakeModel
) -> None:
    player = Player(serve(**PLAIN, openai_model="gpt-4o"), journey_log)  # at a server of one's own
    model.then(ANSWER)
    usage = player.turn().json()["usage"]
    assert "cost_micros" not in usage
    assert usage["total_tokens"] == 933
    assert player.usage()["cost_micros"] == 0


def test_money_is_set_aside_while_a_turn_runs_and_refused_beyond_the_budget(
    serve: Serve, journey_log: FakeJourneyLog, model: FakeModel
) -> None:
    budget = {"dollars_per_user_per_day": "0.012"}
    service = serve(**PLAIN, **PRICED, **SMALL, **budget)
    player, other = Player(service, journey_log), Player(service, journey_log, "ben")
    gate = threading.Event()
    model.then(replace(ANSWER, gate=gate))
    turn = aside(player.turn)
    model.wait_for(lambda: model.stats.open)
    reserved = money(player)["cost_reserved_micros"]
    assert COST < reserved < 12_000 < 2 * reserved
    problem = refused(player.turn(), 429, "token_budget_exceeded")
    assert "Of today's $0.012 " in problem["detail"]
    assert other.turn().status == 200
    gate.set()
    assert turn.result(300).status == 200
    assert money(player) == {
        "cost_micros": COST,
        "cost_reserved_micros": 0,
        "cost_limit_micros": 12_000,
        "cost_remaining_micros": 12_000 - COST,
    }


def test_a_turn_that_begins_with_80_percent_used_says_so(
    serve: Serve, journey_log: FakeJourneyLog, model: FakeModel
) -> None:
    dear = {"openai_model": MODEL, "model_prices": f"{MODEL}=0/1000"}
    limits = {"dollars_per_user_per_day": 1, "tokens_per_user_per_day": 10**6}
    service = serve(**PLAIN, **dear, **SMALL, **limits)
    player = Player(service, journey_log)
    model.then(Script(usage=Usage(10, 800)))
    model.default = Script(usage=Usage(10, 1))
    assert "budget_warnings" not in start_of(service, player)
    warned = start_of(service, player)["budget_warnings"]
    assert warned == [{"unit": "micros", "used": 800_000, "limit": 10**6}]
    scraped = service.call("GET", "/metrics").body.decode()
    assert 'dungeon_master_turns_near_budget_total{unit="micros"} 1.0' in scraped


@pytest.mark.parametrize("value", ["-1", "0.0000001", "much", "NaN", "Infinity"])
def test_a_limit_that_is_no_sum_of_money_stops_the_start(serve: Serve, value: str) -> None:
    with pytest.raises(Exception, match=r"(?i)dollars_per_user_per_day"):
        serve(**PRICED, dollars_per_user_per_day=value)
