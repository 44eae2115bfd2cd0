"""A caller at a table."""

from __future__ import annotations

from dataclasses import dataclass

from app.core.access import Action, Caller, Resource, may
from app.core.tables import Seat, Table
from app.errors import Forbidden


@dataclass(frozen=True, slots=True)
class Visit:
    """A caller at a table. `caller` acts for the table as far as the seat allows."""

    table: Table
    seat: Seat | None
    caller: Caller

    @property
    def player_name(self) -> str:
        return self.caller.user_id if self.seat is None else self.seat.player_name

    @property
    def moderates(self) -> bool:
        """Whether the caller owns the table or is its dungeon master."""
        return may(self.caller, Action.WRITE, self.table.moderation)

    def require(self, resource: Resource) -> None:
        """Raises `Forbidden`."""
        if not may(self.caller, Action.WRITE, resource):
            raise Forbidden("Only the owner or the dungeon master of the session may do this.")
