"""Limits concurrent model calls."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.errors import Overloaded


class FairLimiter:
    """Fair queueing: users get places in turn, the calls of each user first come, first served. However
    many calls of one user wait, nobody else waits for more than one of them at a time.

    A call that waits longer than `patience` seconds is refused.
    """

    def __init__(self, limit: int, patience: float) -> None:
        self._free = limit
        self._patience = patience
        self._lines: dict[str, deque[asyncio.Future[None]]] = {}  # the next one's first
        self.waiting = 0
        self.busy = 0

    @asynccontextmanager
    async def hold(self, who: str = "") -> AsyncIterator[None]:
        """Raises `Overloaded`."""
        await self._take(who)
        self.busy += 1
        try:
            yield
        finally:
            self.busy -= 1
            self._pass_on()

    async def _take(self, who: str) -> None:
        if self._free:
            self._free -= 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines.setdefault(who, deque()).append(place)
        self.waiting += 1
        try:
            async with asyncio.timeout(self._patience):
                await place
        except BaseException as error:
            self._leave(who, place)
            if isinstance(error, TimeoutError):
                raise Overloaded("Too many stories are being generated right now.") from None
            raise
        finally:
            self.waiting -= 1

    def _leave(self, who: str, place: asyncio.Future[None]) -> None:
        if place.done() and not place.cancelled():
            self._pass_on()  # it was given in the very moment
            return
        line = self._lines.get(who)
        if line is not None and place in line:
            line.remove(place)
            if not line:
                del self._lines[who]

    def _pass_on(self) -> None:
        """Free places and lines never exist at once."""
        while self._lines:
            who = next(iter(self._lines))
            line = self._lines.pop(who)
            place = line.popleft()
            if line:
                self._lines[who] = line  # behind everybody else's
            if not place.done():  # else it is about to leave
                place.set_result(None)
                return
        self._free += 1
