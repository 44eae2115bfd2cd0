"""The journal."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from app.adapters.store.postgres.connecting import Database, Unusable
from app.adapters.store.postgres.store import PostgresTurnStore
from app.adapters.store.retention import Retention
from app.adapters.store.sqlite.lock import StoreInUse
from app.adapters.store.sqlite.store import SqliteTurnStore
from app.ports.contents import Contents
from app.ports.conversations import Conversations
from app.ports.history import TurnJournal
from app.ports.outbox import Outbox
from app.ports.secrets import Secrets
from app.ports.tables import TableStore
from app.requirements import cannot_be
from app.settings import BadSetting, StoreSettings


class Store(TurnJournal, Conversations, Contents, Secrets, Protocol):
    """A journal that keeps conversations, content, tables, events for other services and secrets, too."""

    @property
    def tables(self) -> TableStore: ...

    @property
    def outbox(self) -> Outbox: ...


def open_store(
    settings: StoreSettings, now: Callable[[], float], on_fatal: Callable[[str], None]
) -> Store:
    """`on_fatal`: called with a reason when the process must end. Raises `BadSetting` for a database that
    cannot be used."""
    retention = Retention(
        events_ttl=settings.turn_events_ttl_seconds,
        recordings_ttl=settings.turn_storage_ttl_seconds,
        recordings_limit=settings.turn_storage_max_size,
        max_bytes=settings.store_max_bytes,
    )
    store: SqliteTurnStore | PostgresTurnStore
    if settings.on_postgres:
        store = PostgresTurnStore(
            Database(settings.store_url),
            retention=retention,
            connections=settings.store_connections,
            on_fatal=on_fatal,
        )
    else:
        store = SqliteTurnStore(settings.store_path, now, retention)
    with refusing_the_start():
        store.open()
    return store


@contextmanager
def refusing_the_start() -> Iterator[None]:
    """Raises `BadSetting` for a database that cannot be used."""
    try:
        yield
    except (StoreInUse, Unusable, RuntimeError) as error:
        raise BadSetting(f"STORE_URL: {error}") from error
    except (OSError, sqlite3.Error) as error:
        raise BadSetting(f"STORE_URL: {cannot_be('used', error)}") from error
