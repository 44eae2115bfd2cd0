"""Who waits for the next turn of a character, on any device."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from app.ports.signals import Signal, key_of
from app.turns.observe import TurnAdmitted


class Arrival:
    """One that waits; `close` it."""

    def __init__(self, forget: Callable[[Arrival], None]) -> None:
        self._forget = forget
        self._event = asyncio.Event()

    def expect(self) -> None:
        """From now on, a turn that is admitted ends `wait`. Call it before looking for turns."""
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


class Arrivals:
    """An observer that wakes those who wait for turns of one user's character."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[Arrival]] = {}

    def observe(self, observation: object) -> None:
        """Takes note of a `TurnAdmitted`, whose turn is in the journal by then."""
        if isinstance(observation, TurnAdmitted):
            request = observation.turn.request
            self._wake(key_of(request.user_id, request.character_id))

    def signalled(self, signal: Signal) -> None:
        """A receiver of signals: a turn that another process has admitted."""
        if signal.kind == "admitted":
            self._wake(signal.key)

    def _wake(self, whose: str) -> None:
        for arrival in self._waiting.get(whose, ()):
            arrival.wake()

    def waiting(self, user_id: str, character_id: str) -> Arrival:
        """Sees every turn admitted from now on."""
        whose = key_of(user_id, character_id)
        arrival = Arrival(lambda one: self._drop(whose, one))
        self._waiting.setdefault(whose, set()).add(arrival)
        return arrival

    def _drop(self, whose: str, arrival: Arrival) -> None:
        others = self._waiting.get(whose, set())
        others.discard(arrival)
        if not others:
            self._waiting.pop(whose, None)
