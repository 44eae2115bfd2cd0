"""What the bench of several nodes computes, without its processes."""

from __future__ import annotations

import asyncio
import re
from typing import Any, cast

import pytest
from app.adapters.event_log.memory import MemoryTurnLog
from app.adapters.event_log.shared import LogChannel
from app.bootstrap import sharing
from app.ports.store import TurnStore
from bench.databases import Counters
from bench.memory_log import UnsharedEventLog, unshared
from bench.node_bench import Line
from bench.node_measures import MEASUREMENTS
from bench.nodes import BEGIN, END, figures, kept, table
from bench.report import put_between
from bench.simulate import DOCUMENT
from bench.stamped import StampedReader, delays_ms

TURN = "01a2229b-a1f2-7470-b1c1-ebe39c5dc132"


def body(*numbers: int) -> bytes:
    frames = [b'id: %s:%d\ndata: {"type":"token"}\n\n' % (TURN.encode(), n) for n in numbers]
    return b"".join(b"%x\r\n%s\r\n" % (len(frame), frame) for frame in frames) + b"0\r\n\r\n"


@pytest.mark.parametrize("size", [1, 7, 50, 10_000])
def test_each_event_is_stamped_once_however_it_is_split(size: int) -> None:
    async def read() -> StampedReader:
        reader = StampedReader()
        data = b"HTTP/1.1 200 OK\r\n\r\n" + body(*range(1, 13))
        for at in range(0, len(data), size):
            reader.data_received(data[at : at + size])
        return reader

    reader = asyncio.run(read())
    assert list(reader.arrived) == list(range(1, 13))
    assert (reader.turn_id, reader.last) == (TURN, 12)
    assert reader.first.done()
    assert reader.over.done()


def test_delays_are_those_of_events_that_came_while_both_read() -> None:
    async def readers() -> tuple[StampedReader, StampedReader]:
        return StampedReader(), StampedReader()

    here, there = asyncio.run(readers())
    here.arrived = {1: 1.0, 2: 2.0, 3: 3.0, 4: 4.0}
    there.arrived = {1: 2.5, 2: 2.5, 3: 3.25}
    assert delays_ms(here, there) == [250.0]


@pytest.mark.parametrize(
    ("line", "target", "met"),
    [
        (Line("a", 1.3, most=1.35), "≤ 1.35", True),
        (Line("a", 1.4, most=1.35), "≤ 1.35", False),
        (Line("a", 0, most=0), "≤ 0", True),
        (Line("a", 1.9, least=1.85), "≥ 1.85", True),
        (Line("a", 1.8, least=1.85), "≥ 1.85", False),
        (Line("a", 3), "", None),
    ],
)
def test_line_knows_its_target(line: Line, target: str, met: bool | None) -> None:
    assert (line.target, line.met) == (target, met)
    assert f"| {target or ' '}" in table([line])


def test_figures_have_notes_and_the_inputs_of_the_simulation_are_kept() -> None:
    lines = [Line("one", 1.23456, "ms", key="first", note="of two"), Line("other", 2)]
    assert "- one: of two." in figures(lines, 1)
    assert kept(lines) == {"first": 1.2346}


def test_counters_are_compared_field_by_field() -> None:
    before = Counters(statements=10, flushes=1, rows=2, wal=3, size=4, cpu=5)
    after = Counters(statements=30, flushes=2, rows=6, wal=13, size=4, cpu=6)
    each = after.since(before).each(2)
    assert each == Counters(statements=10, flushes=0.5, rows=2, wal=5, size=0, cpu=0.5)


def test_text_between_marks_is_replaced(tmp_path: Any) -> None:
    file = tmp_path / "document.md"
    file.write_text(f"a\n{BEGIN}\nold\n{END}\nb\n")
    put_between(file, BEGIN, END, "new")
    assert file.read_text() == f"a\n{BEGIN}\n\nnew\n\n{END}\nb\n"


def test_turn_is_not_marked_for_others_in_the_service_without_publishing() -> None:
    with unshared():
        assert vars(sharing)["SharedEventLog"] is UnsharedEventLog
    channel, journal = cast(LogChannel, None), cast(TurnStore, None)
    opened = UnsharedEventLog(channel, journal).open(TURN)
    assert type(opened) is MemoryTurnLog


def test_document_has_a_place_for_the_figures_and_names_every_measure() -> None:
    text = DOCUMENT.read_text("utf-8")
    assert text.index(BEGIN) < text.index(END)
    named = set(re.findall(r"`(\w+)`", text))
    assert named >= MEASUREMENTS.keys()
