"""Everything that happens at a table as one stream: what is said, and its turns one after another.

A feed keeps no queue: lines and turns are read from the store, the running turn from its log, each from
where the reader is. Its position is a line and an event of a turn, so that it can be resumed.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress

from app.core.access import Action, Caller, may
from app.core.events import Entry, Metadata, encode_entry, gap, ping, stamp
from app.core.tables import Line, Table, seated
from app.errors import Overloaded, TurnExpired, TurnNotFound
from app.eventlog.reader import HEARTBEAT_SECONDS
from app.ports.event_log import TurnLog
from app.tables.events import Batch, Position, line_entries, visible
from app.tables.news import MAX_LINES, News, Sources
from app.tables.place import Place
from app.tables.room import Attendant
from app.tables.schedule import Schedule
from app.web.transports.table import Outlet


class TableFeed:
    """Iterates over batches until its reader leaves or is put out.

    It begins behind `position`. Without `past` it begins now, with the running turn from its start. A
    turn comes where its line is, which is left out then; while the past is read, lines wait for it. Where
    the past ends, one `metadata{phase: live}` without a number follows.

    While the iteration waits, what the running turn adds is written to the `outlet`, when that is set, in
    the very call that appends it to its log, by the fan-out of all readers who have read the same: no task
    wakes up for a token. What the outlet does not take, and everything else, goes through the iteration.
    """

    __slots__ = (
        "_acting",
        "_allowed",
        "_attendant",
        "_begun",
        "_caller",
        "_clock",
        "_heartbeat",
        "_left",
        "_lines",
        "_live",
        "_moderates",
        "_must_moderate",
        "_news",
        "_past",
        "_place",
        "_schedule",
        "_seen",
        "_tables",
        "_turns",
        "_waiting",
        "outlet",
        "room",
    )
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
        moderates: bool = False,
        heartbeat: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._turns, self._tables, self._news = sources
        self._attendant = attendant
        attendant.write_through = self._write_post
        self.room = table.id
        self._caller = caller
        self._past = past
        self._heartbeat = heartbeat
        self._place = Place(position, attendant, self.leave)
        self._schedule = Schedule()
        self._lines: deque[Line] = deque()
        self._seen = 0  # how many changes of the table there were at the last look
        self._acting = caller
        self._moderates = False  # sees what is for the dungeon master alone
        self._must_moderate = moderates
        self._live = not past
        self._waiting = False
        self._clock = asyncio.get_running_loop().time
        self.outlet: Outlet | None = None
        self._begun = False
        self._left = False
        self._allowed = True

    @property
    def position(self) -> int:
        """The reader's position in the turn that it reads."""
        return self._place.read

    @property
    def first_line(self) -> int:
        """Lines from this number on come in the feed, once it has begun."""
        return self._place.at.line + 1

    def leave(self) -> None:
        """The iteration ends, whatever it waits for."""
        self._left = True
        self._attendant.wake()

    def close(self) -> None:
        """Nobody reads any more."""
        self._place.end()
        self._attendant.close()

    def post(self, entry: Entry) -> None:
        """Show something to this reader alone, see `Attendant.post`."""
        self._attendant.post(entry)

    @property
    def put_out(self) -> bool:
        """The reader may read no more."""
        return self._attendant.put_out or not self._allowed

    def _write_post(self, entry: Entry) -> bool:
        """Write what is posted in the very call, unless there is something to be read before it."""
        attendant, outlet = self._attendant, self.outlet
        behind = attendant.changed.is_set() or attendant.room.changes != self._seen
        if outlet is None or behind or not self._waiting or self._place.is_behind:
            return False
        try:
            written = outlet.write("", (entry,))
        except Exception:  # the iteration meets it again, and ends this reader alone
            return False
        if written:
            self._place.sent_at = self._clock()
        return written

    @property
    def _over(self) -> bool:
        return self._left or self.put_out

    async def __aiter__(self) -> AsyncIterator[Batch]:
        await self.begin()
        self._place.sent_at = self._clock()
        while not self._over:
            self._attendant.changed.clear()
            await self._look()
            batch = await self._next() or (None if self._over else self._aside())
            if batch is None and not self._over:
                batch = await self._changed()
            if batch is not None and batch.entries and not self.put_out:
                yield batch
                self._place.sent_at = self._clock()

    def _aside(self) -> Batch | None:
        """The next batch of entries without numbers: first the one that ends the past, then those
        posted."""
        if not self._live:
            self._live = True
            return Batch("", [encode_entry(0, Metadata("live"), stamp(time.time()))])
        posts = self._attendant.posts
        return Batch("", [posts.popleft()]) if posts else None

    async def _changed(self) -> Batch | None:
        """Wait for a change; a ping where nothing was sent for so long."""
        self._waiting = True
        self._place.step_in(self.outlet, moderates=self._moderates)
        try:
            while (due := self._place.silent_since + self._heartbeat) > self._clock():
                with suppress(TimeoutError):  # unless something was written meanwhile
                    async with asyncio.timeout_at(due):
                        await self._attendant.changed.wait()
                        return None
        finally:
            self._waiting = False
            self._place.step_out()
        return Batch("", [ping(stamp(time.time()))])

    async def begin(self) -> None:
        """Find where to read from; the iteration does so where nobody has before. What happens from here
        on is read, so a reader is greeted after it."""
        if self._begun:
            return
        self._begun = True
        if self._attendant.met is not None:
            await self._attendant.met.wait()
        if not self._past:
            latest = await self._tables.lines(self.room, self._caller.user_id, 1)
            self._place.at = Position(latest[-1].id if latest else 0)
        elif line := self._place.at.line:
            # lines are numbered over all tables: it may be one of another
            found = await self._tables.lines_since(self.room, line - 1, 1)
            self._place.at = self._place.at if found and found[0].id == line else Position()
        every = await self._tables.turns(self.room, None)
        if self._past:
            self._schedule.begin_at(every, self._place.at.turn_id)
        else:  # a turn that has ended since the latest line comes as its line
            self._schedule.begin_now(every)

    async def _look(self) -> None:
        """Take note of what has changed at the table."""
        seen = self._attendant.room.changes
        if seen == self._seen:
            return
        known = self._lines[-1].id if self._lines else self._place.at.line
        news = await self._news.since(self.room, seen, known, self._schedule.newest)
        if not self._may_read(news):
            self._allowed = False
            return
        full = len(self._lines) >= MAX_LINES
        self._lines += () if full else news.lines
        self._schedule.take(news.turns)
        if not full and len(news.lines) < MAX_LINES:
            self._seen = seen

    def _may_read(self, news: News) -> bool:
        table = news.table
        if table is None:
            return False
        acting = self._acting = seated(self._caller, table, news.seats.get(self._caller.user_id))
        self._moderates = may(acting, Action.WRITE, table.moderation)
        return may(acting, Action.READ, table.story) and self._moderates >= self._must_moderate

    async def _next(self) -> Batch | None:
        """The next batch as far as it is there: the rest of the turn that is being read, to which a line
        may be the answer, then lines, then the next turn."""
        while not self._over:
            batch = None if self._place.log is None else self._entries(self._place.log)
            if batch is not None:
                return batch
            while self._lines and not self._waits(self._lines[0]):
                line = self._lines.popleft()
                self._place.at.move(line.id, self._place.at.turn_id, self._place.at.seq)
                if self._is_shown(line):
                    return self._line(line)
            if self._place.log is None and self._schedule.due:
                await self._open(self._schedule.due.popleft())
            else:
                return None
        return None

    def _line(self, line: Line) -> Batch:
        at = self._place.at
        return Batch(at.prefix, line_entries(line, at.seq or 1))

    def _waits(self, line: Line) -> bool:
        """The line of a turn comes behind the turn, and with it what was said afterwards. Of a turn that
        runs, a reader who is up to date has read what there is."""
        turn_id = line.said.turn_id
        reads = self._place.log is not None and turn_id == self._place.at.turn_id and not self._live
        return turn_id is not None and (reads or turn_id in self._schedule.due)

    def _is_shown(self, line: Line) -> bool:
        turn_id = line.said.turn_id
        if turn_id is not None and self._schedule.reads(turn_id):
            return False  # its events are
        return line.is_for(self._caller.user_id)

    async def _open(self, turn_id: str) -> None:
        """Begin to read a turn. One that is no longer kept is passed over."""
        after = self._place.at.seq if turn_id == self._place.at.turn_id else 0
        self._place.at.move(self._place.at.line, turn_id, after)
        try:
            turn = await self._turns.open(turn_id, self._acting)
        except (TurnExpired, TurnNotFound):
            self._schedule.lose(turn_id)
        except Overloaded:
            self.leave()
        else:
            self._place.begin(turn.log, after)

    def _entries(self, log: TurnLog) -> Batch | None:
        place = self._place
        if place.read < log.start:
            self.leave()
            lost = gap(place.read + 1, log.start, stamp(time.time()))
            return Batch(place.at.prefix, [lost])
        found = place.take(log)
        if (
            place.log is None and log.broken
        ):  # the turn goes on elsewhere: the reader must come back
            self.leave()
        if not found:
            return None
        return Batch(place.at.prefix, visible(found, moderates=self._moderates))
