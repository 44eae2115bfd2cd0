"""Outcomes that await their commit, in the in-memory journal."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from app.core.events import Entry
from app.core.limits import check_budget
from app.core.money import NOTHING, Amount
from app.core.record import CommitRecord, Recording
from app.ports.store import Choice, Claim, Spent, Verdict

from fakes.store.journal import Journal, Row


class MemoryHolding(ABC):
    """The store's transactions on them."""

    _journal: Journal
    _now: Callable[[], float]
    _owner: str

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
        self, turn_id: str, choice: Choice, reserved: Amount = NOTHING, budget: Amount = NOTHING
    ) -> bool:
        row = self._journal.turns.get(turn_id)
        if row is None or row.phase != "awaiting":
            return False
        await self._check_budget(row.request.user_id, reserved, budget)
        row.phase = "committing" if choice.kind == "commit" else "retelling"
        row.choice, row.reserved = choice, row.reserved + reserved
        return True

    async def choice(self, turn_id: str) -> Choice | None:
        row = self._journal.turns.get(turn_id)
        return None if row is None else row.choice

    async def _check_budget(self, user_id: str, asked: Amount, budget: Amount) -> None:
        check_budget(budget, await self.spent(user_id), asked, self._now())

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
