"""Where the journal is, who else is on it, and how long it keeps what."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from app.settings_group import SettingsGroup

SQLITE, POSTGRES, REDIS = "sqlite:///", ("postgresql://", "postgres://"), ("redis://", "rediss://")


class StoreSettings(SettingsGroup):
    """The journal of turns, and what processes share beside it."""

    store_url: str = Field(default="sqlite:///data/dungeon-master.db", repr=False)
    store_connections: Annotated[int, Field(ge=1, le=100)] = 8
    redis_url: str | None = Field(default=None, repr=False)
    limits_fail_open: bool = True
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    store_max_bytes: Annotated[int, Field(ge=10_000_000)] = 4 * 1024**3
    turn_events_ttl_seconds: Annotated[int, Field(ge=60, le=30 * 86_400)] = 86_400
    turn_storage_ttl_seconds: Annotated[int, Field(ge=60, le=86_400)] = 3_600
    turn_storage_max_size: Annotated[int, Field(ge=100, le=100_000)] = 10_000

    @field_validator("store_url")
    @classmethod
    def _store(cls, value: str) -> str:
        if value.startswith(SQLITE) and Path(value.removeprefix(SQLITE)).name:
            return value
        if not value.startswith(POSTGRES) or not urlsplit(value).path.strip("/"):
            raise ValueError("must be sqlite:///PATH or postgresql://USER@HOST:PORT/DATABASE")
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: str | None) -> str | None:
        if value is not None and (not value.startswith(REDIS) or not urlsplit(value).hostname):
            raise ValueError("must be redis://HOST:PORT/NUMBER or rediss://HOST:PORT/NUMBER")
        return value

    @model_validator(mode="after")
    def _one_process_has_sqlite(self) -> StoreSettings:
        needed = "needs a journal that processes can share; set STORE_URL=postgresql://…"
        if self.workers > 1 and not self.on_postgres:
            raise ValueError(f"WORKERS: more than one {needed}")
        if self.redis_url is not None and not self.on_postgres:
            raise ValueError(f"REDIS_URL: {needed}")
        return self

    @property
    def on_postgres(self) -> bool:
        """Whether other processes may be on the journal."""
        return self.store_url.startswith(POSTGRES)

    @property
    def store_path(self) -> Path:
        """The database file of SQLite."""
        return Path(self.store_url.removeprefix(SQLITE))

    @property
    def store_name(self) -> str:
        """For logs: without password and options."""
        if not self.on_postgres:
            return self.store_url
        parts = urlsplit(self.store_url)
        return f"postgresql://{parts.hostname or 'localhost'}{parts.path}"
