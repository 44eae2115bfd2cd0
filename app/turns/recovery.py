"""Turns whose owner is gone: taken over and carried on from where the journal has them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import assert_never

import structlog

from app.core.context import CharacterProgress
from app.core.stages import Stage
from app.errors import Interrupted, StoreUnavailable
from app.ports.signals import Signal
from app.ports.store import Orphan, TurnStore, Writing
from app.turns.delivery import Deliverer
from app.turns.executor import TurnExecutor
from app.turns.persistence import CancelledFirst
from app.turns.state import TurnState

log = structlog.get_logger(__name__)


class TurnRecovery:
    """Adopts turns that a dead process left open, or that an operator took from their owner."""

    def __init__(self, store: TurnStore, executor: TurnExecutor, deliverer: Deliverer) -> None:
        self._store = store
        self._executor = executor
        self._deliverer = deliverer

    def signalled(self, signal: Signal) -> None:
        """A receiver of signals: looks for orphans at once."""
        if signal.kind == "orphaned":
            self._executor.track(asyncio.create_task(self._recover_now()))

    async def _recover_now(self) -> None:
        with suppress(StoreUnavailable):  # housekeeping tries again
            await self.recover()

    async def recover(self) -> int:
        """Take over every turn without a living owner; how many there were.

        Raises `StoreUnavailable`.
        """
        orphans = await self._store.adopt()
        for orphan in orphans:
            phase = "writing" if isinstance(orphan.phase, Writing) else orphan.phase
            log.info("turn_adopted", turn_id=orphan.claim.turn_id, phase=phase)
            # One that an operator settled may still run here, under its former claim.
            self._executor.let_go(orphan.claim.turn_id)
            self._adopt(orphan)
        for key in {orphan.request.exclusive_key for orphan in orphans}:
            await self._executor.start_next(key)
        return len(orphans)

    def _adopt(self, orphan: Orphan) -> None:
        turn = self._executor.take(
            orphan.claim, orphan.request, CharacterProgress(), orphan.entries
        )
        turn.started_at = orphan.created_at
        turn.writer.recorded = len(orphan.entries)
        match orphan.phase:
            case "queued":
                self._executor.wait_in_queue(turn)
            case "streaming":
                _forget_phase_1(turn)
                turn.writer.view.phase = "narrative"
                self._executor.run(turn, _interrupt)
            case "cancelling":
                _forget_phase_1(turn)
                turn.advance(Stage.CANCELLING)
                self._executor.run(turn, _cancel)
            case Writing(record, delivery):
                turn.restore(record)
                turn.advance(Stage.WRITING)
                self._executor.run(
                    turn,
                    lambda turn: self._deliverer.deliver(turn, record, delivery, recovered=True),
                )
            case _:
                assert_never(orphan.phase)


def _forget_phase_1(turn: TurnState) -> None:
    """Its events and the tokens it has used died with its owner."""
    turn.tokens_spent = None
    turn.writer.skip_to_lost_end()


async def _interrupt(turn: TurnState) -> None:
    """Not run again: what players have read must not be continued by another narrative."""
    turn.advance(Stage.GENERATING)
    raise Interrupted


async def _cancel(_: TurnState) -> None:
    raise CancelledFirst
