"""A task that has a session of its own for as long as the process runs."""

from __future__ import annotations

import asyncio
from typing import Final

from app.adapters.store.postgres.connecting import LOST, Connection, Database, PostgresError
from app.tasks import cancelled

PAUSE: Final = 0.1


class Session:
    """Subclasses say in `serve` what is done on a connection; it is made again when it is lost.

    `name`: as an operator sees the session. `settings`: of the server, for this session.
    """

    def __init__(self, database: Database, name: str, **settings: str) -> None:
        self._database = database
        self._name = name
        self._settings = settings
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in the running loop, unless that was done."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"postgres-{self._name}")

    async def aclose(self) -> None:
        """The connection goes first: the cancelled wait for an answer would make another one."""
        if self._task is None:
            return
        if self._connection is not None:
            self._connection.terminate()
        await cancelled([self._task])

    async def serve(self, connection: Connection) -> None:
        """Returns, or raises what a statement raises, when the session is lost."""
        raise NotImplementedError

    async def _run(self) -> None:
        while True:
            try:
                self._connection = await self._database.connect(self._name, self._settings)
                await self.serve(self._connection)
            except (*LOST, PostgresError):
                await asyncio.sleep(PAUSE)
            finally:
                if self._connection is not None:
                    self._connection.terminate()
                self._connection = None
