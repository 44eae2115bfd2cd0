"""Owns the turns that run in this process: each a task of its own, bound to no request."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import structlog

from app.core.context import CharacterProgress
from app.core.events import Entry, Metadata
from app.core.stages import AT_REST, Stage
from app.errors import DungeonMasterError, InternalError
from app.eventlog.writer import LogWriter
from app.ports.clock import Clock
from app.ports.event_log import EventLog
from app.ports.signals import Signal, Signals, key_of
from app.ports.store import Admitted, Choice, Claim, Queued, TurnRequest, TurnStore
from app.ports.turn import TurnKind
from app.tasks import cancelled
from app.turns.endings import Endings
from app.turns.kinds import Pipeline
from app.turns.observe import Observer, TurnAdmitted, TurnEnded, TurnPromoted
from app.turns.persistence import CancelledFirst, LostTurn, retry_until_stored
from app.turns.state import TurnState

log = structlog.get_logger(__name__)

DRAIN_POLL = 0.1  # seconds

Work = Callable[[TurnState], Awaitable[None]]


class TurnExecutor:
    """`running` holds the turns of this process by id. `draining`: no queued turn is started.
    `pipelines` has one for each kind of turn; a feature adds its own by `add_pipeline`."""

    def __init__(
        self,
        pipelines: Mapping[TurnKind, Pipeline],
        store: TurnStore,
        event_log: EventLog,
        clock: Clock,
        observe: Observer,
        signals: Signals,
    ) -> None:
        self._pipelines = dict(pipelines)
        self._store = store
        self._event_log = event_log
        self._clock = clock
        self._observe = observe
        self._endings = Endings(store)
        self._signals = signals
        self.running: dict[str, TurnState] = {}
        self.draining = False
        self._admissions: set[asyncio.Task[Any]] = set()
        self._queues: defaultdict[str, set[str]] = defaultdict(set)  # exclusive key: turn ids

    def add_pipeline(self, kind: TurnKind, pipeline: Pipeline) -> None:
        """Let turns of that kind run, from before the service starts."""
        self._pipelines[kind] = pipeline

    # -- starting ---------------------------------------------------------------------------------

    async def begin(self, admitted: Admitted, request: TurnRequest) -> TurnState:
        """Run a turn that reads its context while its claim becomes durable; returns when it is.

        Raises `StoreUnavailable`: then there never was a turn.
        """
        turn = self._open(admitted.claim, request, admitted.progress)
        self.run(turn, self._from_start)
        try:
            await admitted.durable
        except BaseException:
            self._drop(turn)
            raise
        self._admitted(turn)
        return turn

    async def enqueue(self, queued: Queued, request: TurnRequest) -> TurnState:
        """Let an admitted turn wait for its exclusive key. Its position is its first event."""
        turn = self.take(queued.claim, request, CharacterProgress())
        entries = turn.writer.draft(Metadata("queued", 0, {"position": queued.position}))
        await retry_until_stored(lambda: self._store.note(queued.claim, entries))
        turn.writer.publish(entries)
        self.wait_in_queue(turn)
        # The turn ahead may have ended before this one was queued here.
        await self.start_next(request.exclusive_key)
        return turn

    def take(
        self,
        claim: Claim,
        request: TurnRequest,
        progress: CharacterProgress,
        entries: Sequence[Entry] = (),
    ) -> TurnState:
        """Own a turn whose claim is durable. It does nothing before `run` or `wait_in_queue`."""
        turn = self._open(claim, request, progress, entries)
        self._admitted(turn)
        return turn

    def wait_in_queue(self, turn: TurnState) -> None:
        """Run the turn once `start_next` gives it its exclusive key."""
        if turn.stage is not Stage.CANCELLING:
            turn.advance(Stage.QUEUED)
            self._queues[turn.request.exclusive_key].add(turn.turn_id)
        self.run(turn, self._from_queue)

    def run(self, turn: TurnState, work: Work) -> None:
        """Do `work` in a task of its own and take the turn to its end."""
        turn.task = asyncio.create_task(self._supervise(turn, work), name=f"turn-{turn.turn_id}")

    def track(self, admission: asyncio.Task[Any]) -> None:
        """Let `drain` wait for an admission under way."""
        self._admissions.add(admission)
        admission.add_done_callback(self._admissions.discard)

    def _open(
        self,
        claim: Claim,
        request: TurnRequest,
        progress: CharacterProgress,
        entries: Sequence[Entry] = (),
    ) -> TurnState:
        opened = self._event_log.open(claim.turn_id, entries, shared=request.kind == "table")
        writer = LogWriter(claim.turn_id, opened, self._clock)
        turn = TurnState(claim, request, progress, writer, self._clock)
        self.running[claim.turn_id] = turn
        return turn

    def _admitted(self, turn: TurnState) -> None:
        self._observe(TurnAdmitted(turn))
        turn.made_durable()
        whose = key_of(turn.request.user_id, turn.request.character_id)
        self._signals.send(Signal("admitted", whose))

    async def _from_start(self, turn: TurnState) -> None:
        turn.advance(Stage.PREPARING)
        await self._pipelines[turn.request.kind].run(turn)

    async def _from_queue(self, turn: TurnState) -> None:
        await turn.wait_while(Stage.QUEUED)
        if turn.stage is Stage.CANCELLING:
            raise CancelledFirst
        turn.progress = await self._store.progress(turn.request.character_id)
        await self._pipelines[turn.request.kind].run(turn)

    async def start_next(self, exclusive_key: str) -> None:
        """Give a free exclusive key to the first in its queue.

        At shutdown it stays queued for the next start of the service.
        """
        if self.draining or exclusive_key not in self._queues:
            return
        promoted = await retry_until_stored(lambda: self._store.promote(exclusive_key))
        if promoted is not None and not self.promoted(promoted):
            self._signals.send(Signal("promoted", promoted))

    def promoted(self, turn_id: str) -> bool:
        """Begin a turn that has its exclusive key now. False: it does not wait here."""
        turn = self.running.get(turn_id)
        if turn is None or turn.stage is not Stage.QUEUED:
            return False
        self._leave_queue(turn)
        turn.advance(Stage.PREPARING)
        self._observe(TurnPromoted(turn))
        return True

    def queued_keys(self) -> list[str]:
        """The exclusive keys that turns of this process wait for."""
        return list(self._queues)

    def _leave_queue(self, turn: TurnState) -> None:
        key = turn.request.exclusive_key
        if key in self._queues:
            self._queues[key].discard(turn.turn_id)
            if not self._queues[key]:
                del self._queues[key]

    # -- to the end -------------------------------------------------------------------------------

    async def _supervise(self, turn: TurnState, work: Work) -> None:
        structlog.contextvars.bind_contextvars(
            request_id=turn.request.request_id,
            turn_id=turn.turn_id,
            character_id=turn.request.character_id,
        )
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
            turn.end()
        self._signals.send(Signal("freed", key_of(turn.request.exclusive_key)))
        await self.start_next(turn.request.exclusive_key)

    async def _to_its_end(self, turn: TurnState, work: Work) -> None:
        try:
            if turn.stage is Stage.CANCELLING:
                raise CancelledFirst
            await self._work(turn, work)
        except CancelledFirst:
            await self._endings.cancelled(turn)
        except asyncio.CancelledError:
            if turn.stage is not Stage.CANCELLING:
                raise
            if turn.task is not None:
                turn.task.uncancel()
            await self._endings.cancelled(turn)
        if turn.writer.view.terminal is not None:
            self._observe(TurnEnded(turn, turn.writer.view.terminal))

    async def _work(self, turn: TurnState, work: Work) -> None:
        """A cancel may come in while a failure is being recorded; it then goes further up."""
        try:
            await work(turn)
        except (CancelledFirst, LostTurn):
            raise
        except DungeonMasterError as error:
            await self._endings.failed(turn, error)
        except Exception as error:
            log.exception("turn_failed_unexpectedly", error_type=type(error).__name__)
            await self._endings.failed(turn, InternalError())

    def _drop(self, turn: TurnState) -> None:
        if turn.task is not None:
            turn.task.cancel()
        # A task that is cancelled before its first step does neither of these.
        self._forget(turn)
        turn.end()

    def _forget(self, turn: TurnState) -> None:
        """A turn that was lost may have been adopted again in this very process."""
        if self.running.get(turn.turn_id) is turn:
            del self.running[turn.turn_id]
            self._leave_queue(turn)

    # -- from outside -----------------------------------------------------------------------------

    def chosen(self, turn_id: str, choice: Choice) -> bool:
        """Let a turn go on as the journal has it. False: it does not run here."""
        turn = self.running.get(turn_id)
        if turn is None:
            return False
        if choice.phase == "cancelling":
            self.interrupt(turn_id)
        else:
            turn.choose(choice)
        return True

    def interrupt(self, turn_id: str) -> None:
        """Let a turn that is being cancelled in the journal come to its end, if it runs here."""
        turn = self.running.get(turn_id)
        if turn is None or turn.stage in (Stage.CANCELLING, Stage.ENDED):
            return
        looks = turn.stage in (Stage.ADMITTED, Stage.QUEUED)  # its task, at the stage, by itself
        turn.advance(Stage.CANCELLING)
        if not looks and turn.task is not None:
            turn.task.cancel()

    def let_go(self, turn_id: str) -> None:
        """Stop a turn that runs here under a former claim; its readers must come back."""
        former = self.running.pop(turn_id, None)
        if former is not None and former.task is not None:
            self._leave_queue(former)
            former.writer.log.break_off()
            former.task.cancel()

    async def drain(self, seconds: float) -> int:
        """Wait for running turns; the number still running after `seconds`."""
        self.draining = True
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while (left := self._unfinished()) and (rest := until - loop.time()) > 0:
            # A turn that was being admitted when the signal came may begin meanwhile.
            await asyncio.wait(left, timeout=min(rest, DRAIN_POLL))
        return len(left)

    def _unfinished(self) -> list[asyncio.Task[Any]]:
        running = [turn for turn in self.running.values() if turn.stage not in AT_REST]
        return [*(turn.task for turn in running if turn.task is not None), *self._admissions]

    async def abandon(self) -> None:
        """Stop every task at once; the journal knows how far each turn came."""
        self.draining = True
        await cancelled([turn.task for turn in self.running.values() if turn.task is not None])
