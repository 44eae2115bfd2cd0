"""Rounds that could not be played: each is tried again, ever later, and its reason is logged once."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

import structlog

from app.core.tables import TableRules
from app.errors import DungeonMasterError, TokenBudgetExceeded
from app.ports.tables import TableStore

log = structlog.get_logger(__name__)

FIRST_PAUSE: Final = 5.0  # seconds
LONGEST_PAUSE: Final = 300.0


@dataclass(slots=True)
class _Postponed:
    """`rules` of the table, once they were looked at; with others it is tried at once."""

    reason: str
    pause: float
    until: float
    rules: TableRules | None = None


@dataclass(eq=False)
class PostponedRounds:
    """Of this process, by their tables. `now` gives epoch seconds."""

    _tables: TableStore
    _now: Callable[[], float]
    _known: dict[int, _Postponed] = field(default_factory=dict, init=False)

    async def waits(self, table_id: int) -> bool:
        """Whether it is too early to try the table's round again."""
        known = self._known.get(table_id)
        if known is None:
            return False
        table = await self._tables.find(table_id)
        rules = None if table is None else table.rules
        known.rules = known.rules or rules
        return rules == known.rules and self._now() < known.until

    def postpone(self, table_id: int, error: Exception) -> bool:
        """It could not be played. What is over in a moment is tried again soon: a budget lasts. Whether it
        lasts, or is not over at the next try."""
        expected = isinstance(error, DungeonMasterError)
        reason = error.type if isinstance(error, DungeonMasterError) else type(error).__name__
        passes = expected and not isinstance(error, TokenBudgetExceeded)
        known = self._known.get(table_id)
        again, pause = known is not None and known.reason == reason, FIRST_PAUSE
        if known is not None and again:
            pause = FIRST_PAUSE if passes else min(2 * known.pause, LONGEST_PAUSE)
        else:
            tell = log.warning if expected else log.exception
            tell("round_not_played", session_id=table_id, error_type=reason)
        self._known[table_id] = _Postponed(reason, pause, self._now() + pause)
        return again or not passes

    def forget(self, table_id: int) -> None:
        """It was played, or may be playable by now."""
        self._known.pop(table_id, None)

    def keep(self, tables: Collection[int]) -> None:
        """There are rounds of no other tables."""
        for table_id in self._known.keys() - set(tables):
            del self._known[table_id]
