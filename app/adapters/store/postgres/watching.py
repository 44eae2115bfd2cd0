"""A ring in which each process notices the death of its predecessor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from app.adapters.store.postgres import statements as sql
from app.adapters.store.postgres.connecting import Connection, Database, bounded
from app.adapters.store.postgres.functions import function
from app.adapters.store.postgres.liveness import GRACE_SECONDS, SILENCE_SECONDS
from app.adapters.store.postgres.sessions import Session

LONELY_SECONDS: Final = 1.0  # before looking again whether there is anybody else
WAIT_SECONDS: Final = 0.5  # for a lock: one that lasts would hold VACUUM back

FUNCTIONS: Final[dict[str, str]] = {}
define = partial(function, FUNCTIONS)

# Waits as long as the session's lock_timeout says. Caught here, the end of a wait is no line in the log of
# the server. The lock is the transaction's: a session's own, granted in the moment in which the wait is
# given up, would stay with the watching session, and nobody could take the dead process's turns.
define(
    "wait_for_peer_2",
    "p_owner text",
    "boolean",
    """
BEGIN
    PERFORM pg_advisory_xact_lock(owner_key_1(p_owner));
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END""",
)

MIGRATION: Final = "".join(FUNCTIONS.values())


class PeerWatch(Session):
    """Waits for the lock of the next process in a ring, and so learns of its death at once.

    The session holds no lock while it waits, so that no circle of waits is a deadlock. `on_freed` is called
    when the lock was free.
    """

    ROUNDS: Final = 6  # waits for one peer before looking who is next

    def __init__(self, database: Database, owner: str, on_freed: Callable[[], None]) -> None:
        super().__init__(database, "watch", lock_timeout=f"{WAIT_SECONDS * 1000:.0f}ms")
        self._owner = owner
        self._on_freed = on_freed

    async def serve(self, connection: Connection) -> None:
        while True:
            await self._round(connection)

    async def _round(self, connection: Connection) -> None:
        nodes = [row[0] for row in await bounded(connection, SILENCE_SECONDS, sql.NODES)]
        peers = [*(n for n in nodes if n > self._owner), *(n for n in nodes if n < self._owner)]
        if not peers:
            await asyncio.sleep(LONELY_SECONDS)
            return
        for _ in range(self.ROUNDS):
            if await self._freed(connection, peers[0]):
                self._on_freed()
                await asyncio.sleep(
                    GRACE_SECONDS
                )  # it may come back, and is gone from the ring else
                return

    async def _freed(self, connection: Connection, peer: str) -> bool:
        rows = await bounded(connection, SILENCE_SECONDS, sql.WAIT_FOR_PEER, peer)
        return bool(rows[0][0])
