"""Phase 2 after validation: the planned writes, in order, each recorded before anybody sees it.

journey-log has no idempotency key, so a write whose answer was lost is never sent again blindly:
its marker is looked for until it appears or until it can no longer land. Only then is it sent once
more. One write's fate is known before the next is sent.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from typing import Literal

from app.core.events import Complete, Metadata, Write, payload, stamp
from app.core.record import CommitRecord, next_progress
from app.core.results import Change, SubsystemSummary
from app.core.writes import PlannedWrite
from app.errors import DungeonMasterError
from app.ports.journey_log import JourneyLog, Landed, WriteResult
from app.ports.store import DeliveryProgress, Ending, TurnStore
from app.turns.observe import Observer, WriteSettled, WritesFinished, WritesStarted
from app.turns.persistence import commit
from app.turns.state import TurnState


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """Seconds. `settle`: how long an unanswered write may still land, longer than the client's
    timeout. `deadline`: how long one write may keep its turn. `poll` and `longest_poll`: the pauses
    between two looks, growing from one to the other.
    """

    settle: float = 35.0
    deadline: float = 900.0
    poll: float = 0.1
    longest_poll: float = 2.0


class Deliverer:
    def __init__(
        self,
        journey_log: JourneyLog,
        store: TurnStore,
        observe: Observer,
        patience: DeliveryPolicy | None = None,
    ) -> None:
        self.journey_log = journey_log
        self.store = store
        self.patience = patience or DeliveryPolicy()
        self._observe = observe

    async def carry_out(
        self,
        turn: TurnState,
        record: CommitRecord,
        progress: DeliveryProgress,
        *,
        recovered: bool = False,
    ) -> None:
        """Write quest → combat → POI → narrative and end the turn. Raises `LostTurn`.

        A write that fails does not stop the later ones: the summary says what happened.
        `recovered`: write `progress.intent` was begun by somebody whose answer nobody heard.
        """
        began = turn.clock.monotonic()
        self._observe(WritesStarted(turn))
        summary = record.plan.summary
        if progress.step:
            summary = _with_receipts(summary, turn)
        writes = record.plan.writes
        unheard = progress.intent if recovered else None
        receipt: Write | None = None
        for number in range(progress.step + 1, len(writes) + 1):
            write = writes[number - 1]
            delivery = _Delivery(self, turn, record, write, progress, number == unheard)
            receipt = await delivery.settle(number)
            outcome = delivery.outcome if receipt.action != "skipped" else "skipped"
            self._observe(WriteSettled(turn, write.subsystem, write.action, outcome))
            summary = summary.with_write(write.subsystem, _change(receipt))
            if number < len(writes):
                progress = await self._next(turn, number, receipt)
        self._observe(WritesFinished(turn))
        turn.spent("writes_ms", began)
        await self._finish(turn, record, receipt, summary)

    async def _next(self, turn: TurnState, number: int, receipt: Write) -> DeliveryProgress:
        frames = turn.writer.draft(receipt)
        await commit(lambda: self.store.step(turn.claim, number, frames))
        turn.writer.publish(frames)
        now = turn.clock.now()
        return DeliveryProgress(number, number + 1, now, now)

    async def _finish(
        self,
        turn: TurnState,
        record: CommitRecord,
        receipt: Write | None,
        summary: SubsystemSummary,
    ) -> None:
        """`receipt` of the last write; None when it is on the writer already."""
        complete = completion(turn, record, summary)
        last = (complete,) if receipt is None else (receipt, complete)
        ending = Ending(
            status="complete",
            result=turn.writer.preview(complete).result(),
            frames=turn.writer.draft(*last),
            progress=next_progress(record, summary, turn.clock.now()),
            place=record.plan.poi_name if summary.poi_change.success else None,
            tokens=record.tokens_spent,
        )
        await commit(lambda: self.store.finish(turn.claim, ending))
        turn.writer.publish(ending.frames)


class _Delivery:
    """One write on its way to a known fate."""

    def __init__(
        self,
        committer: Deliverer,
        turn: TurnState,
        record: CommitRecord,
        write: PlannedWrite,
        progress: DeliveryProgress,
        unheard: bool,
    ) -> None:
        self._journey_log = committer.journey_log
        self._store = committer.store
        self._patience = committer.patience
        self._turn = turn
        self._record = record
        self._write = write
        self._progress = progress
        self._unheard = unheard  # sent, and nobody knows what became of it
        self._announced = False
        self.outcome: Literal["done", "refused", "not_sent", "unknown"] = "unknown"

    async def settle(self, number: int) -> Write:
        """Raises `LostTurn`."""
        if self._progress.intent != number:
            self._progress = replace(self._progress, intent=number)
            await self._record_resend()
        while True:
            if self._unheard:
                fate = await self._look_until_settled()
                if fate is not None:
                    self.outcome = "done"
                    return fate
                if self._overdue:
                    return self._receipt(False, "unknown")
                await self._record_resend()
            result = await self._send()
            if (fate := await self._judge(result)) is not None:
                return fate

    @property
    def _overdue(self) -> bool:
        return self._turn.clock.now() >= self._progress.first_sent_at + self._patience.deadline

    async def _send(self) -> WriteResult:
        record = self._record
        return await self._journey_log.write(
            record.user_id, record.character_id, self._write, self._turn.meta
        )

    async def _judge(self, result: WriteResult) -> Write | None:
        """The receipt, or None when the write has to be tried again."""
        self.outcome = result.outcome
        match result.outcome:
            case "done":
                return self._receipt(True)
            case "refused" if self._write.subsystem == "quest" and result.status == 409:
                return await self._conflict(result)
            case "refused":
                return self._receipt(False, result.error)
            case "not_sent":
                return await self._wait_to_send(result)
            case "unknown":
                self._unheard = True
        return None

    async def _conflict(self, result: WriteResult) -> Write:
        """409: another quest is active, or ours is, from a copy that was thought lost."""
        landed = await self._look()
        while landed is None and not self._overdue:
            await asyncio.sleep(self._patience.longest_poll)
            landed = await self._look()
        if landed == "yes":
            return self._receipt(True)
        return Write("quest", "skipped", False, result.error)

    async def _wait_to_send(self, result: WriteResult) -> Write | None:
        """No connection was made, so nothing is on its way: the write can be sent when one is."""
        if self._overdue:
            return self._receipt(False, result.error)
        await self._announce()
        await asyncio.sleep(self._patience.longest_poll)
        await self._record_resend()
        return None

    async def _record_resend(self) -> None:
        """Every send has its own time in the journal, from which its settling counts."""
        intent = self._progress.intent
        await commit(lambda: self._store.resend(self._turn.claim, intent))
        now = self._turn.clock.now()
        first = self._progress.first_sent_at or now
        self._progress = replace(self._progress, sent_at=now, first_sent_at=first)
        self._unheard = False

    async def _look_until_settled(self) -> Write | None:
        """Read back until the write is seen, or is known to be absent and unable to land any more.

        None: it may be sent again (or given up, when it is overdue).
        """
        settled_at = self._progress.sent_at + self._patience.settle
        pause = self._patience.poll
        while True:
            late = self._turn.clock.now() >= settled_at
            landed = await self._look()
            if landed == "yes":
                return self._receipt(True)
            if late and landed == "other":
                return Write("quest", "skipped", False, "another quest took its place")
            if late and (landed == "no" or self._overdue):
                return None
            await self._announce()
            await asyncio.sleep(pause)
            pause = min(pause * 2, self._patience.longest_poll)

    async def _look(self) -> Landed | None:
        """None when journey-log cannot be asked."""
        record = self._record
        try:
            return await self._journey_log.landed(
                record.user_id, record.character_id, self._write, self._turn.meta
            )
        except DungeonMasterError:
            return None

    async def _announce(self) -> None:
        """Tell readers once per write that its fate is being found out."""
        if self._announced:
            return
        self._announced = True
        until = stamp(self._progress.sent_at + self._patience.settle)
        fields = {"subsystem": self._write.subsystem, "until": until}
        settling = Metadata("settling", self._turn.writer.view.tokens, fields)
        frames = self._turn.writer.draft(settling)
        await commit(lambda: self._store.note(self._turn.claim, frames))
        self._turn.writer.publish(frames)

    def _receipt(self, success: bool, error: str | None = None) -> Write:
        return Write(self._write.subsystem, self._write.action, success, error)


def completion(turn: TurnState, record: CommitRecord, summary: SubsystemSummary) -> Complete:
    return Complete(
        turn_id=turn.turn_id,
        intents=record.intents.model_dump(),
        subsystem_summary=summary,
        timing=turn.timing(),
        usage=record.usage,
        validation=record.validation,
    )


def _with_receipts(summary: SubsystemSummary, turn: TurnState) -> SubsystemSummary:
    """Add the receipts that a former owner has put on the writer."""
    for frame in turn.writer.log.frames:
        if b'"type":"write"' not in frame:
            continue
        event = json.loads(payload(frame))
        if event["type"] == "write":
            told = {name: event[name] for name in ("action", "success", "error")}
            summary = summary.with_write(event["subsystem"], Change(**told))
    return summary


def _change(receipt: Write) -> Change:
    return Change(action=receipt.action, success=receipt.success, error=receipt.error)
