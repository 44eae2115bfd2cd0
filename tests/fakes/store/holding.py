"""Outcomes that await their commit, in the in-memory journal."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from app.core.events import Entry
from app.core.limits import check_budget, check_table_budget
from app.core.money import NOTHING, Amount
from app.core.record import CommitRecord, Recording
from app.ports.store import Choice, Claim, Spent, TurnRequest, Verdict

from fakes.store.journal import Journal, Row
from fakes.store.tables import MemoryTableStore


class MemoryHolding(ABC):
    """The store's transactions on them."""

    _journal: Journal
    _now: Callable[[], float]
    _owner: str
    tables: MemoryTableStore

    async def hold(
        self, claim: Claim, record: CommitRecord, entries: Sequence[Entry], recording: Recording
    ) -> Verdict:
        row = self._claimed(claim)
        if row is None or row.phase not in ("streaming", "retelling"):
            return refusal(row)
        row.phase, row.record = "awaiting", record
        row.recording = recording.model_dump_json()
        row.entries += entries
        return Verdict.STORED

    async def held(self, turn_id: str) -> CommitRecord | None:
        row = self._journal.turns.get(turn_id)
        return row.record if row is not None and row.phase == "awaiting" else None

    async def choose(
        self,
        turn_id: str,
        choice: Choice,
        reserved: Amount = NOTHING,
        budget: Amount = NOTHING,
        shared: Amount = NOTHING,
    ) -> bool:
        row = self._journal.turns.get(turn_id)
        if row is None or row.record is None or row.phase != "awaiting":
            return False
        if choice.telling not in (None, row.record.telling):
            return False
        await self._check_budgets(row.request, reserved, budget, shared)
        row.phase, row.choice = choice.phase, choice
        row.reserved += reserved
        return True

    async def choice(self, turn_id: str) -> Choice | None:
        row = self._journal.turns.get(turn_id)
        return None if row is None else row.choice

    async def _check_budgets(
        self, request: TurnRequest, asked: Amount, budget: Amount, shared: Amount
    ) -> None:
        check_budget(budget, await self.spent(request.user_id), asked, self._now())
        if shared:
            number = int(request.exclusive_key.partition(":")[2])
            check_table_budget(shared, await self.tables.spent(number))

    def _claimed(self, claim: Claim) -> Row | None:
        """None when the claim has been lost."""
        row = self._journal.turns.get(claim.turn_id)
        held = row is not None and (row.owner, row.fence) == (self._owner, claim.fence)
        return row if held else None

    @abstractmethod
    async def spent(self, user_id: str) -> Spent: ...


def refusal(row: Row | None) -> Verdict:
    """Why a claim was not good for a step."""
    cancelled = row is not None and row.phase == "cancelling"
    return Verdict.CANCELLED if cancelled else Verdict.LOST
