"""One planned write on its way to a known fate.

journey-log has no idempotency key, so a write whose answer was lost is never sent again blindly.
It is settled: its marker is looked for until it appears, or until the write can no longer land.
Only then is it sent once more. journey-log answers 500 for a body that its database does not store:
a body that got 500 twice in a row, and was absent both times, is refused.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import Final, Literal, assert_never

from app.core.events import Metadata, Write, stamp
from app.core.stages import Stage
from app.core.wire import MetadataFields
from app.core.writes import PlannedWrite
from app.errors import DungeonMasterError
from app.ports.journey_log import JourneyLog, Landed, WriteResult
from app.ports.store import DeliveryProgress, TurnStore
from app.turns.persistence import commit, commit_intent
from app.turns.state import TurnState

MAX_FAULTS: Final = 2
"""Answers of 500 in a row that make a refusal of a write that has not landed."""


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """Seconds. `settle`: how long an unanswered write may still land, longer than the client's
    timeout. `deadline`: how long one write may keep its turn. `poll` and `longest_poll`: the pauses
    between two look-ups, growing from one to the other.
    """

    settle: float = 35.0
    deadline: float = 900.0
    poll: float = 0.1
    longest_poll: float = 2.0

    @property
    def fresh(self) -> float:
        """The greatest age in seconds of a write's recorded intent when it is sent."""
        return max(0.25, min(2.0, self.settle / 4))


@dataclass(frozen=True, slots=True)
class _Send:
    """Its intent is recorded, and no copy of it can be under way."""


@dataclass(frozen=True, slots=True)
class _NotSent:
    """No connection was made, so no copy is under way."""

    error: str | None


@dataclass(frozen=True, slots=True)
class _Conflict:
    """409: another quest is active, or this one, from a copy whose answer was lost."""

    error: str | None


@dataclass(frozen=True, slots=True)
class _Unknown:
    """It was sent, and may or may not have landed, or may still land."""


@dataclass(frozen=True, slots=True)
class Fate:
    """The final result of one write."""

    receipt: Write
    outcome: Literal["done", "refused", "skipped", "not_sent", "unknown"]


_Step = _Send | _NotSent | _Conflict | _Unknown | Fate


@dataclass(eq=False)
class WriteDelivery:
    """Sends and settles one write. `delivery`: how far the writes of the turn have come."""

    _journey_log: JourneyLog
    _store: TurnStore
    _policy: DeliveryPolicy
    _turn: TurnState
    _write: PlannedWrite
    _delivery: DeliveryProgress
    _announced: bool = field(default=False, init=False)
    # Not in the journal: a new owner counts anew, until the same deadline.
    _faults: int = field(default=0, init=False)

    async def run(self, number: int, *, maybe_sent: bool) -> Fate:
        """Carry the plan's write `number` to its fate. Raises `LostTurn`."""
        step: _Step = _Unknown() if maybe_sent else _Send()
        if self._delivery.intent != number:
            self._delivery = replace(self._delivery, intent=number)
            step = await self._resend()
        while not isinstance(step, Fate):
            match step:
                case _Send() if self._stale:
                    step = await self._resend()
                case _Send():
                    step = self._judge(await self._send())
                case _NotSent(error):
                    step = await self._wait_to_send(error)
                case _Conflict(error):
                    step = await self._settle_conflict(error)
                case _Unknown():
                    step = await self._settle()
                case _:
                    assert_never(step)
        return step

    @property
    def _overdue(self) -> bool:
        return self._turn.clock.now() >= self._delivery.first_sent_at + self._policy.deadline

    @property
    def _stale(self) -> bool:
        """The intent is so old that its settle time might end before the write has landed; somebody else
        may have taken the turn over, too."""
        return self._turn.clock.monotonic() - self._turn.intended > self._policy.fresh

    async def _send(self) -> WriteResult:
        return await self._journey_log.write(*self._whose, self._write, self._turn.meta)

    @property
    def _whose(self) -> tuple[str, str]:
        """User and character that the write is for."""
        request, write = self._turn.request, self._write
        return write.user_id or request.user_id, write.character_id or request.character_id

    def _judge(self, result: WriteResult) -> _Step:
        match result.outcome:
            case "done":
                return Fate(self._receipt(True), "done")
            case "refused" if self._write.subsystem == "quest" and result.status == 409:
                return _Conflict(result.error)
            case "refused":
                return Fate(self._receipt(False, result.error), "refused")
            case "not_sent":
                return _NotSent(result.error)
            case "unknown":
                self._faults = self._faults + 1 if result.status == 500 else 0
                return _Unknown()
            case _:
                assert_never(result.outcome)

    async def _resend(self) -> _Send:
        """Every send has its own time in the journal, from which its settling counts."""
        intent = self._delivery.intent
        await commit_intent(self._turn, lambda: self._store.resend(self._turn.claim, intent))
        now = self._turn.clock.now()
        first = self._delivery.first_sent_at or now
        self._delivery = replace(self._delivery, sent_at=now, first_sent_at=first)
        return _Send()

    async def _wait_to_send(self, error: str | None) -> _Step:
        if self._overdue:
            return Fate(self._receipt(False, error), "not_sent")
        await self._announce()
        await asyncio.sleep(self._policy.longest_poll)
        return await self._resend()

    # -- what became of it ------------------------------------------------------------------------

    async def _settle(self) -> _Step:
        self._turn.advance(Stage.SETTLING)
        fate = await self._look_until_settled()
        self._turn.advance(Stage.WRITING)
        if fate is not None:
            return fate
        if self._overdue:
            return Fate(self._receipt(False, "unknown"), "unknown")
        if self._faults >= MAX_FAULTS:
            return Fate(self._receipt(False, "journey-log refused it (500)"), "refused")
        return await self._resend()

    async def _look_until_settled(self) -> Fate | None:
        """Look until the write is seen, or is known to be absent and unable to land any more.

        None: it may be sent again (or given up, when it is overdue).
        """
        settled_at = self._delivery.sent_at + self._policy.settle
        pause = self._policy.poll
        while True:
            late = self._turn.clock.now() >= settled_at
            landed = await self._look()
            if landed == "yes":
                return Fate(self._receipt(True), "done")
            if late and landed == "other":
                return self._skipped("another quest took its place")
            if late and (landed == "no" or self._overdue):
                return None
            await self._announce()
            await asyncio.sleep(pause)
            pause = min(pause * 2, self._policy.longest_poll)

    async def _settle_conflict(self, error: str | None) -> Fate:
        self._turn.advance(Stage.SETTLING)
        landed = await self._look()
        while landed is None and not self._overdue:
            await asyncio.sleep(self._policy.longest_poll)
            landed = await self._look()
        self._turn.advance(Stage.WRITING)
        return Fate(self._receipt(True), "done") if landed == "yes" else self._skipped(error)

    async def _look(self) -> Landed | None:
        """None when journey-log cannot be asked."""
        try:
            return await self._journey_log.landed(*self._whose, self._write, self._turn.meta)
        except DungeonMasterError:
            return None

    async def _announce(self) -> None:
        """Show readers, once per write, that its fate is not known yet."""
        if self._announced:
            return
        self._announced = True
        until = stamp(self._delivery.sent_at + self._policy.settle)
        fields = MetadataFields(subsystem=self._write.subsystem, until=until)
        settling = Metadata("settling", self._turn.writer.view.tokens, fields)
        entries = self._turn.writer.draft(settling)
        await commit(lambda: self._store.note(self._turn.claim, entries))
        self._turn.writer.publish(entries)

    def _receipt(self, success: bool, error: str | None = None) -> Write:
        return Write(self._write.subsystem, self._write.action, success, error)

    def _skipped(self, error: str | None) -> Fate:
        return Fate(Write("quest", "skipped", False, error), "skipped")
