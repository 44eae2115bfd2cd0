"""What the in-memory store keeps, and how it forgets."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Literal

from app.adapters.store.retention import WEEK, Retention
from app.core.context import CharacterProgress
from app.core.events import Entry
from app.core.money import Amount
from app.core.record import CommitRecord, Recording
from app.ports.contents import KeptContent
from app.ports.conversations import ConversationKey
from app.ports.store import (
    Choice,
    Claim,
    DeliveryProgress,
    Held,
    Orphan,
    OrphanPhase,
    StoredTurn,
    TurnRequest,
    TurnStatus,
    Writing,
)

from fakes.store.outbox import Events
from fakes.store.tabled import Tables

Phase = Literal[
    "queued", "streaming", "awaiting", "retelling", "committing", "cancelling", "writing", "done"
]
NOTHING_SENT = DeliveryProgress(intent=0)


@dataclass(slots=True)
class Row:
    """One turn. `active`: it has its exclusive key. Documents are kept encoded, as on a disk."""

    turn_id: str
    request: TurnRequest
    body_hash: bytes
    owner: str
    created_at: float
    phase: Phase
    active: bool
    key: str | None
    reserved: Amount
    status: TurnStatus
    fence: int = 1
    begun: int = 0
    behind: int | None = None
    upto: int | None = None
    record: CommitRecord | None = None
    delivery: DeliveryProgress = NOTHING_SENT
    entries: list[Entry] = field(default_factory=list)
    recording: str | None = None
    choice: Choice | None = None
    result: str | None = None
    finished_at: float | None = None

    @property
    def claim(self) -> Claim:
        return Claim(self.turn_id, self.fence)

    @property
    def bytes(self) -> int:
        """About what the turn takes."""
        return sum(len(data) for _, _, data in self.entries) + len(self.result or "")

    def orphan(self) -> Orphan:
        """As whoever adopts it gets it. It must be open."""
        assert self.phase != "done"
        kept = list(self.entries)
        return Orphan(self.claim, self.request, self._phase(), self.created_at, kept)

    def _phase(self) -> OrphanPhase:
        match self.phase:
            case "writing":
                assert self.record is not None
                return Writing(self.record, self.delivery)
            case "awaiting" | "retelling" | "committing" as phase:
                assert self.record is not None
                return Held(phase, self.record)
            case phase:
                assert phase != "done"
                return phase

    def stored(self, *, recording: bool = False) -> StoredTurn:
        """As readers get it."""
        kept = self.recording if recording else None
        return StoredTurn(
            turn_id=self.turn_id,
            user_id=self.request.user_id,
            character_id=self.request.character_id,
            status=self.status,
            created_at=self.created_at,
            request=asdict(self.request),
            finished_at=self.finished_at,
            result=None if self.result is None else json.loads(self.result),
            recording=None if kept is None else Recording.model_validate_json(kept),
        )


@dataclass(slots=True)
class Journal:
    """Everything that a store keeps. Turns are in the order in which they were admitted."""

    turns: dict[str, Row] = field(default_factory=dict)
    progress: dict[str, CharacterProgress] = field(default_factory=dict)
    places: set[tuple[str, str]] = field(default_factory=set)
    spending: dict[tuple[str, int], Amount] = field(default_factory=dict)
    costs: dict[str, int] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    conversations: dict[ConversationKey, str] = field(default_factory=dict)
    contents: dict[str, KeptContent] = field(default_factory=dict)
    tables: Tables = field(default_factory=Tables)
    events: Events = field(default_factory=Events)

    def add_cost(self, account: str, amount: Amount) -> None:
        """Charge a character or a table."""
        self.costs[account] = self.costs.get(account, 0) + amount.micros

    def expire(self, keep: Retention, now: float) -> int:
        """Drop what is past its time or over its size; the number of turns removed."""
        ended = sorted(
            (row for row in self.turns.values() if row.finished_at is not None),
            key=lambda row: row.finished_at or 0.0,
        )
        recorded = [row.turn_id for row in ended if row.recording is not None]
        surplus = recorded[: max(len(recorded) - keep.recordings_limit, 0)]
        for row in ended:
            age = now - (row.finished_at or 0.0)
            if age > keep.events_ttl:
                row.entries = []
            if age > keep.recordings_ttl or row.turn_id in surplus:
                row.recording = None
        return sum(self._drop(row, keep, now) for row in ended)

    def _drop(self, row: Row, keep: Retention, now: float) -> bool:
        age = now - (row.finished_at or 0.0)
        size = sum(other.bytes for other in self.turns.values())
        old = age > keep.events_ttl + WEEK or (age > 0 and size > keep.max_bytes)
        if old:
            del self.turns[row.turn_id]
        return old
