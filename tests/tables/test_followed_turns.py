"""Readers of a table have every event once and in its order, whatever becomes of the nodes of its turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from random import Random
from typing import Any, Final, Literal

import pytest
from app.adapters.event_log.memory import MemoryTurnLog
from app.adapters.event_log.shared import LogRow, SharedEventLog
from app.core.access import Caller
from app.core.cursors import after_lost
from app.core.events import LOST_END, Entry, Metadata, Token, encode_entry
from app.core.tables import NewLine, Seat, Table, TableRules
from app.errors import StoreUnavailable
from app.ports.signals import NoSignals
from app.ports.store import StoredTurn
from app.ports.tables import TableTurn
from app.tables.events import position_of
from app.tables.feed import TableFeed
from app.tables.news import Sources, TableNews
from app.tables.rooms import Rooms
from app.turns.open_turn import OpenTurn
from app.web.dialects.dialect import Message, Rendering
from app.web.dialects.native import NATIVE
from app.web.transports.table import Framing, Outlet

from fakes.store.store import MemoryTurnStore
from journal import NOON
from loops import in_virtual_time

AT: Final = "2026-11-28T12:00:00.000Z"
USER: Final = "olga"
NODES: Final = 3
STEPS: Final = 150


class Space:
    """What the channels of all nodes hold."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.rows: dict[str, list[LogRow]] = {}
        self.markers: set[str] = set()
        self.channels: list[Channel] = []


class Channel:
    """`LogChannel` that is late, or says nothing, or says everything twice, or cannot be used."""

    def __init__(self, space: Space, name: str) -> None:
        self._space = space
        self._name = name
        self._wanted: Callable[[], Mapping[str, int]] = dict
        self._deliver: Callable[[Iterable[LogRow]], None] = lambda _: None
        self.dead = False
        self.tasks: list[asyncio.Task[None]] = []
        space.channels.append(self)

    def _may_fail(self) -> None:
        if self.dead or self._space.random.random() < 0.03:
            raise StoreUnavailable

    async def publish(self, rows: Sequence[LogRow], *, rewriting: bool, whole: bool) -> bool:
        await asyncio.sleep(0.001)
        self._may_fail()
        space, random = self._space, self._space.random
        if not rewriting and self._name not in space.markers:
            return False
        for row in rows:
            space.rows.setdefault(row[0], []).append(row)
        if whole:
            space.markers.add(self._name)
        for channel in space.channels:
            for _ in range(random.choice((0, 1, 1, 1, 1, 2))):
                delay = random.choice((0, 0, 0.001, 0.005, 0.05, 0.5))
                asyncio.get_running_loop().call_later(
                    delay, channel._hear, [row[0] for row in rows]
                )
        return True

    def _hear(self, turns: list[str]) -> None:
        wanted = self._wanted()
        seen = {name: wanted[name] for name in turns if name in wanted}
        if seen and not self.dead:
            self.tasks.append(asyncio.create_task(self._bring(seen)))

    async def _bring(self, seen: Mapping[str, int]) -> None:
        """What was there a while ago: it may have come another way meanwhile."""
        with suppress(StoreUnavailable):
            rows = await self.read(seen)
            await asyncio.sleep(self._space.random.choice((0, 0.01, 0.1)))
            self._deliver(rows)

    async def read(self, seen: Mapping[str, int]) -> list[LogRow]:
        await asyncio.sleep(self._space.random.choice((0, 0.001, 0.02)))
        self._may_fail()
        rows = [row for name in seen for row in self._space.rows.get(name, ())]
        return sorted(rows, key=lambda row: row[1])

    async def drop(self, turn_ids: Sequence[str]) -> None:
        self._may_fail()
        for name in turn_ids:
            self._space.rows.pop(name, None)

    def start(self, wanted: Any, deliver: Any) -> None:
        self._wanted, self._deliver = wanted, deliver

    async def aclose(self) -> None:
        self.dead = True


class Node:
    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.name = f"node{number}"
        self.channel = Channel(world.space, self.name)
        journal: Any = world
        channel: Any = self.channel
        self.events = SharedEventLog(channel, journal)
        self.events.start()
        self.rooms = Rooms(world.store.tables, NoSignals())
        source: Any = self
        self.sources = Sources(source, source, TableNews(source))
        self.running: dict[str, MemoryTurnLog] = {}
        self.replayed: dict[str, MemoryTurnLog] = {}
        self.dead = False
        self.clients: list[Client] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.world.store.tables, name)

    async def turns(self, table_id: int, after: str | None) -> list[TableTurn]:
        await asyncio.sleep(0)
        return self.world.table_turns(after)

    async def open(self, turn_id: str, caller: Caller) -> OpenTurn:
        """As `TurnService.open`."""
        if turn_id in self.running:
            return OpenTurn(turn_id, "", self.running[turn_id], None)
        turn = await self.world.turn(turn_id)
        assert turn is not None
        entries = await self.world.entries(turn_id)
        if turn.finished_at is not None:
            assert entries is not None
            return OpenTurn(turn_id, "", self.events.sealed(turn_id, entries), None)
        log = await self.events.follow(turn_id, entries or ())
        assert log is not None
        return OpenTurn(turn_id, "", log, None)

    async def dies(self) -> None:
        """No more of it is heard; its clients go."""
        self.dead = self.channel.dead = True
        for client in self.clients:
            await client.loses()
        self.clients = []


class Client:
    """Comes back with the last id whenever its stream ends."""

    def __init__(self, world: World, node: Node, last: str, *, direct: bool) -> None:
        self.world = world
        self.first = last
        self.last = last
        self.direct = direct
        self.events: list[tuple[str, bytes]] = []  # id and data
        self.connections = 0
        self.node = node
        self.feed: TableFeed | None = None
        self.mode = "takes"
        self.gone = False
        self.comes(node)

    def comes(self, node: Node) -> None:
        self.node = node
        node.clients.append(self)
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while not self.gone:
            world, node = self.world, self.node
            self.connections += 1
            attendant = node.rooms.attend(world.table.id, USER, "Olga")
            caller = Caller(USER, frozenset({"tables"}))
            position = position_of(self.last)
            feed = self.feed = TableFeed(node.sources, attendant, world.table, caller, position)
            rendering = Rendering(NATIVE, "")
            framing = world.framing if self.direct else Framing(_framed)
            if self.direct:
                feed.outlet = Outlet(framing, rendering, self._send)
            try:
                async for prefix, entries in feed:
                    if self.mode == "pauses":
                        await asyncio.sleep(0.03)
                    self._note(framing.frames(rendering, prefix, entries))
            finally:
                feed.close()
            await asyncio.sleep(0.01)

    def _send(self, frames: bytes) -> bool:
        if self.mode == "takes":
            self._note(frames)
        return self.mode == "takes"

    def _note(self, frames: bytes) -> None:
        for one in frames.splitlines():
            number, _, data = one.partition(b" ")
            if number != b"-":
                self.events.append((number.decode(), data))
                self.last = number.decode()

    async def loses(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def leaves(self) -> None:
        self.gone = True
        if self.feed is not None:
            self.feed.leave()
        await self.task


def _framed(prefix: str, message: Message) -> bytes:
    number = b"%b:%d" % (prefix.encode(), message.seq) if message.seq and prefix else b"-"
    return number + b" " + message.data + b"\n"


class World:
    table: Table

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.space = Space(self.random)
        self.store = MemoryTurnStore(lambda: NOON)
        self.framing = Framing(_framed)
        self.names: list[str] = []
        self.behind: dict[str, int] = {}
        self.newest = 0  # line
        self.finished: dict[str, list[Entry]] = {}  # as the journal has them
        self.noted: dict[str, list[Entry]] = {}
        self.nodes: list[Node] = []
        self.clients: list[Client] = []
        self.lines = 0

    # -- the journal -------------------------------------------------------------------------------

    def table_turns(self, after: str | None) -> list[TableTurn]:
        fresh = self.names[self.names.index(after) + 1 :] if after in self.names else self.names
        return [
            TableTurn(name, _status(name in self.finished), int(name[1:]), self.behind[name])
            for name in fresh
        ]

    async def turn(self, turn_id: str) -> StoredTurn | None:
        await asyncio.sleep(0)
        finished = NOON if turn_id in self.finished else None
        return StoredTurn(turn_id, USER, "", "running", NOON, finished_at=finished)

    async def entries(self, turn_id: str) -> list[Entry] | None:
        await asyncio.sleep(0)
        return self.finished.get(turn_id) or self.noted.get(turn_id)

    # -- what happens ------------------------------------------------------------------------------

    async def begin(self) -> None:
        tables = self.store.tables
        self.table = await tables.create(Seat(USER, "Olga"), "T", "DM", TableRules(), NOON)
        self.nodes = [Node(self, number) for number in range(NODES)]
        self._begin_turn()
        for node in self.nodes:
            self._join_at(node, "")

    def _alive(self) -> list[Node]:
        return [node for node in self.nodes if not node.dead]

    def _begin_turn(self) -> None:
        name = f"t{len(self.names) + 1}"
        self.owner = self.random.choice(self._alive())
        self.log = self.owner.events.open(name, shared=True)
        self.owner.running[name] = self.log
        self.names.append(name)
        self.behind[name] = self.newest
        self.noted[name] = []
        self.said()
        if self.random.random() < 0.5:
            self.start()

    def start(self) -> None:
        self._append(encode_entry(1, Metadata("start", 1), AT))

    def _append(self, *entries: Entry, last: bool = False) -> None:
        self.log.append(entries, last=last)

    def said(self) -> None:
        """Each node hears of it sooner or later."""
        for node in self._alive():
            delay = self.random.choice((0, 0, 0.001, 0.01, 0.2))
            asyncio.get_running_loop().call_later(delay, node.rooms._wake, self.table.id)

    def _newest(self) -> int:
        newest = self.log.entries(self.log.end - 1)
        return newest[0][0] if newest else 0

    def _tokens(self) -> None:
        if not self.log.end:
            self.start()
        first = self._newest() + 1
        count = self.random.choice((1, 1, 2, 5, 40, 600))
        self._append(*(_token(seq) for seq in range(first, first + count)))

    async def _line(self) -> None:
        self.lines += 1
        said = NewLine("Olga", f"line {self.lines}", "player", USER)
        self.newest = (await self.store.tables.say(self.table.id, said, NOON)).id
        self.said()

    async def _turn(self) -> None:
        await self._finish("error" if self.random.random() < 0.4 else "complete")
        self._begin_turn()

    async def ends(self) -> None:
        """The last turn ends, and everybody has had the time to read all there is."""
        await self._finish("complete")
        for client in self.clients:
            client.mode = "takes"
        await asyncio.sleep(20)

    async def _finish(self, kind: str) -> None:
        if not self.log.end:
            self.start()
        name, seq = self.names[-1], self._newest() + 1
        end = (seq, kind, b'{"type":"%b","timestamp":"%b"}' % (kind.encode(), AT.encode()))
        if kind == "complete":
            said = NewLine("DM", "The end.", "dm", turn_id=name)
            self.newest = (await self.store.tables.say(self.table.id, said, NOON)).id
        self.finished[name] = [*self.log.entries(), end]
        self._append(end, last=True)
        self.owner.running.pop(name, None)
        self.said()

    def _note(self) -> None:
        """The journal has what was shown."""
        self.noted[self.names[-1]] = self.log.entries()

    async def move(self, *, dies: bool) -> None:
        """The owner of the turn dies, or loses it; another one takes it up, or ends it where entries are
        lost."""
        dead, name = self.owner, self.names[-1]
        if not dies:
            self.log.break_off()
            dead.running.pop(name)
        else:
            await dead.dies()
            for client in [one for one in self.clients if one.node is dead and not one.gone]:
                client.comes(self.random.choice(self._alive()))
            self.nodes.append(Node(self, len(self.nodes)))
        await self._pause()
        self.owner = self.random.choice(self._alive())
        noted = self.noted[name]
        lost = self.log.end > len(noted) or self.random.random() < 0.3
        self.log = self.owner.events.open(name, noted, shared=True)
        self.owner.running[name] = self.log
        if lost:
            following = after_lost(self._newest())
            self.log.skip_to(following)
            end = (following, "error", b'{"type":"error","timestamp":"%b"}' % AT.encode())
            self.finished[name] = [*noted, end]
            self._append(end, last=True)
            self.owner.running.pop(name)
            self.said()
            self._begin_turn()

    def _emptied(self) -> None:
        self.space.rows.clear()
        self.space.markers.clear()

    async def _pause(self) -> None:
        await asyncio.sleep(self.random.choice((0, 0, 0.005, 0.03, 0.06, 0.3, 3)))

    def _mode(self) -> None:
        client = self.random.choice(self.clients)
        client.mode = self.random.choice(("takes", "takes", "refuses", "pauses"))

    def _join(self) -> None:
        known = [one for client in self.clients for one, _ in client.events]
        last = self.random.choice([*known[-200:], *known[-3:], ""]) if known else ""
        self._join_at(self.random.choice(self._alive()), last)

    def _join_at(self, node: Node, last: str) -> None:
        self.clients.append(Client(self, node, last, direct=self.random.random() < 0.7))

    async def step(self) -> None:
        kinds = ("tokens", "line", "turn", "note", "emptied", "pause", "mode", "join")
        what = self.random.choices(kinds, (30, 8, 5, 6, 1, 20, 6, 5))[0]
        happens = getattr(self, f"_{what}")()
        if happens is not None:
            await happens


def _status(finished: bool) -> Literal["complete", "running"]:
    return "complete" if finished else "running"


def _token(seq: int) -> Entry:
    return encode_entry(seq, Token(f"w{seq}", seq), AT)


async def check(world: World, client: Client) -> None:
    """What the client had from `client.first` on, over all its connections."""
    first = position_of(client.first)
    lines: list[int] = []
    begun_behind: dict[str, int] = {}
    events: dict[str, list[tuple[int, bytes]]] = {}
    for number, data in client.events:
        at = position_of(number)
        if b'"type":"message"' in data:
            lines.append(at.line)
        else:
            begun_behind.setdefault(at.turn_id, max([first.line, *lines]))
            events.setdefault(at.turn_id, []).append((at.seq, data))
            assert next(reversed(events)) == at.turn_id  # one turn after another
    every = await world.store.tables.lines_since(world.table.id, first.line, 10_000)
    assert lines == [line.id for line in every if line.said.turn_id is None]
    begun = world.names[world.names.index(first.turn_id) if first.turn_id in world.names else 0 :]
    assert [name for name in begun if name in events] == list(events)
    for name, line in begun_behind.items():
        if name != first.turn_id:
            said = [
                one.id for one in every if one.id <= world.behind[name] and one.said.turn_id is None
            ]
            assert line == max([first.line, *said]), name
    for name in begun:
        seen, entries = events.get(name, []), world.finished[name]
        after = first.seq if name == first.turn_id else 0
        kept = [(seq, data) for seq, _, data in entries if seq > after]
        numbers = [seq for seq, _ in seen]
        assert numbers == sorted({seq for seq in numbers if seq > after})
        is_lost = entries[-1][0] >= LOST_END  # then some had events that nobody else will have
        assert kept == [one for one in seen if one in kept or not is_lost]


@pytest.mark.parametrize("seed", range(6))
@in_virtual_time
async def test_every_reader_has_every_event_once_whatever_the_channel_does(seed: int) -> None:
    world = World(seed)
    await world.begin()
    for number in range(STEPS):
        await world.step()
        if number % 40 == 0:
            await world.move(dies=number % 80 == 0)
    await world.ends()
    assert sum(client.connections for client in world.clients) > len(world.clients)
    assert len(world.nodes) > NODES  # some have died
    for client in world.clients:
        await check(world, client)
        await client.leaves()
    for node in world.nodes:
        assert node.rooms._rooms == {}
        logs = (*node.running.values(), *node.events._followed.values())
        assert [log._watchers for log in logs] == [[] for _ in logs]
        await node.events.aclose()
