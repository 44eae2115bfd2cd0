"""Sessions that a user has for the asking."""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary

from app.core.access import Caller
from app.core.tables import Seat
from app.tables.service import TableService


class OwnTables:
    """One of a name for each user, in this process."""

    def __init__(self, service: TableService) -> None:
        self._service = service
        self._making: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def find(self, caller: Caller, name: str, dm_name: str, player: Seat) -> int:
        """The caller's first own table of that name, made where there is none."""
        async with self._making.setdefault(caller.user_id, asyncio.Lock()):
            for table in reversed(await self._service.of_user(caller)):
                if (table.owner, table.name) == (caller.user_id, name):
                    return table.id
            rules = self._service.defaults
            return (await self._service.create(caller, name, dm_name, player, rules)).id
