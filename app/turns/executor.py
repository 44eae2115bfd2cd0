"""Owns the turns that run in this process: each a task of its own, bound to no request."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, assert_never

import structlog

from app.core.context import CharacterProgress
from app.core.events import Cancelled, Failed, Metadata, Terminal
from app.errors import DungeonMasterError, InternalError, Interrupted, TurnCancelled
from app.eventlog.writer import LogWriter
from app.ports.clock import Clock
from app.ports.event_log import EventLog
from app.ports.store import (
    Admitted,
    CancelVerdict,
    Claim,
    Ending,
    Orphan,
    TurnRequest,
    TurnStatus,
    TurnStore,
    Writing,
)
from app.turns.delivery import Deliverer
from app.turns.observe import Observer, TurnAdmitted, TurnEnded
from app.turns.persistence import CancelledFirst, LostTurn, commit, retry_until_stored
from app.turns.pipeline import TurnOrchestrator
from app.turns.state import TurnState

log = structlog.get_logger(__name__)

ADMISSION_LOOK = 0.1  # seconds

Work = Callable[[TurnState], Awaitable[None]]


class TurnExecutor:
    def __init__(
        self,
        orchestrator: TurnOrchestrator,
        committer: Deliverer,
        store: TurnStore,
        event_log: EventLog,
        clock: Clock,
        observe: Observer,
    ) -> None:
        self._orchestrator = orchestrator
        self._committer = committer
        self._store = store
        self._event_log = event_log
        self._clock = clock
        self._observe = observe
        self.running: dict[str, TurnState] = {}
        self.draining = False
        self.admissions: set[asyncio.Task[Any]] = set()
        self._in_line: Counter[str] = Counter()  # turns that wait, by exclusive key

    # -- how a turn comes to run ------------------------------------------------------------------

    def start(self, claim: Claim, request: TurnRequest, progress: CharacterProgress) -> TurnState:
        """Run an admitted turn; returns at once."""
        turn = self._take(claim, request, progress)
        return self._run(turn, self._orchestrator.run)

    async def begin(self, admitted: Admitted, request: TurnRequest) -> TurnState:
        """Run a turn that reads its context while its claim becomes durable; returns when it is.

        Raises `StoreUnavailable`: then there never was a turn.
        """
        turn = self._prepare(admitted.claim, request, admitted.progress)
        self._run(turn, self._orchestrator.run)
        try:
            await admitted.durable
        except BaseException:
            self._drop(turn)
            raise
        self._admitted(turn)
        return turn

    async def enqueue(self, claim: Claim, request: TurnRequest, position: int) -> TurnState:
        """Let an admitted turn wait for its character. Its place in line is its first event."""
        turn = self._take(claim, request, CharacterProgress())
        frames = turn.writer.draft(Metadata("queued", 0, {"position": position}))
        await retry_until_stored(lambda: self._store.note(claim, frames))
        turn.writer.publish(frames)
        self._wait_in_line(turn)
        # The turn ahead may have ended before this one was in line here.
        await self._free(request.exclusive_key)
        return turn

    def adopt(self, orphan: Orphan) -> TurnState:
        """Carry a turn whose owner died from where the journal says it is."""
        turn = self._take(orphan.claim, orphan.request, CharacterProgress(), orphan.frames)
        turn.started_at = orphan.created_at
        turn.writer.recorded = len(orphan.frames)
        match orphan.phase:
            case "queued":
                return self._wait_in_line(turn)
            case "streaming":
                return self._run(turn, _was_interrupted)
            case "cancelling":
                turn.cancelling = True
                return self._run(turn, _was_cancelled)
            case Writing(record, delivery):
                turn.restore(record)
                return self._run(
                    turn,
                    lambda turn: self._committer.carry_out(turn, record, delivery, recovered=True),
                )
            case _:
                assert_never(orphan.phase)

    def _take(
        self,
        claim: Claim,
        request: TurnRequest,
        progress: CharacterProgress,
        frames: Sequence[bytes] = (),
    ) -> TurnState:
        turn = self._prepare(claim, request, progress, frames)
        self._admitted(turn)
        return turn

    def _prepare(
        self,
        claim: Claim,
        request: TurnRequest,
        progress: CharacterProgress,
        frames: Sequence[bytes] = (),
    ) -> TurnState:
        writer = LogWriter(claim.turn_id, self._event_log.open(claim.turn_id, frames), self._clock)
        turn = TurnState(claim, request, progress, writer, self._clock)
        self.running[claim.turn_id] = turn
        return turn

    def _admitted(self, turn: TurnState) -> None:
        self._observe(TurnAdmitted(turn))
        turn.admitted.set()

    def _wait_in_line(self, turn: TurnState) -> TurnState:
        turn.begun = True
        turn.head.set()
        turn.in_line, turn.promoted = True, asyncio.Event()
        self._in_line[turn.request.exclusive_key] += 1
        return self._run(turn, self._when_promoted)

    async def _when_promoted(self, turn: TurnState) -> None:
        try:
            if turn.cancelling:
                raise CancelledFirst
            assert turn.promoted is not None
            await turn.promoted.wait()
        finally:
            turn.in_line = False
            self._leave_line(turn.request.exclusive_key)
        turn.progress = await self._store.progress(turn.request.character_id)
        await self._orchestrator.run(turn)

    def _leave_line(self, key: str) -> None:
        self._in_line[key] -= 1
        if not self._in_line[key]:
            del self._in_line[key]

    def _run(self, turn: TurnState, work: Work) -> TurnState:
        turn.task = asyncio.create_task(self._supervise(turn, work), name=f"turn-{turn.turn_id}")
        return turn

    # -- to its end -------------------------------------------------------------------------------

    async def _supervise(self, turn: TurnState, work: Work) -> None:
        structlog.contextvars.bind_contextvars(
            request_id=turn.request.request_id,
            turn_id=turn.turn_id,
            character_id=turn.request.character_id,
        )
        turn.stepped = True
        try:
            await self._to_its_end(turn, work)
        except LostTurn:
            log.warning("turn_lost_to_another_owner")
            turn.writer.log.break_off()
        except Exception as error:
            log.exception("turn_end_failed", error_type=type(error).__name__)
            turn.writer.log.break_off()
        finally:
            self._forget(turn)
            turn.head.set()
            turn.over.set()
        await self._free(turn.request.exclusive_key)

    def _drop(self, turn: TurnState) -> None:
        if turn.task is not None:
            turn.task.cancel()
        self._forget(turn)  # a task that was cancelled before its first step does not

    def _forget(self, turn: TurnState) -> None:
        """A turn that was lost may have been taken up again in this very process."""
        if self.running.get(turn.turn_id) is turn:
            del self.running[turn.turn_id]
            self._event_log.drop(turn.turn_id)

    async def _to_its_end(self, turn: TurnState, work: Work) -> None:
        try:
            if turn.cancelling and work is not _was_cancelled:
                raise CancelledFirst
            await self._work(turn, work)
        except CancelledFirst:
            await self._cancelled(turn)
        except asyncio.CancelledError:
            if not turn.cancelling:
                raise
            if turn.task is not None:
                turn.task.uncancel()
            await self._cancelled(turn)
        if turn.writer.view.terminal is not None:
            self._observe(TurnEnded(turn, turn.writer.view.terminal))

    async def _work(self, turn: TurnState, work: Work) -> None:
        """A cancel may come in while a failure is being recorded; it then goes further up."""
        try:
            await work(turn)
        except (CancelledFirst, LostTurn):
            raise
        except DungeonMasterError as error:
            await self._failed(turn, error)
        except Exception as error:
            log.exception("turn_failed_unexpectedly", error_type=type(error).__name__)
            await self._failed(turn, InternalError())

    async def _failed(self, turn: TurnState, error: DungeonMasterError) -> None:
        turn.error = _bare(error)
        view = turn.writer.view
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
        release = not turn.begun or (error.recoverable and not view.committed)
        await self._end(turn, "error", event, release_key=release)

    async def _cancelled(self, turn: TurnState) -> None:
        turn.cancelling = True
        turn.error = TurnCancelled()
        event = Cancelled(turn.writer.view.phase, turn.narrative)
        await self._end(turn, "cancelled", event, release_key=False)

    async def _end(
        self, turn: TurnState, status: TurnStatus, event: Terminal, *, release_key: bool
    ) -> None:
        await turn.admitted.wait()
        ending = Ending(
            status=status,
            result=turn.writer.preview(event).result(),
            frames=turn.writer.draft(event),
            release_key=release_key,
            recording=turn.recording() if turn.context is not None else None,
            tokens=turn.tokens_spent,
        )
        await self._record_end(turn, ending)
        turn.writer.publish(ending.frames)

    async def _record_end(self, turn: TurnState, ending: Ending) -> None:
        """A turn must end, also when its recording for a replay cannot be stored."""
        try:
            await commit(lambda: self._store.finish(turn.claim, ending))
        except (CancelledFirst, LostTurn):
            raise
        except Exception as error:
            log.exception("recording_dropped", error_type=type(error).__name__)
            bare = replace(ending, recording=None, tokens=None)
            await commit(lambda: self._store.finish(turn.claim, bare))

    async def _free(self, key: str) -> None:
        """Start the next turn of the queue. At shutdown it stays queued for the next start."""
        if self.draining or not self._in_line[key]:
            return
        promoted = await retry_until_stored(lambda: self._store.promote(key))
        turn = None if promoted is None else self.running.get(promoted)
        if turn is not None and turn.promoted is not None:
            turn.promoted.set()

    # -- from outside -----------------------------------------------------------------------------

    async def cancel(self, turn: TurnState) -> bool:
        """Stop a turn in phase 1; True once its `cancelled` event is visible.

        False when the turn is past phase 1. The compare-and-set in the store decides.
        """
        match verdict := await self._store.begin_cancel(turn.turn_id):
            case CancelVerdict.TOO_LATE:
                return False
            case CancelVerdict.CANCELLING:
                pass
            case _:
                assert_never(verdict)
        # A task that was cancelled before its first step would never reach its own end.
        if turn.task is not None and turn.stepped and not turn.cancelling:
            turn.task.cancel()
        turn.cancelling = True
        await turn.over.wait()
        return True

    async def recover(self) -> int:
        """Take over every turn without a living owner; how many there were."""
        orphans = await self._store.adopt()
        for orphan in orphans:
            log.info("turn_adopted", turn_id=orphan.claim.turn_id, phase=_phase_name(orphan))
            self._let_go(orphan.claim.turn_id)
            self.adopt(orphan)
        for key in {orphan.request.exclusive_key for orphan in orphans}:
            await self._free(key)
        return len(orphans)

    def _let_go(self, turn_id: str) -> None:
        """What was settled by hand is taken up anew; its readers must come back."""
        former = self.running.pop(turn_id, None)
        if former is not None and former.task is not None:
            former.writer.log.break_off()
            former.task.cancel()

    async def drain(self, seconds: float) -> int:
        """Wait for running turns; the number still running after `seconds`."""
        self.draining = True
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while (left := self._unfinished()) and (rest := until - loop.time()) > 0:
            # A turn that was being admitted when the signal came may begin meanwhile.
            await asyncio.wait(left, timeout=min(rest, ADMISSION_LOOK))
        return len(left)

    def _unfinished(self) -> list[asyncio.Task[Any]]:
        tasks = [turn.task for turn in self.running.values() if not turn.in_line]
        return [task for task in (*tasks, *self.admissions) if task is not None]

    async def abandon(self) -> None:
        """Stop every task at once; the journal knows how far each turn came."""
        self.draining = True
        tasks = [turn.task for turn in self.running.values() if turn.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _phase_name(orphan: Orphan) -> str:
    return "writing" if isinstance(orphan.phase, Writing) else orphan.phase


async def _was_interrupted(turn: TurnState) -> None:
    """Its owner died before validation: what was told must not be told again differently."""
    turn.begun = True
    turn.tokens_spent = None
    turn.writer.view.phase = "narrative"
    turn.writer.skip_to_lost_end()
    raise Interrupted


async def _was_cancelled(turn: TurnState) -> None:
    turn.tokens_spent = None
    turn.writer.skip_to_lost_end()
    raise CancelledFirst


def _bare(error: DungeonMasterError) -> DungeonMasterError:
    """Without the frames that it came through, which hold the turn: only the garbage collector could
    free such a circle."""
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)
