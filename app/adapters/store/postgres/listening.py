"""The session on which a process hears notifications."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import blake2b
from typing import Any, Final

from app.adapters.store.postgres import statements as sql
from app.adapters.store.postgres.connecting import Connection, Database, bounded
from app.adapters.store.postgres.sessions import Session

HEARTBEAT_SECONDS: Final = 2.0
SILENCE_SECONDS: Final = 2.0
MAX_PAYLOAD: Final = 7_900  # bytes; PostgreSQL takes 7,999
QUEUE_CHECK_BEATS: Final = 15

Hearer = Callable[[str], None]


def channel_of(database: Database, name: str) -> str:
    """Notifications belong to a database, not to a schema."""
    return f"dm_{blake2b(database.schema.encode(), digest_size=8).hexdigest()}_{name}"


def payloads(parts: Iterable[str], separator: str = ",") -> list[str]:
    """The payloads of as few notifications as the parts fit into; each part fits into one."""
    packed: list[str] = []
    size = MAX_PAYLOAD
    for part in parts:
        more = len(separator) + len(part.encode())
        if size + more <= MAX_PAYLOAD:
            packed[-1] += separator + part
            size += more
        else:
            packed.append(part)
            size = more
    return packed


class PostgresListener(Session):
    """`hear` before `start`. `on_gap` is called when notifications may have been missed."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "listener")
        self._hearers: dict[str, Hearer] = {}
        self._on_gap: list[Callable[[], None]] = []

    def hear(self, name: str, hearer: Hearer, on_gap: Callable[[], None] = lambda: None) -> str:
        """Have each payload on the channel given to `hearer`; the channel."""
        channel = channel_of(self._database, name)
        self._hearers[channel] = hearer
        self._on_gap.append(on_gap)
        return channel

    async def serve(self, connection: Connection) -> None:
        lost = asyncio.Event()
        connection.add_termination_listener(lambda _: lost.set())
        for channel in self._hearers:
            await connection.add_listener(channel, self._heard)
        for on_gap in self._on_gap:
            on_gap()
        beats = 0
        while not lost.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await lost.wait()
                return
            await bounded(connection, SILENCE_SECONDS, sql.HEARTBEAT)
            beats += 1
            if (
                beats % QUEUE_CHECK_BEATS == 0
            ):  # one that reads nothing fills the queue of the cluster
                await bounded(
                    connection,
                    SILENCE_SECONDS,
                    sql.DROP_STOPPED_LISTENERS,
                    "dungeon-master listener",
                )

    def _heard(self, _: Any, __: int, channel: str, payload: str) -> None:
        self._hearers[channel](payload)
