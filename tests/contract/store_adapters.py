"""The stores that the contract suites run on. Another one joins by one line in `ADAPTERS`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from app.adapters.store.postgres.connecting import Database
from app.adapters.store.postgres.store import PostgresTurnStore
from app.adapters.store.retention import Retention
from app.adapters.store.sqlite.store import SqliteTurnStore
from app.ports.store import Admitted, Claim, Queued, TurnStore

from databases import SERVERS
from fakes.store.journal import Journal
from fakes.store.store import MemoryTurnStore
from journal import HASH, Hands, turn_request

Open = Callable[[Retention], Any]


def sqlite(directory: Path, now: Hands) -> Open:
    """Stores that share one file, one after another."""

    def open_store(retention: Retention) -> SqliteTurnStore:
        store = SqliteTurnStore(directory / "store.db", now, retention)
        store.open()
        return store

    return open_store


def memory(_: Path, now: Hands) -> Open:
    """Stores that share one journal."""
    journal = Journal()
    return lambda retention: MemoryTurnStore(now, journal, retention)


def postgres(_: Path, now: Hands) -> Open:
    """Stores that share one schema, which is empty at first."""
    url = SERVERS.postgres.emptied()

    def open_store(retention: Retention) -> PostgresTurnStore:
        store = PostgresTurnStore(Database(url), now, retention, on_fatal=_unexpected)
        store.open()
        return store

    return open_store


def _unexpected(reason: str) -> None:
    raise AssertionError(reason)


ADAPTERS: dict[str, Callable[[Path, Hands], Open]] = {
    "sqlite": sqlite,
    "memory": memory,
    "postgres": postgres,
}


class Stores:
    """Opens the adapter's store; every further `process` is another one on the same data."""

    def __init__(self, adapter: str, directory: Path) -> None:
        self.clock = Hands()
        self._open = ADAPTERS[adapter](directory, self.clock)

    @asynccontextmanager
    async def process(self, retention: Retention | None = None) -> AsyncIterator[Any]:
        async with AsyncExitStack() as stack:
            store = self._open(retention or Retention())
            stack.push_async_callback(store.aclose)
            yield store


async def admitted(store: TurnStore, turn_id: str = "t1", **fields: Any) -> Claim:
    """A turn that has its exclusive key, durably."""
    found = await store.admit(turn_id, turn_request(**fields), HASH)
    assert isinstance(found, Admitted)
    await found.durable
    return found.claim


async def queued(store: TurnStore, turn_id: str, **fields: Any) -> Claim:
    """A turn that waits for its exclusive key."""
    found = await store.admit(turn_id, turn_request(**fields), HASH, queue_limit=10)
    assert isinstance(found, Queued)
    return found.claim
