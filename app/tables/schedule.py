"""Which turns of a table a reader reads, in the order in which they begin."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence

from app.ports.tables import TableTurn


class Schedule:
    """Turns may begin in another order than that in which they come. `newest`: all turns up to it have
    ended; those behind it are looked up again, since one of them has not.

    Two schedules are equal where they go on alike.
    """

    __slots__ = ("_ahead", "_behind", "_known", "_unread", "_upto", "due", "newest")

    def __init__(self) -> None:
        self.due: deque[str] = deque()  # still to read
        self.newest: str | None = None
        self._behind: dict[
            str, int
        ] = {}  # the newest lines when those began that are still to read
        self._upto: dict[
            str, int
        ] = {}  # the newest lines when those ended, and when the one that is read
        self._known: dict[str, int] = {}  # numbers of begun turns that may still have a line
        self._ahead: set[str] = set()  # those of them that are looked up again
        self._unread: set[str] = set()  # those whose events this reader does not get

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schedule) and self._state == other._state

    __hash__ = None  # type: ignore[assignment]

    @property
    def _state(self) -> tuple[object, ...]:
        return self.newest, self.due, self._known, self._unread, self._ahead

    def copy(self) -> Schedule:
        other = Schedule()
        other.due = self.due.copy()
        other.newest = self.newest
        other._behind = self._behind.copy()
        other._upto = self._upto.copy()
        other._known = self._known.copy()
        other._ahead = self._ahead.copy()
        other._unread = self._unread.copy()
        return other

    def begin_now(self, every: Sequence[TableTurn]) -> None:
        """Read the turn that runs, and those that begin from now on."""
        self.take(every)
        running = [turn.turn_id for turn in every if turn.status == "running"]
        self.due = deque(running)
        self._behind = {one: line for one, line in self._behind.items() if one in running}
        self._unread = self._ahead.difference(running)
        kept = self._unread.union(running)
        self._known = {turn_id: begun for turn_id, begun in self._known.items() if turn_id in kept}

    def begin_at(self, every: Sequence[TableTurn], turn_id: str) -> None:
        """Read the turns from that one on, or all where it is none of them."""
        self.take(every)
        if turn_id in self.due:
            while self.due[0] != turn_id:
                self.pass_turn()

    def take(self, turns: Sequence[TableTurn]) -> None:
        """Note turns behind the newest."""
        begun = [(one.begun, one.turn_id) for one in turns if one.begun is not None]
        behind = {one.turn_id: one.behind for one in turns}
        for number, turn_id in sorted(begun):
            if turn_id not in self._known:
                self.due.append(turn_id)
                self._known[turn_id] = number
                if (line_id := behind[turn_id]) is not None:
                    self._behind[turn_id] = line_id
        self._upto |= {one.turn_id: one.upto for one in turns if one.upto is not None}
        self._ahead = {turn_id for _, turn_id in begun}
        for one in itertools.takewhile(_has_ended, turns):
            self.newest = one.turn_id
            self._ahead.discard(one.turn_id)

    def pass_turn(self) -> int | None:
        """The first turn is read now, or never. The line behind which it began, if it is known."""
        turn_id = self.due.popleft()
        kept = {turn_id, *self.due}
        self._upto = {one: line_id for one, line_id in self._upto.items() if one in kept}
        return self._behind.pop(turn_id, None)

    def has_ended(self, turn_id: str, line_id: int) -> bool:
        """Whether the turn, which is read or still to read, had ended when the line was said."""
        last = self._upto.get(turn_id)
        return last is not None and line_id > last

    def precedes(self, line_id: int) -> bool:
        """Whether a turn that is still to read had begun when the line was said."""
        first = self._behind.get(self.due[0]) if self.due else None
        return first is not None and line_id > first

    def pass_line(self, turn_id: str) -> None:
        """The line of a turn was read: neither this one nor any that began before it has another one."""
        begun = self._known.get(turn_id)
        if begun is not None:
            over = [one for one, number in self._known.items() if number <= begun]
            for one in over:
                if one not in self._ahead and one not in self.due:
                    del self._known[one]
                    self._unread.discard(one)

    def lose(self, turn_id: str) -> None:
        """The events of a turn are gone."""
        self._unread.add(turn_id)

    def reads(self, turn_id: str) -> bool:
        """Whether the reader gets the turn's events, where its line was not read yet."""
        return turn_id in self._known and turn_id not in self._unread


def _has_ended(turn: TableTurn) -> bool:
    return turn.status not in ("queued", "running")
