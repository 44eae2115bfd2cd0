"""Waiting for news by subject."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Arrival:
    """One that waits; `close` it."""

    def __init__(self, forget: Callable[[Arrival], None]) -> None:
        self._forget = forget
        self._event = asyncio.Event()

    def expect(self) -> None:
        """From now on, news end `wait`. Call it before looking for them."""
        self._event.clear()

    def wake(self) -> None:
        """End `wait`."""
        self._event.set()

    async def wait(self, seconds: float) -> bool:
        """False: nothing has happened for so long."""
        try:
            async with asyncio.timeout(seconds):
                return await self._event.wait()
        except TimeoutError:
            return False

    def close(self) -> None:
        """Wait no more."""
        self._forget(self)


class WaitingRoom:
    """Wakes those who wait under a key."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[Arrival]] = {}

    def wake(self, key: str) -> None:
        """There are news."""
        for arrival in self._waiting.get(key, ()):
            arrival.wake()

    def enter(self, key: str) -> Arrival:
        """Sees all news from now on."""
        arrival = Arrival(lambda one: self._drop(key, one))
        self._waiting.setdefault(key, set()).add(arrival)
        return arrival

    def _drop(self, key: str, arrival: Arrival) -> None:
        others = self._waiting.get(key, set())
        others.discard(arrival)
        if not others:
            self._waiting.pop(key, None)
