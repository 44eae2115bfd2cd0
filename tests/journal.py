"""What tests put into a store: requests, entries, records, recordings, endings."""

from __future__ import annotations

from typing import Any

from app.core.context import CharacterProgress
from app.core.events import Entry, Metadata, encode_entry, stamp
from app.core.hub import NewEvent
from app.core.money import NOTHING
from app.core.outcome import Intents
from app.core.record import CommitRecord, Recording
from app.core.results import SubsystemSummary, Timing, Usage, Validation
from app.core.tables import Seat, TableRules
from app.core.writes import PlannedWrite, WritePlan
from app.ports.store import Ending, TurnRequest, TurnStatus
from app.ports.tables import TableStore

NOON = 1_790_000_000 // 86_400 * 86_400 + 43_200.0
HASH, OTHER_HASH = b"h" * 32, b"o" * 32
CHARACTER, USER = "6f1c0b52-8a55-4f6e-9d6e-0c5f0c6f0a01", "mara"


class Hands:
    """A clock that a test moves; epoch seconds."""

    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def turn_request(**fields: Any) -> TurnRequest:
    """A turn of `CHARACTER` by `USER`, unless the call says otherwise."""
    usual = {
        "character_id": CHARACTER,
        "user_action": "I ring the bell.",
        "user_id": USER,
        "request_id": "request-1",
    }
    return TurnRequest(**(usual | fields))


def entries(first: int, count: int = 1, *, phase: Any = "narrative") -> list[Entry]:
    """Consecutive ones, numbered from `first`."""
    at = stamp(NOON)
    return [encode_entry(n, Metadata(phase, n), at) for n in range(first, first + count)]


def planned(number: int, subsystem: Any = "narrative", **fields: Any) -> PlannedWrite:
    """A write that is recognised by its marker."""
    usual = {
        "subsystem": subsystem,
        "action": "appended",
        "method": "POST",
        "path": f"/{subsystem}",
        "body": {"number": number},
        "marker": round(NOON * 1_000_000) + number * 1_000,
    }
    return PlannedWrite(**(usual | fields))


def record(turn_id: str, *writes: PlannedWrite, **fields: Any) -> CommitRecord:
    """Of a validated turn with these writes still to do."""
    usual = {
        "turn_id": turn_id,
        "user_id": USER,
        "character_id": CHARACTER,
        "request_id": "request-1",
        "started_at": NOON,
        "narrative": "The bell answers.",
        "tokens_streamed": 3,
        "plan": WritePlan(writes=writes or (planned(1),), summary=SubsystemSummary()),
        "intents": Intents(),
        "progress": CharacterProgress(turns=4),
        "timing": Timing(total_tokens=3),
        "usage": Usage(model="m", total_tokens=7),
        "validation": Validation(),
    }
    return CommitRecord(**(usual | fields))


def recording(action: str = "I ring the bell.") -> Recording:
    """The least that can be replayed."""
    return Recording(user_action=action, reads=[["a", "b"], ["c"]])


def ending(status: TurnStatus = "complete", **fields: Any) -> Ending:
    """Without progress and without a charge, unless the call says otherwise."""
    usual: dict[str, Any] = {"result": {"narrative": "é"}, "entries": entries(9), "spent": NOTHING}
    return Ending(status=status, **(usual | fields))


async def add_event(tables: TableStore, event: NewEvent) -> None:
    """Store `event` with the new table that it announces, the simplest change that has one."""
    owner = Seat(USER, "Mara", joined_at=NOON)
    await tables.create(owner, "The Bell", "dm", TableRules(), NOON, lambda _: event)
