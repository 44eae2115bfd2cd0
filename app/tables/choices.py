"""Choices for the turns of a table by their ids: of everybody who sits there."""

from __future__ import annotations

from dataclasses import dataclass

from app.core.access import Caller, Owner
from app.errors import NotFound, TurnNotFound
from app.tables.play import TablePlay
from app.tables.service import TableService
from app.tables.visit import Visit


@dataclass(eq=False)
class TableChooser:
    """A `Chooser`. To whoever has no seat at the table, its turn does not exist."""

    _service: TableService
    _play: TablePlay
    _table: Owner

    async def commit(self, turn_id: str, caller: Caller) -> None:
        await self._play.commit(await self._visit(caller), turn_id)

    async def retell(self, turn_id: str, caller: Caller, guidance: str) -> None:
        await self._play.retell(await self._visit(caller), guidance, turn_id)

    async def _visit(self, caller: Caller) -> Visit:
        try:
            return await self._service.visit(caller, int(self._table.id))
        except NotFound:
            raise TurnNotFound from None
