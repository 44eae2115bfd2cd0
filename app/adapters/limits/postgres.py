"""Limits of all processes on one journal, in its database. They are empty after a crash of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from app.adapters.limits.answers import answered, left
from app.adapters.store.postgres import statements as sql
from app.adapters.store.postgres.engine import PostgresEngine
from app.adapters.store.postgres.rows import storable
from app.ports.limits import Charge, Taken


class PostgresLimiter:
    """`now` gives epoch seconds; None, as in every real service: the database's clock."""

    def __init__(self, engine: PostgresEngine, now: Callable[[], float] | None = None) -> None:
        self._engine = engine
        self._now = now

    async def take(self, charges: Sequence[Charge]) -> Taken:
        """Raises `StoreUnavailable` beside `RateLimitExceeded`."""
        if not charges:
            return Taken(_nothing, {})
        names, row = await self._asked(sql.TAKE, charges)
        now: float = row["at"]
        headers = answered(charges, row["places"], row["waits"], now, taken=row["taken"])

        async def give_back() -> None:
            await self._engine.fetch(sql.GIVE_BACK, names, now)

        return Taken(give_back, headers)

    async def look(self, charges: Sequence[Charge]) -> dict[str, str]:
        if not charges:
            return {}
        _, row = await self._asked(sql.LOOK, charges)
        return left(charges, row["places"], row["waits"], row["at"])

    async def _asked(self, statement: str, charges: Sequence[Charge]) -> tuple[list[str], Any]:
        """The names of the windows, and how they were."""
        names = [storable(f"{rule.name}:{key}") for rule, key in charges]
        limits = [charge.rule.limit for charge in charges]
        lengths = [charge.rule.window for charge in charges]
        at = None if self._now is None else self._now()
        while True:
            (row,) = await self._engine.fetch(statement, names, limits, lengths, at)
            if (
                None not in row["places"]
            ):  # a window was dropped as idle just now; nothing was taken
                return names, row

    def recall(self, charges: Iterable[tuple[Charge, float]]) -> None:
        """They are in the database."""


async def _nothing() -> None:
    pass
