"""Which turns of a table a reader reads, in the order in which they begin."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence

from app.ports.tables import TableTurn


class Schedule:
    """Turns may begin in another order than that in which they come. `newest`: all turns up to it are
    known; those behind it are looked up again, since one of them waits."""

    def __init__(self) -> None:
        self.due: deque[str] = deque()  # still to read
        self.newest: str | None = None
        self._known: set[str] = set()
        self._unread: set[str] = set()  # known turns whose events this reader does not get

    def begin_now(self, every: Sequence[TableTurn]) -> None:
        """Read the turn that runs, and those that begin from now on."""
        self.take(every)
        behind = {turn.turn_id for turn in itertools.dropwhile(_has_begun, every)}
        running = [turn.turn_id for turn in every if turn.status == "running"]
        self.due = deque(running)
        self._unread = self._known & behind - set(running)
        self._known = self._unread | set(running)

    def begin_at(self, every: Sequence[TableTurn], turn_id: str) -> None:
        """Read the turns from that one on, or all where it is none of them."""
        self.take(every)
        if turn_id in self.due:
            while self.due[0] != turn_id:
                self.due.popleft()

    def take(self, turns: Sequence[TableTurn]) -> None:
        """Note turns behind the newest."""
        begun = [(one.begun, one.turn_id) for one in turns if one.begun is not None]
        fresh = [turn_id for _, turn_id in sorted(begun) if turn_id not in self._known]
        self.due += fresh
        self._known.update(fresh)
        for one in itertools.takewhile(_has_begun, turns):
            self.newest = one.turn_id

    def lose(self, turn_id: str) -> None:
        """The events of a turn are gone."""
        self._unread.add(turn_id)

    def reads(self, turn_id: str) -> bool:
        """Whether the reader gets the turn's events."""
        return turn_id in self._known and turn_id not in self._unread


def _has_begun(turn: TableTurn) -> bool:
    """Or never will."""
    return turn.status != "queued"
