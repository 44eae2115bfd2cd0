"""Owns the turns that run in this process: each a task of its own, bound to no request."""

from __future__ import annotations

import asyncio
import uuid

import structlog

from app.core.context import Standing
from app.core.events import Cancelled, Failed, Terminal
from app.errors import DungeonMasterError, InternalError, TurnCancelled
from app.ports import Ending, EventLog, TurnRequest, TurnStatus, TurnStore
from app.turns.clock import Clock
from app.turns.commit import LostTurn
from app.turns.observe import Observer, TurnAdmitted, TurnEnded
from app.turns.orchestrator import CancelledFirst, TurnOrchestrator
from app.turns.running import RunningTurn
from app.turns.tape import Tape

log = structlog.get_logger(__name__)


def new_turn_id() -> str:
    return str(uuid.uuid4())


class TurnRunner:
    def __init__(
        self,
        orchestrator: TurnOrchestrator,
        store: TurnStore,
        event_log: EventLog,
        clock: Clock,
        observe: Observer,
    ) -> None:
        self._orchestrator = orchestrator
        self._store = store
        self._event_log = event_log
        self._clock = clock
        self._observe = observe
        self.running: dict[str, RunningTurn] = {}

    def start(self, turn_id: str, request: TurnRequest, standing: Standing) -> RunningTurn:
        """Run an admitted turn; returns at once."""
        tape = Tape(turn_id, self._event_log.open(turn_id), self._clock)
        turn = RunningTurn(turn_id, request, standing, tape, self._clock)
        self.running[turn_id] = turn
        self._observe(TurnAdmitted(turn))
        turn.task = asyncio.create_task(self._run(turn), name=f"turn-{turn_id}")
        return turn

    async def _run(self, turn: RunningTurn) -> None:
        structlog.contextvars.bind_contextvars(
            request_id=turn.request.request_id,
            turn_id=turn.turn_id,
            character_id=turn.request.character_id,
        )
        try:
            await self._to_its_end(turn)
        except LostTurn:
            log.warning("turn_lost_to_another_owner")
        finally:
            self.running.pop(turn.turn_id, None)
            self._event_log.drop(turn.turn_id)
            turn.head.set()
            turn.over.set()

    async def _to_its_end(self, turn: RunningTurn) -> None:
        try:
            await self._orchestrator.run(turn)
        except (asyncio.CancelledError, CancelledFirst):
            if not turn.cancelling:
                raise
            if turn.task is not None:
                turn.task.uncancel()
            await self._cancelled(turn)
        except LostTurn:
            raise
        except DungeonMasterError as error:
            await self._failed(turn, error)
        except Exception as error:
            log.exception("turn_failed_unexpectedly", error_type=type(error).__name__)
            await self._failed(turn, InternalError())
        if turn.tape.view.terminal is not None:
            self._observe(TurnEnded(turn, turn.tape.view.terminal))

    async def _failed(self, turn: RunningTurn, error: DungeonMasterError) -> None:
        turn.error = error
        view = turn.tape.view
        event = Failed(
            error_type=error.type,
            message=error.message,
            recoverable=error.recoverable,
            phase=view.phase,
            partial_narrative=view.narrative or None,
            committed=tuple(view.committed),
            retry_after_seconds=error.retry_after,
            request_id=turn.request.request_id,
        )
        began = turn.context is not None
        release = not began or (error.recoverable and not view.committed)
        if not await self._end(turn, "error", event, release_key=release):
            await self._cancelled(turn)

    async def _cancelled(self, turn: RunningTurn) -> None:
        turn.error = TurnCancelled()
        event = Cancelled(turn.tape.view.phase, turn.narrative)
        await self._end(turn, "cancelled", event, release_key=False)

    async def _end(
        self, turn: RunningTurn, status: TurnStatus, event: Terminal, *, release_key: bool
    ) -> bool:
        ending = Ending(
            status=status,
            result=turn.tape.preview(event).result(),
            frames=turn.tape.draft(event),
            release_key=release_key,
            audit=turn.audit(),
        )
        if not await self._store.finish(turn.turn_id, ending):
            return False
        turn.tape.publish(ending.frames)
        return True

    async def cancel(self, turn: RunningTurn) -> bool:
        """Stop a turn in phase 1; True once its `cancelled` event is visible.

        False when the turn is past phase 1. The compare-and-set in the store decides.
        """
        if not await self._store.begin_cancel(turn.turn_id):
            return False
        turn.cancelling = True
        if turn.task is not None:
            turn.task.cancel()
        await turn.over.wait()
        return True

    async def drain(self, seconds: float) -> int:
        """Wait for running turns; the number still running after `seconds`."""
        tasks = [turn.task for turn in self.running.values() if turn.task is not None]
        if not tasks:
            return 0
        _, pending = await asyncio.wait(tasks, timeout=seconds)
        return len(pending)

    async def abandon(self) -> None:
        """Stop every task at once; the journal knows how far each turn came."""
        tasks = [turn.task for turn in self.running.values() if turn.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
