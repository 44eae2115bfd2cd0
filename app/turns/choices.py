"""The choices for an outcome that awaits its commit: commit it, or retell it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from app.core.access import Action, Caller, Owner
from app.core.approval import Changes
from app.core.record import CommitRecord
from app.errors import NotAwaitingCommit
from app.ports.signals import Signal, Signals
from app.ports.store import Choice, TurnRequest, TurnStore
from app.turns.admission import Admission, Prepare
from app.turns.executor import TurnExecutor
from app.turns.service import TurnService


class Chooser(Protocol):
    """See `TurnChoices`."""

    async def commit(self, turn_id: str, caller: Caller) -> None: ...

    async def retell(self, turn_id: str, caller: Caller, guidance: str) -> None: ...


class Choosers:
    """Who takes the choices of callers, by the kind of the turn's owner; `own` for their own turns."""

    def __init__(self, turns: TurnService, own: Chooser) -> None:
        self._turns = turns
        self._own = own
        self._kinds: dict[str, Callable[[Owner], Chooser]] = {}

    def add(self, kind: str, chooser_of: Callable[[Owner], Chooser]) -> None:
        """Choices for turns of owners of that kind are `chooser_of` the owner's from now on."""
        self._kinds[kind] = chooser_of

    async def of(self, turn_id: str) -> Chooser:
        """Whom to ask about the turn, known or not."""
        owner = await self._turns.owner_of(turn_id)
        chooser_of = None if owner is None else self._kinds.get(owner.kind)
        return self._own if owner is None or chooser_of is None else chooser_of(owner)


@dataclass(eq=False)
class TurnChoices:
    """Commits, retellings and vetoes of held outcomes. An accepted choice is in the journal and is
    carried out even if the process dies."""

    _store: TurnStore
    _executor: TurnExecutor
    _admission: Admission
    _turns: TurnService
    _signals: Signals

    async def commit(self, turn_id: str, caller: Caller) -> None:
        """Commit the held outcome; a repeated commit succeeds. Raises `NotAwaitingCommit`,
        `TurnNotFound`."""
        await self._turns.request_of(turn_id, caller, Action.WRITE)
        if not await self._shielded(turn_id, Choice("commit")):
            await self.require_committed(turn_id, caller)

    async def require_committed(self, turn_id: str, caller: Caller) -> None:
        """Raises `NotAwaitingCommit` for a turn that nobody has committed, `TurnNotFound`."""
        chosen = await self._store.choice(turn_id)
        if chosen is None or chosen.kind != "commit":
            raise await self.refusal(turn_id, caller)

    async def approve(self, record: CommitRecord, changes: Changes) -> bool:
        """Whether this is what counts of an outcome that awaits approval: of this one, and of no retelling
        that has come since."""
        given = changes.model_dump(exclude_none=True)
        choice = Choice("commit", changes=given, telling=record.telling)
        return await self._shielded(record.turn_id, choice)

    async def veto(self, record: CommitRecord) -> bool:
        """Cancel the turn of an outcome that awaits approval, once its `cancelled` event is visible. False:
        this outcome awaits nothing any more, and nothing is cancelled."""
        choice = Choice("cancel", telling=record.telling)
        taken = await self._shielded(record.turn_id, choice)
        if taken:
            await self._turns.end_cancelled(record.turn_id)
        return taken

    async def held(self, turn_id: str) -> CommitRecord | None:
        """An outcome for which nobody has chosen yet."""
        return await self._store.held(turn_id)

    async def retell(
        self,
        turn_id: str,
        caller: Caller,
        guidance: str,
        prepare: Prepare | None = None,
        telling: int | None = None,
    ) -> None:
        """Paid and limited as a turn is; `prepare` completes the request for it. `telling`: see `Choice`.
        Raises `NotAwaitingCommit`, `TurnNotFound`, `RateLimitExceeded`, `TokenBudgetExceeded`,
        `Overloaded`."""
        request = await self._turns.request_of(turn_id, caller, Action.WRITE)
        if prepare is not None:
            request = await prepare(request)
        taken = await self._admission.take_again(request)
        chosen = False
        try:
            chosen = await self._shielded(
                turn_id, Choice("retell", guidance, telling=telling), request
            )
        finally:
            if not chosen:
                await taken.give_back()
        if not chosen:
            raise await self.refusal(turn_id, caller)

    async def _shielded(
        self, turn_id: str, choice: Choice, paid_as: TurnRequest | None = None
    ) -> bool:
        """A client that leaves does not take its choice along half-way."""
        choosing = asyncio.create_task(self._choose(turn_id, choice, paid_as))
        self._executor.track(choosing)
        return await asyncio.shield(choosing)

    async def _choose(self, turn_id: str, choice: Choice, paid_as: TurnRequest | None) -> bool:
        budget = self._admission.rules.budget
        amounts = () if paid_as is None else (paid_as.asks, budget, paid_as.shared)
        taken = await self._store.choose(turn_id, choice, *amounts)
        if taken and not self._executor.chosen(turn_id, choice):
            self._signals.send(Signal("decided", turn_id))
        return taken

    async def refusal(self, turn_id: str, caller: Caller) -> NotAwaitingCommit:
        """Of a choice for a turn that awaits none. Raises `TurnNotFound`."""
        phase = await self._turns.phase_of(turn_id, caller)
        message = f"The turn awaits no commit in phase {phase}."
        return NotAwaitingCommit(message, extra={"phase": phase})
