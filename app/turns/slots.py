"""How many model calls run at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.errors import Overloaded


class Slots:
    """First come, first served; who waits longer than `patience` seconds is turned away."""

    def __init__(self, limit: int, patience: float) -> None:
        self._free = asyncio.Semaphore(limit)
        self._patience = patience
        self.waiting = 0
        self.busy = 0

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Raises `Overloaded`."""
        await self._take()
        self.busy += 1
        try:
            yield
        finally:
            self.busy -= 1
            self._free.release()

    async def _take(self) -> None:
        self.waiting += 1
        try:
            async with asyncio.timeout(self._patience):
                await self._free.acquire()
        except TimeoutError:
            raise Overloaded("Too many stories are being told right now.") from None
        finally:
            self.waiting -= 1
