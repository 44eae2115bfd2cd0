"""Who is connected to each table, in whatever process, and who of them comes and goes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from app.errors import StoreUnavailable
from app.ports.signals import Signal, Signals
from app.ports.tables import TableStore
from app.tables.room import Room
from app.tasks import Errand


class Presence:
    """Keeps in the store who is in the `rooms` of this process, and shows the rooms who is elsewhere.

    A store drops the rows of a process when the process dies, so that no connection needs a heartbeat of
    its own.
    """

    def __init__(self, rooms: Mapping[int, Room], tables: TableStore, signals: Signals) -> None:
        self._rooms = rooms
        self._tables = tables
        self._signals = signals
        self._stored: dict[
            int, frozenset[str]
        ] = {}  # users of this process, as the store knows them
        self._due: dict[int, asyncio.Event] = {}
        self._errand = Errand("table-presence", self._run)
        signals.receive(self._signalled)

    def _signalled(self, signal: Signal) -> None:
        if signal.kind == "members" and int(signal.key) in self._rooms:
            self.changed(int(signal.key))

    def changed(self, table_id: int) -> asyncio.Event:
        """Somebody may have come or gone. The event is set once that was looked at."""
        due = self._due.setdefault(table_id, asyncio.Event())
        self._errand.begin()
        return due

    async def refresh(self) -> None:
        """Look at every table again: a process may have died, or a signal was lost."""
        for table_id in (*self._rooms, *self._stored):
            self.changed(table_id)

    async def of(self, table_id: int) -> set[str]:
        """The users who are connected. Raises `StoreUnavailable`."""
        room = self._rooms.get(table_id)
        here = set() if room is None else set(room.names)
        return here | set(await self._tables.elsewhere(table_id))

    async def aclose(self) -> None:
        """Finish what was begun."""
        await self._errand.finish()

    async def _run(self) -> None:
        while self._due:
            due, self._due = self._due, {}
            rooms = {table_id: self._rooms.get(table_id) for table_id in due}
            here = {one: {} if room is None else room.names for one, room in rooms.items()}
            try:
                elsewhere = await self._tables.meet(here)
            except StoreUnavailable:  # it may have them all the same: `refresh` tries again
                for table_id in due:
                    self._stored.setdefault(table_id, frozenset())
            else:
                for table_id, names in here.items():
                    self._met(table_id, frozenset(names), elsewhere.get(table_id, {}))
            finally:
                for event in due.values():
                    event.set()

    def _met(self, table_id: int, here: frozenset[str], elsewhere: Mapping[str, str]) -> None:
        stored = self._stored.pop(table_id, frozenset())
        if here:
            self._stored[table_id] = here
        if here != stored:
            self._signals.send(Signal("members", str(table_id)))
        if (room := self._rooms.get(table_id)) is not None:
            room.meet(elsewhere)
