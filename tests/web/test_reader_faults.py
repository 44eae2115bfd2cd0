"""What a reader does or suffers is the reader's alone: the turn and other readers go on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
from app.adapters.event_log.memory import MemoryTurnLog
from app.core.events import (
    Complete,
    Entry,
    Metadata,
    Preview,
    Write,
)
from app.core.results import SubsystemSummary, Timing, Usage, Validation
from app.eventlog.observe import ReaderClosed
from app.eventlog.reader import Cursor
from app.eventlog.writer import LogWriter
from app.ports.clock import Clock
from app.ports.event_log import SharedEntries
from app.web.dialects.dialect import Rendering, rendering_from
from app.web.dialects.native import NATIVE
from app.web.middleware import RequestContext
from app.web.transports.readers import Readers
from app.web.transports.sse import CONNECTION, DONE, RETRY, SSEFramer, SSETransport
from app.web.transports.websocket import WebSocketTransport
from structlog.testing import capture_logs

from fakes.journey_log import FakeJourneyLog
from serving import Served
from waiting import parked

Result = TypeVar("Result")
Fault = BaseException | None
"""What sending an entry comes to; None: it blocks until the client has left."""

FAULTS = [RuntimeError("broken"), asyncio.CancelledError(), None]
IDS = ["raises", "is cancelled", "blocks"]
ENTRIES = 12
COMPLETE = Complete(
    "t", {"meta": None}, SubsystemSummary(), Timing(), Usage(model="m"), Validation()
)


async def whole_turn(log: MemoryTurnLog) -> None:
    """A turn of `ENTRIES` entries, as its task writes them."""
    writer = LogWriter("t", log, Clock())
    for phase in ("start", "context", "narrative"):
        writer.append(Metadata(phase))
        await parked()
    for index in range(5):
        writer.append_token(f"word {index} ", index)
        await parked()
    writer.append(Preview({"meta": None}))
    await parked()
    for event in (Metadata("writes"), Write("narrative", "create", True), COMPLETE):
        writer.publish(writer.draft(event))
        await parked()
    assert log.closed
    assert log.end == ENTRIES


def run(work: Callable[[], Awaitable[Result]]) -> Result:
    async def bounded() -> Result:
        async with asyncio.timeout(300):
            return await work()

    return asyncio.run(bounded())


@contextmanager
def logged(expected: int) -> Iterator[None]:
    with capture_logs() as lines:
        yield
    failed = [line for line in lines if line["event"] == "reader_failed"]
    assert len(failed) == expected
    assert [line for line in lines if line["log_level"] == "error"] == failed


class Connection:
    """An ASGI connection to one reader. It takes what it is sent until `fault` strikes at the entry
    `at` (from 0)."""

    def __init__(
        self, log: MemoryTurnLog, at: int = -1, fault: Fault = None, *, serve: bool = True
    ) -> None:
        self.body = b""
        self.left = asyncio.Event()
        self.seen: list[object] = []
        self._at, self._fault, self._through = at, fault, at % 2 == 0
        self._over = asyncio.Event()
        self._lost: Callable[[], None] | None = None
        readers = Readers(9, 9, self.seen.append)
        self._readers = readers
        cursor = Cursor(log)
        self.response = SSETransport(readers).response(
            rendering_from(cursor, NATIVE, "t"), cursor, readers.take("c"), {}
        )
        extensions = {CONNECTION: self} if self._through else {}
        self.scope = {"type": "http", "method": "GET", "extensions": extensions}
        if serve:
            served = self.response(self.scope, self._receive, self._send)
            self.task = asyncio.create_task(served)

    @property
    def open(self) -> int:
        return self._readers.open

    def _strikes(self, body: bytes) -> bool:
        return self._at >= 0 and body.count(b"\nid: ") > self._at

    async def _receive(self) -> dict[str, Any]:
        done = asyncio.create_task(self._over.wait())
        left = asyncio.create_task(self.left.wait())
        await asyncio.wait({done, left}, return_when=asyncio.FIRST_COMPLETED)
        done.cancel()
        left.cancel()
        return {"type": "http.disconnect"}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.body":
            self.body += message["body"]
            if self._strikes(self.body):
                await self._fail()
            if not message["more_body"]:
                self._over.set()

    async def _fail(self) -> None:
        if self._fault is None:
            await self.left.wait()
        else:
            raise self._fault

    def reset(self) -> None:
        """What was sent is all that there will be."""

    def forget_request(self) -> None:
        """There is none."""

    def when_lost(self, call: Callable[[], None] | None) -> None:
        self._lost = call

    def write(self, piece: bytes) -> bool:
        if self._strikes(self.body + piece):
            if self._fault is not None:
                raise self._fault
            return False
        self.body += piece
        return True

    async def finish(self) -> None:
        self.left.set()
        if self._lost is not None:
            self._lost()
        await asyncio.wait({self.task})


def served(log: MemoryTurnLog) -> bytes:
    return RETRY + SSEFramer(Rendering(NATIVE, "t")).frames(log.entries()) + DONE


@pytest.mark.parametrize("at", range(ENTRIES))
@pytest.mark.parametrize("fault", FAULTS, ids=IDS)
def test_a_connection_that_fails_at_any_entry_harms_nobody_else(fault: Fault, at: int) -> None:
    async def work() -> tuple[MemoryTurnLog, Connection, Connection, Connection]:
        log = MemoryTurnLog()
        readers = Connection(log), Connection(log, at, fault), Connection(log)
        await parked()
        await whole_turn(log)
        await readers[0].task
        await readers[2].task
        await readers[1].finish()
        return log, *readers

    log, first, failing, last = run(work)
    assert first.body == last.body == served(log)
    assert served(log).startswith(failing.body)
    assert fault is None or DONE not in failing.body
    assert [reader.open for reader in (first, failing, last)] == [0, 0, 0]
    assert log._watchers == []


class Watcher:
    def __init__(self, fault: BaseException, at: int) -> None:
        self.fault, self.at, self.calls, self.failed = fault, at, 0, 0

    def on_readable(self, fresh: Sequence[Entry]) -> None:
        self.calls += 1
        if self.calls > self.at:
            raise self.fault

    def on_failure(self) -> None:
        self.failed += 1
        raise RuntimeError("again")


@pytest.mark.parametrize("others", [0, 2])
@pytest.mark.parametrize("at", range(ENTRIES))
@pytest.mark.parametrize("fault", FAULTS[:2], ids=IDS[:2])
def test_a_watcher_that_raises_is_removed_and_logged_once(
    fault: BaseException, at: int, others: int
) -> None:
    async def work() -> Watcher:
        log, watcher = MemoryTurnLog(), Watcher(fault, at)
        log.watch(watcher)
        readers = [Connection(log) for _ in range(others)]
        await parked()
        await whole_turn(log)
        for reader in readers:
            await reader.task
            assert reader.body == served(log)
        return watcher

    with logged(1):
        watcher = run(work)
    assert (watcher.calls, watcher.failed) == (at + 1, 1)


def test_a_cursor_whose_write_through_raises_ends() -> None:
    async def work() -> list[list[Entry]]:
        log = MemoryTurnLog()
        cursor = Cursor(log)

        def write_through(entries: Sequence[Entry]) -> bool:
            raise ValueError

        cursor.write_through = write_through
        batches = asyncio.create_task(_batches(cursor))
        await parked()
        await whole_turn(log)
        return await batches

    with logged(1):
        assert run(work) == []


def test_further_readers_get_the_same_bytes_which_are_encoded_once_wherever_they_began() -> None:
    class Reading:
        def __init__(self, log: MemoryTurnLog, turn_id: str, after: int = 0) -> None:
            self.got = b""
            self.cursor = Cursor(log, after)
            framer = SSEFramer(Rendering(NATIVE, turn_id), self._write)
            self.cursor.write_through = framer.write_through
            self.task = asyncio.create_task(_batches(self.cursor))

        def _write(self, piece: bytes) -> bool:
            self.got += piece
            return True

    async def work() -> tuple[list[Reading], list[Entry]]:
        log = MemoryTurnLog()
        writer = LogWriter("t", log, Clock())
        readings = [Reading(log, "t") for _ in range(4)]
        await parked()
        for index in range(5):
            writer.append_token(f"word {index} ", index)
            if index == 2:
                readings.append(Reading(log, "t", after=3))  # between two rounds
                await parked()
        log.catch_up()
        await parked()
        logged = log.entries()
        for reading in readings:
            reading.task.cancel()
        await asyncio.gather(*(one.task for one in readings), return_exceptions=True)
        return readings, logged

    readings, logged = run(work)
    blocks = [b"id: t:%d\ndata: %b\n\n" % (seq, data) for seq, _, data in logged]
    assert len(blocks) == 5
    assert [one.got for one in readings[:4]] == [b"".join(blocks)] * 4
    assert readings[4].got == b"".join(blocks[3:])


def test_shared_entries_are_encoded_once_for_each_form() -> None:
    shared, calls = SharedEntries([(1, "token", b"{}"), (2, "token", b"[]")]), list[int]()

    def encode(entries: Sequence[Entry]) -> bytes:
        calls.append(len(entries))
        return b"".join(data for _, _, data in entries)

    forms = [shared.encoded(form, encode) for form in (b"one", b"one", b"other", b"one")]
    assert forms == [b"{}[]"] * 4
    assert calls == [2, 2]


async def _batches(cursor: Cursor) -> list[list[Entry]]:
    return [batch async for batch in cursor]


def test_a_transport_that_raises_is_logged_once_and_the_reader_may_come_back() -> None:
    async def work() -> Connection:
        log = MemoryTurnLog()
        failing = Connection(log, 5, RuntimeError("broken"))
        await parked()
        await whole_turn(log)
        await failing.finish()
        again = Connection(log)
        await again.task
        assert again.body == served(log)
        return failing

    with logged(1):
        failing = run(work)
    closed = [seen for seen in failing.seen if isinstance(seen, ReaderClosed)]
    assert [seen.disconnected for seen in closed] == [True]
    assert DONE not in failing.body


class Socket:
    """A WebSocket whose client takes messages until `fault` strikes at the one numbered `at` (from 0)."""

    def __init__(
        self, log: MemoryTurnLog, at: int = -1, fault: Fault = None, *, serve: bool = True
    ) -> None:
        self.heard: list[str] = []
        self.closed: list[int] = []
        self.seen: list[object] = []
        self._at, self._fault = at, fault
        cursor = Cursor(log)
        socket: Any = self
        sending = WebSocketTransport(Readers(9, 9, self.seen.append)).send(
            socket, rendering_from(cursor, NATIVE, "t"), cursor
        )
        self.task = asyncio.create_task(sending)

    async def send_text(self, text: str) -> None:
        if len(self.heard) == self._at:
            if self._fault is None:
                await asyncio.Event().wait()
            else:
                raise self._fault
        self.heard.append(text)

    async def close(self, code: int) -> None:
        self.closed.append(code)


@pytest.mark.parametrize("at", range(ENTRIES))
@pytest.mark.parametrize(
    ("fault", "closed", "lines"),
    [
        (ValueError("broken"), [1011], 1),
        (RuntimeError("closed"), [], 0),
        (OSError("gone"), [], 0),
        (asyncio.CancelledError(), [], 0),
        (None, [], 0),
    ],
    ids=["raises", "is closed", "is gone", "is cancelled", "blocks"],
)
def test_a_socket_that_fails_at_any_entry_harms_nobody_else(
    fault: Fault, closed: list[int], lines: int, at: int
) -> None:
    async def work() -> tuple[MemoryTurnLog, Socket, Socket]:
        log = MemoryTurnLog()
        failing, other = Socket(log, at, fault), Socket(log)
        await parked()
        await whole_turn(log)
        await other.task
        failing.task.cancel()
        await asyncio.wait({failing.task})
        return log, failing, other

    with logged(lines):
        log, failing, other = run(work)
    assert other.heard == [data.decode() for _, _, data in log.entries()]
    assert failing.heard == other.heard[:at]
    assert failing.closed == closed
    assert isinstance(failing.seen[-1], ReaderClosed)
    assert log._watchers == []


def test_a_served_turn_survives_a_reader_whose_framing_breaks(
    service: Served, journey_log: FakeJourneyLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(framer: SSEFramer, entries: Sequence[Entry]) -> bool:
        raise RuntimeError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(SSEFramer, "write_through", broken)
        cut = service.turn(journey_log.seed_character())
        path = f"/turns/{cut.turn_id}"
        service.wait_for(lambda: service.call("GET", path).json()["status"] == "complete")
    assert DONE not in cut.body
    whole = service.stream("GET", f"{path}/events")
    assert whole.last["type"] == "complete"
    assert whole.frames[: len(cut.frames)] == cut.frames


def test_a_stream_runs_once_everything_around_its_endpoint_has_returned() -> None:
    async def work() -> tuple[bool, bytes]:
        log, returned = MemoryTurnLog(), asyncio.Event()
        stream = Connection(log, serve=False)

        async def application(scope: Any, receive: Any, send: Any) -> None:
            await stream.response(scope, receive, send)
            returned.set()

        context = RequestContext(application, lambda *_: None)
        scope = {**stream.scope, "headers": [], "path": "/"}
        task = asyncio.ensure_future(context(scope, stream._receive, stream._send))
        await returned.wait()
        open_behind = not task.done()
        await whole_turn(log)
        await task
        return open_behind, stream.body

    open_behind, body = run(work)
    assert open_behind
    assert body.endswith(DONE)
