"""A live log is bounded in bytes: what the journal has of it may leave memory."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator

import pytest
from app.adapters.event_log.memory import MAX_LOG_BYTES, MemoryEventLog, MemoryTurnLog
from app.core.events import Entry, Metadata, Token, encode_entry
from app.core.writes import MAX_NARRATIVE
from app.eventlog.reader import Cursor
from app.eventlog.writer import LogWriter
from app.ports.clock import Clock
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from fakes.journey_log import FakeJourneyLog, late
from fakes.model import FakeModel, Script, outcome_text
from serving import TIMEOUT, Served, frame_event, payload

AT = "2026-01-01T00:00:00.000Z"
BOUND = 3_000


def tokens(count: int, start: int = 1) -> list[Entry]:
    return [encode_entry(seq, Token(str(seq), seq), AT) for seq in range(start, start + count)]


def size(entries: list[Entry]) -> int:
    return sum(len(data) for _, _, data in entries)


# -- the log --------------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60)), max_size=9), st.integers(1, BOUND)
)
def test_a_log_keeps_its_newest_entries_and_all_that_the_journal_lacks(
    steps: list[tuple[int, int]], bound: int
) -> None:
    log, everything = MemoryTurnLog(max_bytes=bound), []
    released = 0
    for count, recorded in steps:
        added = tokens(count, log.end + 1)
        everything += added
        log.append(added)
        released = max(released, min(recorded, log.end))
        log.release(released)
        kept = log.entries()
        assert kept == everything[log.start :]
        assert log.end == len(everything)
        assert log.start <= released
        assert size(kept) <= bound or log.start in (released, log.end - 1)
        if log.start:
            assert size(everything[log.start - 1 :]) > bound
        assert log.entries(log.start + 1, log.start + 3) == kept[1:3]


def test_tokens_that_the_journal_lacks_are_bounded_by_the_length_of_a_narrative() -> None:
    longest = max(
        len(encode_entry(MAX_NARRATIVE, Token(text, MAX_NARRATIVE), AT)[2])
        for text in ("\U0001f409", '"', "\x00")
    )
    assert MAX_NARRATIVE * longest <= MAX_LOG_BYTES


def test_writer_releases_published_entries() -> None:
    log = MemoryTurnLog(max_bytes=BOUND)
    writer = LogWriter("t", log, Clock())
    for index in range(100):
        writer.append_token("word", index)
    assert log.start == 0
    draft = writer.draft(Metadata("validation"))
    assert [seq for seq, _, _ in draft] == list(range(1, 102))
    writer.publish(draft)
    assert log.start > 0
    assert size(log.entries()) <= BOUND
    assert [seq for seq, _, _ in writer.draft(Metadata("writes"))] == [102]


@pytest.mark.parametrize("after", [0, 3, 10**9])
def test_a_cursor_below_the_trim_point_gets_a_gap_and_ends(after: int) -> None:
    log = MemoryTurnLog(max_bytes=BOUND)
    log.append(tokens(100))
    log.release(100)

    async def work() -> list[list[Entry]]:
        return [batch async for batch in Cursor(log, after)]

    (((seq, kind, data),),) = asyncio.run(work())
    assert (seq, kind) == (0, "gap")
    first = after + 1 if after < 100 else 1
    assert json.loads(data).items() >= {"from": first, "to": log.start}.items()


def test_a_cursor_at_the_trim_point_reads_on() -> None:
    log = MemoryTurnLog(max_bytes=BOUND)
    log.append(tokens(100))
    log.release(100)
    log.append((), last=True)

    async def work() -> list[Entry]:
        return [entry async for batch in Cursor(log, log.start) for entry in batch]

    assert asyncio.run(work()) == tokens(100)[log.start :]


# -- on the wire ----------------------------------------------------------------------------------


@pytest.fixture
def gate(journey_log: FakeJourneyLog) -> Iterator[threading.Event]:
    """Holds the turn in its last write."""
    opened = threading.Event()
    journey_log.fail("narrative", late(opened))
    yield opened
    opened.set()


@pytest.fixture
def bounded(
    serve: Callable[..., Served], model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> Served:
    monkeypatch.setattr(MemoryEventLog.__init__, "__defaults__", (BOUND,))
    model.default = Script(text=outcome_text("A word and another. " * 300))
    return serve(
        quest_trigger_prob=0, poi_trigger_prob=0
    )  # one write, so that nothing else is trimmed


def gap_of(event: dict[str, object]) -> tuple[object, object]:
    assert event.keys() == {"type", "timestamp", "from", "to"}
    return event["from"], event["to"]


def test_late_reader_of_a_trimmed_log_gets_a_gap_event(
    bounded: Served, character: str, gate: threading.Event
) -> None:
    with bounded.live(character) as live:
        live.until("metadata", phase="writes")
        path = f"/turns/{live.turn_id}/events"
        late = bounded.stream("GET", path)
        assert late.status == 200
        assert late.body.startswith(b"retry: 2000\ndata: ")
        (block,) = late.blocks
        assert block.startswith(b'data: {"type":"gap"')
        first, last = gap_of(frame_event(block))
        assert first == 1
        assert isinstance(last, int)
        assert gap_of(frame_event(bounded.stream("GET", f"{path}?after=2").blocks[-1])) == (3, last)
        with bounded.open("GET", f"{path}?after={last}") as response:
            gate.set()
            rest = response.read()
        whole = live.rest()
    assert rest == b"retry: 2000\n" + b"".join(whole.frames[last:]) + b"data: [DONE]\n\n"
    assert bounded.stream("GET", path).body == whole.body


def test_websocket_gets_a_gap_event_too(
    bounded: Served, character: str, gate: threading.Event
) -> None:
    with bounded.live(character) as live:
        live.until("metadata", phase="writes")
        with bounded.socket() as socket:
            socket.send(json.dumps({"type": "resume", "turn_id": live.turn_id, "after": 4}))
            first, _ = gap_of(json.loads(socket.recv(timeout=TIMEOUT)))
            assert first == 5
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(timeout=TIMEOUT)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012
        gate.set()
        whole = live.rest()
    with bounded.socket() as socket:
        socket.send(json.dumps({"type": "resume", "turn_id": live.turn_id}))
        heard = [socket.recv(timeout=TIMEOUT) for _ in whole.frames]
    assert heard == [payload(frame).decode() for frame in whole.frames]
