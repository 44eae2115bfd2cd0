"""What happens at a table, read once for all readers who have read the same and written to all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from app.core.access import Caller
from app.core.events import Entry
from app.core.tables import Seat
from app.loop import urgent
from app.ports.event_log import TurnLog
from app.tables.course import Course
from app.tables.events import Batch, visible
from app.tables.news import News
from app.web.transports.table import Framing, Outlet

SECONDS_A_MEMBER: Final = 0.005
"""How long what comes in short order is kept back, for each member, up to `coalescing` of the log. The few
of a small table hardly wait; up to the bound, all have some 200 writes a second together."""


class Access(NamedTuple):
    """What decides who may read a table."""

    owner: str
    has_dm: bool
    seats: Mapping[str, Seat]

    @classmethod
    def of(cls, news: News) -> Access | None:
        """None where the table is gone."""
        table = news.table
        return None if table is None else cls(table.owner, table.has_dm, news.seats)


class Alike(NamedTuple):
    """What readers have in common who may be written to in one go. `reach`: the caller as one who sits at
    the table, without a user, by which turns are opened; `access`: by which each of them was let in."""

    framing: Framing
    reach: Caller
    access: Access


class Member(Protocol):
    """`moderates`: see `visible`."""

    @property
    def moderates(self) -> bool: ...

    def step_out(self, unwritten: Batch | None = None) -> None:
        """Leave the fan-out, and read alone from where it is. What could not be written comes first."""
        ...

    def move_to(self, other: FanOut) -> None:
        """The other fan-out has this member from now on, in the same place."""
        ...

    def on_failure(self) -> None: ...


class Tabled(Protocol):
    """The room of the table: how many changes there were, and the fan-outs that must be told of them."""

    changes: int
    fan_outs: list[FanOut]


class FanOut:
    """Reads a course for its members, who read it themselves again once they leave.

    A member costs no more than its own writes: the log is watched, the table is looked up, and messages are
    made once for all. Members whose access may have changed, or to whom a line may be private, go on alone;
    so does one who takes nothing.
    """

    __slots__ = (
        "_alike",
        "_clock",
        "_due",
        "_members",
        "_outlets",
        "_room",
        "_sent_at",
        "_task",
        "_timer",
        "_woken",
        "course",
    )

    def __init__(self, room: Tabled, alike: Alike, course: Course) -> None:
        """The course becomes the fan-out's. The first member must join at once."""
        self.course = course
        course.follow(self)
        self._alike = alike
        self._room = room
        self._clock = asyncio.get_running_loop().time
        self._sent_at = [0.0, 0.0]  # to all; to moderators alone
        self._members: list[Member] = []
        self._outlets: list[Outlet] = []
        self._due = 0.0  # when several members may be written to again
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._woken = False
        room.fan_outs.append(self)

    @property
    def is_behind(self) -> bool:
        """There is more to be read, or there may be."""
        return self._task is not None or self.course.is_behind

    def sent_at(self, *, moderates: bool) -> float:
        """When such a member was written to last, in the loop's time."""
        return max(self._sent_at) if moderates else self._sent_at[0]

    def admits(self, alike: Alike, course: Course) -> bool:
        """Whether who has read this may join."""
        if self._alike != alike:
            return False
        if self.course.is_behind:
            self.catch_up()
        return bool(self._members) and self.course.is_at(course)

    def join(self, member: Member, outlet: Outlet) -> None:
        self._members.append(member)
        self._outlets.append(outlet)

    def part(self, member: Member) -> None:
        place = self._members.index(member)
        del self._members[place], self._outlets[place]
        if not self._members:
            self._end()

    def wake(self) -> None:
        """There may be more to read at the table."""
        self._woken = True
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="table-fan-out", context=urgent())

    def on_readable(self, fresh: Sequence[Entry]) -> None:
        log = self.course.log
        if len(self._members) > 1 and log is not None and not log.closed:
            if self._timer is not None:
                return
            now = self._clock()
            if now < self._due:
                self._timer = asyncio.get_running_loop().call_at(self._due, self.catch_up)
                return
            self._due = now + self._pause(log)
        self._read_log(fresh)

    def on_failure(self) -> None:
        for member in tuple(self._members):
            member.on_failure()

    def catch_up(self) -> None:
        """Write what was kept back."""
        self._stop_timer()
        if (log := self.course.log) is not None:
            self._due = self._clock() + self._pause(log)
            self._read_log(())

    def _pause(self, log: TurnLog) -> float:
        """Seconds between two writes to all members."""
        return min(len(self._members) * SECONDS_A_MEMBER, log.coalescing)

    def _read_log(self, fresh: Sequence[Entry]) -> None:
        course = self.course
        try:
            while self._members and (batch := course.entries(fresh, moderates=True)):
                self._write(batch)
                fresh = ()
        except Exception:  # the iteration of each member meets it again, if it was of its own
            self._dissolve()
        if course.over:
            self._dissolve()
        elif self._members and (course.lines or (course.log is None and course.schedule.due)):
            self.wake()

    def _write(self, batch: Batch) -> None:
        prefix, entries = batch
        seen = visible(entries, moderates=False)
        if seen is entries:
            self._write_to(self._outlets, batch)
            self._sent_at[False] = self._clock()
            return
        for moderates, shown in (False, seen), (True, entries):
            both = zip(self._members, self._outlets, strict=True)
            outlets = [outlet for member, outlet in both if member.moderates is moderates]
            if shown and outlets:
                self._write_to(outlets, Batch(prefix, shown))
            if shown:
                self._sent_at[moderates] = self._clock()

    def _write_to(self, outlets: Sequence[Outlet], batch: Batch) -> None:
        try:
            refused = self._alike.framing.write_all(outlets, *batch)
        except Exception:  # the iteration of each member meets it again, if it was of its own
            refused = list(outlets)
        for outlet in refused:
            self._members[self._outlets.index(outlet)].step_out(batch)

    async def _run(self) -> None:
        try:
            await self._read_on()
        except Exception:  # the iteration of each member meets it again
            self._dissolve()
        finally:
            self._task = None
        if self._members:
            self._merge()

    async def _read_on(self) -> None:
        """Look the table up and read what there is."""
        course, reach = self.course, self._alike.reach
        while self._members and (self._woken or course.has_more):
            self._woken = False
            if course.seen != self._room.changes and not await self._look():
                self._dissolve()
                return
            while self._members and (batch := await course.next(reach, moderates=True)):
                self._write(batch)
            if course.over:
                self._dissolve()

    async def _look(self) -> bool:
        """Whether all members may read on, and all the same."""
        changes = self._room.changes
        news = await self.course.look(changes)
        private = any(line.said.recipient is not None for line in news.lines)
        if private or Access.of(news) != self._alike.access:
            return False
        self.course.take(news, changes)
        return True

    def _merge(self) -> None:
        """Join those who have come to the same place on another way."""
        for other in tuple(self._room.fan_outs):
            if other is not self and other.admits(self._alike, self.course):
                for member, outlet in zip(self._members, self._outlets, strict=True):
                    member.move_to(other)
                    other.join(member, outlet)
                self._members, self._outlets = [], []
                self._end()
                return

    def _dissolve(self) -> None:
        for member in tuple(self._members):
            member.step_out()

    def _end(self) -> None:
        self._room.fan_outs.remove(self)
        self.course.close()
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
