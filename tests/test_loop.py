"""The event loop of the service: sockets have their turn between the callbacks of a busy moment."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextvars import ContextVar
from functools import partial
from typing import Any, cast

import httpx2
import pytest
from app import loop as module
from app.http1.connection import Connection
from app.loop import SlicedLoop, urgent

from fakes.transport import Silent
from serving import Served


@pytest.fixture
def loop() -> Iterator[SlicedLoop]:
    made = SlicedLoop()
    yield made
    made.close()


def run_all(loop: SlicedLoop) -> None:
    """Until nothing that is ready now, or becomes so by it, is left."""
    loop.run_until_complete(asyncio.sleep(0.001))


def test_callbacks_run_in_order_each_in_its_context(loop: SlicedLoop) -> None:
    errors: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: errors.append(context))
    number: ContextVar[int] = ContextVar("number")
    ran: list[Any] = []

    def see(k: int) -> None:
        ran.append((k, number.get()))

    for k in range(3):
        number.set(k)
        loop.call_soon(see, k)
    loop.call_soon(ran.append, "cancelled").cancel()
    loop.call_soon(lambda: loop.call_soon(ran.append, "behind"))
    loop.call_soon(ran.append, "before")
    run_all(loop)
    assert ran == [(0, 0), (1, 1), (2, 2), "before", "behind"]
    assert not errors


def test_what_is_urgent_overtakes_what_waits_in_line(
    loop: SlicedLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step of an urgent task does, and of what it waits for; its order is kept."""
    monkeypatch.setattr(module, "SLICE_SECONDS", 0.0)  # one callback a round
    ran: list[Any] = []

    async def steps(name: str) -> None:
        for number in range(3):
            ran.append((name, number))
            await asyncio.sleep(0)

    async def with_a_part() -> None:
        await asyncio.create_task(steps("part"))
        ran.append("whole")

    for number in range(20):
        loop.call_soon(ran.append, number)
    usual = loop.create_task(steps("usual"))
    for name in ("first", "second"):
        loop.create_task(steps(name), context=urgent())
    hurried = loop.create_task(with_a_part(), context=urgent())
    loop.run_until_complete(asyncio.gather(usual, hurried))
    both = [(name, number) for number in range(3) for name in ("first", "second")]
    assert [one for one in ran if one in both] == both
    assert ran.index("whole") < ran.index(1)
    assert [one for one in ran if isinstance(one, int)] == list(range(20))
    assert ran.index(19) < ran.index(("usual", 0))


@pytest.mark.parametrize("sliced_up", [True, False])
def test_arrivals_do_not_wait_for_all_ready_callbacks(
    loop: SlicedLoop, sliced_up: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLICE_SECONDS", 0.0 if sliced_up else 60.0)
    ours, theirs = socket.socketpair()
    ran: list[str] = []
    loop.add_reader(ours, lambda: ran.append("read") if ours.recv(1) else None)
    loop.call_soon(theirs.send, b"x")
    for _ in range(20):
        loop.call_soon(ran.append, "step")
    run_all(loop)
    assert ran.count("step") == 20
    assert (ran.index("read") < 5) is sliced_up
    loop.remove_reader(ours)
    ours.close()
    theirs.close()


def test_priority_callback_runs_before_the_queued_ones(loop: SlicedLoop) -> None:
    ran: list[str] = []
    loop.call_soon(ran.append, "step")
    loop.call_first(lambda: ran.append("first"))
    run_all(loop)
    assert ran == ["first", "step"]


def test_priority_callback_added_during_a_slice_runs_next(
    loop: SlicedLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLICE_SECONDS", 0.0)
    ran: list[str] = []

    def arrive() -> None:
        ran.append("arrived")
        loop.call_first(lambda: ran.append("first"))
        loop.call_first(lambda: ran.append("second"))

    loop.call_soon(arrive)
    loop.call_soon(ran.append, "step")
    run_all(loop)
    assert ran == ["arrived", "first", "second", "step"]


def test_priority_callback_runs_without_other_callbacks(loop: SlicedLoop) -> None:
    ran: list[str] = []
    loop.call_first(lambda: ran.append("first"))
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    assert ran == ["first"]


def test_streams_leave_a_fifth_of_the_time_to_all_else(
    loop: SlicedLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    ran: list[str] = []

    def work(name: str, seconds: float) -> None:
        nonlocal now
        now += seconds
        ran.append(name)

    loop.call_first(lambda: work("streams", 0.08))
    loop.call_soon(loop.call_first, lambda: ran.append("next round"))
    for _ in range(6):
        loop.call_soon(work, "step", 0.006)
    run_all(loop)
    assert ran == ["streams", *["step"] * 4, "next round", *["step"] * 2]


@pytest.mark.parametrize("call", ["call_soon", "call_first"])
def test_failing_callback_is_reported_and_stops_nothing(loop: SlicedLoop, call: str) -> None:
    errors: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: errors.append(context))
    ran: list[str] = []
    getattr(loop, call)(lambda: 1 / 0)
    getattr(loop, call)(lambda: ran.append("next"))
    run_all(loop)
    assert isinstance(errors[0]["exception"], ZeroDivisionError)
    assert ran == ["next"]


@pytest.mark.parametrize("way_out", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("call", ["call_soon", "call_first"])
def test_ready_callbacks_outlive_an_interrupted_loop(
    loop: SlicedLoop, call: str, way_out: type[BaseException]
) -> None:
    ran: list[str] = []

    def leave() -> None:
        raise way_out

    getattr(loop, call)(leave)
    getattr(loop, call)(lambda: ran.append("next"))
    with pytest.raises(way_out):
        loop.run_forever()
    run_all(loop)
    assert ran == ["next"]


def test_a_closed_loop_takes_nothing(loop: SlicedLoop) -> None:
    loop.call_soon(print, "left in line")
    loop.close()
    for call in (loop.call_soon, loop.call_first):
        with pytest.raises(RuntimeError, match="closed"):
            call(print)


def test_debugging_has_all_checks_of_the_base(loop: SlicedLoop) -> None:
    loop.set_debug(True)

    async def call_from_elsewhere() -> None:
        await loop.run_in_executor(None, loop.call_soon, print)

    with pytest.raises(RuntimeError, match="Non-thread-safe"):
        loop.run_until_complete(call_from_elsewhere())


def test_the_service_runs_on_it(service: Served) -> None:
    assert isinstance(service.loop, SlicedLoop)


def test_all_streams_are_read_before_their_data_is_passed_on(
    loop: SlicedLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And passed on before anything else that is ready; in pieces as they came, in their order."""
    monkeypatch.setattr(module, "SLICE_SECONDS", 0.0)
    ran: list[str] = []

    async def work() -> None:
        errors: Any = httpx2
        streams = {name: Connection(errors) for name in ("a", "b")}
        for connection in streams.values():
            connection.connection_made(cast(Any, Silent()))
            connection.send(b"")
            connection.data_received(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")

        def sink(name: str, piece: bytes) -> bool:
            ran.append(f"{name} {piece.decode()}")
            return True

        pours = [
            asyncio.create_task(connection.stream_to(5, partial(sink, name)))
            for name, connection in streams.items()
        ]
        await asyncio.sleep(0.001)

        def round_of_the_sockets() -> None:
            for said in (b"1", b"2"):
                for name, connection in streams.items():
                    connection.data_received(b"1\r\n%b\r\n" % said)
                    ran.append(f"read {name}")

        asyncio.get_running_loop().call_soon(round_of_the_sockets)
        asyncio.get_running_loop().call_soon(ran.append, "step")
        await asyncio.sleep(0.001)
        for connection in streams.values():
            connection.data_received(b"0\r\n\r\n")
        await asyncio.gather(*pours)

    loop.run_until_complete(work())
    assert ran == ["read a", "read b", "read a", "read b", "a 12", "b 12", "step"]
