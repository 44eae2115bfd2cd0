"""The operations on turns that transports call: start, attach, read, look up, cancel.

Who may do what is the access policy's (`core/access.py`); without access a turn does not exist.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, assert_never
from weakref import WeakValueDictionary

from app.core.access import Action, Caller, Owner, Resource, may, user
from app.core.events import stamp
from app.core.stages import Stage
from app.errors import (
    NotCancellable,
    NotFound,
    Overloaded,
    TurnExpired,
    TurnNotFound,
)
from app.ports.event_log import EventLog, TurnLog
from app.ports.limits import Taken
from app.ports.store import Attached, CancelVerdict, StoredTurn, TurnRequest, TurnStore
from app.turns.admission import Admission, Prepare, Started
from app.turns.elsewhere import OtherProcesses
from app.turns.executor import TurnExecutor
from app.turns.following import so_far
from app.turns.open_turn import FinishedTurn, OpenTurn, opened, replayed, stored_error
from app.turns.schemas import TurnDescription, UsageReport, usage_report
from app.turns.state import TurnState
from app.turns.waiting import SHUTTING_DOWN, Waits

# A turn is admitted or adopted in the store a moment before it runs here.
ABOUT_TO_RUN_LOOKS = 100
ABOUT_TO_RUN_PAUSE = 0.02  # seconds


@dataclass(eq=False)
class TurnService:
    """Starts turns and finds them again, for every transport."""

    _store: TurnStore
    _event_log: EventLog
    _executor: TurnExecutor
    _admission: Admission
    _others: OtherProcesses
    waits: Waits = field(default_factory=Waits, init=False)
    # While somebody reads a turn that has ended, others read the same copy of it.
    _replayed: WeakValueDictionary[str, TurnLog] = field(
        default_factory=WeakValueDictionary, init=False
    )

    @property
    def draining(self) -> bool:
        """New turns are refused, since the service is shutting down."""
        return self._admission.closed

    @draining.setter
    def draining(self, draining: bool) -> None:
        self._admission.closed = draining

    @property
    def accepting(self) -> bool:
        """Whether new turns are admitted: there is no overload and no shutdown."""
        return self._admission.accepting

    async def start(self, request: TurnRequest, prepare: Prepare | None = None) -> OpenTurn:
        """Admit and run a turn, or attach to the one that its key or its last event id names.

        See `Admission.admit` for `prepare` and for what it raises.
        """
        match found := await self._admission.admit(request, prepare):
            case Started(turn, headers):
                return replace(opened(turn), headers=headers)
            case Attached(turn_id, after):
                attached = await self._open(turn_id, await self._find(turn_id, None))
                return replace(attached, after=after)
            case _:
                assert_never(found)

    async def headroom(self, request: TurnRequest) -> dict[str, str]:
        """See `Admission.headroom`."""
        return await self._admission.headroom(request)

    async def headroom_of_all(self) -> dict[str, int]:
        """See `Admission.headroom_of_all`."""
        return await self._admission.headroom_of_all()

    async def take_before(self, request: TurnRequest) -> Taken:
        """See `Admission.take_before`."""
        return await self._admission.take_before(request)

    async def is_known(self, request: TurnRequest) -> bool:
        """Whether its key names a turn already. Raises `IdempotencyKeyReused`."""
        return await self._admission.is_known(request)

    # -- reading ----------------------------------------------------------------------------------

    async def open(self, turn_id: str, caller: Caller) -> OpenTurn:
        """Raises `TurnNotFound`, or `TurnExpired` when its events are no longer kept."""
        return await self._open(turn_id, await self._find(turn_id, caller))

    async def _open(self, turn_id: str, found: TurnState | StoredTurn) -> OpenTurn:
        if isinstance(found, TurnState):
            return opened(found)
        if found.elsewhere:
            return await self._followed(turn_id, found)
        if (shared := self._replayed.get(turn_id)) is not None:
            return replayed(found, shared)
        entries = await self._store.entries(turn_id)
        if entries is None:
            raise TurnExpired(
                headers={"Link": f'</turns/{turn_id}>; rel="related"'},
                extra={"turn": f"/turns/{turn_id}"},
            )
        log = self._replayed.setdefault(turn_id, self._event_log.sealed(turn_id, entries))
        return replayed(found, log)

    async def _followed(self, turn_id: str, found: StoredTurn) -> OpenTurn:
        """A turn that another process runs."""
        recorded = await self._store.entries(turn_id) or ()
        log = await self._event_log.follow(turn_id, recorded)
        if log is None:
            raise Overloaded("The turn runs in another process.")
        return replayed(found, log)

    async def finished(self, turn: OpenTurn, caller: Caller) -> FinishedTurn:
        """Wait for the turn's end. Raises the error it ended with, or `TurnCancelled`."""
        await self.wait_ended(turn)
        if (running := turn.running) is not None:
            if running.error is not None:
                raise running.error
            if running.writer.view.terminal is None:
                raise Overloaded(SHUTTING_DOWN)
            return FinishedTurn(turn.turn_id, running.writer.view.result())
        stored = await self._stored(turn.turn_id, caller, Action.READ)
        if stored.finished_at is None:
            raise Overloaded("The turn is being taken up again.")
        if stored.status == "complete":
            return FinishedTurn(turn.turn_id, stored.result or {})
        raise stored_error(stored)

    async def result(self, turn_id: str, caller: Caller) -> Mapping[str, Any]:
        """What came of a turn that has ended. Raises `TurnNotFound`."""
        return (await self._stored(turn_id, caller, Action.READ)).result or {}

    async def rests(self, turn: OpenTurn) -> bool:
        """Wait until the turn awaits its commit (True) or has ended. Raises as `wait_ended`."""
        return await self.waits.until(turn.wait_awaiting())

    async def wait_ended(self, turn: OpenTurn) -> None:
        """Raises `Overloaded` where the service stops before the turn has ended."""
        await self.waits.until(turn.wait_ended())

    async def describe(self, turn_id: str, caller: Caller) -> TurnDescription:
        """The turn as `GET /turns/{id}` shows it. Raises `TurnNotFound`."""
        running = self._running(turn_id, caller, Action.READ)
        if running is not None:
            shown = running.writer.view.result() | {
                "status": "queued" if running.stage is Stage.QUEUED else "running",
                "phase": running.writer.view.phase,
                "until": running.writer.view.until,
                "intents": None if running.intents is None else running.intents.model_dump(),
                "timing": running.timing().model_dump(),
            }
            return _described(turn_id, running.request.of_character, running.started_at, shown)
        stored = await self._stored(turn_id, caller, Action.READ)
        shown = (stored.result or {}) | {"status": stored.status}
        if stored.elsewhere:
            followed = (await self._followed(turn_id, stored)).log
            shown |= so_far(followed.entries())
        return _described(turn_id, stored.of_character, stored.created_at, shown)

    async def usage(self, user_id: str, caller: Caller, days: int) -> UsageReport:
        """Usage of a user today and in the last `days` days, as `GET /usage` shows it. Raises
        `NotFound`."""
        resource = Resource(f"usage:{user_id}", user(user_id))
        if not (may(caller, Action.READ, resource) or may(caller, Action.MODERATE, resource)):
            raise NotFound
        spent = await self._store.spent(user_id)
        past = await self._store.spent_by_day(user_id, days)
        return usage_report(user_id, spent, self._admission.rules.budget, past)

    async def cancel(self, turn_id: str, caller: Caller) -> None:
        """Returns once the turn is cancelled. Raises `NotCancellable` naming its phase."""
        await self.request_of(turn_id, caller, Action.CANCEL)
        if await self._store.begin_cancel(turn_id) is CancelVerdict.TOO_LATE:
            raise _not_cancellable(await self.phase_of(turn_id, caller))
        await self.end_cancelled(turn_id)

    async def end_cancelled(self, turn_id: str) -> None:
        """Carry out a cancel that the journal has. Returns once the `cancelled` event is visible."""
        turn = await self._open(turn_id, await self._find(turn_id, None))
        if turn.running is not None:
            self._executor.interrupt(turn_id)
        else:
            self._others.interrupt(turn_id)
        await turn.wait_ended()

    async def phase_of(self, turn_id: str, caller: Caller) -> str:
        """The phase of an open turn; how another one ended. Raises `TurnNotFound`."""
        shown = await self.describe(turn_id, caller)
        phase = shown["phase"] if shown["status"] in ("queued", "running") else None
        return str(phase or shown["status"])

    async def request_of(self, turn_id: str, caller: Caller, action: Action) -> TurnRequest:
        """The request of a turn on which the caller may perform `action`. Raises `TurnNotFound`."""
        running = self._running(turn_id, caller, action)
        if running is not None:
            return running.request
        return TurnRequest(**(await self._stored(turn_id, caller, action)).request)

    async def owner_of(self, turn_id: str) -> Owner | None:
        """None: there is no such turn."""
        found = self._executor.running.get(turn_id) or await self._store.turn(turn_id)
        return None if found is None else found.resource.owner

    async def _find(self, turn_id: str, reader: Caller | None) -> TurnState | StoredTurn:
        """A stored turn has ended, or another process has it. Any other runs here, or is about to.

        `reader`: None where the access was checked before, or the caller's own idempotency key names it.
        """
        for _ in range(ABOUT_TO_RUN_LOOKS):
            found = self._executor.running.get(turn_id) or await self._store.turn(turn_id)
            if found is None:
                raise TurnNotFound
            if reader is not None:
                _require(reader, Action.READ, found)
            if isinstance(found, TurnState) or found.elsewhere or found.finished_at is not None:
                return found
            await asyncio.sleep(ABOUT_TO_RUN_PAUSE)
        raise Overloaded("The turn is being taken up again.")

    def _running(self, turn_id: str, caller: Caller, action: Action) -> TurnState | None:
        running = self._executor.running.get(turn_id)
        if running is not None:
            _require(caller, action, running)
        return running

    async def _stored(self, turn_id: str, caller: Caller, action: Action) -> StoredTurn:
        stored = await self._store.turn(turn_id)
        if stored is None:
            raise TurnNotFound
        _require(caller, action, stored)
        return stored


def _require(caller: Caller, action: Action, turn: TurnState | StoredTurn) -> None:
    """Check the access policy. To a caller without access the turn does not exist. Raises
    `TurnNotFound`."""
    if not may(caller, action, turn.resource):
        raise TurnNotFound


_PAST_CANCEL = {
    "cancelled": "The turn is cancelled already.",
    "complete": "The turn is complete already.",
    "error": "The turn has failed already; there is nothing to cancel.",
}


def _not_cancellable(phase: str) -> NotCancellable:
    message = _PAST_CANCEL.get(phase, f"The turn can no longer be cancelled in phase {phase}.")
    return NotCancellable(message, extra={"phase": phase})


def _described(
    turn_id: str, character_id: str | None, created_at: float, shown: dict[str, Any]
) -> TurnDescription:
    return TurnDescription(
        turn_id=turn_id,
        character_id=character_id,
        created_at=stamp(created_at),
        status=shown["status"],
        phase=shown.get("phase"),
        until=shown.get("until"),
        narrative=shown.get("narrative"),
        intents=shown.get("intents"),
        subsystem_summary=shown.get("subsystem_summary"),
        timing=shown.get("timing"),
        usage=shown.get("usage"),
        validation=shown.get("validation"),
        error=shown.get("error"),
        chat=shown.get("chat"),
        content=shown.get("content"),
    )
