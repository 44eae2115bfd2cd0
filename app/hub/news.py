"""Wakes readers and the publisher for new events, and signals them to other processes on the journal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from app.arrivals import Arrival, WaitingRoom
from app.ports.outbox import EventAdded
from app.ports.signals import Signal, Signals, key_of
from app.turns.observe import TurnEnded

_ALL: Final = ""


class News:
    """An observer. `on_event` is called when one was stored in this process."""

    def __init__(self, signals: Signals, on_event: Callable[[], None] = lambda: None) -> None:
        self._room = WaitingRoom()
        self._signals = signals
        self._on_event = on_event
        signals.receive(self._signalled)

    def observe(self, observation: object) -> None:
        """Takes note of `TurnEnded` and `EventAdded`, whose events are in the outbox by then."""
        match observation:
            case TurnEnded(turn, _):
                self._added(key_of(turn.request.user_id))
            case EventAdded(user_id):
                self._added(key_of(user_id))

    def _added(self, key: str) -> None:
        self._wake(key)
        self._on_event()
        self._signals.send(Signal("event", key))

    def _signalled(self, signal: Signal) -> None:
        if signal.kind == "event":
            self._wake(signal.key)

    def _wake(self, key: str) -> None:
        self._room.wake(key)
        self._room.wake(_ALL)

    def waiting(self, user_id: str | None) -> Arrival:
        """For events of the user, or of all users, from now on."""
        return self._room.enter(_ALL if user_id is None else key_of(user_id))
