"""What a table's running turn adds, written to all readers who have read the same of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from app.core.events import Entry
from app.eventlog.reader import MAX_BATCH
from app.ports.event_log import TurnLog
from app.tables.events import visible
from app.web.transports.table import Framing, Outlet


class Alike(NamedTuple):
    """What readers have in common who may be written to in one go. `prefix`: of event ids; `moderates`: see
    `visible`."""

    framing: Framing
    prefix: str
    moderates: bool


class Member(Protocol):
    def step_out(self) -> None:
        """Leave the fan-out: what it has not written is read from the log."""
        ...

    def on_failure(self) -> None: ...


class FanOut:
    """Watches a log for its members, who watch it themselves again once they leave.

    A member costs a token no more than its own write: what all have read (`read`, a position of the log)
    and when they were written to last (`sent_at`, in the loop's time) is kept once. A member who takes
    nothing, and every member of a log that ends, is put out of step.
    """

    __slots__ = (
        "_alike",
        "_clock",
        "_coalescing",
        "_due",
        "_home",
        "_members",
        "_outlets",
        "_timer",
        "log",
        "read",
        "sent_at",
        "seq",
    )

    def __init__(self, log: TurnLog, alike: Alike, home: dict[Alike, FanOut]) -> None:
        """`home`: the fan-outs of the table, which has this one while it has members."""
        self.log = log
        self.read = log.end
        self.seq = 0  # of the newest entry that was read meanwhile; 0: none was
        self._clock = asyncio.get_running_loop().time
        self.sent_at = 0.0
        self._alike = alike
        self._home = home
        self._members: list[Member] = []
        self._outlets: list[Outlet] = []
        self._coalescing = log.coalescing
        self._due = 0.0  # when several members may be written to again
        self._timer: asyncio.TimerHandle | None = None

    def join(self, member: Member, outlet: Outlet) -> None:
        """The member has read what the fan-out has."""
        if not self._members:
            self._home[self._alike] = self
            self.log.watch(self, patient=True)
        self._members.append(member)
        self._outlets.append(outlet)

    def part(self, member: Member) -> None:
        place = self._members.index(member)
        del self._members[place], self._outlets[place]
        if not self._members:
            del self._home[self._alike]
            self.log.unwatch(self)
            self._stop_timer()

    def on_readable(self, fresh: Sequence[Entry]) -> None:
        if len(self._members) > 1 and not self.log.closed:
            if self._timer is not None:
                return
            now = self._clock()
            if now < self._due:
                self._timer = asyncio.get_running_loop().call_at(self._due, self.catch_up)
                return
            self._due = now + self._coalescing
        self._write(fresh)

    def on_failure(self) -> None:
        for member in tuple(self._members):
            member.on_failure()

    def catch_up(self) -> None:
        """Write what was kept back."""
        self._stop_timer()
        self._due = self._clock() + self._coalescing
        self._write(())

    def _write(self, fresh: Sequence[Entry]) -> None:
        try:
            self._write_on(fresh)
        except Exception:  # the iteration of each member meets it again, if it was of its own
            self._dissolve()

    def _write_on(self, fresh: Sequence[Entry]) -> None:
        log, start = self.log, self.read
        end = log.end
        count = end - start
        if not count and not log.closed:
            return
        if log.closed or start < log.start or count > MAX_BATCH:
            self._dissolve()
            return
        found = fresh if len(fresh) == count else log.entries(start, end)
        _, prefix, moderates = self._alike
        if seen := visible(found, moderates=moderates):
            for outlet in self._alike.framing.write_all(self._outlets, prefix, seen):
                self._members[self._outlets.index(outlet)].step_out()
            self.sent_at = self._clock()
        self.read = end
        self.seq = found[-1][0]

    def _dissolve(self) -> None:
        for member in tuple(self._members):
            member.step_out()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
