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
from tabling import Guest, script_of

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
    days = player.usage()["days"]
    assert sum(row["tokens_used"] for row in days) == 3 * 933
    assert sum(row["cost_micros"] for row in days) == 3 * COST
    assert player.call("GET", "/usage?days=366").json()["days"] == days
    for given in ("0", "367", "x", "-1", "1.5", ""):
        problem = refused(player.call("GET", f"/usage?days={given}"), 422, "validation_error")
        assert "days: must be a whole number from 1 to 366" in problem["detail"]
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
    scraped = player.service.call("GET", "/metrics").body.decode()
    assert 'dungeon_master_model_unpriced_tokens_total{model="gpt-4o"} 933.0' in scraped


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
    assert warned == [{"of": "user", "unit": "micros", "used": 800_000, "limit": 10**6}]
    scraped = service.call("GET", "/metrics").body.decode()
    assert 'dungeon_master_turns_near_budget_total{of="user",unit="micros"} 1.0' in scraped


def test_a_table_is_warned_at_80_percent_of_its_money_and_ends_with_it(
    serve: Serve, model: FakeModel
) -> None:
    service = serve(**PLAIN, **PRICED, table_dollar_budget="0.0021", table_token_budget=0)
    owner = Guest(service, "olga")
    table = owner.opens()
    model.default = replace(ANSWER, text=script_of().text)
    with owner.follows(table) as stream:
        for used in (0, COST):
            assert owner.acts(table).status == 200
            start = stream.until("metadata", phase="start")
            warning = {"of": "table", "unit": "micros", "used": used, "limit": 2_100}
            assert start.get("budget_warnings", []) == [warning] * bool(used)
            stream.until("complete")
        before = len(model.calls)
        problem = refused(owner.acts(table), 429, "token_budget_exceeded")
        assert problem["detail"] == "The session has used its $0.0021."
        refused(
            owner.call("POST", f"/{table}/ask", {"question": "Who?"}), 429, "token_budget_exceeded"
        )
        assert len(model.calls) == before
    left = owner.call("GET", f"/{table}/tokens").json()
    assert (left["cost_micros"], left["cost_limit_micros"]) == (2 * COST, 2_100)
    assert left["cost_remaining_micros"] == 0
    changed = owner.call("PUT", f"/{table}", {"cost_budget_micros": 10_000}).json()
    assert changed["cost_budget_micros"] == 10_000
    assert owner.acts(table).status == 200


def test_money_of_a_table_is_only_limited_where_models_have_prices(serve: Serve) -> None:
    owner = Guest(serve(**PLAIN, openai_model="mine"), "olga")
    table = owner.opens()
    problem = refused(
        owner.call("PUT", f"/{table}", {"cost_budget_micros": 1}), 422, "validation_error"
    )
    assert "cost_budget_micros: the price of mine is not known" in problem["detail"]
    assert owner.call("PUT", f"/{table}", {"cost_budget_micros": 0}).status == 200


@pytest.mark.parametrize("name", ["dollars_per_user_per_day", "table_dollar_budget"])
@pytest.mark.parametrize("value", ["-1", "0.0000001", "much", "NaN", "Infinity"])
def test_a_limit_that_is_no_sum_of_money_stops_the_start(
    serve: Serve, name: str, value: str
) -> None:
    with pytest.raises(Exception, match=rf"(?i){name}"):
        serve(**PRICED, **{name: value})
