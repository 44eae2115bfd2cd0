"""The budget of a table, in tokens and in money: of all its turns, for good."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from app.core.limits import check_table_budget, nearly_used
from app.core.money import Amount, Spent
from app.core.tables import Table
from app.errors import ValidationError
from app.generation.consumer import Cost
from app.generation.prices import PriceList
from app.ports.store import TurnRequest
from app.ports.tables import TableStore
from app.turns.persistence import retry_until_stored

RESERVED: Final = 2_000
"""Tokens that a turn is about to use, or another telling of it, a question or a summary: what is set aside
from its admission to its end, also while it waits. It is admitted while anything is left beside that."""


class TableBudget:
    """`prices` of the models that tell."""

    def __init__(self, tables: TableStore, prices: PriceList) -> None:
        self._tables = tables
        self._prices = prices
        self._under_way: set[asyncio.Task[None]] = set()

    async def check(self, table: Table) -> None:
        """Raises `TokenBudgetExceeded` when all is used, whatever is set aside."""
        check_table_budget(table.rules.budget, Spent(await self._used(table)))

    async def require_room(self, table: Table) -> Spent:
        """Raises `TokenBudgetExceeded` when nothing is left for another turn, as far as is known: only the
        claim of a turn decides."""
        spent = await self._tables.spent(table.id)
        check_table_budget(table.rules.budget, spent)
        return spent

    async def take(self, table: Table, request: TurnRequest) -> TurnRequest:
        """The request with the budget that its claim checks, the money set aside for it, and the warnings
        of a budget that is nearly used. Raises as `require_room`."""
        spent, budget = await self.require_room(table), table.rules.budget
        warnings = *request.budget_warnings, *nearly_used(budget, spent.used, "table")
        return replace(
            request,
            reserved_micros=self._reserved(table).micros,
            shared_tokens=budget.tokens,
            shared_micros=budget.micros,
            budget_warnings=warnings,
        )

    def _reserved(self, table: Table) -> Amount:
        money = table.rules.budget.micros > 0
        return Amount(RESERVED, self._prices.most(None, RESERVED, RESERVED) if money else 0)

    @asynccontextmanager
    async def beside_turns(self, table: Table) -> AsyncIterator[Cost]:
        """Set aside for a generation that is no turn, as for a turn, and charge what it has used, whatever
        comes of it. Raises `TokenBudgetExceeded`."""
        name, cost = secrets.token_hex(16), Cost()
        amount, budget = self._reserved(table), table.rules.budget
        reserving = self._tracked(self._tables.reserve(table.id, name, amount, budget))
        try:
            await asyncio.shield(reserving)
            yield cost
        finally:
            await asyncio.shield(self._tracked(self._settled(reserving, name, cost)))

    async def _settled(self, reserving: asyncio.Task[None], name: str, cost: Cost) -> None:
        """Whoever leaves while it is being set aside leaves nothing behind."""
        await asyncio.wait((reserving,))
        if not reserving.cancelled() and reserving.exception() is None:
            await retry_until_stored(lambda: self._tables.settle(name, cost.spent))

    def _tracked(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    def require_prices(self) -> None:
        """Raises `ValidationError` where a model has no price: its calls could not be limited."""
        if unknown := self._prices.unpriced():
            raise ValidationError(f"cost_budget_micros: the price of {unknown[0]} is not known")

    async def _used(self, table: Table) -> Amount:
        """The tokens came with the table."""
        if not table.rules.budget.micros:
            return Amount(table.tokens_used)
        return (await self._tables.spent(table.id)).used
