"""The journal of turns."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, Protocol

from app.core.context import CharacterProgress
from app.core.events import Entry
from app.core.hub import NewEvent
from app.core.money import NOTHING, Amount
from app.core.money import DaySpent as DaySpent
from app.core.money import Spent as Spent
from app.core.record import CommitRecord, Recording
from app.core.tables import NewLine
from app.ports.claims import Choice as Choice
from app.ports.claims import Claim as Claim
from app.ports.claims import DeliveryProgress as DeliveryProgress
from app.ports.claims import Held as Held
from app.ports.claims import Orphan as Orphan
from app.ports.claims import OrphanPhase as OrphanPhase
from app.ports.claims import Writing as Writing
from app.ports.contents import KeptContent
from app.ports.conversations import NewExchange
from app.ports.turn import StoredTurn as StoredTurn
from app.ports.turn import TurnRequest as TurnRequest
from app.ports.turn import TurnStatus as TurnStatus


@dataclass(frozen=True, slots=True)
class Admitted:
    """The claim holds against everybody else already. `durable` ends once it would outlive a crash; it
    raises `StoreUnavailable` when the store could not keep it: then there never was a turn."""

    claim: Claim
    progress: CharacterProgress
    durable: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class Queued:
    """Another turn has the exclusive key; this one is `position`-th in the queue, from 1."""

    claim: Claim
    position: int


@dataclass(frozen=True, slots=True)
class Attached:
    """The request names this turn, of which `after` events were seen."""

    turn_id: str
    after: int = 0


@dataclass(frozen=True, slots=True)
class Busy:
    """Another turn has the exclusive key; None: it is between two turns. `over_share`: as many of the
    user's own turns wait for it as may."""

    turn_id: str | None
    over_share: bool = False


@dataclass(frozen=True, slots=True)
class Ending:
    """How a turn ends: everything that becomes final in one transaction. `entries` are those that no
    earlier transaction recorded, `recording` is what a replay needs. `release_key`: the idempotency key
    may be used again, since nothing was done under it. `spent`: on model calls; None where
    nobody knows: then what was reserved is charged. `exchange` is added to a conversation, `content` is
    what was made, `lines` are said at the turn's table, and `event` goes to other services.
    """

    status: TurnStatus
    result: dict[str, Any]
    entries: Sequence[Entry]
    progress: CharacterProgress | None = None
    place: str | None = None
    release_key: bool = False
    recording: Recording | None = None
    spent: Amount | None = None
    exchange: NewExchange | None = None
    content: KeptContent | None = None
    lines: Sequence[NewLine] = ()
    event: NewEvent | None = None


class Verdict(Enum):
    """The result of a transaction that needed a claim.

    STORED: it is durable. CANCELLED: nothing was stored, since the turn is being cancelled.
    LOST: nothing was stored, since the claim is not (or no longer) good for it.
    """

    STORED = "stored"
    CANCELLED = "cancelled"
    LOST = "lost"


Kept = Literal[Verdict.STORED, Verdict.LOST]  # of a phase in which a turn cannot be cancelled


class CancelVerdict(Enum):
    """CANCELLING: it will end as cancelled. TOO_LATE: it is validated, ended, cancelled or unknown."""

    CANCELLING = "cancelling"
    TOO_LATE = "too late"


class TurnStore(Protocol):
    """The journal. Every method is one transaction, durable when it returns; only `admit` may return
    earlier, see `Admitted`.
    Raises `StoreUnavailable` when the store cannot be used; then nothing was stored.
    """

    async def find_by_key(self, user_id: str, key: str, body_hash: bytes) -> str | None:
        """The turn bound to the key. Raises `IdempotencyKeyReused` when the body differs."""
        ...

    async def admit(
        self,
        turn_id: str,
        request: TurnRequest,
        body_hash: bytes,
        queue_limit: int = 0,
        budget: Amount = NOTHING,
    ) -> Admitted | Queued | Attached | Busy:
        """Bind the key, reserve what it may use, and claim the exclusive key or queue for it. `Busy` also
        where the character takes or waits for a turn under another key: it plays at one place at a time.
        `queue_limit`: how many may wait; of one user, see `TurnRequest.may_wait_each`.
        `budget`: of the user and a day, with 0 for no limit; it has room for all that is asked for. The
        table's, `TurnRequest.shared`, has room while anything is left of it beside what is set aside.
        Raises `IdempotencyKeyReused` or `TokenBudgetExceeded`.
        """
        ...

    async def spent(self, user_id: str) -> Spent:
        """Today's spending of a user."""
        ...

    async def spent_by_day(self, user_id: str, days: int) -> list[DaySpent]:
        """The spending of each of the last `days` days, today included, on which anything was used,
        newest first."""
        ...

    async def spend(self, user_id: str, amount: Amount, account: str | None = None) -> None:
        """Charge today's budget, and the account, with what was used beside turns."""
        ...

    async def cost_of(self, account: str) -> int:
        """Micro-dollars spent so far for a character or a table: its turns' `character_key`, or the table's
        exclusive key."""
        ...

    async def begin_cancel(self, turn_id: str) -> CancelVerdict:
        """Compare-and-set against `validate`, and against `choose` of a commit."""
        ...

    async def hold(
        self, claim: Claim, record: CommitRecord, entries: Sequence[Entry], recording: Recording
    ) -> Verdict:
        """Record an outcome that awaits its commit, and the events so far; also in the place of
        an earlier one."""
        ...

    async def held(self, turn_id: str) -> CommitRecord | None:
        """An outcome for which nobody has chosen yet."""
        ...

    async def choose(
        self,
        turn_id: str,
        choice: Choice,
        reserved: Amount = NOTHING,
        budget: Amount = NOTHING,
        shared: Amount = NOTHING,
    ) -> bool:
        """Compare-and-set: what becomes of an outcome that awaits its commit. False: none does, or another
        one than the choice is for.
        `reserved`: what is set aside for it beside what is for the turn. `budget`, and `shared` of
        its table: as for `admit`.
        Raises `TokenBudgetExceeded`.
        """
        ...

    async def choice(self, turn_id: str) -> Choice | None:
        """The latest choice."""
        ...

    async def note(self, claim: Claim, entries: Sequence[Entry]) -> Kept:
        """Record events that come between the steps."""
        ...

    async def validate(
        self, claim: Claim, record: CommitRecord, entries: Sequence[Entry], recording: Recording
    ) -> Verdict:
        """Record the plan, the events of phase 1 and the intent of the first write."""
        ...

    async def step(self, claim: Claim, step: int, entries: Sequence[Entry]) -> Kept:
        """Record the receipt of write `step` (from 1) and the intent of the next."""
        ...

    async def resend(self, claim: Claim, intent: int) -> Kept:
        """Record that write `intent` is about to be sent, mostly once more."""
        ...

    async def finish(self, claim: Claim, ending: Ending) -> Verdict:
        """End the turn and free its exclusive key.

        Status `cancelled` ends only a turn that is being cancelled, any other only one that is not.
        """
        ...

    async def promote(self, exclusive_key: str) -> str | None:
        """Give the exclusive key, if it is free, to the turn that has waited longest; its id."""
        ...

    async def adopt(self) -> list[Orphan]:
        """Claim every turn that has no living owner."""
        ...

    async def phases(self) -> dict[str, str]:
        """Phases of this process's open turns by id, if other processes can change them; else empty."""
        ...

    async def turn(self, turn_id: str, *, recording: bool = False) -> StoredTurn | None:
        """`recording`: with what a replay needs, which is large."""
        ...

    async def entries(self, turn_id: str) -> list[Entry] | None:
        """The entries of a finished turn; None when they have expired."""
        ...

    async def recent_turns(self, character_id: str, limit: int) -> list[StoredTurn]:
        """Newest first."""
        ...

    async def progress(self, character_id: str) -> CharacterProgress:
        """The record of the character's turns; an empty one for an unknown character."""
        ...

    async def knows_place(self, character_id: str, name: str) -> bool:
        """`name` is case-folded."""
        ...

    def recent_starts(self, since: float) -> list[tuple[TurnRequest, float]]:
        """The admissions since then, oldest first. Blocking: for the start of the service."""
        ...

    async def expire(self, now: float) -> int:
        """Remove what is past its time; the number of turns removed."""
        ...

    @property
    def waiting(self) -> int:
        """Transactions that wait to be carried out."""
        ...

    async def available(self) -> bool:
        """Whether transactions can be stored. Raises `StoreUnavailable` where that is known."""
        ...

    async def aclose(self) -> None:
        """Finish what was begun and release the store."""
        ...
