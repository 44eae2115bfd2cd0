"""All readers of a table read its turns in the order in which they begin, whenever they came."""

from __future__ import annotations

import pytest
from app.ports.tables import TableTurn
from app.tables.schedule import Schedule
from hypothesis import given
from hypothesis import strategies as st


class Turns:
    """Those of a table: each comes, waits, begins behind all others that have, and ends."""

    def __init__(self) -> None:
        self.rows: list[TableTurn] = []
        self.begun: list[str] = []

    def come(self) -> None:
        self.rows.append(TableTurn(f"t{len(self.rows)}", "queued", None))

    def change(self, place: int) -> None:
        """The next thing that can happen to that turn; one that waits with an odd place is cancelled."""
        turn = self.rows[place]
        runs = any(other.status == "running" for other in self.rows)
        if turn.status == "running":
            self.rows[place] = turn._replace(status="complete")
        elif turn.status == "queued" and place % 4 == 3:
            self.rows[place] = turn._replace(status="cancelled")
        elif turn.status == "queued" and not runs:
            self.begun.append(turn.turn_id)
            self.rows[place] = turn._replace(status="running", begun=len(self.begun))

    def since(self, turn_id: str | None) -> list[TableTurn]:
        ids = [row.turn_id for row in self.rows]
        return self.rows[0 if turn_id is None else ids.index(turn_id) + 1 :]


@given(st.data(), st.lists(st.integers(0, 9), max_size=80))
def test_readers_read_turns_in_the_order_in_which_they_begin(
    data: st.DataObject, steps: list[int]
) -> None:
    turns = Turns()
    readers: list[tuple[Schedule, int]] = []  # with how many turns they miss
    for step in steps:
        if step == 0:
            readers.append((Schedule(), 0))
            readers[-1][0].begin_at(turns.since(None), "-")
        elif step == 1:
            ended = sum(row.begun is not None and row.status != "running" for row in turns.rows)
            readers.append((Schedule(), ended))
            readers[-1][0].begin_now(turns.since(None))
        elif step < 4 or not turns.rows:
            turns.come()
        elif step < 8:
            turns.change(data.draw(st.integers(0, len(turns.rows) - 1)))
        for reader, _ in readers[step % 3 :: 3]:  # not all of them look at once
            reader.take(turns.since(reader.newest))
            if lined := turns.begun[: data.draw(st.integers(0, len(turns.begun)))]:
                reader.pass_line(lined[-1])
    for reader, missed in readers:
        reader.take(turns.since(reader.newest))
        assert list(reader.due) == turns.begun[missed:]
        assert [reader.reads(turn) for turn in reader.due] == [True] * len(reader.due)


def test_readers_who_came_at_different_times_go_on_alike_once_a_line_is_read() -> None:
    turns, early, late = Turns(), Schedule(), Schedule()
    early.begin_now(turns.since(None))
    for place in range(3):
        turns.come()
        turns.change(place)
        early.take(turns.since(early.newest))
        assert early.due.popleft() == f"t{place}"
        if place < 2:  # one that failed, and one whose line nobody has read yet
            turns.change(place)
    late.begin_now(turns.since(None))
    assert late.due.popleft() == "t2"
    assert early != late
    assert (early.reads("t1"), late.reads("t1")) == (True, False)
    for reader in (early, late):
        reader.pass_line("t1")
    assert early == late
    assert early.copy() == late


@pytest.mark.parametrize(("turn_id", "left"), [("t1", ["t1", "t2"]), ("gone", ["t0", "t1", "t2"])])
def test_reader_that_comes_back_goes_on_with_its_turn(turn_id: str, left: list[str]) -> None:
    turns, reader = Turns(), Schedule()
    for place in range(3):
        turns.come()
        turns.change(place)
        turns.change(place)
    reader.begin_at(turns.since(None), turn_id)
    assert list(reader.due) == left


def test_turn_whose_events_are_gone_is_not_read() -> None:
    turns, reader = Turns(), Schedule()
    turns.come()
    turns.change(0)
    reader.begin_at(turns.since(None), "-")
    reader.lose("t0")
    assert not reader.reads("t0")
    assert not reader.reads("unknown")
