"""What every way of signals between processes does. An adapter joins by one line in `ADAPTERS`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from secrets import token_hex

import pytest
from app.adapters.signals.postgres import PostgresSignals
from app.adapters.store.postgres.connecting import Database
from app.adapters.store.postgres.engine import PostgresEngine
from app.adapters.store.postgres.listening import PostgresListener
from app.ports.signals import NoSignals, Signal, Signals, key_of

from databases import SERVERS
from loops import in_loop


@asynccontextmanager
async def postgres() -> AsyncIterator[Signals]:
    database, ready = Database(SERVERS.postgres.url("emptied")), asyncio.Event()
    engine, listener = PostgresEngine(database, "log", 1), PostgresListener(database)
    signals = PostgresSignals(engine, listener, token_hex(16))
    listener.hear("ready", lambda _: None, ready.set)
    listener.start()
    await ready.wait()
    yield signals
    await signals.aclose()
    await listener.aclose()
    await engine.aclose()


ADAPTERS: dict[str, Callable[[], AbstractAsyncContextManager[Signals]]] = {"postgres": postgres}


class Heard:
    def __init__(self) -> None:
        self.signals: list[Signal] = []
        self._changed = asyncio.Event()

    def __call__(self, signal: Signal) -> None:
        self.signals.append(signal)
        self._changed.set()

    async def count(self, wanted: int) -> list[Signal]:
        while len(self.signals) < wanted:
            self._changed.clear()
            await self._changed.wait()
        return self.signals


@pytest.fixture(params=list(ADAPTERS))
def process(request: pytest.FixtureRequest) -> Callable[[], AbstractAsyncContextManager[Signals]]:
    return ADAPTERS[request.param]


Process = Callable[[], AbstractAsyncContextManager[Signals]]
ALL = [
    Signal("admitted", key_of("mara", "c1")),
    Signal("freed", key_of("character:c1:mara")),
    Signal("promoted", "t1"),
    Signal("cancelling", "t2"),
    Signal("orphaned"),
]


@in_loop
async def test_others_hear_every_signal_in_order_and_the_sender_does_not(process: Process) -> None:
    async with process() as here, process() as there:
        own, others = Heard(), Heard()
        here.receive(own)
        there.receive(others)
        for signal in ALL:
            here.send(signal)
        assert await others.count(len(ALL)) == ALL
        there.send(ALL[0])
        assert await own.count(1) == ALL[:1]


@in_loop
async def test_more_signals_than_one_message_holds_all_arrive(process: Process) -> None:
    async with process() as here, process() as there:
        others = Heard()
        there.receive(others)
        many = [Signal("promoted", f"{number:036}") for number in range(1000)]
        for signal in many:
            here.send(signal)
        assert await others.count(1000) == many


def test_a_key_is_short_whatever_it_stands_for() -> None:
    assert key_of("a", "b") == key_of("a", "b")
    assert key_of("a", "b") != key_of("b", "a")
    assert len(key_of("x" * 10_000, "\ud800")) == 12


def test_process_without_others_sends_to_nobody() -> None:
    alone, heard = NoSignals(), list[Signal]()
    alone.receive(heard.append)
    alone.send(ALL[0])
    assert heard == []


@in_loop
async def test_signal_that_is_too_long_takes_no_other_with_it(process: Process) -> None:
    async with process() as here, process() as there:
        others = Heard()
        there.receive(others)
        for signal in (ALL[0], Signal("room", "1:" + "x" * 9_000), ALL[1]):
            here.send(signal)
        assert await others.count(2) == ALL[:2]
