"""Where a reader is in the turn that it reads: alone, or in step with others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from app.core.events import Entry
from app.eventlog.reader import MAX_BATCH
from app.ports.event_log import TurnLog
from app.tables.events import Position
from app.tables.fan_out import Alike, FanOut
from app.tables.room import Attendant
from app.web.transports.table import Outlet


class Place:
    """`log`: of the turn that is being read; `at`: the reader's position in the table's stream. In step,
    the fan-out knows how far the reader is, and the reader must not read the log.

    A change of the log wakes the attendant; `fail` is called where that is not possible any more.
    """

    __slots__ = ("_attendant", "_fail", "_fan_out", "_read", "at", "log", "sent_at")

    def __init__(self, at: Position, attendant: Attendant, fail: Callable[[], None]) -> None:
        self.at = at
        self.log: TurnLog | None = None
        self.sent_at = 0.0  # when something was written to the reader, in the loop's time
        self._read = 0  # position in the log
        self._attendant = attendant
        self._fail = fail
        self._fan_out: FanOut | None = None

    @property
    def read(self) -> int:
        """How many entries of the log are behind the reader."""
        return self._read if self._fan_out is None else self._fan_out.read

    @property
    def is_behind(self) -> bool:
        """The log has more."""
        return self.log is not None and self.read < self.log.end

    @property
    def silent_since(self) -> float:
        fan_out = self._fan_out
        return self.sent_at if fan_out is None else max(self.sent_at, fan_out.sent_at)

    def begin(self, log: TurnLog, after: int) -> None:
        """Read a log, behind the entry `after`."""
        self.log, self._read = log, log.position_after(after)
        log.watch(self, patient=True)

    def end(self) -> None:
        """Read the log no more."""
        self._part()
        if self.log is not None:
            self.log.unwatch(self)
            self.log = None

    def take(self, log: TurnLog) -> Sequence[Entry]:
        """The next entries of the log, which is ended once it has no more."""
        if self._read > log.end:  # nobody knew where it is
            self._read = log.position_after(self.at.seq)
        found = log.entries(self._read, self._read + MAX_BATCH)
        self._read += len(found)
        if found:
            self.at.seq = found[-1][0]
        if log.closed and self._read >= log.end:
            self.end()
        return found

    def on_readable(self, fresh: Sequence[Entry]) -> None:
        self._attendant.wake()

    def on_failure(self) -> None:
        self._fail()

    def step_in(self, outlet: Outlet | None, *, moderates: bool) -> None:
        """Be written to with all who have read the same, where there is nothing else to read."""
        log = self.log
        if log is None or outlet is None or log.closed or self._read != log.end:
            return
        fan_outs = self._attendant.room.fan_outs
        alike = Alike(outlet.framing, self.at.prefix, moderates)
        fan_out = fan_outs.get(alike)
        if fan_out is None:
            fan_out = FanOut(log, alike, fan_outs)
        elif fan_out.read < log.end:
            fan_out.catch_up()
        if fan_out.log is log and fan_out.read == self._read:
            log.unwatch(self)
            fan_out.join(self, outlet)
            self._fan_out, self._attendant.before_wake = fan_out, self.step_out

    def step_out(self) -> None:
        """Go on alone from where the fan-out is."""
        if self._part() and self.log is not None:
            self.log.watch(self, patient=True)
            self._attendant.changed.set()

    def _part(self) -> bool:
        fan_out = self._fan_out
        if fan_out is None:
            return False
        self._read, self.sent_at = self.read, self.silent_since
        self.at.seq = fan_out.seq or self.at.seq
        self._fan_out = self._attendant.before_wake = None
        fan_out.part(self)
        return True
