"""A feed of a character's turns without a server around it: silence, trimmed logs, lost turns."""

from __future__ import annotations

import json
from typing import Any

from app.adapters.event_log.memory import MemoryEventLog
from app.characters.arrivals import Arrivals
from app.characters.feed import CharacterFeed
from app.core.access import Caller
from app.core.events import Entry
from app.errors import Overloaded, TurnExpired, TurnNotFound
from app.ports.event_log import TurnLog
from app.turns.open_turn import OpenTurn

from fakes.store.store import MemoryTurnStore
from journal import CHARACTER, HASH, NOON, USER, Hands, ending, entries, turn_request
from loops import in_loop, in_virtual_time

CALLER = Caller(USER, frozenset({"turns"}))


class Turns:
    """Stands for the turn service; what `logs` does not have fails with `error`."""

    def __init__(self, error: Exception | None = None) -> None:
        self.logs: dict[str, TurnLog] = {}
        self.error = error or TurnNotFound()

    async def open(self, turn_id: str, caller: Caller) -> OpenTurn:
        if turn_id not in self.logs:
            raise self.error
        return OpenTurn(turn_id, CHARACTER, self.logs[turn_id], None)


class Setting:
    def __init__(self, error: Exception | None = None) -> None:
        self.store = MemoryTurnStore(Hands(NOON))
        self.turns: Any = Turns(error)
        self.arrivals = Arrivals()

    def feed(self, resume: str = "", heartbeat: float = 10.0) -> CharacterFeed:
        arrival = self.arrivals.waiting(USER, CHARACTER)
        return CharacterFeed(self.turns, self.store, arrival, CALLER, CHARACTER, resume, heartbeat)

    async def ended(self, turn_id: str, log: TurnLog | None) -> None:
        found: Any = await self.store.admit(turn_id, turn_request(), HASH)
        await self.store.finish(found.claim, ending())
        if log is not None:
            self.turns.logs[turn_id] = log


async def first(feed: CharacterFeed, count: int) -> list[tuple[str, str, int]]:
    """Turn, type or phase, and number of the first entries; then the reader leaves."""
    seen: list[tuple[str, str, int]] = []
    async for turn_id, batch in feed:
        seen += [(turn_id, _kind(entry), entry[0]) for entry in batch]
        if len(seen) >= count:
            feed.leave()
    feed.close()
    return seen


def _kind(entry: Entry) -> str:
    event = json.loads(entry[2])
    return str(event.get("phase", event["type"]))


@in_virtual_time
async def test_silence_is_filled_with_pings() -> None:
    setting = Setting()
    seen = await first(setting.feed(heartbeat=10.0), 3)
    assert seen == [("", "live", 0), ("", "ping", 0), ("", "ping", 0)]
    assert setting.arrivals._room._waiting == {}


@in_loop
async def test_turns_that_are_no_longer_kept_are_passed_over() -> None:
    setting = Setting(TurnExpired())
    log = MemoryEventLog()
    await setting.ended("t1", log.sealed("t1", entries(1, 2)))
    await setting.ended("t2", None)
    await setting.ended("t3", log.sealed("t3", entries(1, 1)))
    seen = await first(setting.feed("t1:1"), 3)
    assert seen == [("t1", "narrative", 2), ("t3", "narrative", 1), ("", "live", 0)]


@in_loop
async def test_turn_that_is_being_taken_up_again_ends_the_feed() -> None:
    setting = Setting(Overloaded())
    await setting.ended("t1", None)
    assert await first(setting.feed("t1:1"), 1) == []


@in_loop
async def test_lost_turn_ends_the_feed_without_an_end() -> None:
    setting = Setting()
    log = MemoryEventLog().open("t1", entries(1, 2))
    log.break_off()
    await setting.ended("t1", log)
    seen = await first(setting.feed("t1:1"), 9)
    assert seen == [("t1", "narrative", 2)]


@in_loop
async def test_trimmed_log_ends_the_feed_with_a_gap() -> None:
    setting = Setting()
    log = MemoryEventLog(max_bytes=10).open("t1", entries(1, 5))
    log.release(4)
    assert log.start > 1
    await setting.ended("t1", log)
    seen = await first(setting.feed("t1:1"), 9)
    assert seen == [("t1", "gap", 0)]
