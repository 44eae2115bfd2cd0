"""`TurnStore` in plain dicts, for tests: the semantics of the others, without a disk.

A `Journal` outlives its stores as a database does: another store on the same journal is another
process, which adopts what the first one left open.
"""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from app.adapters.store.accounts import accounts_of
from app.adapters.store.retention import Retention
from app.core.context import CharacterProgress
from app.core.encoding import dump
from app.core.events import Entry
from app.core.limits import DAY, may_wait
from app.core.money import NOTHING, Amount, DaySpent, Spent
from app.core.record import CommitRecord, Recording
from app.core.tables import KIND
from app.errors import IdempotencyKeyReused
from app.ports.store import (
    Admitted,
    Attached,
    Busy,
    CancelVerdict,
    Claim,
    DeliveryProgress,
    Ending,
    Kept,
    Orphan,
    Queued,
    StoredTurn,
    TurnRequest,
    Verdict,
)

from fakes.store.contents import MemoryContents
from fakes.store.conversations import MemoryConversations
from fakes.store.history import MemoryTurnHistory
from fakes.store.holding import MemoryHolding, refusal
from fakes.store.journal import Journal, Row
from fakes.store.outbox import MemoryOutbox
from fakes.store.tables import MemoryTableStore


class MemoryTurnStore(MemoryTurnHistory, MemoryHolding, MemoryConversations, MemoryContents):
    """`now` gives epoch seconds. Nothing is awaited in between, so every method is a transaction."""

    waiting = 0

    def __init__(
        self,
        now: Callable[[], float],
        journal: Journal | None = None,
        retention: Retention | None = None,
    ) -> None:
        self._now = now
        self._journal = journal or Journal()
        self._retention = retention or Retention()
        self._owner = uuid.uuid4().hex
        self.tables = MemoryTableStore(self._journal, now, self._owner)
        self.outbox = MemoryOutbox(self._journal.events, now)

    async def available(self) -> bool:
        return True

    async def aclose(self) -> None:
        tables = self._journal.tables
        tables.attendance.pop(self._owner, None)
        tables.leading = {at: who for at, who in tables.leading.items() if who != self._owner}

    def secret(self, name: str) -> str:
        return self._journal.secrets.setdefault(name, secrets.token_hex(16))

    # -- admission --------------------------------------------------------------------------------

    async def find_by_key(self, user_id: str, key: str, body_hash: bytes) -> str | None:
        row = self._holder(user_id, key)
        if row is None or row.created_at <= self._now() - DAY:
            return None
        if row.body_hash != body_hash:
            raise IdempotencyKeyReused(row.turn_id)
        return row.turn_id

    def _holder(self, user_id: str, key: str) -> Row | None:
        rows = self._journal.turns.values()
        return next((r for r in rows if r.request.user_id == user_id and r.key == key), None)

    async def admit(
        self,
        turn_id: str,
        request: TurnRequest,
        body_hash: bytes,
        queue_limit: int = 0,
        budget: Amount = NOTHING,
    ) -> Admitted | Queued | Attached | Busy:
        user_id, key = request.user_id, request.idempotency_key
        if key is not None and (bound := await self.find_by_key(user_id, key, body_hash)):
            return Attached(bound)
        if self._plays_elsewhere(request):
            return Busy(None)
        waiting, active = self._queue(request.exclusive_key)
        share = request.may_wait_each
        own = sum(row.request.user_id == user_id for row in waiting)
        if (active or waiting) and not may_wait(len(waiting), queue_limit, own, share):
            return Busy(active, over_share=share > 0)
        await self._check_budgets(request, request.asks, budget, request.shared)
        if key is not None and (former := self._holder(user_id, key)):
            former.key = None
        queued = bool(active or waiting)
        row = self._insert(turn_id, request, body_hash, queued)
        if queued:
            return Queued(row.claim, len(waiting) + 1)
        durable: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        durable.set_result(None)
        return Admitted(row.claim, await self.progress(request.character_id), durable)

    def _plays_elsewhere(self, request: TurnRequest) -> bool:
        alone = request.character_key
        others = [row for row in self._journal.turns.values() if row.phase != "done"]
        return alone is not None and any(
            row.request.character_key == alone
            and row.request.exclusive_key != request.exclusive_key
            for row in others
        )

    def _insert(self, turn_id: str, request: TurnRequest, body_hash: bytes, queued: bool) -> Row:
        row = self._journal.turns[turn_id] = Row(
            turn_id=turn_id,
            request=request,
            body_hash=body_hash,
            owner=self._owner,
            created_at=self._now(),
            phase="queued" if queued else "streaming",
            active=not queued,
            key=request.idempotency_key,
            reserved=request.asks,
            status="queued" if queued else "running",
        )
        if not queued:
            self._begin(row)
        return row

    def _queue(self, exclusive_key: str) -> tuple[list[Row], str | None]:
        """The turns that wait for the key, first come first, and the turn that has it."""
        rows = [r for r in self._journal.turns.values() if r.request.exclusive_key == exclusive_key]
        active = next((row.turn_id for row in rows if row.active), None)
        return [row for row in rows if row.phase == "queued"], active

    async def promote(self, exclusive_key: str) -> str | None:
        waiting, active = self._queue(exclusive_key)
        if active is not None or not waiting:
            return None
        row = self._next_of_a_table(waiting) if exclusive_key.startswith("table:") else waiting[0]
        self._begin(row)
        return row.turn_id

    def _next_of_a_table(self, waiting: list[Row]) -> Row:
        """Of the player whose latest turn began longest ago."""
        rows = self._journal.turns.values()

        def latest(waits: Row) -> int:
            key, player = waits.request.exclusive_key, waits.request.user_id
            theirs = [
                r for r in rows if (r.request.exclusive_key, r.request.user_id) == (key, player)
            ]
            return max(row.begun for row in theirs)

        return min(waiting, key=latest)

    def _begin(self, row: Row) -> None:
        row.status, row.phase, row.active = "running", "streaming", True
        row.begun = max(other.begun for other in self._journal.turns.values()) + 1
        row.behind = self._newest_line(row)

    def _newest_line(self, row: Row) -> int | None:
        kind, _, number = row.request.exclusive_key.partition(":")
        lines = [one.id for one in self._journal.tables.lines if str(one.table_id) == number]
        return max(lines, default=0) if kind == KIND else None

    async def spent(self, user_id: str) -> Spent:
        rows = self._journal.turns.values()
        reserved = (row.reserved for row in rows if row.request.user_id == user_id)
        used = self._journal.spending.get((user_id, self._today()), NOTHING)
        return Spent(used, sum(reserved, NOTHING))

    async def spent_by_day(self, user_id: str, days: int) -> list[DaySpent]:
        since, kept = self._today() - days, self._journal.spending.items()
        found = [DaySpent(day, used) for (user, day), used in kept if user == user_id]
        return sorted((one for one in found if one.day > since), reverse=True)

    def _today(self) -> int:
        return int(self._now() // DAY)

    def recent_starts(self, since: float) -> list[tuple[TurnRequest, float]]:
        rows = sorted(self._journal.turns.values(), key=lambda row: row.created_at)
        return [(row.request, row.created_at) for row in rows if row.created_at > since]

    # -- the journal ------------------------------------------------------------------------------

    async def begin_cancel(self, turn_id: str) -> CancelVerdict:
        row = self._journal.turns.get(turn_id)
        if row is None or row.phase not in ("queued", "streaming", "awaiting", "retelling"):
            return CancelVerdict.TOO_LATE
        row.phase = "cancelling"
        return CancelVerdict.CANCELLING

    async def note(self, claim: Claim, entries: Sequence[Entry]) -> Kept:
        row = self._claimed(claim)
        if row is None:
            return Verdict.LOST
        row.entries += entries
        return Verdict.STORED

    async def validate(
        self, claim: Claim, record: CommitRecord, entries: Sequence[Entry], recording: Recording
    ) -> Verdict:
        row, now = self._claimed(claim), self._now()
        if row is None or row.phase not in ("streaming", "committing"):
            return refusal(row)
        row.phase, row.record = "writing", record
        row.recording = recording.model_dump_json()
        row.delivery = DeliveryProgress(0, 1, now, now)
        row.entries += entries
        return Verdict.STORED

    async def step(self, claim: Claim, step: int, entries: Sequence[Entry]) -> Kept:
        row, now = self._claimed(claim), self._now()
        if row is None or row.phase != "writing" or row.delivery.step != step - 1:
            return Verdict.LOST
        row.delivery = DeliveryProgress(step, step + 1, now, now)
        row.entries += entries
        return Verdict.STORED

    async def resend(self, claim: Claim, intent: int) -> Kept:
        row, now = self._claimed(claim), self._now()
        if row is None or row.phase != "writing" or row.delivery.step != intent - 1:
            return Verdict.LOST
        first = row.delivery.first_sent_at or now
        row.delivery = DeliveryProgress(intent - 1, intent, now, first)
        return Verdict.STORED

    async def finish(self, claim: Claim, ending: Ending) -> Verdict:
        row, cancelled = self._claimed(claim), ending.status == "cancelled"
        allowed = ("cancelling",) if cancelled else _UNCANCELLED
        if row is None or row.phase not in allowed:
            return Verdict.LOST if cancelled else refusal(row)
        row.status, row.phase, row.active, row.record = ending.status, "done", False, None
        row.finished_at, row.result = self._now(), dump(ending.result)
        row.upto = self._newest_line(row) if row.begun else None
        if ending.recording is not None:
            row.recording = ending.recording.model_dump_json()
        if ending.release_key:
            row.key = None
        row.entries += ending.entries
        self._remember(row.request.character_id, ending)
        if ending.exchange is not None:
            self._change(ending.exchange.key, ending.exchange.apply)
        if ending.content is not None:
            self._keep(ending.content)
        self._journal.tables.settle(row.request.exclusive_key, row.reserved, ending, self._now())
        self._charge(row, ending)
        if ending.event is not None:
            self._journal.events.add(ending.event, self._now())
        return Verdict.STORED

    def _remember(self, character_id: str, ending: Ending) -> None:
        if ending.progress is None:
            return
        self._journal.progress[character_id] = ending.progress
        if ending.place is not None:
            self._journal.places.add((character_id, ending.place))

    async def spend(self, user_id: str, amount: Amount, account: str | None = None) -> None:
        key = (user_id, self._today())
        self._journal.spending[key] = self._journal.spending.get(key, NOTHING) + amount
        if account is not None:
            self._journal.add_cost(account, amount)

    async def cost_of(self, account: str) -> int:
        return self._journal.costs.get(account, 0)

    def _charge(self, row: Row, ending: Ending) -> None:
        used = row.reserved if ending.spent is None else ending.spent
        request, key = row.request, (row.request.user_id, self._today())
        self._journal.spending[key] = self._journal.spending.get(key, NOTHING) + used
        for account in accounts_of(key[0], request.character_id, request.exclusive_key):
            self._journal.add_cost(account, used)
        row.reserved = NOTHING

    async def adopt(self) -> list[Orphan]:
        await self.tables.settle_left()
        rows = self._journal.turns.values()
        found = [row for row in rows if row.phase != "done" and row.owner != self._owner]
        for row in found:
            row.owner, row.fence = self._owner, row.fence + 1
        return [row.orphan() for row in found]

    async def phases(self) -> dict[str, str]:
        return {}

    # -- what can be read -------------------------------------------------------------------------

    async def turn(self, turn_id: str, *, recording: bool = False) -> StoredTurn | None:
        row = self._journal.turns.get(turn_id)
        return None if row is None else row.stored(recording=recording)

    async def entries(self, turn_id: str) -> list[Entry] | None:
        row = self._journal.turns.get(turn_id)
        return list(row.entries) or None if row is not None else None

    async def recent_turns(self, character_id: str, limit: int) -> list[StoredTurn]:
        rows = [r for r in self._journal.turns.values() if r.request.character_id == character_id]
        newest = sorted(rows, key=lambda row: row.created_at)[::-1]
        return [row.stored(recording=True) for row in newest[:limit]]

    async def progress(self, character_id: str) -> CharacterProgress:
        return self._journal.progress.get(character_id) or CharacterProgress()

    async def knows_place(self, character_id: str, name: str) -> bool:
        return (character_id, name) in self._journal.places

    # -- retention --------------------------------------------------------------------------------

    async def expire(self, now: float) -> int:
        return self._journal.expire(self._retention, now)


_UNCANCELLED = ("streaming", "awaiting", "retelling", "committing", "writing")
