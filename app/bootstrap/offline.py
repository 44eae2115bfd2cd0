"""The adapters that the command line uses without a running service."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from app.adapters.event_log.memory import MemoryEventLog
from app.adapters.store.moving import Moved, move
from app.adapters.store.postgres.connecting import Database
from app.adapters.store.postgres.inspection import PostgresInspector
from app.adapters.store.sqlite.inspection import StoreInspector
from app.bootstrap.builder import build
from app.bootstrap.store import refusing_the_start
from app.ports.clock import Clock
from app.ports.event_log import EventLog
from app.ports.inspection import JournalInspector
from app.requirements import cannot_be
from app.settings import BadSetting, SharedSettings, StoreSettings
from app.web.openapi import Documents
from app.web.routing import Json


def inspector(settings: StoreSettings) -> JournalInspector:
    """The journal as an operator sees it. Raises `BadSetting`."""
    if settings.on_postgres:
        with refusing_the_start():
            return PostgresInspector(Database(settings.store_url))
    try:
        return StoreInspector(settings.store_path, Clock().now)
    except FileNotFoundError:
        raise BadSetting(f"STORE_URL: there is no database at {settings.store_path}") from None
    except RuntimeError as error:
        raise BadSetting(f"STORE_URL: {error}") from None
    except (OSError, sqlite3.Error) as error:
        raise BadSetting(f"STORE_URL: {cannot_be('used', error)}") from None


def move_to_postgres(path: Path, settings: StoreSettings) -> list[Moved]:
    """Move a journal of SQLite to the PostgreSQL of the settings. Raises `BadSetting`."""
    if not settings.on_postgres:
        raise BadSetting("STORE_URL: must name the PostgreSQL database to move to, postgresql://…")
    with refusing_the_start():
        try:
            return move(path, Database(settings.store_url))
        except FileNotFoundError:
            raise BadSetting(f"FILE: there is no database at {path}") from None


async def documents(settings: SharedSettings) -> tuple[Json, Json]:
    """The OpenAPI and the AsyncAPI document of the service with these settings. It runs for a moment, in a
    folder of its own. Raises `BadSetting`."""
    with tempfile.TemporaryDirectory() as folder:
        aside = {
            "store_url": f"sqlite:///{folder}/store.db",
            "redis_url": None,
            "openai_stub_mode": True,
        }
        app: Any = build(settings.model_copy(update=aside)).asgi
        async with app.router.lifespan_context(app):
            described: Documents = app.state.documents
            return described.openapi, described.asyncapi


def offline_event_log() -> EventLog:
    """An event log for a replay."""
    return MemoryEventLog()
