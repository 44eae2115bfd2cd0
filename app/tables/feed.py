"""Everything that happens at a table as one stream: what is said, and its turns one after another.

A feed keeps no queue: lines and turns are read from the store, the running turn from its log, each from
where the reader is. Its position is a line and an event of a turn, so that it can be resumed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from app.core.access import Action, Caller, may
from app.core.events import Entry, Metadata, encode_entry, ping, stamp
from app.core.tables import Table, seated
from app.errors import StoreUnavailable
from app.eventlog.reader import HEARTBEAT_SECONDS
from app.tables.course import Course
from app.tables.events import Batch, Position
from app.tables.fan_out import Access, Alike, FanOut
from app.tables.news import News, Sources
from app.tables.room import Attendant
from app.web.transports.table import Outlet


class TableFeed:
    """Iterates over batches until its reader leaves or is put out.

    It begins behind `position`. Without `past` it begins now, with the running turn from its start. A
    turn comes behind what was said before it began, and before what was said since; while the past is read,
    that waits for its end. Its own line is left out then. Where the past ends, one `metadata{phase: live}`
    without a number follows.

    While the iteration waits and the `outlet` is set, a fan-out reads for all readers who have read the
    same, and writes what it has read to their outlets: what the running turn adds, in the very call that
    appends it to its log. What the outlet does not take, and what concerns this reader alone, goes through
    the iteration.
    """

    __slots__ = (
        "_acting",
        "_allowed",
        "_attendant",
        "_begun",
        "_caller",
        "_clock",
        "_course",
        "_fan_out",
        "_heartbeat",
        "_known",
        "_left",
        "_must_moderate",
        "_past",
        "_reach",
        "_sent_at",
        "_unwritten",
        "_waiting",
        "moderates",
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
        self._attendant = attendant
        attendant.write_through = self._write_post
        self.room = table.id
        self._course = Course(sources, table.id, position, self)  # the fan-out's, while it reads
        self._fan_out: FanOut | None = None
        self._unwritten: Batch | None = None
        self._caller = caller
        self._past = past
        self._heartbeat = heartbeat
        self._known: Access | None = None
        self._acting = self._reach = caller
        self.moderates = False  # sees what is for the dungeon master alone
        self._must_moderate = moderates
        self._waiting = False
        self._clock = asyncio.get_running_loop().time
        self._sent_at = 0.0  # in the loop's time
        self.outlet: Outlet | None = None
        self._begun = False
        self._left = False
        self._allowed = True

    @property
    def position(self) -> int:
        """The reader's position in the turn that it reads."""
        return self._course.read

    @property
    def first_line(self) -> int:
        """Lines from this number on come in the feed, once it has begun."""
        return self._course.at.line + 1

    def leave(self) -> None:
        """The iteration ends, whatever it waits for."""
        self._left = True
        self._attendant.wake()

    def close(self) -> None:
        """Nobody reads any more."""
        self.step_out()
        self._course.close()
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
        if outlet is None or not self._waiting or attendant.changed.is_set() or self._is_behind:
            return False
        try:
            written = outlet.write("", (entry,))
        except Exception:  # the iteration meets it again, and ends this reader alone
            return False
        if written:
            self._sent_at = self._clock()
        return written

    @property
    def _is_behind(self) -> bool:
        """There may be something to read."""
        course = self._fan_out or self._course
        return course.is_behind or self._attendant.room.changes != self._course.seen

    @property
    def _over(self) -> bool:
        at_end = self._course.over and self._unwritten is None
        return at_end or self._left or self.put_out

    async def __aiter__(self) -> AsyncIterator[Batch]:
        with suppress(StoreUnavailable):  # the stream ends, and its reader may come back
            await self.begin()
            self._sent_at = self._clock()
            while not self._over:
                self._attendant.changed.clear()
                await self._look()
                batch = await self._next()
                if batch is None and not self._over and not self._course.has_more:
                    batch = self._aside() or await self._changed()
                if batch is not None and batch.entries and not self.put_out:
                    yield batch
                    self._sent_at = self._clock()

    async def begin(self) -> None:
        """Find where to read from; the iteration does so where nobody has before. What happens from here
        on is read, so a reader is greeted after it."""
        if self._begun:
            return
        self._begun = True
        if self._attendant.met is not None:
            await self._attendant.met.wait()
        await self._course.begin(self._caller.user_id, past=self._past)

    async def _look(self) -> None:
        """Take note of what has changed at the table."""
        changes = self._attendant.room.changes
        if changes == self._course.seen:
            return
        news = await self._course.look(changes)
        if self._may_read(news):
            self._course.take(news, changes)
        else:
            self._allowed = False

    def _may_read(self, news: News) -> bool:
        table = news.table
        if table is None:
            return False
        self._known = self._attendant.room.shared(Access.of(news))
        acting = self._acting = seated(self._caller, table, news.seats.get(self._caller.user_id))
        self._reach = acting._replace(
            user_id="", acts_for=acting.acts_for - {table.moderation.owner}
        )
        self.moderates = may(acting, Action.READ, table.moderation)
        return may(acting, Action.READ, table.story) and self.moderates >= self._must_moderate

    async def _next(self) -> Batch | None:
        """First what could not be written."""
        if self.put_out:
            return None
        unwritten, self._unwritten = self._unwritten, None
        return unwritten or await self._course.next(self._acting, moderates=self.moderates)

    def _aside(self) -> Batch | None:
        """The next batch of entries without numbers: first the one that ends the past, then those
        posted."""
        if not self._course.live:
            self._course.live = True
            return Batch("", [encode_entry(0, Metadata("live"), stamp(time.time()))])
        posts = self._attendant.posts
        return Batch("", [posts.popleft()]) if posts else None

    async def _changed(self) -> Batch | None:
        """Wait for a change; a ping where nothing was sent for so long."""
        self._waiting = True
        self._step_in()
        try:
            while (due := self._silent_since + self._heartbeat) > self._clock():
                with suppress(TimeoutError):  # unless something was written meanwhile
                    async with asyncio.timeout_at(due):
                        await self._attendant.changed.wait()
                        return None
        finally:
            self._waiting = False
            self.step_out()
        return Batch("", [ping(stamp(time.time()))])

    @property
    def _silent_since(self) -> float:
        fan_out = self._fan_out
        if fan_out is None:
            return self._sent_at
        return max(self._sent_at, fan_out.sent_at(moderates=self.moderates))

    # -- alone, or in step with others -----------------------------------------------------------------

    def _step_in(self) -> None:
        """Have a fan-out read for this reader, where there is nothing else to read."""
        outlet, course = self.outlet, self._course
        known, attendant = self._known, self._attendant
        if outlet is None or known is None or course.lines or course.is_behind:
            return
        if attendant.changed.is_set():
            return
        alike = Alike(outlet.framing, self._reach, known)
        room = attendant.room
        for fan_out in tuple(room.fan_outs):
            if fan_out.admits(alike, course):
                course.end()
                break
        else:
            fan_out = FanOut(room, alike, course)
        fan_out.join(self, outlet)
        self.move_to(fan_out)
        attendant.before_wake = self.step_out

    def move_to(self, other: FanOut) -> None:
        self._sent_at = self._silent_since
        self._fan_out, self._course = other, other.course

    def step_out(self, unwritten: Batch | None = None) -> None:
        """Read alone from where the fan-out is. What it could not write comes before that."""
        fan_out = self._fan_out
        if fan_out is None:
            return
        self._sent_at = self._silent_since
        self._fan_out = self._attendant.before_wake = None
        self._course = fan_out.course.copy(self)
        self._unwritten = unwritten
        fan_out.part(self)
        self._attendant.changed.set()

    def on_readable(self, fresh: Sequence[Entry]) -> None:
        self._attendant.wake()

    def on_failure(self) -> None:
        self.leave()
