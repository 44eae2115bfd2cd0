"""The simulation of many players is arithmetic: it finds the tier that is scarce, and always the same."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from bench.deployment import HEARING, NODES, Assumptions, Figures, Model, cost_of_1000_turns
from bench.simulate import BEGIN, DOCUMENT, END, Ramp, holds, ramp, shards_for, text

FIGURES = Figures(
    turn_cpu_us=6_000,
    token_cpu_us=30,
    statements=10,
    rows=30,
    wal_kib=20,
    database_cpu_us=3_000,
    disk_kib=20,
    stream_kib=80,
    hear_us=60,
    flush_ceiling=4_000,
    redis_kib=60,
    redis_commands=300_000,
)
PLENTY = Assumptions(
    database_cores=100_000,
    database_iops=1e9,
    wal_mib=1e9,
    connections=10**9,
    redis_gib=1e9,
)
UNBOUND = replace(FIGURES, hear_us=0, flush_ceiling=1e9, redis_commands=1e12)


@pytest.mark.parametrize("redis", [False, True])
def test_nothing_breaks_where_there_is_plenty(redis: bool) -> None:
    found = ramp(Model(UNBOUND, PLENTY, redis), 1_000_000, steps=200)
    assert (found.broken, found.at) == ("", 0.0)
    assert all(waiting < 1e-6 for waiting in found.queues.values())


@pytest.mark.parametrize(
    ("tier", "scarce", "redis"),
    [
        (HEARING, {"hear_us": 400}, False),
        ("commit lock of NOTIFY", {"flush_ceiling": 500}, False),
        ("Redis commands", {"redis_commands": 10_000}, True),
        ("Redis memory", {"redis_gib": 0.01}, True),
        ("database processor", {"database_cores": 1}, True),
        ("database IOPS", {"database_iops": 500}, True),
        ("write-ahead log", {"wal_mib": 1}, True),
        ("database connections", {"connections": 50}, False),
    ],
)
def test_scarce_tier_breaks_first(tier: str, scarce: dict[str, Any], redis: bool) -> None:
    figures = replace(UNBOUND, **{k: v for k, v in scarce.items() if hasattr(UNBOUND, k)})
    assumed = replace(PLENTY, **{k: v for k, v in scarce.items() if hasattr(PLENTY, k)})
    model = Model(figures, assumed, redis)
    found = ramp(model, 1_000_000, steps=500)
    assert found.broken == tier
    assert 0 < found.at < 1_000_000


def test_queue_grows_only_beyond_the_capacity_of_a_tier() -> None:
    model = Model(UNBOUND, replace(PLENTY, database_cores=1), redis=True)
    most = model.capacities(1)["database processor"] * PLENTY.turn_every
    held, beyond = Ramp(model), Ramp(model)
    for _ in range(300):
        held.step(most * 0.99)
        beyond.step(most * 1.5)
    assert held.broken == ""
    assert beyond.broken == "database processor"
    assert sum(beyond.queues.values()) < most * 1.5, "who waits asks for nothing more"


@pytest.mark.parametrize("redis", [False, True])
def test_as_many_shards_hold_and_no_fewer(redis: bool) -> None:
    model, players = Model(FIGURES, Assumptions(), redis), 1_000_000
    count = shards_for(model, players)
    assert count > 1
    assert holds(model, players / count)
    assert not holds(model, players / (count - 1))


@pytest.mark.parametrize("turns", [0, 10, 500, 5_000])
@pytest.mark.parametrize("redis", [False, True])
def test_processes_are_as_few_as_suffice(turns: float, redis: bool) -> None:
    model = Model(FIGURES, Assumptions(), redis)
    count = model.processes(turns, streams=0)
    assert model.node_capacity(count) >= turns
    assert count == 1 or model.node_capacity(count - 1) < turns


def test_open_streams_alone_need_processes() -> None:
    model = Model(FIGURES, Assumptions(), redis=True)
    assert model.processes(0, streams=1_000_000) == 28


def test_cost_of_receiving_bounds_the_capacity_of_any_number_of_processes() -> None:
    model = Model(replace(FIGURES, hear_us=400), Assumptions(), redis=False)
    most = model.processes(1e9, streams=0)
    assert model.node_capacity(most) >= max(map(model.node_capacity, range(1, 4 * most)))
    assert next(iter(model.capacities(most))) == HEARING
    assert next(iter(Model(FIGURES, Assumptions(), redis=True).capacities(most))) == NODES


def test_the_same_figures_give_the_same_text_with_every_size() -> None:
    one, other = (text(FIGURES, Assumptions(), 1_000_000) for _ in range(2))
    assert one == other
    assert "1,000,000 players" in one


def test_cost_is_that_of_processors_and_disk() -> None:
    dear = replace(Assumptions(), core_hour=Assumptions.core_hour * 2, gib_month=0)
    one, other = (cost_of_1000_turns(Model(FIGURES, a, True)) for a in (Assumptions(), dear))
    assert other["nodes"] == pytest.approx(2 * one["nodes"])
    assert other["disk"] == 0


def test_figures_of_the_last_run_are_all_there(tmp_path: Path) -> None:
    figures: dict[str, Any] = asdict(Figures.read())
    assert all(value > 0 for value in figures.values())
    del figures["rows"]
    (tmp_path / "nodes.json").write_text(json.dumps(figures))
    with pytest.raises(KeyError, match="rows"):
        Figures.read(tmp_path / "nodes.json")


def test_document_has_a_place_for_the_simulation() -> None:
    document = DOCUMENT.read_text("utf-8")
    assert document.index(BEGIN) < document.index(END)
