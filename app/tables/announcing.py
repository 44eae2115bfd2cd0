"""Events of sessions for other services. What happens in a session belongs to its owner."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from app.core.hub import EventType, NewEvent, session_event
from app.core.tables import NewLine, Seat, Table, TableRules
from app.ports.outbox import EventAdded
from app.ports.tables import Changed, SeatNews, TableChange, TableChanged, TableNews, TableStore
from app.tables.rooms import Rooms

Say = Callable[[Table, Table], NewLine | None]


class Announced:
    """Changes tables, each change with its event in one transaction."""

    def __init__(self, tables: TableStore, rooms: Rooms, observe: Callable[[object], None]) -> None:
        self._tables = tables
        self._rooms = rooms
        self._observe = observe

    async def create(
        self,
        owner: Seat,
        name: str,
        dm_name: str,
        rules: TableRules,
        now: float,
        *,
        once: bool = False,
    ) -> Table:
        """See `TableStore`."""
        announce = partial(_created, name, owner.user_id)
        table = await self._tables.create(owner, name, dm_name, rules, now, announce, once=once)
        self._observe(EventAdded(owner.user_id))
        return table

    async def change(
        self,
        table_id: int,
        make: TableChange,
        now: float,
        say: Say | None = None,
        *,
        stops: bool = False,
    ) -> Changed | None:
        """The change, see `TableStore`. `say` makes of the table as it was and as it is what is said there
        with it. `stops`: so that the turn that runs there is cancelled."""

        def news(known: Table, new: Table) -> TableNews:
            event = None if known == new else _changed(new)
            return TableNews(event, None if say is None else say(known, new), now, stops)

        found = await self._tables.change(table_id, make, news)
        if found is not None and found.known != found.new:
            self._observe(EventAdded(found.new.owner))
            self._observe(TableChanged(table_id))
        if found is not None and say is not None:
            self._rooms.said(table_id)
        return found

    async def delete(self, table: Table) -> None:
        """With all that was said there."""
        event = _event("session.deleted", table.id, table.owner, {"name": table.name})
        await self._tables.delete(table.id, event)
        self._observe(EventAdded(table.owner))

    async def seat(self, table: Table, seat: Seat, words: str, now: float) -> bool:
        """Store a member's seat and announce it, in these words where the member comes or goes. False, and
        nothing is announced, where the member was removed. Raises `NameTaken`."""
        news = SeatNews(_seated(table, seat), NewLine(table.dm_name, words, "system"), now)
        found = await self._tables.take_seat(table.id, seat, news)
        if found is None:
            return False
        self._rooms.seat_changed(
            table.id, "player_vacated" if seat.removed else "seat_updated", seat
        )
        if found.recast:
            self._rooms.seat_changed(table.id, "seat_character_updated", seat)
        self._rooms.said(table.id)  # with another role they may read more or less
        if found.moved:
            self._observe(EventAdded(table.owner))
        self._observe(TableChanged(table.id))
        return True


def _created(name: str, owner: str, session_id: int) -> NewEvent:
    return _event("session.created", session_id, owner, {"name": name})


def _changed(table: Table) -> NewEvent:
    now = {"name": table.name, "is_active": table.is_active, "paused": table.rules.paused}
    return _event("session.changed", table.id, table.owner, now)


def _seated(table: Table, seat: Seat) -> NewEvent:
    kind: EventType = "session.joined" if seat.present else "session.left"
    who = {"user_id": seat.user_id, "role": seat.role, "character_id": seat.character_id}
    removed = {} if seat.present else {"removed": seat.removed}
    return _event(kind, table.id, table.owner, {**who, **removed})


def _event(kind: EventType, session_id: int, owner: str, data: Mapping[str, Any]) -> NewEvent:
    return session_event(kind, session_id, str(uuid.uuid4()), owner, data)
