"""The waits of requests for turns."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final, TypeVar

from app.errors import Overloaded

SHUTTING_DOWN: Final = "The service is shutting down."
Result = TypeVar("Result")


class Waits:
    """They end when the service stops: a turn that awaits its commit, or that another process runs, may end
    at any time later, and would hold the process until then."""

    def __init__(self) -> None:
        self._open: set[asyncio.Timeout] = set()
        self._over = False

    async def until(self, event: Awaitable[Result]) -> Result:
        """Wait for it. Raises `Overloaded` where the service stops before that."""
        wait = asyncio.timeout(0 if self._over else None)
        try:
            async with wait:
                self._open.add(wait)
                return await event
        except TimeoutError:
            if wait.expired():
                raise Overloaded(SHUTTING_DOWN) from None
            raise
        finally:
            self._open.discard(wait)

    def end(self) -> None:
        """Nobody waits any longer."""
        self._over = True
        now = asyncio.get_running_loop().time()
        for wait in self._open:
            wait.reschedule(now)
