"""The one seat of a human dungeon master, over processes whose clocks differ."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from app.tables.rooms import Rooms

from fakes.signals import Linked
from fakes.store.store import MemoryTurnStore
from journal import Hands

TABLE = 1


def nodes(*ahead: float) -> list[tuple[Rooms, Linked]]:
    """Processes whose clocks are so many seconds ahead."""
    made: list[tuple[Rooms, Linked]] = []
    processes: list[Linked] = []
    for seconds in ahead:
        clock, signals = Hands(1_000 + seconds), Linked(processes)
        tables: Any = MemoryTurnStore(clock).tables
        made.append((Rooms(tables, signals, clock), signals))
    return made


@pytest.mark.parametrize("ahead", [(0, 0), (60, 0), (0, 60)])
@pytest.mark.parametrize("table", [TABLE, TABLE + 1])
def test_who_takes_the_seat_last_has_it_whatever_the_clocks_say(
    ahead: tuple[float, float], table: int
) -> None:
    gone: list[str] = []
    (here, _), (there, _) = nodes(*ahead)
    here.take_reins(TABLE, partial(gone.append, "first"))
    there.take_reins(table, partial(gone.append, "second"))
    assert gone == (["first"] if table == TABLE else [])
    here.take_reins(TABLE, partial(gone.append, "third"))
    assert gone == (["first", "second"] if table == TABLE else ["first"])


@pytest.mark.parametrize("ahead", [(0, 0), (60, 0), (0, 60), (-60, -60)])
def test_of_two_who_take_the_seat_at_the_same_moment_one_has_it(
    ahead: tuple[float, float],
) -> None:
    gone: list[str] = []
    made = nodes(*ahead)
    made[0][0].take_reins(TABLE + 1, lambda: None)  # from then on moments are counted, not read
    for number, (rooms, signals) in enumerate(made):
        signals.late = True
        rooms.take_reins(TABLE, partial(gone.append, f"{number}"))
    for _, signals in made:
        signals.deliver()
    assert len(gone) == 1
