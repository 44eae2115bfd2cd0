"""What the store forgets, and what happens when its disk cannot be written."""

from __future__ import annotations

import asyncio
import re
import resource
import threading
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from app.adapters.store.retention import WEEK, Retention
from app.adapters.store.sqlite.store import SqliteTurnStore
from app.core.events import Token, encode_entry
from app.ports.store import Admitted, Ending, TurnRequest, Verdict
from app.turns.service import TurnService

from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel, Script
from remote import Remote, environment, remote
from serving import Reply, Served, refused, turn_body

Serve = Callable[..., Served]
LONG = "I open the door. " * 400

# -- what is forgotten ----------------------------------------------------------------------------

BIG = 20_000  # bytes of the events of one turn
BOUND = 1_000_000


async def play(store: SqliteTurnStore, name: str, *, end: bool = True) -> str:
    """One turn with large events that cannot be compressed."""
    request = TurnRequest(name, "go", "local", "request")
    admitted = await store.admit(name, request, b"", 0)
    assert isinstance(admitted, Admitted)
    text = Random(name).randbytes(BIG).hex()
    entry = encode_entry(1, Token(text, 0), "2026-01-01T00:00:00.000Z")
    if not end:
        await store.note(admitted.claim, [entry])
        return name
    ending = Ending("complete", {}, [entry])
    assert await store.finish(admitted.claim, ending) is Verdict.STORED
    return name


class Time:
    now = 1_000_000.0

    def __call__(self) -> float:
        self.now += 0.001
        return self.now


def with_store(
    path: Path, retention: Retention, work: Callable[[SqliteTurnStore, Time], Any]
) -> None:
    clock = Time()

    async def run() -> None:
        store = SqliteTurnStore(path, clock, retention)
        store.open()
        try:
            await work(store, clock)
        finally:
            await store.aclose()

    asyncio.run(run())


def test_the_file_stays_within_its_bound_and_loses_the_oldest_turns(tmp_path: Path) -> None:
    path = tmp_path / "store.db"

    async def work(store: SqliteTurnStore, clock: Time) -> None:
        kept = await play(store, "open", end=False)
        sizes = []
        for number in range(400):
            await play(store, f"turn {number}")
            if number % 40 == 39:
                await store.expire(clock())
                sizes.append(path.stat().st_size)
        assert max(sizes) < 2 * BOUND + 40 * 2 * BIG
        assert await store.turn("turn 0") is None
        assert await store.turn("turn 399") is not None
        assert await store.entries(kept) is not None

    with_store(path, Retention(max_bytes=BOUND), work)


def test_events_go_with_their_age_and_turns_a_week_later(tmp_path: Path) -> None:
    async def work(store: SqliteTurnStore, clock: Time) -> None:
        await play(store, "old")
        kept = await play(store, "open", end=False)
        clock.now += 101
        await play(store, "young")
        assert await store.expire(clock()) == 0
        assert await store.entries("old") is None
        assert await store.turn("old") is not None
        assert await store.entries("young") is not None
        clock.now += WEEK
        assert await store.expire(clock()) == 1
        assert await store.turn("old") is None
        assert await store.entries(kept) is not None

    with_store(tmp_path / "store.db", Retention(events_ttl=100), work)


# -- a sick disk ----------------------------------------------------------------------------------

READ_ONLY = ("PRAGMA query_only = ON", "PRAGMA query_only = OFF")
FULL = ("PRAGMA max_page_count = 1", "PRAGMA max_page_count = 1073741823")


@pytest.mark.parametrize(("sick", "well"), [READ_ONLY, FULL], ids=["read-only", "full"])
def test_a_running_turn_waits_for_the_disk_and_new_ones_are_refused(
    serve: Serve,
    model: FakeModel,
    journey_log: FakeJourneyLog,
    character: str,
    sick: str,
    well: str,
) -> None:
    gate = threading.Event()
    model.then(Script(gate=gate, gate_after=8))
    service = serve(quest_trigger_prob=0, poi_trigger_prob=0)
    other = journey_log.seed_character()
    with service.live(character, LONG) as live:
        live.until("token")
        pragma(service, sick)
        gate.set()
        refuses(service, other)
        assert journey_log.kinds() == []
        pragma(service, well)
        assert live.rest().last["type"] == "complete"
    assert journey_log.kinds() == ["narrative"]
    assert service.turn(other).last["type"] == "complete"


def refuses(service: Served, character: str) -> Reply:
    reply = service.call("POST", "/turn/stream", turn_body(character, LONG))
    refused(reply, 503, "overloaded")
    return reply


def pragma(service: Served, statement: str) -> None:
    """On the writer's own connection."""
    engine = service.application.services.get(TurnService)._store._engine  # type: ignore[attr-defined]
    engine._write_db.execute(statement).fetchall()


def test_a_turn_outlives_a_disk_that_the_system_lets_nobody_write(
    tmp_path: Path, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    gate = threading.Event()
    model.then(Script(gate=gate, gate_after=8))
    settings = environment(model, journey_log, QUEST_TRIGGER_PROB="0", POI_TRIGGER_PROB="0")
    with remote(tmp_path, settings) as server, server.live(character, LONG) as live:
        live.until("token")
        file_limit(server, 4096)
        gate.set()
        refuses(server, journey_log.seed_character())
        server.process.logged(re.compile("store_unusable.*disk I/O error"))
        server.process.logged(re.compile("waiting_for_store"))
        file_limit(server, resource.RLIM_INFINITY)
        assert live.rest().last["type"] == "complete"
    assert journey_log.kinds() == ["narrative"]


def file_limit(server: Remote, size: int) -> None:
    """No file of the server may grow beyond `size`; a write that would fails."""
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
