"""The one seat of a human dungeon master at each table, in all processes together."""

from __future__ import annotations

from collections.abc import Callable

from app.errors import StoreUnavailable
from app.ports.signals import Signal, Signals
from app.ports.tables import TableStore
from app.tasks import Errand


class DungeonMasterSeats:
    """Who takes a seat last has it, in the order in which the store learns of it; whoever had it before, in
    any process, is dismissed: at once where a signal comes, else when `refresh` looks.

    `announce`: shows those who are connected here that the dungeon master of a table has come or gone.
    """

    def __init__(
        self, tables: TableStore, signals: Signals, announce: Callable[[int, bool], None]
    ) -> None:
        self._tables = tables
        self._signals = signals
        self._announce = announce
        self._held: dict[int, Callable[[], None]] = {}  # by this process: how to end it
        self._taken: set[int] = set()  # since the store has heard of it
        self._left: set[int] = set()
        self._due: set[int] = set()  # others may have it
        self._errand = Errand("table-dm-seats", self._run)
        signals.receive(self._signalled)

    def _signalled(self, signal: Signal) -> None:
        if signal.kind != "seat":
            return
        number, _, what = signal.key.partition(":")
        self._announce(int(number), what == "joined")
        if int(number) in self._held:
            self._due.add(int(number))
            self._errand.begin()

    def take(self, table_id: int, dismiss: Callable[[], None]) -> Callable[[], None]:
        """Hold the seat until another one takes it, which calls `dismiss`. The function that is returned
        gives it up."""
        former, self._held[table_id] = self._held.get(table_id), dismiss
        if former is not None:
            former()
        self._taken.add(table_id)
        self._announce(table_id, True)
        self._errand.begin()

        def give_up() -> None:
            if self._held.get(table_id) is dismiss:
                del self._held[table_id]
                self._left.add(table_id)
                self._errand.begin()

        return give_up

    async def refresh(self) -> None:
        """Look at every seat again: a signal was lost, or this process was given up meanwhile."""
        self._due.update(self._held)
        if self._due or self._taken or self._left:
            self._errand.begin()

    async def aclose(self) -> None:
        """Finish what was begun."""
        await self._errand.finish()

    async def _run(self) -> None:
        while self._due or self._taken or self._left:
            taken, left = self._taken & self._held.keys(), self._left
            held = (self._due & self._held.keys()) | taken
            self._due, self._taken, self._left = set(), set(), set()
            try:
                elsewhere = await self._tables.lead(held, taken, left)
            except StoreUnavailable:  # it may have them all the same: `refresh` tries again
                self._taken |= taken
                self._left |= left
                return
            self._settle(held, taken, left, set(elsewhere))

    def _settle(self, held: set[int], taken: set[int], left: set[int], elsewhere: set[int]) -> None:
        """What was taken meanwhile is the next look's."""
        for table_id in held & elsewhere - self._taken:
            if (dismiss := self._held.pop(table_id, None)) is not None:
                dismiss()
        for table_id in taken:
            self._signals.send(Signal("seat", f"{table_id}:joined"))
        for table_id in left - elsewhere - self._held.keys():
            self._announce(table_id, False)
            self._signals.send(Signal("seat", f"{table_id}:left"))
