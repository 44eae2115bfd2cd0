"""The durability protocol under kill -9, pauses and a journey-log that fails in every way.

A short form; `make chaos` runs the same for minutes.
"""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from chaos_faults import Fault
from chaos_run import killed, loaded, two_owners, world
from chaos_worker import INSIDE_POINTS, TARGET_POINTS

from fakes.journey_log import drops, late

CHOSEN = (
    "after validate",
    "while the target works on quest write",
    "before step 2",
    "mid stream",
    "while the target works on narrative write",
    "after finish",
)


def test_a_kill_loses_doubles_and_reorders_nothing(tmp_path: Path) -> None:
    result = killed(
        tmp_path, turns=30, points=CHOSEN, hits=(1, 3), players=6, trouble=0.04, settle=2.0
    )
    assert result.findings == []
    assert sum(result.kills.values()) >= 4
    assert result.audit.statuses["complete"] == 30
    assert result.audit.writes == 4 * 30


def test_every_boundary_of_a_step_is_a_point_to_be_killed_at() -> None:
    assert len(set(INSIDE_POINTS + TARGET_POINTS)) == 30


LAME: tuple[Fault, ...] = ("no read-back", "no settling")


@pytest.mark.parametrize("broken", LAME)
def test_without_reading_back_or_settling_writes_are_doubled(tmp_path: Path, broken: Fault) -> None:
    again = threading.Event()
    arrivals: list[str] = []

    def arrived(kind: str) -> None:
        arrivals.append(kind)
        if arrivals.count("narrative write") == 2:
            again.set()

    with world(tmp_path, seed=1, trouble=0.0) as made:
        made.journey_log.arrived = arrived
        # Its answer is lost; or it lands when it has been looked for, and sent again.
        lost = drops(commit=True) if broken == "no read-back" else late(again)
        made.journey_log.fail("narrative", lost)
        made.populate(players=1, turns=1)
        result = made.finish(made.life(broken))
    assert result.audit.duplicated != []


@pytest.mark.parametrize("kind", ["combat", "narrative"])
def test_a_server_that_was_paused_in_mid_write_does_nothing_more_once_it_was_replaced(
    tmp_path: Path, kind: str
) -> None:
    result = two_owners(tmp_path, kind)
    assert result.findings == []
    assert result.audit.statuses["complete"] == 4


def test_without_the_fence_it_writes_again(tmp_path: Path) -> None:
    assert two_owners(tmp_path, "combat", broken="no fence").audit.duplicated != []


def test_journal_journey_log_and_events_agree_whatever_clients_do(tmp_path: Path) -> None:
    result = loaded(tmp_path, turns=150, trouble=0.01)
    assert result.findings == []
    assert result.audit.statuses["complete"] > 75
    assert result.audit.statuses["cancelled"] > 0
