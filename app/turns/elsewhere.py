"""Signals about turns between this process and the other ones."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from app.errors import StoreUnavailable
from app.ports.signals import Signal, Signals, key_of
from app.ports.store import TurnStore
from app.turns.executor import TurnExecutor


class OtherProcesses:
    """Carries out what other processes decide in the journal, and signals to them what is decided here."""

    def __init__(self, executor: TurnExecutor, store: TurnStore, signals: Signals) -> None:
        self._executor = executor
        self._store = store
        self._signals = signals
        signals.receive(self._signalled)

    def interrupt(self, turn_id: str) -> None:
        """See `TurnExecutor.interrupt`, of a turn that another process runs."""
        self._signals.send(Signal("cancelling", turn_id))

    def _signalled(self, signal: Signal) -> None:
        executor = self._executor
        match signal.kind:
            case "freed":
                for key in executor.queued_keys():
                    if key_of(key) == signal.key:
                        executor.track(asyncio.create_task(executor.start_next(key)))
            case "promoted":
                executor.promoted(signal.key)
            case "cancelling":
                executor.interrupt(signal.key)
            case "decided":
                executor.track(asyncio.create_task(self._chosen(signal.key)))

    async def _chosen(self, turn_id: str) -> None:
        if turn_id not in self._executor.running:
            return
        with suppress(StoreUnavailable):  # `reconcile` tries again
            if (choice := await self._store.choice(turn_id)) is not None:
                self._executor.chosen(turn_id, choice)

    async def reconcile(self) -> None:
        """Catch up where a signal was lost. Raises `StoreUnavailable`."""
        for turn_id, phase in (await self._store.phases()).items():
            if phase == "cancelling":
                self._executor.interrupt(turn_id)
            elif phase == "streaming":
                self._executor.promoted(turn_id)
            elif phase in ("committing", "retelling"):
                await self._chosen(turn_id)
        for key in self._executor.queued_keys():
            await self._executor.start_next(key)
