"""Signals as notifications of PostgreSQL: what comes in short order goes in one."""

from __future__ import annotations

import asyncio
from typing import Final, get_args

import structlog

from app.adapters.store.postgres import statements as sql
from app.adapters.store.postgres.engine import PostgresEngine
from app.adapters.store.postgres.listening import MAX_PAYLOAD, PostgresListener, payloads
from app.errors import StoreUnavailable
from app.ports.signals import OnGap, Receiver, Signal, SignalKind
from app.tasks import Errand

log = structlog.get_logger(__name__)

COALESCE_SECONDS: Final = 0.02
MAX_PENDING: Final = 10_000  # while the database is away

_LETTERS: Final[dict[SignalKind, str]] = {kind: kind[0] for kind in get_args(SignalKind)}
_KINDS: Final[dict[str, SignalKind]] = {letter: kind for kind, letter in _LETTERS.items()}


class PostgresSignals:
    """`owner`: this process. A payload is its name and the signals, joined by commas; a signal is the first
    letter of its kind and its key."""

    def __init__(self, engine: PostgresEngine, listener: PostgresListener, owner: str) -> None:
        self._engine = engine
        self._me = owner[:16]
        self._channel = listener.hear("signals", self._heard, self._gap)
        self._receivers: list[Receiver] = []
        self._on_gap: list[OnGap] = []
        self._pending: list[str] = []
        self._errand = Errand("postgres-signals", self._flush)

    def send(self, signal: Signal) -> None:
        """One that is too long for a notification is dropped: those that it went with would be, too."""
        part = _LETTERS[signal.kind] + signal.key
        if len(part.encode()) > MAX_PAYLOAD:
            log.warning("signal_too_long", kind=signal.kind)
        elif len(self._pending) < MAX_PENDING:
            self._pending.append(part)
        self._errand.begin()

    def receive(self, receiver: Receiver, on_gap: OnGap | None = None) -> None:
        self._receivers.append(receiver)
        if on_gap is not None:
            self._on_gap.append(on_gap)

    def deliver(self, signal: Signal) -> None:
        """Give a signal to the receivers in this process."""
        for receiver in self._receivers:
            receiver(signal)

    async def aclose(self) -> None:
        """Stop at once. Pending signals are dropped: they are hints only."""
        await self._errand.cancel()

    async def _flush(self) -> None:
        while self._pending:
            parts, self._pending = self._pending, []
            notes = [f"{self._me},{one}" for one in payloads(parts)]
            try:
                await self._engine.fetch(sql.NOTIFY, self._channel, notes)
            except StoreUnavailable:
                self._pending = (parts + self._pending)[:MAX_PENDING]
            await asyncio.sleep(COALESCE_SECONDS)

    def _gap(self) -> None:
        for on_gap in self._on_gap:
            on_gap()

    def _heard(self, payload: str) -> None:
        sender, *signals = payload.split(",")
        if sender == self._me:
            return
        for one in signals:
            kind = _KINDS.get(one[:1])  # a newer release may have more
            if kind is not None:
                self.deliver(Signal(kind, one[1:]))
