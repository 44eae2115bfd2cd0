"""Opens feeds."""

from __future__ import annotations

from app.ports.tables import TableStore
from app.tables.events import position_of
from app.tables.feed import TableFeed
from app.tables.news import Sources, TableNews
from app.tables.rooms import Rooms
from app.tables.visit import Visit
from app.turns.service import TurnService


class TableFeeds:
    """`rooms` must observe what happens to turns."""

    def __init__(self, turns: TurnService, tables: TableStore, rooms: Rooms) -> None:
        self._sources = Sources(turns, tables, TableNews(tables))
        self._rooms = rooms

    def open(
        self, visit: Visit, event_id: str = "", *, past: bool = True, moderates: bool = False
    ) -> TableFeed:
        """A feed for one connection, which must close it. `event_id`: of the last event seen, if any.
        `moderates`: its reader is put out once they are no dungeon master any more."""
        attendant = self._rooms.attend(visit.table.id, visit.caller.user_id, visit.player_name)
        return TableFeed(
            self._sources,
            attendant,
            visit.table,
            visit.caller,
            position_of(event_id),
            past=past,
            moderates=moderates,
        )
