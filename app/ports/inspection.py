"""The journal as an operator sees it, beside a running server or without one."""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple, Protocol

from app.core.events import Entry
from app.ports.outbox import OutboxInspector
from app.ports.store import StoredTurn

Which = Literal["open", "unknown", "failed", "complete"]
"""open: not ended. unknown: a write was sent and its fate is not recorded. failed: ended with an
error, or with a write that failed. complete: ended as they should, failed writes or not."""


class TurnFilter(NamedTuple):
    """None lets every turn through. `since`: admitted then or later, in epoch seconds."""

    user_id: str | None = None
    character_id: str | None = None
    since: float | None = None


EVERY_TURN: Final = TurnFilter()


class CannotSettle(Exception):
    """The turn is in no state in which its write could be settled by hand."""


class JournalInspector(Protocol):
    """Blocking, for the command line. Only `settle` changes anything, and what `outbox` offers."""

    @property
    def outbox(self) -> OutboxInspector: ...

    def turns(
        self, which: Which, limit: int, only: TurnFilter = EVERY_TURN
    ) -> list[dict[str, Any]]:
        """Newest first, at most `limit`. `error_type` is null where none ended the turn."""
        ...

    def journal(self, turn_id: str) -> dict[str, Any] | None:
        """One turn with its plan and how far it has come; None when there is none."""
        ...

    def stored(self, turn_id: str) -> tuple[StoredTurn | None, list[Entry]]:
        """A turn with what a replay needs, and its entries."""
        ...

    def settle(self, turn_id: str, *, landed: bool) -> str:
        """Record by hand what became of the write under way; its subsystem.

        The turn loses its owner: a server adopts it and goes on. Raises `CannotSettle`.
        """
        ...
