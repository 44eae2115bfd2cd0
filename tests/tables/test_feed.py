"""A table's feed without a server around it: what is written through, silence, trimmed logs, look-ups."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import replace
from typing import Any, Self

import pytest
from app.adapters.event_log.followed import FollowedLog
from app.adapters.event_log.memory import MemoryEventLog, MemoryTurnLog
from app.core.access import Caller
from app.core.events import Draft, Entry, SceneShown, Token, encode_entry
from app.core.tables import NewLine, Seat, Table, TableRules
from app.ports.signals import NoSignals
from app.ports.store import Claim, Verdict
from app.tables.events import Position, position_of
from app.tables.fan_out import SECONDS_A_MEMBER
from app.tables.feed import TableFeed
from app.tables.news import MAX_LINES, Sources, TableNews
from app.tables.room import WAKE_SECONDS
from app.tables.rooms import Rooms
from app.turns.open_turn import OpenTurn
from app.web.dialects.dialect import Rendering
from app.web.dialects.gaia import GAIA
from app.web.dialects.native import NATIVE
from app.web.dialects.rpg import RPG
from app.web.transports.table import Framing, Outlet

from fakes.store.store import MemoryTurnStore
from journal import HASH, NOON, ending, entries, turn_request
from loops import in_loop, in_virtual_time

AT = "2026-11-28T12:00:00.000Z"
FRAMING = Framing(lambda _, message: bytes(message.data) + b"\n")
OWNER, PLAYER = "olga", "mara"


class Setting:
    """A table of two with a turn that runs, or is still to begin, whose log is `log`."""

    store: MemoryTurnStore
    table: Table
    log: MemoryTurnLog
    rooms: Rooms
    sources: Sources
    looks = 0
    has_dm: bool | None = None  # as the store answers, where it is given

    @classmethod
    async def of(cls, log: MemoryTurnLog, *, begun: bool = True) -> Self:
        self = cls()
        self.log = log
        self.store = MemoryTurnStore(lambda: NOON)
        tables = self.store.tables
        self.table = await tables.create(Seat(OWNER, "Olga"), "T", "DM", TableRules(), NOON)
        await tables.take_seat(self.table.id, Seat(PLAYER, "Mara"))
        if begun:
            await self.begin()
        self.rooms = Rooms(tables, NoSignals())
        counted: Any = self
        self.sources = Sources(counted, tables, TableNews(counted))
        return self

    async def begin(self, turn_id: str = "t1") -> None:
        request = turn_request(kind="table", exclusive=self.table.key, character_id="")
        await self.store.admit(turn_id, request, HASH)

    async def ends(self, turn_id: str) -> None:
        assert await self.store.finish(Claim(turn_id, 1), ending()) is Verdict.STORED

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store.tables, name)

    async def find(self, table_id: int) -> Table | None:
        table = await self.store.tables.find(table_id)
        return table if table is None or self.has_dm is None else replace(table, has_dm=self.has_dm)

    async def lines_since(self, *arguments: Any) -> Any:
        self.looks += 1
        return await self.store.tables.lines_since(*arguments)

    async def open(self, turn_id: str, caller: Caller) -> OpenTurn:
        return OpenTurn(turn_id, "", self.log, None)

    def feed(self, user: str, at: str = "", *, past: bool = False) -> TableFeed:
        attendant = self.rooms.attend(self.table.id, user, user.title())
        caller = Caller(user, frozenset({"tables"}))
        position = position_of(at) if at else Position()
        return TableFeed(self.sources, attendant, self.table, caller, position, past=past)


class Reader:
    """Takes what a feed gives: `through` what was written to it directly, `batches` what came by its
    iteration, `heard` both."""

    def __init__(self, feed: TableFeed, *, takes: bool = True) -> None:
        self.feed = feed
        self.takes = takes
        self.through: list[str] = []
        self.batches: list[str] = []
        self.heard: list[str] = []
        feed.outlet = Outlet(FRAMING, Rendering(NATIVE, ""), self._send)
        self.task = asyncio.create_task(self._read())

    def _send(self, frames: bytes) -> bool:
        if self.takes:
            words = [word for one in frames.splitlines() if (word := said(one)) != "presence"]
            self.through += words
            self.heard += words
        return self.takes

    async def _read(self) -> None:
        async for _, found in self.feed:
            words = [shown(one) for one in found if one[1] != "presence"]
            self.batches += words
            self.heard += words

    async def leaves(self) -> None:
        self.feed.leave()
        await self.task
        self.feed.close()


def shown(entry: Entry) -> str:
    return said(entry[2])


def said(data: bytes) -> str:
    event = json.loads(data)
    return str(event.get("content") or event.get("dm_notes") or event.get("phase") or event["type"])


def token(seq: int, text: str = "") -> Entry:
    return encode_entry(seq, Token(text or f"w{seq}", seq), AT)


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@in_virtual_time
async def test_tokens_are_written_in_the_call_that_appends_them() -> None:
    log = MemoryEventLog().open("t1", entries(1, 1))
    setting = await Setting.of(log)
    readers = [Reader(setting.feed(user)) for user in (OWNER, PLAYER)]
    await asyncio.sleep(1)
    log.append([token(2)])
    assert [reader.through for reader in readers] == [["w2"], ["w2"]]
    readers[0].takes = False
    readers[0].feed.post((0, "posted", b'{"type":"pong"}'))
    readers[0].takes = True
    log.append([token(3)])  # behind the post: the iteration has both
    await asyncio.sleep(1)
    assert (readers[0].through, readers[0].batches[1:]) == (["w2"], ["w3", "pong"])
    assert (readers[1].through, readers[1].batches[1:]) == (["w2", "w3"], [])
    readers[1].takes = False
    log.append([token(4)])
    await asyncio.sleep(1)
    readers[1].takes = True
    log.append([token(5)])
    assert (readers[0].through, readers[0].batches[1:]) == (["w2", "w4", "w5"], ["w3", "pong"])
    assert (readers[1].through, readers[1].batches[1:]) == (["w2", "w3", "w5"], ["w4"])
    log.append([token(6)], last=True)
    assert [reader.through[-1] for reader in readers] == ["w6", "w6"]
    for reader in readers:
        await reader.leaves()


@in_virtual_time
async def test_several_readers_have_what_comes_in_short_order_together() -> None:
    """One reader has each token at once; of several, one who joins has the others written to."""
    log = MemoryEventLog().open("t1", entries(1, 1), shared=True)
    setting = await Setting.of(log)
    first = Reader(setting.feed(PLAYER))
    await asyncio.sleep(1)
    log.append([token(2)])
    log.append([token(3)])
    assert first.through == ["w2", "w3"]
    second = Reader(setting.feed(PLAYER))
    await asyncio.sleep(1)
    log.append([token(4)])
    log.append([token(5)])
    log.append([token(6)])
    assert [first.through[2:], second.through] == [["w4"], ["w4"]]
    await asyncio.sleep(2 * SECONDS_A_MEMBER)
    await settled()
    assert [first.through[3:], second.through[1:]] == [["w5", "w6"], ["w5", "w6"]]
    log.append([token(7)])  # kept back
    late = Reader(setting.feed(PLAYER))
    await settled()
    assert late.batches == [f"w{n}" if n > 1 else "narrative" for n in range(1, 8)]
    assert [first.through[5:], second.through[3:]] == [["w7"], ["w7"]]
    await asyncio.sleep(1)
    log.append([token(8)])
    assert [one.through[-1] for one in (first, second, late)] == ["w8"] * 3
    for reader in (first, second, late):
        await reader.leaves()


@pytest.mark.parametrize(("count", "seconds"), [(2, 0.01), (3, 0.015), (8, 0.04), (12, 0.04)])
@in_virtual_time
async def test_more_readers_are_written_to_less_often_up_to_a_bound(
    count: int, seconds: float
) -> None:
    log = MemoryEventLog().open("t1", entries(1, 1), shared=True)
    setting = await Setting.of(log)
    readers = [Reader(setting.feed(PLAYER)) for _ in range(count)]
    await asyncio.sleep(1)
    log.append([token(2)])
    log.append([token(3)])
    await asyncio.sleep(seconds - 0.001)
    assert [reader.through for reader in readers] == [["w2"]] * count
    await asyncio.sleep(0.001)
    await settled()
    assert [reader.through for reader in readers] == [["w2", "w3"]] * count
    for reader in readers:
        await reader.leaves()


@in_virtual_time
async def test_whoever_cannot_be_written_to_harms_nobody_in_step() -> None:
    log = MemoryEventLog().open("t1", entries(1, 1))
    setting = await Setting.of(log)
    readers = [Reader(setting.feed(user)) for user in (OWNER, PLAYER, OWNER)]
    await asyncio.sleep(1)

    def broken(_: bytes) -> bool:
        raise OSError("gone")

    assert readers[0].feed.outlet is not None
    readers[0].feed.outlet.send = broken
    log.append([token(2)])
    assert [reader.through for reader in readers] == [[], ["w2"], ["w2"]]
    readers[1].feed._attendant.dismiss()
    await asyncio.sleep(1)
    log.append([token(3)])
    assert [reader.through for reader in readers] == [[], ["w2"], ["w2", "w3"]]
    assert readers[0].batches == ["narrative", "w2"]  # through its own iteration
    assert readers[1].task.done()
    readers[2].task.cancel()
    await asyncio.sleep(1)
    log.append([token(4)])
    assert readers[2].through == ["w2", "w3"]
    for reader in readers:
        reader.feed.close()
    assert not await setting.rooms.presence.of(setting.table.id)
    readers[0].task.cancel()


@in_virtual_time
async def test_what_a_reader_may_not_see_does_not_count_as_sent() -> None:
    log = MemoryEventLog().open("t1", entries(1, 1))
    setting = await Setting.of(log)
    dm, player = Reader(setting.feed(OWNER)), Reader(setting.feed(PLAYER))
    for second in range(25):
        await asyncio.sleep(1)
        log.append([encode_entry(second + 2, Draft(f"d{second}", second), AT)])
    await asyncio.sleep(0.5)
    assert (dm.through.count("d1"), dm.batches) == (1, ["narrative"])
    assert (player.through, player.batches) == ([], ["narrative", "ping", "ping"])
    for reader in (dm, player):
        await reader.leaves()


@in_virtual_time
async def test_owner_in_step_stops_moderating_whichever_row_of_a_look_says_so() -> None:
    """A look reads the table before its seats: somebody may take the role between the two."""
    log = MemoryEventLog().open("t1", entries(1, 1))
    setting = await Setting.of(log)
    owner = Reader(setting.feed(OWNER))
    await asyncio.sleep(1)
    seat = Seat(PLAYER, "Mara", role="dm")
    await setting.store.tables.take_seat(setting.table.id, seat)
    for setting.has_dm in (False, True):
        setting.rooms.said(setting.table.id)
        await asyncio.sleep(1)
        seq = log.end + 1
        log.append([encode_entry(seq, Draft(f"d{seq}", seq), AT)])
        await asyncio.sleep(1)
    assert owner.heard == ["narrative", "d2"]
    await owner.leaves()


@in_loop
async def test_trimmed_log_ends_the_feed_with_a_gap() -> None:
    log = MemoryEventLog(max_bytes=10).open("t1", entries(1, 5))
    log.release(4)
    setting = await Setting.of(log)
    reader = Reader(setting.feed(PLAYER, "0:t1:1", past=True))
    await reader.task
    assert reader.batches == ["gap"]


@in_loop
async def test_lines_that_come_while_others_wait_are_read() -> None:
    """While the past is read, the line of a turn waits for the turn."""
    log = MemoryEventLog().open("t1", entries(1, 1))
    setting = await Setting.of(log)
    said = NewLine("DM", "A bell.", "dm", turn_id="t1")
    await setting.store.tables.say(setting.table.id, said, NOON)
    feed = setting.feed(PLAYER, past=True)
    batches = aiter(feed)
    assert shown((await anext(batches)).entries[0]) == "narrative"
    await setting.store.tables.say(setting.table.id, NewLine("Olga", "Hm.", "player"), NOON)
    setting.rooms.said(setting.table.id)
    log.append([token(2)], last=True)
    found = [shown((await anext(batches)).entries[0]) for _ in range(3)]
    assert found == ["w2", "Hm.", "live"]
    feed.close()


@in_virtual_time
async def test_next_turn_is_opened_for_all_when_the_log_ends() -> None:
    log = MemoryEventLog().open("t1", entries(1, 1))
    setting = await Setting.of(log)
    readers = [Reader(setting.feed(PLAYER)) for _ in range(2)]
    await asyncio.sleep(1)
    said = NewLine("DM", "w2", "dm", turn_id="t1")
    await setting.store.tables.say(setting.table.id, said, NOON)
    await setting.ends("t1")
    await setting.begin("t2")
    setting.rooms.said(setting.table.id)
    await asyncio.sleep(1)
    setting.log = MemoryEventLog().open("t2", [token(1, "next")])
    log.append([token(2)], last=True)
    await settled()
    assert readers[0].feed._attendant.room.fan_outs
    for reader in readers:
        assert reader.heard == ["narrative", "w2", "next"]
        assert reader.through == ["w2", "next"]
        await reader.leaves()


@in_virtual_time
@pytest.mark.parametrize("end", ["broken", "trimmed"])
async def test_log_that_cannot_be_read_on_ends_all_in_step(end: str) -> None:
    log = MemoryEventLog(max_bytes=10).open("t1", entries(1, 1), shared=True)
    setting = await Setting.of(log)
    readers = [Reader(setting.feed(user)) for user in (OWNER, PLAYER, PLAYER)]
    await asyncio.sleep(1)
    readers[2].takes = False
    log.append([token(2)])
    await asyncio.sleep(1)
    log.append([token(3)])
    log.append([token(4), token(5), token(6)])  # kept back
    if end == "broken":
        log.break_off()
    else:
        log.release(5)
    await asyncio.sleep(1)
    assert all(reader.task.done() for reader in readers)
    last = ["w3", "w4", "w5", "w6"] if end == "broken" else ["w3", "gap"]
    for reader in readers:
        assert reader.heard == ["narrative", "w2", *last]
        reader.feed.close()
    assert log._watchers == []


@in_virtual_time
async def test_more_lines_than_one_look_takes_reach_all_in_step() -> None:
    setting = await Setting.of(MemoryEventLog().open("t1"), begun=False)
    readers = [Reader(setting.feed(user)) for user in (OWNER, PLAYER)]
    await asyncio.sleep(1)
    for number in range(2 * MAX_LINES + 3):
        await setting.store.tables.say(setting.table.id, NewLine("M", f"n{number}", "player"), NOON)
    setting.rooms.said(setting.table.id)
    await asyncio.sleep(1)
    for reader in readers:
        assert reader.through == [f"n{number}" for number in range(2 * MAX_LINES + 3)]
        await reader.leaves()


@in_virtual_time
@pytest.mark.parametrize("past", [True, False])
async def test_reader_stops_behind_no_number_of_lines_that_are_for_others(past: bool) -> None:
    setting = await Setting.of(MemoryEventLog().open("t1"), begun=False)
    say, number = setting.store.tables.say, setting.table.id
    reader = Reader(setting.feed(PLAYER, past=past))
    if not past:
        await asyncio.sleep(1)
    for _ in range(2 * MAX_LINES):
        await say(number, NewLine("Olga", "Psst.", "player", OWNER, recipient="otto"), NOON)
    await say(number, NewLine("Olga", "Hm.", "player", OWNER), NOON)
    setting.rooms.said(number)
    await asyncio.sleep(1)
    assert reader.heard == (["Hm.", "live"] if past else ["Hm."])
    await reader.leaves()


@in_virtual_time
async def test_who_comes_between_two_turns_is_in_step_with_the_others_from_the_next_one_on() -> (
    None
):
    """Until then, its events have other ids."""
    setting = await Setting.of(MemoryEventLog().open("t1", entries(1, 1)))
    number, say = setting.table.id, setting.store.tables.say
    early = Reader(setting.feed(PLAYER))
    await asyncio.sleep(1)
    setting.log.append([token(2)], last=True)
    await setting.ends("t1")
    setting.rooms.said(number)
    await asyncio.sleep(1)
    late = Reader(setting.feed(PLAYER))
    await asyncio.sleep(1)
    fan_outs = late.feed._attendant.room.fan_outs
    await say(
        number, NewLine("DM", "w2", "dm", turn_id="t1"), NOON
    )  # of a turn that only one has read
    setting.rooms.said(number)
    await asyncio.sleep(1)
    assert (early.heard, late.heard) == (["narrative", "w2"], ["w2"])
    assert len(fan_outs) == 2
    assert [one.feed._course.at.turn_id for one in (early, late)] == ["t1", "-"]
    setting.log = MemoryEventLog().open("t2", [token(1, "next")])
    await setting.begin("t2")
    setting.rooms.said(number)
    await asyncio.sleep(1)
    assert len(fan_outs) == 1
    setting.log.append([token(2, "more")])
    assert (early.heard[2:], late.heard[1:]) == (["next", "more"], ["next", "more"])
    for reader in (early, late):
        await reader.leaves()
    assert not fan_outs


@in_loop
async def test_lines_behind_a_turn_come_behind_it_where_one_look_finds_all() -> None:
    """Also for a reader who is up to date: a turn may be over before the reader looks."""
    log = MemoryEventLog().open("t1")
    setting = await Setting.of(log, begun=False)
    reader = Reader(setting.feed(PLAYER))
    await settled()
    say, number = setting.store.tables.say, setting.table.id
    await say(number, NewLine("Mara", "Once.", "player"), NOON)
    await setting.begin()
    log.append([token(1), token(2)], last=True)
    await say(number, NewLine("DM", "w1w2", "dm", turn_id="t1"), NOON)
    await say(number, NewLine("Olga", "Twice.", "player"), NOON)
    setting.rooms.said(number)
    await settled()
    assert reader.heard == ["Once.", "w1", "w2", "Twice."]
    await reader.leaves()


@in_virtual_time
async def test_line_of_a_turn_waits_for_the_end_of_the_turn_where_another_node_has_run_it() -> None:
    """And with it what was said afterwards, also for readers who are up to date."""
    log = FollowedLog()
    setting = await Setting.of(log)
    log.absorb([token(1)])
    readers = [Reader(setting.feed(user)) for user in (OWNER, PLAYER)]
    await asyncio.sleep(1)
    readers.append(Reader(setting.feed(PLAYER), takes=False))
    await asyncio.sleep(1)
    say, number = setting.store.tables.say, setting.table.id
    await say(number, NewLine("Olga", "Hm.", "player"), NOON)
    await setting.ends("t1")
    await say(number, NewLine("DM", "w1w2", "dm", turn_id="t1"), NOON)
    await say(number, NewLine("Olga", "Next.", "player"), NOON)
    setting.rooms.said(number)
    await asyncio.sleep(1)
    assert [reader.heard for reader in readers] == [["w1", "Hm."]] * 3
    log.absorb([token(2), (3, "complete", b'{"type":"complete"}')])
    await asyncio.sleep(1)
    for reader in readers:
        assert reader.heard == ["w1", "Hm.", "w2", "complete", "Next."]
        await reader.leaves()


class Evening(Setting):
    """Turns that begin one after another; some fail, and have no line."""

    def __init__(self) -> None:
        self.logs: dict[str, MemoryTurnLog] = {}
        self.running: str | None = None
        self.order: list[str] = []
        self.said = 0

    async def open(self, turn_id: str, caller: Caller) -> OpenTurn:
        return OpenTurn(turn_id, "", self.logs[turn_id], None)

    async def goes_on(self, chance: random.Random) -> None:
        """Something happens."""
        turn_id = self.running
        if chance.random() < 0.4:
            self.said += 1
            await self.says(NewLine("Olga", f"n{self.said}", "player"))
            self.order.append(f"n{self.said}")
        elif turn_id is None:
            turn_id = self.running = f"t{len(self.logs)}"
            self.logs[turn_id] = MemoryEventLog().open(turn_id)
            await self.begin(turn_id)
            self.logs[turn_id].append([token(1, f"{turn_id} begins")])
            self.order.append(f"{turn_id} begins")
        elif chance.random() < 0.4:
            log = self.logs[turn_id]
            log.append([token(log.end + 1, "goes on")])
        else:
            self.running, log = None, self.logs[turn_id]
            log.append([token(log.end + 1, f"{turn_id} ends")], last=True)
            told = (NewLine("DM", f"{turn_id} is told", "dm", turn_id=turn_id),)
            last = ending(lines=told) if chance.random() < 0.5 else ending("error")
            assert await self.store.finish(Claim(turn_id, 1), last) is Verdict.STORED
        if chance.random() < 0.6:  # nobody has heard of the rest yet
            self.rooms.said(self.table.id)

    async def says(self, line: NewLine) -> None:
        await self.store.tables.say(self.table.id, line, NOON)


@pytest.mark.parametrize("seed", range(40))
@in_virtual_time
async def test_lines_and_turns_are_in_one_order_for_all_readers(seed: int) -> None:
    """For those who read as it happens, for those who come back, and for those who come later."""
    chance = random.Random(seed)
    evening = await Evening.of(MemoryEventLog().open("unused"), begun=False)
    evening.logs.clear()
    readers: list[tuple[Numbered, list[str]]] = [(Numbered(evening), [])]
    for _ in range(60):
        await evening.goes_on(chance)
        await asyncio.sleep(chance.choice([0, 0, WAKE_SECONDS, 1]))
        if chance.random() < 0.1:
            readers.append((Numbered(evening), []))
        if chance.random() < 0.3:
            place = chance.randrange(len(readers))
            reader, heard = readers[place]
            await reader.leaves()
            readers[place] = Numbered(evening, reader.last), heard + reader.heard
    evening.rooms.said(evening.table.id)
    readers.append((Numbered(evening), []))
    await asyncio.sleep(2)
    for reader, before in readers:
        await reader.leaves()
        heard = before + reader.heard
        marks = [one for one in heard if one.startswith("n") or one.endswith("begins")]
        assert marks == evening.order
        assert len([one for one in heard if one.endswith("ends")]) == len(evening.logs) - (
            evening.running is not None
        )
        for turn_id in evening.logs:  # what was said behind a turn comes behind its end
            if f"{turn_id} ends" in heard:
                end = heard.index(f"{turn_id} ends")
                behind = evening.order.index(f"{turn_id} begins") + 1
                following = [one for one in evening.order[behind:] if one.endswith("begins")]
                assert not following or heard.index(following[0]) > end


class Numbered:
    """A reader from the beginning, or from behind an event on, who notes the newest event's id."""

    def __init__(self, evening: Evening, last: str = "") -> None:
        self.heard: list[str] = []
        self.last = last
        self.feed = evening.feed(PLAYER, last, past=True)
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for prefix, found in self.feed:
            for entry in found:
                if entry[0]:
                    self.last = f"{prefix}:{entry[0]}"
                    self.heard.append(shown(entry))

    async def leaves(self) -> None:
        self.feed.leave()
        await self.task
        self.feed.close()


@in_virtual_time
async def test_turn_comes_behind_all_lines_before_it_however_many_there_are() -> None:
    """For a reader of the past, and for one who is up to date."""
    setting = await Setting.of(MemoryEventLog().open("t1"), begun=False)
    live = Reader(setting.feed(PLAYER))
    await asyncio.sleep(1)
    names = [f"n{number}" for number in range(MAX_LINES + 5)]
    for name in names:
        await setting.store.tables.say(setting.table.id, NewLine("Olga", name, "player"), NOON)
    await setting.begin()
    setting.log.append([token(1)], last=True)
    await setting.ends("t1")
    setting.rooms.said(setting.table.id)
    late = Reader(setting.feed(PLAYER, past=True))
    await asyncio.sleep(1)
    assert live.heard == [*names, "w1"]
    assert late.heard == [*names, "w1", "live"]
    for reader in (live, late):
        await reader.leaves()


@pytest.mark.parametrize("readers", [1, 2])
@pytest.mark.parametrize("status", ["error", "cancelled"])
@in_virtual_time
async def test_line_behind_a_turn_that_has_no_line_waits_for_its_end(
    readers: int, status: Any
) -> None:
    """Another node has run the turn: its last events come when they come."""
    log = MemoryEventLog().open("t1", [token(1)], shared=True)
    setting = await Setting.of(log)
    live = [Reader(setting.feed(PLAYER)) for _ in range(readers)]
    await asyncio.sleep(1)
    say, number = setting.store.tables.say, setting.table.id
    for words in ("while it runs", "behind it"):
        if words == "behind it":
            if status == "cancelled":
                await setting.store.begin_cancel("t1")
            ended = await setting.store.finish(Claim("t1", 1), ending(status))
            assert ended is Verdict.STORED
        await say(number, NewLine("Olga", words, "player"), NOON)
        setting.rooms.said(number)
        await asyncio.sleep(1)
    late = Reader(setting.feed(PLAYER, past=True))
    await asyncio.sleep(1)
    log.append([token(2)])
    await asyncio.sleep(1)
    log.append([token(3)], last=True)
    await asyncio.sleep(1)
    for reader in (*live, late):
        heard = [word for word in reader.heard if word != "live"]
        assert heard == ["w1", "while it runs", "w2", "w3", "behind it"]
        await reader.leaves()


@pytest.mark.parametrize("readers", [1, 2])
@in_virtual_time
async def test_line_behind_a_turn_waits_for_its_first_event(readers: int) -> None:
    """Another node may run the turn: its events come when they come."""
    setting = await Setting.of(MemoryEventLog().open("t1", shared=True), begun=False)
    live = [Reader(setting.feed(PLAYER)) for _ in range(readers)]
    await asyncio.sleep(1)
    await setting.begin()
    setting.rooms.said(setting.table.id)
    await asyncio.sleep(1)
    await setting.store.tables.say(setting.table.id, NewLine("Olga", "Hm.", "player"), NOON)
    setting.rooms.said(setting.table.id)
    late = Reader(setting.feed(PLAYER, past=True))
    await asyncio.sleep(1)
    setting.log.append([token(1)])
    await asyncio.sleep(1)
    setting.log.append([token(2)])
    await asyncio.sleep(1)
    assert [one.heard for one in live] == [["w1", "Hm.", "w2"]] * readers
    assert [word for word in late.heard if word != "live"] == ["w1", "Hm.", "w2"]
    for reader in (*live, late):
        await reader.leaves()


NO_IDS = (
    *("", "x", "::", "1:t1", "1::1", "-1:t1:1", "1:t1:-1", "\u00b2:t1:1", f"{10**15}:t1:1"),
    *("1:t 1:1", "1:t1:1:1", f"1:{'t' * 65}:1", "1:t1:1\n", "1:t1\ndata: {}\n\nid: 2:t1:1"),
)


def test_position_of_what_is_no_event_id_is_the_start() -> None:
    for event_id in NO_IDS:
        found = position_of(event_id)
        assert (found.line, found.prefix, found.seq) == (0, "0:-", 0)


@in_loop
async def test_position_at_another_table_is_none_of_this_one() -> None:
    setting = await Setting.of(MemoryEventLog().open("t1"), begun=False)
    tables, number = setting.store.tables, setting.table.id
    first = await tables.say(number, NewLine("Olga", "First.", "player"), NOON)
    other = await tables.create(Seat(OWNER, "Olga"), "U", "DM", TableRules(), NOON)
    foreign = await tables.say(other.id, NewLine("Olga", "Elsewhere.", "player"), NOON)
    last = await tables.say(number, NewLine("Olga", "Last.", "player"), NOON)
    for line, rest in ((first, ["Last."]), (foreign, ["First.", "Last."]), (last, [])):
        reader = Reader(setting.feed(PLAYER, f"{line.id}:-:1", past=True))
        await settled()
        assert reader.batches == [*rest, "live"]
        await reader.leaves()


@in_virtual_time
async def test_readers_in_the_same_place_share_one_look_for_each_change() -> None:
    log = MemoryEventLog().open("t1", entries(1, 1))
    setting = await Setting.of(log)
    readers = [Reader(setting.feed(user)) for user in (OWNER, PLAYER) * 4]
    await settled()
    first = setting.looks
    for number in range(3):
        await setting.store.tables.say(setting.table.id, NewLine("M", f"n{number}", "player"), NOON)
        setting.rooms.said(setting.table.id)
        await asyncio.sleep(WAKE_SECONDS)
        await settled()
    assert (first, setting.looks) == (1, 4)
    assert all(reader.through[-3:] == ["n0", "n1", "n2"] for reader in readers)
    await setting.store.tables.take_seat(
        setting.table.id, Seat(PLAYER, "Mara", present=False, removed=True)
    )
    setting.rooms.said(setting.table.id)
    await asyncio.sleep(WAKE_SECONDS)
    await settled()
    assert [reader.task.done() for reader in readers] == [False, True] * 4
    assert [reader.feed.put_out for reader in readers] == [False, True] * 4
    for reader in readers[::2]:
        await reader.leaves()


@in_virtual_time
async def test_reader_ahead_of_a_log_that_is_broken_off_reads_nothing_twice() -> None:
    log = FollowedLog()
    setting = await Setting.of(log)
    readers = [Reader(setting.feed(PLAYER, "0:t1:5", past=True)) for _ in range(2)]
    await asyncio.sleep(1)
    log.absorb([token(1), token(2)])
    await asyncio.sleep(1)
    log.break_off()
    await asyncio.sleep(1)
    for reader in readers:
        assert (reader.heard, reader.task.done()) == (["live"], True)
        reader.feed.close()


@in_virtual_time
async def test_line_before_the_first_event_of_a_turn_is_no_place_in_that_turn() -> None:
    """A turn that another node of an older release runs is known before its events have come."""
    log = FollowedLog()
    setting = await Setting.of(log)
    setting.store._journal.turns["t1"].behind = None
    feed = setting.feed(PLAYER, past=True)
    batches = aiter(feed)
    assert shown((await anext(batches)).entries[0]) == "live"
    await setting.store.tables.say(setting.table.id, NewLine("Olga", "Hm.", "player"), NOON)
    setting.rooms.said(setting.table.id)
    prefix, [(number, *_)] = await anext(batches)
    feed.close()
    log.absorb([token(1), token(2)])
    reader = Reader(setting.feed(PLAYER, f"{prefix}:{number}", past=True))
    await asyncio.sleep(1)
    assert reader.heard == ["w1", "w2", "live"]
    await reader.leaves()


@in_virtual_time
@pytest.mark.parametrize("change", ["line", "removal"])
async def test_who_looks_later_does_not_miss_what_an_earlier_look_has_missed(change: str) -> None:
    """Two who have read the same share a look only where nothing has changed since it began."""
    setting = await Setting.of(MemoryEventLog().open("t1", entries(1, 1)))
    tables, number = setting.store.tables, setting.table.id
    early, late = (aiter(setting.feed(PLAYER)) for _ in range(2))
    for feed in (early, late):  # neither waits for what comes now
        assert shown((await anext(feed)).entries[0]) == "narrative"
    setting.rooms.said(number)
    began, goes_on = asyncio.Event(), asyncio.Event()

    async def held(*arguments: Any) -> Any:
        found = await tables.turns(*arguments)
        began.set()
        await goes_on.wait()
        return found

    vars(setting)["turns"] = held
    reading = [asyncio.ensure_future(anext(early))]
    await began.wait()
    if change == "line":
        await tables.say(number, NewLine("Olga", "Hm.", "player"), NOON)
    else:
        await tables.take_seat(number, Seat(PLAYER, "Mara", present=False, removed=True))
    setting.rooms.said(number)
    reading.append(asyncio.ensure_future(anext(late)))
    await settled()
    goes_on.set()
    for one in reading:
        if change == "line":
            assert shown((await asyncio.wait_for(one, 5)).entries[0]) == "Hm."
        else:
            with pytest.raises(StopAsyncIteration):
                await asyncio.wait_for(one, 5)


@in_virtual_time
async def test_seats_of_a_table_are_kept_once_however_many_read_there() -> None:
    """Each reader has looked them up by itself, and has them for as long as others read for it."""
    setting = await Setting.of(MemoryEventLog().open("t1", entries(1, 1)))
    readers = []
    for user in (OWNER, PLAYER, PLAYER):
        readers.append(Reader(setting.feed(user)))
        await asyncio.sleep(1)
    assert setting.looks == len(readers)
    assert len({id(reader.feed._known) for reader in readers}) == 1
    before = readers[0].feed._known
    await setting.store.tables.take_seat(setting.table.id, Seat("finn", "Finn"))
    setting.rooms.said(setting.table.id)
    await asyncio.sleep(1)
    assert {id(reader.feed._known) for reader in readers} != {id(before)}
    assert len({id(reader.feed._known) for reader in readers}) == 1
    for reader in readers:
        await reader.leaves()


@in_virtual_time
async def test_changes_in_short_order_are_looked_up_together() -> None:
    setting = await Setting.of(MemoryEventLog().open("t1", entries(1, 1)))
    readers = [Reader(setting.feed(user)) for user in (OWNER, PLAYER)]
    await asyncio.sleep(1)
    first = setting.looks
    for number in range(5):
        await setting.store.tables.say(setting.table.id, NewLine("M", f"n{number}", "player"), NOON)
        setting.rooms.said(setting.table.id)
        await settled()
    assert setting.looks == first + 1
    assert [reader.heard[-1] for reader in readers] == ["n0", "n0"]  # the first one at once
    await asyncio.sleep(WAKE_SECONDS)
    await settled()
    assert setting.looks == first + 2
    for reader in readers:
        assert reader.heard[-5:] == [f"n{number}" for number in range(5)]
        await reader.leaves()


@in_virtual_time
async def test_what_is_posted_is_written_at_once_behind_what_there_is_to_read() -> None:
    log = MemoryEventLog().open("t1", entries(1, 1))
    setting = await Setting.of(log)
    readers = [Reader(setting.feed(user)) for user in (OWNER, PLAYER)]
    await asyncio.sleep(1)
    pong = (0, "posted", b'{"type":"pong"}')
    setting.rooms.post(setting.table.id, pong)
    assert [reader.through for reader in readers] == [["pong"], ["pong"]]
    log.append([token(2)])
    log.append([token(3)])  # kept back
    setting.rooms.post(setting.table.id, pong)
    await settled()
    for reader in readers:
        assert (reader.through[:2], reader.heard[-3:]) == (["pong", "w2"], ["w2", "w3", "pong"])
    await setting.store.tables.say(setting.table.id, NewLine("M", "n", "player"), NOON)
    setting.rooms.said(setting.table.id)
    setting.rooms.post(setting.table.id, pong)
    await settled()
    for reader in readers:
        assert reader.heard[-2:] == ["n", "pong"]
        await reader.leaves()
        reader.feed.post(pong)  # to nobody
        assert reader.heard.count("pong") == 3


@in_loop
async def test_reader_that_leaves_in_a_look_takes_nothing_from_the_others() -> None:
    setting = await Setting.of(MemoryEventLog().open("t1"))
    first = asyncio.create_task(setting.sources.news.since(setting.table.id, 1, 0, None))
    second = asyncio.create_task(setting.sources.news.since(setting.table.id, 1, 0, None))
    await asyncio.sleep(0)
    first.cancel()
    assert set((await second).seats) == {OWNER, PLAYER}
    assert first.cancelled()


def test_readers_in_step_are_framed_once_and_each_sees_its_own() -> None:
    folded = 0

    def frame(prefix: str, message: Any) -> bytes:
        nonlocal folded
        folded += 1
        return bytes(message.data) + b"\n"

    framing = Framing(frame)
    renderings: list[Rendering[Any]] = [Rendering(RPG, "") for _ in range(3)]
    sent: list[bytes] = []

    def write(data: bytes) -> bool:
        sent.append(data)
        return True

    outlets = [Outlet(framing, one, write) for one in renderings]
    assert all(one.write("", [token(1)]) for one in outlets)
    assert framing.write_all(outlets, "", [token(2)]) == []
    assert (folded, len(sent), len(set(sent))) == (2, 6, 2)
    assert not Outlet(framing, renderings[0], lambda _: False).write("", [token(3)])
    assert outlets[0].write("", [token(3)])  # nothing was lost or written twice
    assert renderings[0].state.narrative == "w1w2w3"
    assert renderings[1].state.narrative == "w1w2"


def test_notes_reach_no_player_who_is_in_step_with_the_dungeon_master() -> None:
    framing, begin = Framing(lambda _, message: bytes(message.data)), GAIA.begin("", {})
    sent: list[bytes] = []

    def write(data: bytes) -> bool:
        sent.append(data)
        return True

    for notes in ("The bell is a lie.", None):
        rendering: Rendering[Any] = Rendering(GAIA, "")
        rendering.state = begin
        scene = encode_entry(2, SceneShown({"scene_elements": {}}, notes), AT)
        Outlet(framing, rendering, write).write("", [token(1), scene, token(3)])
    assert [b"lie" in data for data in sent] == [True, False]
