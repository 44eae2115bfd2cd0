"""The budget of a table, in tokens and in money: of all its turns, for good."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from app.core.limits import check_table_budget, nearly_used
from app.core.money import Amount, Spent
from app.core.tables import Table
from app.errors import TokenBudgetExceeded, ValidationError
from app.generation.prices import PriceList
from app.ports.store import TurnRequest
from app.ports.tables import TableStore

RESERVED: Final = 2_000
"""Tokens that a turn is about to use, or another telling of it: what is set aside from its admission to its
end, also while it waits. A turn is admitted while anything is left beside that."""


class TableBudget:
    """`prices` of the models that tell."""

    def __init__(self, tables: TableStore, prices: PriceList) -> None:
        self._tables = tables
        self._prices = prices

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
        micros = self._prices.most(None, RESERVED, RESERVED) if budget.micros else 0
        return replace(
            request,
            reserved_micros=micros,
            shared_tokens=budget.tokens,
            shared_micros=budget.micros,
            budget_warnings=warnings,
        )

    async def is_left(self, table: Table) -> bool:
        """Whether `check` would raise nothing."""
        try:
            await self.check(table)
        except TokenBudgetExceeded:
            return False
        return True

    def require_prices(self) -> None:
        """Raises `ValidationError` where a model has no price: its calls could not be limited."""
        if unknown := self._prices.unpriced():
            raise ValidationError(f"cost_budget_micros: the price of {unknown[0]} is not known")

    async def _used(self, table: Table) -> Amount:
        """The tokens came with the table."""
        if not table.rules.budget.micros:
            return Amount(table.tokens_used)
        return (await self._tables.spent(table.id)).used
