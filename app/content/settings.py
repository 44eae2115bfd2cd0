"""Settings of content."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from app.settings import SettingsGroup


class ContentSettings(SettingsGroup):
    """A time to live of 0 switches a cache off."""

    content_cache_ttl_seconds: Annotated[int, Field(ge=0, le=604_800)] = 3_600
    theme_cache_ttl_seconds: Annotated[int, Field(ge=0, le=604_800)] = 43_200
    content_cache_shared: bool = False
    content_retention_days: Annotated[int, Field(ge=1, le=3_650)] = 365
