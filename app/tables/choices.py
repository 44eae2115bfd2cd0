"""Choices for the turns of tables by their ids: of everybody who sits there."""

from __future__ import annotations

from dataclasses import dataclass

from app.core.access import Caller
from app.errors import NotFound, TurnNotFound
from app.tables.play import TablePlay
from app.tables.service import TableService
from app.tables.visit import Visit
from app.turns.service import TurnService


@dataclass(eq=False)
class TableChooser:
    """A `Chooser`. To whoever has no seat at the table, its turn does not exist."""

    _service: TableService
    _play: TablePlay
    _turns: TurnService

    async def commit(self, turn_id: str, caller: Caller) -> None:
        await self._play.commit(await self._visit(turn_id, caller), turn_id)

    async def retell(self, turn_id: str, caller: Caller, guidance: str) -> None:
        await self._play.retell(await self._visit(turn_id, caller), guidance, turn_id)

    async def _visit(self, turn_id: str, caller: Caller) -> Visit:
        owner = await self._turns.owner_of(turn_id)
        if owner is None:
            raise TurnNotFound
        try:
            return await self._service.visit(caller, int(owner.id))
        except NotFound:
            raise TurnNotFound from None
