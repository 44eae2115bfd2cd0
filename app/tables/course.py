"""How far the stream of a table was read, and what is known to come."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence

from app.core.access import Caller
from app.core.events import Entry, gap, stamp
from app.core.tables import Line
from app.errors import Overloaded, TurnExpired, TurnNotFound
from app.eventlog.reader import MAX_BATCH
from app.ports.event_log import TurnLog, Watcher
from app.tables.events import Batch, Position, line_entries, visible
from app.tables.news import MAX_LINES, News, Sources
from app.tables.schedule import Schedule


class Course:
    """Of one reader, or of several who have read the same and have the same to read.

    `at`: the line and the event read last. `log`: of the turn that is being read, which notifies the
    watcher. `read`: how many of its entries are behind the reader. `seen`: how many changes of the table
    there were at the last look, which was `cut` where there was more than it could take. `live`: the past
    is behind the reader. `over`: nothing can be read from here on, the reader must come back.
    """

    __slots__ = (
        "_behind",
        "_sources",
        "_table_id",
        "_turn_id",
        "_watcher",
        "at",
        "cut",
        "lines",
        "live",
        "log",
        "over",
        "read",
        "schedule",
        "seen",
    )

    def __init__(self, sources: Sources, table_id: int, at: Position, watcher: Watcher) -> None:
        self._sources = sources
        self._table_id = table_id
        self._watcher: Watcher | None = watcher
        self.at = at
        self.log: TurnLog | None = None
        self._turn_id = ""  # whose log it is
        self._behind: int | None = None  # the line behind which it began
        self.read = 0
        self.lines: deque[Line] = deque()
        self.schedule = Schedule()
        self.seen = 0
        self.live = self.over = self.cut = False

    def copy(self, watcher: Watcher) -> Course:
        """One that goes on from here by itself."""
        at = Position(self.at.line, self.at.turn_id, self.at.seq)
        other = Course(self._sources, self._table_id, at, watcher)
        other.lines = self.lines.copy()
        other.schedule = self.schedule.copy()
        other._behind = self._behind
        other.read, other.seen = self.read, self.seen
        other.live, other.over, other.cut = self.live, self.over, self.cut
        if self.log is not None:
            other._watch(self.log, self._turn_id)
        return other

    def is_at(self, other: Course) -> bool:
        """Whether both go on alike, where both are live and have no lines to read. One may know of more
        changes, in which it has found nothing."""
        here, there = self.at, other.at
        return (
            self.log is other.log
            and self.lines == other.lines
            and self.read == other.read
            and (here.line, here.turn_id, here.seq) == (there.line, there.turn_id, there.seq)
            and self.schedule == other.schedule
        )

    @property
    def is_behind(self) -> bool:
        """The log has more."""
        return self.log is not None and self.read < self.log.end

    @property
    def has_more(self) -> bool:
        """The last look did not take all, and there is room again."""
        return self.cut and not self.lines

    def follow(self, watcher: Watcher) -> None:
        """Somebody else is notified from here on."""
        log = self.log
        self.end()
        self._watcher = watcher
        if log is not None:
            self._watch(log, self._turn_id)

    def _watch(self, log: TurnLog, turn_id: str) -> None:
        if self._watcher is not None:
            self.log, self._turn_id = log, turn_id
            log.watch(self._watcher, patient=True)

    def end(self) -> None:
        """Read the log no more."""
        if self.log is not None and self._watcher is not None:
            self.log.unwatch(self._watcher)
        self.log = None

    def close(self) -> None:
        """Nobody reads any more. Reader and course had each other, and would be left to the collector."""
        self.end()
        self._watcher = None

    async def begin(self, user_id: str, *, past: bool) -> None:
        """Find where to read from. Without `past`, what is said from now on, and the running turn from its
        start."""
        tables = self._sources.tables
        if not past:
            latest = await tables.lines(self._table_id, user_id, 1)
            self.at = Position(latest[-1].id if latest else 0)
        elif line := self.at.line:
            # lines are numbered over all tables: it may be one of another
            found = await tables.lines_since(self._table_id, line - 1, 1)
            self.at = self.at if found and found[0].id == line else Position()
        self.live = not past
        every = await tables.turns(self._table_id, None)
        if past:
            self.schedule.begin_at(every, self.at.turn_id)
        else:  # a turn that has ended since the latest line comes as its line
            self.schedule.begin_now(every)

    async def look(self, changes: int) -> News:
        """What has changed at the table. `changes`: how many there were. Raises as the store does."""
        known = self.lines[-1].id if self.lines else self.at.line
        newest = self.schedule.newest
        return await self._sources.news.since(self._table_id, changes, known, newest)

    def take(self, news: News, changes: int) -> None:
        """Note what a look has found. `changes`: how many there were when it began."""
        full = len(self.lines) >= MAX_LINES
        self.cut = full or len(news.lines) >= MAX_LINES
        self.lines += () if full else news.lines
        self.schedule.take(news.turns)
        if not self.cut:
            self.seen = changes

    async def next(self, caller: Caller, *, moderates: bool) -> Batch | None:
        """The next batch as far as it is there: the rest of the turn that is being read, to which a line
        may be the answer, then lines up to the beginning of the next turn, then that. `moderates`: see
        `visible`.

        Nothing is passed before the last moment: a copy that is taken meanwhile misses nothing.
        """
        while not self.over:
            if batch := self.entries((), moderates=moderates):
                return batch
            while self.lines and not self._waits(self.lines[0]):
                line = self.lines.popleft()
                self.at.move(line.id, self.at.turn_id, self.at.seq)
                if self._is_shown(line, caller.user_id):
                    return Batch(self.at.prefix, line_entries(line, self.at.seq or 1))
            if self.log is None and self.schedule.due and not self.has_more:
                await self._open(self.schedule.due[0], caller)
            else:
                return None
        return None

    def entries(self, fresh: Sequence[Entry], *, moderates: bool) -> Batch | None:
        """The next entries of the log, which is ended once it has no more. `fresh`: the newest ones of the
        log, if they are known."""
        log, at = self.log, self.at
        if log is None or self.over:
            return None
        if self.read < log.start:
            self.over = True
            return Batch(at.prefix, [gap(self.read + 1, log.start, stamp(time.time()))])
        if self.read > log.end and not log.broken:  # nobody knew where it is
            self.read = log.position_after(at.seq)
        count = log.end - self.read
        found = fresh
        if count != len(fresh) or count > MAX_BATCH:
            found = log.entries(self.read, self.read + MAX_BATCH)
        if found:
            self.read += len(found)
            if at.turn_id != self._turn_id:  # not before: its first events may have yet to come
                at.move(at.line, self._turn_id, 0)
            at.seq = found[-1][0]
        if log.closed and self.read >= log.end:
            self.end()
            self.over = log.broken  # the turn goes on elsewhere
        return Batch(at.prefix, visible(found, moderates=moderates)) if found else None

    def _waits(self, line: Line) -> bool:
        """What was said after a turn had begun comes behind the turn, and so does its line, which may be
        here before the end of the turn is."""
        turn_id = line.said.turn_id
        reads = self.log is not None and turn_id == self._turn_id
        own = turn_id is not None and (reads or turn_id in self.schedule.due)
        return own or self._is_ahead_of(line) or self.schedule.precedes(line.id)

    def _is_ahead_of(self, line: Line) -> bool:
        """The turn that is being read began before the line, and its first events have yet to come; or it
        ended before the line, and its last events have."""
        if self.log is None:
            return False
        unread = self._turn_id != self.at.turn_id
        begun = unread and self._behind is not None and line.id > self._behind
        return begun or self.schedule.has_ended(self._turn_id, line.id)

    def _is_shown(self, line: Line, user_id: str) -> bool:
        turn_id = line.said.turn_id
        if turn_id is not None:
            reads = self.schedule.reads(turn_id)
            self.schedule.pass_line(turn_id)
            if reads:
                return False  # its events are
        return line.is_for(user_id)

    async def _open(self, turn_id: str, caller: Caller) -> None:
        """Begin to read a turn. One that is no longer kept is passed over."""
        try:
            turn = await self._sources.turns.open(turn_id, caller)
        except (TurnExpired, TurnNotFound):
            self.schedule.pass_turn()
            self.schedule.lose(turn_id)
        except Overloaded:
            self.over = True
        else:
            self._behind = self.schedule.pass_turn()
            self._watch(turn.log, turn_id)
            self.read = turn.log.position_after(self.at.seq if turn_id == self.at.turn_id else 0)
