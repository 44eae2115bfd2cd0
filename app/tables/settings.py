"""Settings of tables."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from app.settings import SettingsGroup


class TableSettings(SettingsGroup):
    """Defaults of a new table. 0 is no limit."""

    table_requests_per_minute: Annotated[int, Field(ge=0, le=100_000)] = 20
    table_token_budget: Annotated[int, Field(ge=0, le=1_000_000_000)] = 100_000
