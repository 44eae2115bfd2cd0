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
        """Whether the caller is the table's dungeon master, or its owner while there is none."""
        return may(self.caller, Action.WRITE, self.table.moderation)

    def require(self, *resources: Resource) -> None:
        """Raises `Forbidden` for a caller who has none of them."""
        if any(may(self.caller, Action.WRITE, one) for one in resources):
            return
        alone = self.table.has_dm and resources == (self.table.moderation,)
        who = "the dungeon master" if alone else "the owner or the dungeon master"
        raise Forbidden(f"Only {who} of the session may do this.")
