"""What transports may ask of turns: start, attach, read, look up, cancel.

Every turn is checked for its owner here; to anybody else it does not exist.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakValueDictionary

from app.core.encoding import dump
from app.core.events import stamp
from app.errors import (
    ERRORS,
    DungeonMasterError,
    InternalError,
    NotCancellable,
    Overloaded,
    TokenBudgetExceeded,
    TurnCancelled,
    TurnExpired,
    TurnInProgress,
    TurnNotFound,
)
from app.ports.event_log import EventLog, TurnLog
from app.ports.store import Admitted, Attached, Busy, Queued, StoredTurn, TurnRequest, TurnStore
from app.turns.admission import Admission
from app.turns.executor import TurnExecutor
from app.turns.ids import new_turn_id
from app.turns.state import TurnState

# Between the store's word that a turn is admitted, or adopted, and its task lies a moment.
ABOUT_TO_RUN_LOOKS = 100
ABOUT_TO_RUN_PAUSE = 0.02  # seconds


Prepare = Callable[[TurnRequest], Awaitable[TurnRequest]]


@dataclass(frozen=True, slots=True)
class OpenTurn:
    """A turn to read. `running` is None once it has ended; `headers` tell of limits."""

    turn_id: str
    character_id: str
    log: TurnLog
    running: TurnState | None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FinishedTurn:
    turn_id: str
    result: dict[str, Any]


class TurnService:
    """`queue_limit`: how many turns may wait for one character; 0 refuses the second one."""

    def __init__(
        self,
        store: TurnStore,
        event_log: EventLog,
        runner: TurnExecutor,
        gate: Admission,
        queue_limit: int = 0,
    ) -> None:
        self._gate = gate
        self._queue_limit = queue_limit
        self._store = store
        self._event_log = event_log
        self._runner = runner
        self._keys: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        # While somebody reads a turn that has ended, others read the same copy of it.
        self._replayed: WeakValueDictionary[str, TurnLog] = WeakValueDictionary()
        self.draining = False

    # -- starting ---------------------------------------------------------------------------------

    async def start(self, request: TurnRequest, prepare: Prepare | None = None) -> OpenTurn:
        """Admit and run a turn, or attach to the one its idempotency key names.

        `prepare` completes the request once nothing but the claim can refuse it any more.
        Raises `IdempotencyKeyReused`, `TurnInProgress`, `Overloaded`. Who attaches passes every
        limit and spends nothing.
        """
        body_hash, key = _body_hash(request), request.idempotency_key
        if key is None:
            return await self._admit_shielded(request, body_hash, prepare)
        # One after another: a copy sent at the same moment attaches instead of meeting a limit.
        async with self._keys.setdefault((request.user_id, key), asyncio.Lock()):
            bound = await self._store.find_by_key(request.user_id, key, body_hash)
            if bound is None:
                return await self._admit_shielded(request, body_hash, prepare)
        return await self.open(bound, request.user_id)

    async def _admit_shielded(
        self, request: TurnRequest, body_hash: bytes, prepare: Prepare | None
    ) -> OpenTurn:
        """A turn that the store admitted must not be left without its task."""
        if self.draining:
            raise Overloaded("The service is shutting down.", retry_after=5)
        admission = asyncio.create_task(self._admit(request, body_hash, prepare))
        self._runner.admissions.add(admission)
        admission.add_done_callback(self._runner.admissions.discard)
        return await asyncio.shield(admission)

    async def _admit(
        self, request: TurnRequest, body_hash: bytes, prepare: Prepare | None
    ) -> OpenTurn:
        """What is taken at the gate is given back unless the turn is admitted."""
        request = self._gate.with_reservation(request)
        taken = await self._gate.take(request)
        admitted = False
        try:
            if prepare is not None:
                await self._check_budget(request)
                request = await prepare(request)
            turn = await self._claim(request, body_hash)
            admitted = turn.running is not None and turn.running.request is request
        finally:
            if not admitted:
                await taken.give_back()
        return replace(turn, headers=taken.headers) if admitted else turn

    async def _check_budget(self, request: TurnRequest) -> None:
        """Raises `TokenBudgetExceeded`; the claim's own check still decides."""
        spent, budget = await self._store.spent(request.user_id), self._gate.rules.budget
        if budget and spent.used + spent.reserved + request.reserved > budget:
            raise TokenBudgetExceeded

    async def _claim(self, request: TurnRequest, body_hash: bytes) -> OpenTurn:
        turn_id = new_turn_id()
        budget = self._gate.rules.budget
        match await self._store.admit(turn_id, request, body_hash, self._queue_limit, budget):
            case Admitted() as admitted:
                return _opened(await self._runner.begin(admitted, request))
            case Queued(claim, position):
                return _opened(await self._runner.enqueue(claim, request, position))
            case Attached(bound):
                return await self.open(bound, request.user_id)
            case Busy(other):
                headers = {"Location": f"/turns/{other}/events"} if other else {}
                extra = {"turn_id": other} if other else {}
                raise TurnInProgress(headers=headers, extra=extra)

    # -- reading ----------------------------------------------------------------------------------

    async def open(self, turn_id: str, user_id: str) -> OpenTurn:
        """Raises `TurnNotFound`, or `TurnExpired` when its events are no longer kept."""
        found = await self._running_or_ended(turn_id, user_id)
        if isinstance(found, TurnState):
            return _opened(found)
        if (shared := self._replayed.get(turn_id)) is not None:
            return OpenTurn(turn_id, found.character_id, shared, None)
        frames = await self._store.frames(turn_id)
        if frames is None:
            raise TurnExpired(
                headers={"Link": f'</turns/{turn_id}>; rel="related"'},
                extra={"turn": f"/turns/{turn_id}"},
            )
        log = self._replayed.setdefault(turn_id, self._event_log.sealed(frames))
        return OpenTurn(turn_id, found.character_id, log, None)

    async def finished(self, turn: OpenTurn, user_id: str) -> FinishedTurn:
        """Wait for the turn's end. Raises the error it ended with, or `TurnCancelled`."""
        running = turn.running
        if running is not None:
            await running.over.wait()
            if running.error is not None:
                raise running.error
            if running.writer.view.terminal is None:
                raise Overloaded("The service is shutting down.")
            return FinishedTurn(turn.turn_id, running.writer.view.result())
        stored = await self._stored(turn.turn_id, user_id)
        if stored.status == "complete":
            return FinishedTurn(turn.turn_id, stored.result or {})
        raise stored_error(stored)

    async def describe(self, turn_id: str, user_id: str) -> dict[str, Any]:
        """The turn as `GET /turns/{id}` shows it. Raises `TurnNotFound`."""
        running = self._running(turn_id, user_id)
        if running is not None:
            shown = running.writer.view.result() | {
                "status": "queued" if running.writer.view.phase == "queued" else "running",
                "phase": running.writer.view.phase,
                "intents": None if running.intents is None else running.intents.model_dump(),
                "timing": running.timing().model_dump(),
            }
            return _described(turn_id, running.request.character_id, running.started_at, shown)
        stored = await self._stored(turn_id, user_id)
        shown = (stored.result or {}) | {"status": stored.status}
        return _described(turn_id, stored.character_id, stored.created_at, shown)

    async def usage(self, user_id: str) -> dict[str, Any]:
        """Today's tokens of a user, as `GET /usage` shows them."""
        spent, budget = await self._store.spent(user_id), self._gate.rules.budget
        left = max(budget - spent.used - spent.reserved, 0) if budget else None
        return {
            "user_id": user_id,
            "tokens_used": spent.used,
            "tokens_reserved": spent.reserved,
            "tokens_limit": budget or None,
            "tokens_remaining": left,
        }

    async def cancel(self, turn_id: str, user_id: str) -> None:
        """Returns once the turn is cancelled. Raises `NotCancellable` naming its phase."""
        running = self._running(turn_id, user_id)
        if running is not None:
            if await self._runner.cancel(running):
                return
            raise _not_cancellable(running.writer.view.phase)
        stored = await self._stored(turn_id, user_id)
        raise _not_cancellable(stored.status)

    async def _running_or_ended(self, turn_id: str, user_id: str) -> TurnState | StoredTurn:
        """A stored turn has ended. One that is open runs here, or is about to."""
        for _ in range(ABOUT_TO_RUN_LOOKS):
            running = self._running(turn_id, user_id)
            if running is not None:
                return running
            stored = await self._stored(turn_id, user_id)
            if stored.finished_at is not None:
                return stored
            await asyncio.sleep(ABOUT_TO_RUN_PAUSE)
        raise Overloaded("The turn is being taken up again.")

    def _running(self, turn_id: str, user_id: str) -> TurnState | None:
        running = self._runner.running.get(turn_id)
        if running is not None and running.request.user_id != user_id:
            raise TurnNotFound
        return running

    async def _stored(self, turn_id: str, user_id: str) -> StoredTurn:
        stored = await self._store.turn(turn_id)
        if stored is None or stored.user_id != user_id:
            raise TurnNotFound
        return stored


def _opened(turn: TurnState) -> OpenTurn:
    return OpenTurn(turn.turn_id, turn.request.character_id, turn.writer.log, turn)


def _body_hash(request: TurnRequest) -> bytes:
    """Of what makes two requests the same; not the key and not the trace id."""
    same = [
        request.character_id,
        request.about,
        request.user_action,
        request.dry_run,
        request.kind,
    ]
    return hashlib.sha256(dump(same).encode()).digest()


def _not_cancellable(phase: str) -> NotCancellable:
    return NotCancellable(f"The turn can no longer be cancelled: {phase}.", extra={"phase": phase})


def stored_error(stored: StoredTurn) -> DungeonMasterError:
    """The error that a stored turn ended with."""
    if stored.status == "cancelled":
        return TurnCancelled()
    told = (stored.result or {}).get("error") or {}
    kind = ERRORS.get(told.get("type", ""), InternalError)
    return kind(told.get("message"), retry_after=told.get("retry_after_seconds"))


_SHOWN = (
    "status",
    "phase",
    "narrative",
    "intents",
    "subsystem_summary",
    "timing",
    "usage",
    "validation",
    "error",
)


def _described(
    turn_id: str, character_id: str, created_at: float, shown: dict[str, Any]
) -> dict[str, Any]:
    head = {
        "turn_id": turn_id,
        "character_id": character_id,
        "created_at": stamp(created_at),
    }
    return head | {name: shown.get(name) for name in _SHOWN}
