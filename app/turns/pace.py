"""Letting turns begin a few at a time, so that those that are being told are not kept waiting."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Final

LONG_ROUND: Final = 0.006  # seconds
SHORT_ROUND: Final = 0.003
LEAST_AT_ONCE: Final = 4
MOST_AT_ONCE: Final = 32


class Pace:
    """First come, first served; as many in one round of the event loop as keep it short.

    A round serves all that is ready. Where hundreds of players act at the same moment, the beginnings
    of their turns would make up one long round, and every token that comes during it waits.
    """

    def __init__(self) -> None:
        self._line: deque[asyncio.Future[None]] = deque()
        self._at_once = MOST_AT_ONCE // 2
        self._room = self._at_once
        self._began = 0.0  # the round
        self._counting = False  # another round is to come
        self.waiting = 0

    async def wait(self) -> None:
        loop = asyncio.get_running_loop()
        if not self._counting:
            self._count(loop)
        if self._room and not self._line:
            self._room -= 1
            return
        place = loop.create_future()
        self._line.append(place)
        self.waiting += 1
        try:
            await place
        finally:
            self.waiting -= 1

    def _count(self, loop: asyncio.AbstractEventLoop) -> None:
        self._counting = True
        self._began = time.perf_counter()
        loop.call_soon(self._round, loop)

    def _round(self, loop: asyncio.AbstractEventLoop) -> None:
        took, quiet = time.perf_counter() - self._began, self._room == self._at_once
        if took > LONG_ROUND:
            self._at_once = max(self._at_once // 2, LEAST_AT_ONCE)
        elif took < SHORT_ROUND:
            self._at_once = min(self._at_once + 1, MOST_AT_ONCE)
        self._room = self._at_once
        while self._line and self._room:
            place = self._line.popleft()
            if not place.done():  # else nobody waits any more
                place.set_result(None)
                self._room -= 1
        self._counting = False
        if not quiet:  # what began goes on in the rounds to come
            self._count(loop)
