"""Waiting for the next turn of a character, on any device."""

from __future__ import annotations

from app.arrivals import Arrival, WaitingRoom
from app.ports.signals import Signal, key_of
from app.turns.observe import TurnAdmitted


class Arrivals:
    """An observer that wakes those who wait for turns of one user's character."""

    def __init__(self) -> None:
        self._room = WaitingRoom()

    def observe(self, observation: object) -> None:
        """Takes note of a `TurnAdmitted`, whose turn is in the journal by then."""
        if isinstance(observation, TurnAdmitted):
            request = observation.turn.request
            self._room.wake(key_of(request.user_id, request.character_id))

    def signalled(self, signal: Signal) -> None:
        """A receiver of signals: a turn that another process has admitted."""
        if signal.kind == "admitted":
            self._room.wake(signal.key)

    def waiting(self, user_id: str, character_id: str) -> Arrival:
        """Sees every turn admitted from now on."""
        return self._room.enter(key_of(user_id, character_id))
