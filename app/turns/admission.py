"""Admission of a request as a turn: idempotency key, load, limits, reservation, claim, in this order."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, assert_never
from weakref import WeakValueDictionary

from app.core.cursors import cursor_of
from app.core.encoding import dump
from app.core.limits import check_budget, nearly_used
from app.core.money import NOTHING
from app.core.tracing import TurnTraces
from app.errors import Overloaded, TurnInProgress
from app.ports.history import TurnJournal
from app.ports.limits import REMAINING, Limiter, Taken
from app.ports.store import Admitted, Attached, Busy, Queued, TurnRequest
from app.turns.admission_rules import AdmissionRules
from app.turns.executor import TurnExecutor
from app.turns.ids import new_turn_id
from app.turns.state import TurnState
from app.turns.waiting import SHUTTING_DOWN

Prepare = Callable[[TurnRequest], Awaitable[TurnRequest]]


@dataclass(frozen=True, slots=True)
class Started:
    """A new turn, with the headers that name its limits."""

    turn: TurnState
    headers: dict[str, str]


class Admission:
    """`check_load` raises `Overloaded` when the service is full. `queue_limit`: how many turns may
    wait for one exclusive key; 0 refuses the second one.
    """

    def __init__(
        self,
        store: TurnJournal,
        executor: TurnExecutor,
        limiter: Limiter,
        rules: AdmissionRules,
        check_load: Callable[[], None] = lambda: None,
        queue_limit: int = 0,
        now: Callable[[], float] = time.time,
        traces: TurnTraces | None = None,
    ) -> None:
        self._store = store
        self._executor = executor
        self._limiter = limiter
        self._check_load = check_load
        self._queue_limit = queue_limit
        self._now = now
        self._traces = traces or TurnTraces()
        self._keys: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self.rules = rules
        self.closed = False
        """At shutdown: new turns are refused, retries of known ones still attach."""

    @property
    def accepting(self) -> bool:
        """Whether a new turn would get past the checks of load and shutdown."""
        try:
            self._check_load()
        except Overloaded:
            return False
        return not self.closed

    async def admit(
        self, request: TurnRequest, prepare: Prepare | None = None
    ) -> Started | Attached:
        """Run a new turn, or find the one that the idempotency key names.

        `prepare` completes the request once nothing but the claim can refuse it any more.
        Raises `IdempotencyKeyReused`, `TurnInProgress`, `RateLimitExceeded`, `TokenBudgetExceeded`,
        `Overloaded`. A request that attaches passes no limit and spends nothing.
        """
        body_hash, key = request_hash(request), request.idempotency_key
        if request.last_event_id:
            if (seen := await self._seen(request, body_hash)) is not None:
                return seen
            request = replace(request, last_event_id="")
        if key is None:
            return await self._shielded(request, body_hash, prepare)
        # One after another: a copy sent at the same moment attaches instead of meeting a limit.
        async with self._keys.setdefault((request.user_id, key), asyncio.Lock()):
            bound = await self._store.find_by_key(request.user_id, key, body_hash)
            if bound is not None:
                return Attached(bound)
            return await self._shielded(request, body_hash, prepare)

    async def headroom(self, request: TurnRequest) -> dict[str, str]:
        """The headers that name the limits, as they stand for such a request."""
        return await self._limiter.look(list(self.rules.charges(request)))

    async def headroom_of_all(self) -> dict[str, int]:
        """What the limits that concern all have left, by their names."""
        left: dict[str, int] = {}
        for charge in self.rules.of_all(self.rules.default_model):
            headers = await self._limiter.look([charge])
            if (remaining := headers.get(REMAINING)) is not None:
                left[charge.rule.name] = int(remaining)
        return left

    async def is_known(self, request: TurnRequest) -> bool:
        """Whether its key names a turn. Raises `IdempotencyKeyReused`."""
        key = request.idempotency_key
        if key is None:
            return False
        found = await self._store.find_by_key(request.user_id, key, request_hash(request))
        return found is not None

    def _require_open(self) -> None:
        """Raises `Overloaded` at shutdown."""
        if self.closed:
            raise Overloaded(SHUTTING_DOWN, retry_after=5)

    async def _seen(self, request: TurnRequest, body_hash: bytes) -> Attached | None:
        """Many clients send a POST again when its stream ends, with the id of the last event."""
        turn_id = request.last_event_id.rpartition(":")[0]
        after = cursor_of(request.last_event_id, turn_id)
        if not after or not await self._store.is_repeated(
            turn_id, request.user_id, body_hash, request.idempotency_key
        ):
            return None
        return Attached(turn_id, after)

    async def _shielded(
        self, request: TurnRequest, body_hash: bytes, prepare: Prepare | None
    ) -> Started | Attached:
        """A client that leaves must not leave a claimed turn without its task."""
        self._require_open()
        admission = asyncio.create_task(self._admit(request, body_hash, prepare))
        self._executor.track(admission)
        return await asyncio.shield(admission)

    async def _admit(
        self, request: TurnRequest, body_hash: bytes, prepare: Prepare | None
    ) -> Started | Attached:
        request = self.rules.with_reservation(request)
        taken = await self._take(request)
        found: TurnState | Attached | None = None
        try:
            if self.rules.budget and not request.taken_before:
                request = await self._looked_at(request, check=prepare is not None)
            if prepare is not None:
                request = self.rules.with_reservation(await prepare(request))
            found = await self._claim(request, body_hash)
        finally:
            if not isinstance(found, TurnState):
                await taken.give_back()
        return Started(found, taken.headers) if isinstance(found, TurnState) else found

    async def take_again(self, request: TurnRequest, *, collected: bool = False) -> Taken:
        """Places in the rate windows for a retelling of an admitted request. Raises as `admit`.
        `collected`: see `AdmissionRules.charges`."""
        self._require_open()
        return await self._take(request, collected=collected)

    async def take_before(self, request: TurnRequest) -> Taken:
        """Places in the rate windows for an action that a later turn plays. Raises as `admit`."""
        taken = await self.take_again(request, collected=True)
        try:
            if self.rules.budget:
                await self._looked_at(self.rules.with_reservation(request), check=True)
        except BaseException:
            await taken.give_back()
            raise
        return taken

    async def _take(self, request: TurnRequest, *, collected: bool = False) -> Taken:
        self._check_load()
        return await self._limiter.take(list(self.rules.charges(request, collected=collected)))

    async def _looked_at(self, request: TurnRequest, *, check: bool) -> TurnRequest:
        """The request with the warnings of its budget. `check`: raises `TokenBudgetExceeded`; the
        claim's own check still decides, and lets a repeated key in."""
        spent = await self._store.spent(request.user_id)
        if check:
            check_budget(self.rules.budget, spent, request.asks, self._now())
        warnings = tuple(nearly_used(self.rules.budget, spent.used, "user"))
        return replace(request, budget_warnings=warnings)

    async def _claim(self, request: TurnRequest, body_hash: bytes) -> TurnState | Attached:
        turn_id, outer = new_turn_id(), request.traceparent
        budget = NOTHING if request.taken_before else self.rules.budget
        traceparent = self._traces.begin(outer)
        request = replace(request, traceparent=traceparent, outer_traceparent=outer)
        match found := await self._store.admit(
            turn_id, request, body_hash, max(self._queue_limit, request.may_wait), budget
        ):
            case Admitted():
                return await self._executor.begin(found, request)
            case Queued():
                return await self._executor.enqueue(found, request)
            case Attached():
                return found
            case Busy(other, over_share):
                if over_share:
                    raise TurnInProgress(_OVER_SHARE)
                shown = other if request.kind != "table" else None
                headers = {"Location": f"/turns/{shown}/events"} if shown else {}
                extra = {"turn_id": shown} if shown else {}
                raise TurnInProgress(_BUSY.get(request.kind), headers=headers, extra=extra)
            case _:
                assert_never(found)


_BUSY: Final[Mapping[str, str]] = {
    "chat": "As many messages wait for this conversation as may wait.",
    "table": "Another turn of this table or of its character is under way.",
}

_OVER_SHARE: Final = "As many of your actions wait at this table as may; others have places, too."


def request_hash(request: TurnRequest) -> bytes:
    """The SHA-256 of the fields that make two requests the same. The idempotency key and the trace id
    are not among them."""
    same = [
        request.character_id,
        *((request.same,) if request.same else (request.about, request.user_action)),
        request.dry_run,
        request.kind,
        *([request.exclusive] if request.kind == "table" else ()),
        *([list(request.references)] if request.references else ()),
        *([request.commit] if request.commit != "auto" else ()),  # hashes of before stay the same
    ]
    return hashlib.sha256(dump(same).encode()).digest()
