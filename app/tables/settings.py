"""Settings of tables."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from app.core.money import micros_of
from app.core.tables import TableRules
from app.settings_group import Dollars, SettingsGroup


class TableSettings(SettingsGroup):
    """Defaults of a new table. 0 is no limit."""

    table_requests_per_minute: Annotated[int, Field(ge=0, le=100_000)] = 20
    table_token_budget: Annotated[int, Field(ge=0, le=1_000_000_000)] = 100_000
    table_dollar_budget: Dollars = Decimal(0)

    @property
    def table_rules(self) -> TableRules:
        """The rules of a new table."""
        return TableRules(
            requests_per_minute=self.table_requests_per_minute,
            token_budget=self.table_token_budget,
            cost_budget_micros=micros_of(self.table_dollar_budget),
        )
