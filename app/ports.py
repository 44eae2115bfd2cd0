"""What the core of the service needs from outside; `bootstrap` chooses who provides it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from app.core.context import Context, Place, Standing
from app.core.limits import Rule
from app.core.prompt import Prompt
from app.core.record import CommitRecord, Recording
from app.core.results import Usage
from app.core.writes import PlannedWrite

# -- callers --------------------------------------------------------------------------------------


class Caller(NamedTuple):
    """Who makes a request; `scopes` are what the caller's token allows."""

    user_id: str
    scopes: frozenset[str]


class Authenticator(Protocol):
    async def authenticate(self, token: str) -> Caller:
        """Raises `Unauthorized`."""
        ...

    async def aclose(self) -> None: ...


# -- limits ---------------------------------------------------------------------------------------


class Charge(NamedTuple):
    """One request against one rule, for whom `key` names."""

    rule: Rule
    key: str


class Headroom(NamedTuple):
    """`reset`: seconds until there is more room."""

    rule: Rule
    remaining: int
    reset: float


@dataclass(frozen=True, slots=True)
class Taken:
    """Places in windows; `give_back` undoes them for a request that was not admitted after all."""

    give_back: Callable[[], Awaitable[None]]
    headers: dict[str, str]


class Limiter(Protocol):
    async def take(self, charges: Sequence[Charge]) -> Taken:
        """All of them or none, also when others take at the same time. Raises `RateLimitExceeded`."""
        ...


# -- the model ------------------------------------------------------------------------------------


Tell = Callable[[list[str]], bool]
"""Takes the text deltas that came in one upstream read. True once what follows is needed whole only,
so that it need not come piece by piece."""


class ModelEnd(NamedTuple):
    """The end of a whole answer; `usage` is None where the provider reported none."""

    usage: Usage | None
    model: str


class ModelFailed(Exception):
    """A model call failed.

    `transient`: the same call may succeed later. `opened`: the answer had begun, so the failure is
    a broken stream and not a refused request. `timeout`: it was a deadline. `no_streaming`: the
    server says that it cannot stream. `response`: the answer itself is unusable (truncated,
    filtered, refused). `unavailable`: nobody was asked, the circuit is open. `usage`: what the
    provider reported all the same. The message holds no text of the provider.
    """

    def __init__(
        self,
        message: str,
        *,
        transient: bool = False,
        opened: bool = False,
        timeout: bool = False,
        no_streaming: bool = False,
        response: bool = False,
        unavailable: bool = False,
        retry_after: float | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(message)
        self.usage = usage
        self.transient = transient
        self.opened = opened
        self.timeout = timeout
        self.no_streaming = no_streaming
        self.response = response
        self.unavailable = unavailable
        self.retry_after = retry_after


class CallMeta(NamedTuple):
    """What is sent on with a call to an upstream."""

    request_id: str
    traceparent: str | None = None


class NarrativeModel(Protocol):
    """A teller. One call to `stream` or `complete` is one request: no retry beneath this port."""

    name: str
    api: str

    async def stream(self, prompt: Prompt, meta: CallMeta, tell: Tell) -> ModelEnd:
        """Calls `tell` as texts arrive, in the very call that receives them and not always in the
        task that awaits this: so no task has to wake up for a token. What `tell` raises ends the
        answer and is raised here. Raises `ModelFailed`.
        """
        ...

    async def complete(self, prompt: Prompt, meta: CallMeta) -> tuple[str, ModelEnd]:
        """The whole text at once. Raises `ModelFailed`."""
        ...

    async def available(self) -> bool: ...

    async def aclose(self) -> None: ...


class Moderator(Protocol):
    longest_phrase: int
    """How many characters a passage may have that it knows by its words; 0 where it knows none."""

    async def allows(self, text: str) -> bool:
        """Whether players may read this passage. Raises `LLMUnavailable` when nobody can tell."""
        ...

    async def aclose(self) -> None: ...


# -- journey-log ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What became of one write.

    done: journey-log took it. refused: journey-log itself said no, it will never land.
    not_sent: no connection was made. unknown: it may or may not have landed.
    """

    outcome: Literal["done", "refused", "not_sent", "unknown"]
    status: int | None = None
    error: str | None = None


Landed = Literal["yes", "no", "other"]
"""What journey-log shows: the write; nothing of it; or something else in its place."""


class JourneyLog(Protocol):
    """Reads raise `CharacterNotFound`, `Forbidden`, `JourneyLogError` or `JourneyLogTimeout`."""

    async def context(self, user_id: str, character_id: str, meta: CallMeta) -> Context: ...

    async def sparks(self, user_id: str, character_id: str, meta: CallMeta) -> list[Place]: ...

    async def write(
        self, user_id: str, character_id: str, write: PlannedWrite, meta: CallMeta
    ) -> WriteResult:
        """Send once, never again by itself. Does not raise for what the network or the server does."""
        ...

    async def landed(
        self, user_id: str, character_id: str, write: PlannedWrite, meta: CallMeta
    ) -> Landed:
        """Look whether a write whose answer was lost has arrived. One attempt, raises as reads do."""
        ...

    async def create_character(self, user_id: str, fields: dict[str, str], meta: CallMeta) -> str:
        """The new character's id. Raises `CharacterExists`, `ValidationError` beside the above."""
        ...

    async def characters(self, user_id: str, meta: CallMeta) -> list[dict[str, Any]]: ...

    async def available(self) -> bool: ...

    async def aclose(self) -> None: ...


# -- the store ------------------------------------------------------------------------------------

TurnStatus = Literal["queued", "running", "complete", "error", "cancelled"]


@dataclass(frozen=True, slots=True)
class TurnRequest:
    """One admitted request. `kind` opening: the first scene of a new character."""

    character_id: str
    user_action: str
    user_id: str
    request_id: str
    dry_run: bool = False
    traceparent: str | None = None
    idempotency_key: str | None = None
    endpoint: str = "/turn/stream"
    kind: Literal["turn", "opening"] = "turn"
    address: str = ""
    about: str = ""
    """What else makes two requests the same; for an opening, the character that is wished for."""
    reserved: int = 0
    """Tokens set aside for the turn in its user's budget of the day."""


@dataclass(slots=True)
class StoredTurn:
    """A turn as the store keeps it. Times are epoch seconds; `result` is the turn's final view."""

    turn_id: str
    user_id: str
    character_id: str
    status: TurnStatus
    created_at: float
    request: dict[str, Any] = field(default_factory=dict)
    finished_at: float | None = None
    result: dict[str, Any] | None = None
    recording: Recording | None = None


class Claim(NamedTuple):
    """The right to carry a turn. It is lost for good once somebody else has a higher fence."""

    turn_id: str
    fence: int


@dataclass(frozen=True, slots=True)
class Admitted:
    """The claim holds against everybody else already. `durable` ends once it would outlive a crash;
    it raises `StoreUnavailable` when the store could not keep it: then there never was a turn.
    """

    claim: Claim
    standing: Standing
    durable: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class Queued:
    """Another turn has the character; this one is `position`-th in line, from 1."""

    claim: Claim
    position: int


@dataclass(frozen=True, slots=True)
class Attached:
    """The idempotency key names this turn."""

    turn_id: str


@dataclass(frozen=True, slots=True)
class Busy:
    """Another turn of the same user has the character; None: it is between two turns."""

    turn_id: str | None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a turn ends: everything that becomes final in one transaction.

    `frames` are the events that no earlier transaction recorded. `release_key`: the idempotency key
    may be used again, since nothing was done under it. `recording` is what a replay needs.
    """

    status: TurnStatus
    result: dict[str, Any]
    frames: Sequence[bytes]
    standing: Standing | None = None
    place: str | None = None
    release_key: bool = False
    recording: Recording | None = None
    tokens: int | None = None
    """What the model really used; None where nobody knows: then what was reserved is charged."""


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens of one user on one day (UTC)."""

    used: int
    reserved: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the writes of a turn have come; times in epoch seconds.

    Writes up to `step` have a known fate. Write `intent`, where it is ahead of `step`, may have been
    sent: first at `first_sent_at`, last at `sent_at`.
    """

    step: int = 0
    intent: int = 1
    sent_at: float = 0.0
    first_sent_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Orphan:
    """A turn whose owner is gone, now claimed by this process."""

    claim: Claim
    request: TurnRequest
    phase: Literal["queued", "streaming", "cancelling", "writing"]
    created_at: float
    frames: list[bytes]
    record: CommitRecord | None
    progress: Progress


class TurnStore(Protocol):
    """The journal. Every method is one transaction, durable when it returns; only `admit` may return
    earlier, see `Admitted`.

    Raises `StoreUnavailable` when the store cannot be used. Methods that take a claim return False
    when it has been lost.
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
        budget: int = 0,
    ) -> Admitted | Queued | Attached | Busy:
        """Bind the key, reserve the tokens, and claim the character or wait in line for it.

        `budget`: tokens a day for the user, 0 for no limit. Raises `IdempotencyKeyReused` or
        `TokenBudgetExceeded`.
        """
        ...

    async def spent(self, user_id: str) -> Spent:
        """Today's tokens."""
        ...

    async def begin_cancel(self, turn_id: str) -> bool:
        """Compare-and-set against `validate`: True when the turn will end as cancelled."""
        ...

    async def note(self, claim: Claim, frames: Sequence[bytes]) -> bool:
        """Record events that come between the steps."""
        ...

    async def validate(
        self, claim: Claim, record: CommitRecord, frames: Sequence[bytes], recording: Recording
    ) -> bool:
        """Record the plan, the events of phase 1 and the intent of the first write.

        False when the turn was cancelled.
        """
        ...

    async def step(self, claim: Claim, step: int, frames: Sequence[bytes]) -> bool:
        """Record the receipt of write `step` (from 1) and the intent of the next."""
        ...

    async def resend(self, claim: Claim, intent: int) -> bool:
        """Record that write `intent` is about to be sent, mostly once more."""
        ...

    async def finish(self, claim: Claim, ending: Ending) -> bool:
        """End the turn and free its character. False also when it was cancelled meanwhile."""
        ...

    async def promote(self, user_id: str, character_id: str) -> str | None:
        """Give a free character to the turn that has waited longest; its id."""
        ...

    async def adopt(self) -> list[Orphan]:
        """Claim every turn that has no living owner."""
        ...

    async def turn(self, turn_id: str, *, recording: bool = False) -> StoredTurn | None:
        """`recording`: with what a replay needs, which is large."""
        ...

    async def frames(self, turn_id: str) -> list[bytes] | None:
        """The events of a finished turn; None when they have expired."""
        ...

    async def recent_turns(self, character_id: str, limit: int) -> list[StoredTurn]:
        """Newest first."""
        ...

    async def standing(self, character_id: str) -> Standing: ...

    async def knows_place(self, character_id: str, name: str) -> bool:
        """`name` is case-folded."""
        ...

    async def expire(self, now: float) -> int:
        """Remove what is past its time; the number of turns removed."""
        ...

    async def available(self) -> bool: ...

    async def aclose(self) -> None: ...


# -- the event log --------------------------------------------------------------------------------


class TurnLog(Protocol):
    """The retained frames of one turn, in order; `frames[k]` has the sequence number k+1."""

    frames: list[bytes]
    closed: bool
    broken: bool

    def append(self, frames: Sequence[bytes], *, last: bool = False) -> None:
        """Make frames visible and wake the readers; `last` closes the log.

        Who watches first hears of it at once, and everybody does of the end. What was appended in
        short order may be one call for the others.
        """
        ...

    def break_off(self) -> None:
        """Close the log of a turn that goes on elsewhere: readers must come back and find it."""
        ...

    def watch(self, wake: Callable[[], None]) -> None:
        """Call `wake` when there may be more; it must not raise."""
        ...

    def unwatch(self, wake: Callable[[], None]) -> None: ...


class EventLog(Protocol):
    def open(self, turn_id: str, frames: Sequence[bytes] = ()) -> TurnLog: ...

    def get(self, turn_id: str) -> TurnLog | None: ...

    def drop(self, turn_id: str) -> None: ...

    def sealed(self, frames: Sequence[bytes]) -> TurnLog:
        """A closed log of a finished turn, held by its readers only."""
        ...
