"""A model server that answers one call at a time and lets the others wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .model import ApiFormat, FakeModel, Script
from .server import Connection, Request


class OnePlayer(FakeModel):
    """As small local servers are: the next call waits without a byte, until the answer has ended."""

    def __init__(self, default: Script | Callable[[Request], Script] | None = None) -> None:
        super().__init__(default)
        self._one = asyncio.Lock()

    async def _answer(self, dialect: ApiFormat, connection: Connection) -> None:
        async with self._one:
            await super()._answer(dialect, connection)
