"""Everything that happens at a table as one stream: what is said, and its turns one after another.

A feed keeps no queue: lines and turns are read from the store, the running turn from its log, each from
where the reader is. Its position is a line and an event of a turn, so that it can be resumed.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple

from app.core.access import Action, Caller, may
from app.core.encoding import dump
from app.core.events import Entry, Metadata, encode_entry, gap, ping, stamp
from app.core.tables import Line, Table, seated
from app.errors import Overloaded, TurnExpired, TurnNotFound
from app.eventlog.reader import HEARTBEAT_SECONDS, MAX_BATCH
from app.ports.event_log import TurnLog
from app.ports.tables import TableStore
from app.tables.events import Position, line_event, without_notes
from app.tables.rooms import Attendant
from app.turns.service import TurnService

MAX_LINES: Final = 256  # at a time


class Sources(NamedTuple):
    """Where feeds read."""

    turns: TurnService
    tables: TableStore


class Batch(NamedTuple):
    """Entries behind each other. `prefix`: of the ids of those that have a number."""

    prefix: str
    entries: Sequence[Entry]


class TableFeed:
    """Iterates over batches until its reader leaves or is put out.

    It begins behind `position`. Without `past` it begins now, with the running turn from its start. A
    turn comes where its line is, which is left out then; while the past is read, lines wait for it. Where
    the past ends, one `metadata{phase: live}` without a number follows.
    """

    complete = at_end = trimmed = False

    def __init__(
        self,
        sources: Sources,
        attendant: Attendant,
        table: Table,
        caller: Caller,
        position: Position,
        *,
        past: bool = True,
        heartbeat: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._turns, self._tables = sources
        self._attendant = attendant
        self._table = table
        self._caller = caller
        self._at = position
        self._past = past
        self._heartbeat = heartbeat
        self._log: TurnLog | None = None  # of the turn that is being read
        self._read = 0  # position in the log
        self._due: deque[str] = deque()  # turns still to read
        self._known: set[str] = set()  # turns that the journal has
        self._lost: set[str] = set()  # turns whose events are gone
        self._newest: str | None = None
        self._lines: deque[Line] = deque()
        self._seen = (0, 0)  # what the attendant had counted at the last look
        self._acting = caller
        self._live = not past
        self._begun = False
        self._left = False
        self._allowed = True

    @property
    def position(self) -> int:
        """How far the reader is in the turn that it reads."""
        return self._read

    @property
    def first_line(self) -> int:
        """Lines from this number on come in the feed, once it has begun."""
        return self._at.line + 1

    def leave(self) -> None:
        """The iteration ends, whatever it waits for."""
        self._left = True
        self._attendant.changed.set()

    def close(self) -> None:
        """Nobody reads any more."""
        self._attendant.close()
        if self._log is not None:
            self._log.unwatch(self)

    def post(self, entry: Entry) -> None:
        """Show something to this reader alone, see `Attendant.post`."""
        self._attendant.post(entry)

    @property
    def put_out(self) -> bool:
        """The reader may read no more."""
        return self._attendant.put_out or not self._allowed

    def on_readable(self, fresh: Sequence[Entry]) -> None:
        self._attendant.changed.set()

    def on_failure(self) -> None:
        self.leave()

    @property
    def _over(self) -> bool:
        return self._left or self._attendant.put_out

    async def __aiter__(self) -> AsyncIterator[Batch]:
        await self.begin()
        while not self._over:
            self._attendant.changed.clear()
            await self._look()
            if (batch := await self._next()) is not None:
                if not self._over:
                    yield batch
            elif self._over:
                return
            elif not self._live:
                self._live = True
                yield Batch("", [encode_entry(0, Metadata("live"), stamp(time.time()))])
            elif self._attendant.posts:
                yield Batch("", [self._attendant.posts.popleft()])
            elif not await self._changed():
                yield Batch("", [ping(stamp(time.time()))])

    async def _changed(self) -> bool:
        """False: nothing has happened for so long."""
        try:
            async with asyncio.timeout(self._heartbeat):
                return await self._attendant.changed.wait()
        except TimeoutError:
            return False

    async def begin(self) -> None:
        """Find where to read from; the iteration does so where nobody has before. What happens from here
        on is read, so a reader is greeted after it."""
        if self._begun:
            return
        self._begun = True
        if not self._past:
            latest = await self._tables.lines(self._table.id, self._caller.user_id, 1)
            self._at = Position(latest[-1].id if latest else 0)
        every = await self._tables.turns(self._table.id, None)
        ids = [turn_id for turn_id, _ in every]
        self._known, self._newest = set(ids), ids[-1] if ids else None
        if not self._past:  # a turn that has ended since the latest line comes as its line
            self._due += [turn_id for turn_id, status in every if status in ("queued", "running")]
            self._known = set(self._due)
        elif self._at.turn_id in ids:
            self._due += ids[ids.index(self._at.turn_id) :]
        else:
            self._due += ids

    async def _look(self) -> None:
        """Fetch lines before turns: the turn of each line is then known, too."""
        seen = self._attendant.lines, self._attendant.turns
        if seen == self._seen:
            return
        self._allowed = await self._may_read()
        if not self._allowed:
            self.leave()
            return
        if not self._lines:
            found = await self._tables.lines_since(self._table.id, self._at.line, MAX_LINES)
            self._lines += found
        for turn_id, _ in await self._tables.turns(self._table.id, self._newest):
            if turn_id not in self._known:
                self._due.append(turn_id)
                self._known.add(turn_id)
                self._newest = turn_id
        if len(self._lines) < MAX_LINES:
            self._seen = seen

    async def _may_read(self) -> bool:
        table = await self._tables.find(self._table.id)
        if table is None:
            return False
        seat = await self._tables.seat(table.id, self._caller.user_id)
        bare = self._caller._replace(acts_for=frozenset())
        acting = self._acting = seated(bare, table, seat)
        return may(acting, Action.READ, table.story)

    async def _next(self) -> Batch | None:
        """The next batch as far as it is there: lines first, then the turn."""
        while not self._over:
            while self._lines and not self._waits(self._lines[0]):
                line = self._lines.popleft()
                self._at = self._at._replace(line=line.id)
                if self._is_shown(line):
                    return self._line(line)
            if self._log is not None:
                batch = self._entries(self._log)
                if batch is not None or self._log is not None:
                    return batch
            elif self._due:
                await self._open(self._due.popleft())
            else:
                return None
        return None

    def _line(self, line: Line) -> Batch:
        event = line_event(line)
        return Batch(
            self._at.prefix, [(self._at.seq or 1, event["type"], dump(event).encode("ascii"))]
        )

    def _waits(self, line: Line) -> bool:
        """While the past is read, the line of a turn comes behind the turn."""
        turn_id = line.said.turn_id
        if self._live or turn_id is None:
            return False
        return turn_id in self._due or (self._log is not None and turn_id == self._at.turn_id)

    def _is_shown(self, line: Line) -> bool:
        turn_id = line.said.turn_id
        if turn_id is not None and turn_id in self._known and turn_id not in self._lost:
            return False  # its events are
        return line.is_for(self._caller.user_id)

    async def _open(self, turn_id: str) -> None:
        """Begin to read a turn. One that is no longer kept is passed over."""
        after = self._at.seq if turn_id == self._at.turn_id else 0
        self._at = Position(self._at.line, turn_id, after)
        try:
            turn = await self._turns.open(turn_id, self._acting)
        except (TurnExpired, TurnNotFound):
            self._lost.add(turn_id)
        except Overloaded:
            self.leave()
        else:
            self._log, self._read = turn.log, turn.log.position_after(after)
            self._log.watch(self, patient=True)

    def _entries(self, log: TurnLog) -> Batch | None:
        if self._read < log.start:
            self.leave()
            lost = gap(self._read + 1, log.start, stamp(time.time()))
            return Batch(self._at.prefix, [lost])
        if self._read > log.end:  # nobody knew where it is
            self._read = log.position_after(self._at.seq)
        found = log.entries(self._read, self._read + MAX_BATCH)
        self._read += len(found)
        if log.closed and self._read >= log.end:
            log.unwatch(self)
            self._log = None
            if log.broken:  # the turn goes on elsewhere: the reader must come back
                self.leave()
        if not found:
            return None
        self._at = self._at._replace(seq=found[-1][0])
        return Batch(self._at.prefix, self._visible(found))

    def _visible(self, entries: list[Entry]) -> list[Entry]:
        """Without what is for the dungeon master alone."""
        if may(self._acting, Action.WRITE, self._table.moderation):
            return entries
        seen = [one for one in entries if one[1] != "draft"]
        return [without_notes(one) if one[1] == "scene" else one for one in seen]
