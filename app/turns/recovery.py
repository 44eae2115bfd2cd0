"""Turns whose owner is gone: taken over and carried on from where the journal has them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import assert_never

import structlog

from app.core.context import CharacterProgress
from app.core.money import NOTHING
from app.core.record import CommitRecord, Recording
from app.core.stages import Stage
from app.errors import Interrupted, StoreUnavailable
from app.ports.signals import Signal
from app.ports.store import Choice, Held, Orphan, OrphanPhase, Writing
from app.turns.delivery import Deliverer
from app.turns.executor import TurnExecutor
from app.turns.persistence import CancelledFirst, retry_until_stored
from app.turns.pipeline import TurnOrchestrator
from app.turns.state import TurnState

log = structlog.get_logger(__name__)


class TurnRecovery:
    """Adopts turns that a dead process left open, or that an operator took from their owner."""

    def __init__(
        self, executor: TurnExecutor, deliverer: Deliverer, orchestrator: TurnOrchestrator
    ) -> None:
        self._store = orchestrator.use.store
        self._executor = executor
        self._deliverer = deliverer
        self._orchestrator = orchestrator
        self._holding = orchestrator.use.holding

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
            log.info("turn_adopted", turn_id=orphan.claim.turn_id, phase=_named(orphan.phase))
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
            case Held(phase, record):
                turn.restore(record, record.hold.reason if record.hold else "awaiting_commit")
                if phase == "retelling":
                    turn.writer.skip_lost()
                turn.advance(Stage.GENERATING if phase == "retelling" else Stage.AWAITING)
                self._executor.run(turn, lambda turn: self._go_on(turn, record, phase))
            case Writing(record, delivery):
                turn.restore(record)
                turn.advance(Stage.WRITING)
                self._executor.run(
                    turn,
                    lambda turn: self._deliverer.deliver(turn, record, delivery, recovered=True),
                )
            case _:
                assert_never(orphan.phase)

    async def _go_on(self, turn: TurnState, record: CommitRecord, phase: str) -> None:
        """An outcome that awaited its commit still does; a retelling died with its owner."""
        stored = await retry_until_stored(lambda: self._store.turn(turn.turn_id, recording=True))
        kept = stored.recording if stored is not None else None
        recording = kept or Recording(user_action=turn.request.user_action)
        turn.go_back(record, recording)
        if phase == "retelling":
            turn.spent_on_calls = (turn.spent_on_calls or NOTHING) + turn.request.asks
            record = await self._holding.hold_again(turn, record, recording, Interrupted.type)
        elif phase == "committing":
            choice = await retry_until_stored(lambda: self._store.choice(turn.turn_id))
            turn.choose(choice or Choice("commit"))
        await self._orchestrator.go_on(turn, record)


def _named(phase: OrphanPhase) -> str:
    match phase:
        case Writing():
            return "writing"
        case Held(name):
            return name
        case _:
            return phase


def _forget_phase_1(turn: TurnState) -> None:
    """Its events and the tokens it has used died with its owner."""
    turn.spent_on_calls = None
    turn.writer.skip_lost()


async def _interrupt(turn: TurnState) -> None:
    """Not run again: what players have read must not be continued by another narrative."""
    turn.advance(Stage.GENERATING)
    raise Interrupted


async def _cancel(_: TurnState) -> None:
    raise CancelledFirst
