"""Readers of a table in step, in every order: each has what one who is never written to directly has."""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import Any, Final

import pytest
from app.adapters.event_log.memory import MemoryEventLog, MemoryTurnLog
from app.core.access import Caller
from app.core.events import Draft, Entry, Metadata, SceneShown, Token, encode_entry
from app.core.tables import NewLine, Role, Seat, Table, TableRules
from app.ports.signals import NoSignals
from app.ports.tables import TableTurn
from app.tables.events import Position
from app.tables.feed import TableFeed
from app.tables.news import Sources, TableNews
from app.tables.rooms import Rooms
from app.turns.open_turn import OpenTurn
from app.web.dialects.dialect import Dialect, Message, Rendering
from app.web.dialects.gaia import GAIA
from app.web.dialects.native import NATIVE
from app.web.dialects.rpg import RPG
from app.web.transports.table import Framing, Outlet

from fakes.store.store import MemoryTurnStore
from journal import NOON
from loops import in_virtual_time

AT: Final = "2026-11-28T12:00:00.000Z"
OWNER, PLAYER, THIRD = "olga", "mara", "finn"
DIALECTS: Final[tuple[Dialect[Any], ...]] = NATIVE, RPG, GAIA
STEPS: Final = 90
SECRET: Final = "The bell is a lie."
_AT_ONCE: Final = ("tokens", "held", "pause", "post", "mode", "join", "leave")
_LOOKED_UP: Final = ("line", "role", "turn", "whisper", "seat")


class Reader:
    """`sent`: all that it was sent, directly or by its iteration, posts apart. Without a framing, it is
    never written to directly."""

    def __init__(
        self, feed: TableFeed, user: str, dialect: Dialect[Any], framing: Framing | None
    ) -> None:
        self.feed = feed
        self.user = user
        self.mode = "takes"
        self.sent: list[bytes] = []
        self.posts: list[bytes] = []
        self.direct = 0
        self.rendering = Rendering(dialect, "")
        self._plain = Framing(_framed)
        if framing is not None:
            feed.outlet = Outlet(framing, self.rendering, self._send)
        self.task = asyncio.create_task(self._read())

    def _send(self, frames: bytes) -> bool:
        if self.mode == "raises":
            raise ConnectionError
        if self.mode == "takes":
            self.direct += 1
            self._note(frames)
        return self.mode == "takes"

    def _note(self, frames: bytes) -> None:
        for one in frames.splitlines():
            if b'"ping"' not in one and b'"heartbeat"' not in one:
                (self.posts if b'"pong"' in one else self.sent).append(one)

    async def _read(self) -> None:
        async for prefix, entries in self.feed:
            if self.mode == "pauses":
                await asyncio.sleep(0.03)
            self._note(self._plain.frames(self.rendering, prefix, entries))

    async def leaves(self) -> None:
        self.feed.leave()
        await self.task
        self.feed.close()


def _framed(prefix: str, message: Message) -> bytes:
    number = b"%b:%d " % (prefix.encode(), message.seq) if message.seq else b""
    return number + message.data + b"\n"


class Scene:
    """A table whose turns are played by a random schedule. Each reader has a twin that reads alone."""

    table: Table
    log: MemoryTurnLog

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.store = MemoryTurnStore(lambda: NOON)
        self.rooms = Rooms(self.store.tables, NoSignals())
        source: Any = self
        self.sources = Sources(source, source, TableNews(source))
        self.framings = {one.name: Framing(_framed) for one in DIALECTS}
        self.pairs: list[tuple[Reader, Reader]] = []
        self.gone: list[tuple[Reader, Reader]] = []
        self.logs: dict[str, MemoryTurnLog] = {}
        self.role: Role = "player"  # of the player
        self.posted = self.others = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store.tables, name)

    async def turns(self, table_id: int, after: str | None) -> list[TableTurn]:
        names = list(self.logs)
        fresh = names[names.index(after) + 1 :] if after in names else names
        ended = {name: self.logs[name].closed for name in fresh}
        return [
            TableTurn(name, "complete" if done else "running", int(name[1:]))
            for name, done in ended.items()
        ]

    async def open(self, turn_id: str, caller: Caller) -> OpenTurn:
        return OpenTurn(turn_id, "", self.logs[turn_id], None)

    async def begin(self) -> None:
        tables = self.store.tables
        self.table = await tables.create(Seat(OWNER, "Olga"), "T", "DM", TableRules(), NOON)
        for user in (PLAYER, THIRD):
            await tables.take_seat(self.table.id, Seat(user, user.title()))
        self._begin_turn()
        for user in (OWNER, PLAYER, THIRD):  # who is connected changes no more
            self.join(user, NATIVE)
        await settled()

    def _begin_turn(self) -> None:
        name = f"t{len(self.logs) + 1}"
        self.log = self.logs[name] = MemoryEventLog().open(name, shared=True)
        self.rooms.said(self.table.id)
        self.log.append([encode_entry(1, Metadata("start", 1), AT)])

    def join(self, user: str, dialect: Dialect[Any]) -> None:
        self.pairs.append(
            (
                Reader(self._feed(user), user, dialect, self.framings[dialect.name]),
                Reader(self._feed(user), user, dialect, None),
            )
        )

    def _feed(self, user: str) -> TableFeed:
        attendant = self.rooms.attend(self.table.id, user, user.title())
        caller = Caller(user, frozenset({"tables"}))
        return TableFeed(self.sources, attendant, self.table, caller, Position(), past=False)

    async def step(self) -> None:
        """One of what can happen; what readers look up in the store is seen by all before the next one."""
        what = self.random.choices(
            (*_AT_ONCE, *_LOOKED_UP),
            (30, 8, 16, 6, 10, 6, 4, 3, 3, 2, 2, 2),
        )[0]
        looked_up = what in _LOOKED_UP
        if looked_up:
            await settled()
        happens = getattr(self, f"_{what}")()
        if happens is not None:
            await happens
        if looked_up:
            await settled()

    def _tokens(self) -> None:
        count = self.random.choice((1, 1, 1, 1, 1, 1, 2, 5, 600))
        first = self.log.end + 1
        self.log.append([_token(seq) for seq in range(first, first + count)])

    def _held(self) -> None:
        seq, said = self.log.end + 1, "dm only" if self.role == "dm" else SECRET
        shown = SceneShown({"scene_elements": {}}, said), Draft(said, seq)
        self.log.append([encode_entry(seq, self.random.choice(shown), AT)])

    async def _pause(self) -> None:
        await asyncio.sleep(self.random.choice((0, 0, 0.005, 0.015, 0.02, 0.06, 20)))

    def _post(self) -> None:
        self.posted += 1
        pong = f'{{"type":"pong","timestamp":"{AT}","number":{self.posted}}}'.encode()
        for one in self.random.choice(self.pairs):
            one.feed.post((0, "posted", pong))

    def _mode(self) -> None:
        reader = self.random.choice(self.pairs)[0]
        reader.mode = self.random.choice(("takes", "takes", "refuses", "raises", "pauses"))

    def _join(self) -> None:
        self.join(self.random.choice((OWNER, PLAYER, THIRD)), self.random.choice(DIALECTS))

    async def _leave(self) -> None:
        if len(self.pairs) > 3:
            pair = self.pairs.pop(self.random.randrange(3, len(self.pairs)))
            await settled()
            for one in pair:
                await one.leaves()
            self.gone.append(pair)

    async def _line(self) -> None:
        said = NewLine("Olga", f"line {self.random.random()}", "player", OWNER)
        await self.store.tables.say(self.table.id, said, NOON)
        self.rooms.said(self.table.id)

    async def _whisper(self) -> None:
        said = NewLine("Olga", f"whisper {self.random.random()}", "player", OWNER, recipient=PLAYER)
        await self.store.tables.say(self.table.id, said, NOON)
        self.rooms.said(self.table.id)

    async def _seat(self) -> None:
        self.others += 1
        await self.store.tables.take_seat(self.table.id, Seat(f"u{self.others}", f"U{self.others}"))
        self.rooms.said(self.table.id)

    async def _role(self) -> None:
        if self.role == "player":  # a dungeon master who joins reads the whole turn that runs
            await self._turn()
            await settled()
        self.role = "dm" if self.role == "player" else "player"
        await self.store.tables.take_seat(self.table.id, Seat(PLAYER, "Mara", role=self.role))
        self.rooms.said(self.table.id)

    async def _turn(self) -> None:
        seq, kind = self.log.end + 1, self.random.choice(("error", "cancelled"))
        if self.random.random() < 0.6:  # a turn that was committed has a line, one that failed none
            said = NewLine("DM", "The end.", "dm", turn_id=f"t{len(self.logs)}")
            await self.store.tables.say(self.table.id, said, NOON)
            if self.random.random() < 0.5:
                self.rooms.said(self.table.id)
        end = json.dumps({"type": kind, "timestamp": AT, "sequence": seq, "error": "Gone."})
        self.log.append([(seq, kind, end.encode())], last=True)
        self._begin_turn()


def _token(seq: int) -> Entry:
    return encode_entry(seq, Token(f"w{seq}", seq), AT)


async def settled() -> None:
    """In virtual time: for longer than anything is kept back or anybody pauses, but for a ping."""
    await asyncio.sleep(5)


@pytest.mark.parametrize("seed", range(8))
@in_virtual_time
async def test_readers_in_step_have_what_those_have_who_read_alone(seed: int) -> None:
    scene = Scene(seed)
    await scene.begin()
    for _ in range(STEPS):
        await scene.step()
    await settled()
    room = scene.pairs[0][0].feed._attendant.room
    assert room.fan_outs
    assert not any(one.task.done() for pair in scene.pairs for one in pair)
    assert any(one.direct for one, _ in scene.pairs)
    for reader, twin in [*scene.pairs, *scene.gone]:
        assert reader.sent == twin.sent
        assert reader.posts == twin.posts
        secrets = {OWNER: (), PLAYER: (SECRET,), THIRD: (SECRET, "dm only", "whisper")}[reader.user]
        assert not any(words.encode() in one for words in secrets for one in reader.sent)
    for pair in scene.pairs:
        for one in pair:
            await one.leaves()
    assert (room.fan_outs, room.attendants) == ([], [])
    assert [log._watchers for log in scene.logs.values()] == [[] for _ in scene.logs]


@in_virtual_time
async def test_player_who_is_put_out_is_sent_nothing_more() -> None:
    scene = Scene(0)
    await scene.begin()
    before = list(scene.pairs[1][0].sent)
    scene.log.append([_token(2)])  # further ones are kept back
    scene.log.append([_token(3)])
    scene.rooms.put_out(scene.table.id, PLAYER)
    scene.log.append([_token(4)])
    await settled()
    (owner, _), put_out, _ = scene.pairs
    assert len(owner.sent) == len(before) + 3
    for one in put_out:
        assert one.task.done()
        assert len(one.sent) <= len(before) + 1
        await one.leaves()


@in_virtual_time
async def test_message_that_cannot_be_made_ends_nobody_and_is_made_once() -> None:
    failures = 1

    def frame(prefix: str, message: Message) -> bytes:
        nonlocal failures
        if failures and b"w3" in message.data:
            failures -= 1
            raise ValueError
        return _framed(prefix, message)

    scene = Scene(0)
    scene.framings["rpg"] = Framing(frame)
    await scene.begin()
    for _ in range(2):
        scene.join(PLAYER, RPG)
    await settled()
    scene.log.append([_token(2), _token(3)])
    await settled()
    for pair in scene.pairs:
        assert not any(one.task.done() for one in pair)
    for reader, twin in scene.pairs[3:]:
        assert reader.sent == twin.sent
        assert reader.rendering.state.narrative == "w2w3"
