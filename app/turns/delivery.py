"""The planned writes of a validated turn, in order, each recorded before anybody sees it.

The fate of one write is known before the next is sent.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from app.core.events import Complete, Write
from app.core.record import CommitRecord, next_progress
from app.core.results import Change, SubsystemSummary
from app.core.tables import NewLine
from app.core.writes import PlannedWrite
from app.ports.journey_log import JourneyLog
from app.ports.store import DeliveryProgress, TurnStore
from app.turns.endings import ending_of
from app.turns.observe import Observer, WriteSettled, WritesFinished, WritesStarted
from app.turns.persistence import commit, commit_intent
from app.turns.state import TurnState
from app.turns.write_fate import DeliveryPolicy, WriteDelivery


class Deliverer:
    """Sends writes to journey-log and records what became of each."""

    def __init__(
        self,
        journey_log: JourneyLog,
        store: TurnStore,
        observe: Observer,
        policy: DeliveryPolicy | None = None,
    ) -> None:
        self._journey_log = journey_log
        self._store = store
        self.policy = policy or DeliveryPolicy()
        self._observe = observe

    async def deliver(
        self,
        turn: TurnState,
        record: CommitRecord,
        delivery: DeliveryProgress,
        *,
        recovered: bool = False,
    ) -> None:
        """Write quest → combat → POI → narrative and end the turn. Raises `LostTurn`.

        A write that fails does not stop the later ones: the summary says what happened.
        `recovered`: a former owner may have sent write `delivery.intent`.
        """
        began = turn.clock.monotonic()
        self._observe(WritesStarted(turn))
        summary = record.plan.summary
        if delivery.step:
            summary = _with_receipts(summary, turn)
        writes = record.plan.writes
        maybe_sent = delivery.intent if recovered else None
        unwritten = _unwritten_before(writes, turn) if delivery.step else []
        receipt: Write | None = None
        for number in range(delivery.step + 1, len(writes) + 1):
            write = writes[number - 1]
            attempt = WriteDelivery(
                self._journey_log, self._store, self.policy, turn, write, delivery
            )
            fate = await attempt.run(number, maybe_sent=number == maybe_sent)
            receipt = fate.receipt
            self._observe(WriteSettled(turn, write.subsystem, write.action, fate.outcome))
            summary = summary.with_write(write.subsystem, _change(receipt))
            unwritten += _unwritten(write, receipt.success, receipt.error)
            if number < len(writes):
                delivery = await self._next(turn, number, receipt)
        self._observe(WritesFinished(turn))
        turn.spent("writes_ms", began)
        record = record.model_copy(update={"lines": (*record.lines, *unwritten)})
        await self._finish(turn, record, receipt, summary)

    async def _next(self, turn: TurnState, number: int, receipt: Write) -> DeliveryProgress:
        entries = turn.writer.draft(receipt)
        await commit_intent(turn, lambda: self._store.step(turn.claim, number, entries))
        turn.writer.publish(entries)
        now = turn.clock.now()
        return DeliveryProgress(number, number + 1, now, now)

    async def _finish(
        self,
        turn: TurnState,
        record: CommitRecord,
        receipt: Write | None,
        summary: SubsystemSummary,
    ) -> None:
        """`receipt` of the last write; None when it is in the log already."""
        complete = completion(turn, record, summary)
        character = bool(record.character_id)
        before = () if receipt is None else (receipt,)
        ending = replace(
            ending_of(turn, "complete", complete, *before),
            progress=next_progress(record, summary, turn.clock.now()) if character else None,
            place=record.plan.poi_name if summary.poi_change.success else None,
            spent=record.spent,
            lines=record.lines,
        )
        await commit(lambda: self._store.finish(turn.claim, ending))
        turn.writer.publish(ending.entries)


def completion(turn: TurnState, record: CommitRecord, summary: SubsystemSummary) -> Complete:
    """The terminal event of a turn whose writes have all been tried."""
    return Complete(
        turn_id=turn.turn_id,
        intents=record.intents.model_dump(),
        subsystem_summary=summary,
        timing=turn.timing(),
        usage=record.usage,
        validation=record.validation,
    )


def _with_receipts(summary: SubsystemSummary, turn: TurnState) -> SubsystemSummary:
    """Add the receipts that a former owner has put into the log."""
    for _, kind, data in turn.writer.log.entries():
        if kind == "write":
            event = json.loads(data)
            receipt = {name: event[name] for name in ("action", "success", "error")}
            summary = summary.with_write(event["subsystem"], Change(**receipt))
    return summary


def _unwritten_before(writes: Sequence[PlannedWrite], turn: TurnState) -> list[NewLine]:
    """What is to be said of the receipts that a former owner has put into the log."""
    receipts = [json.loads(data) for _, kind, data in turn.writer.log.entries() if kind == "write"]
    return [
        line
        for write, receipt in zip(writes, receipts, strict=False)
        for line in _unwritten(write, receipt["success"], receipt["error"])
    ]


def _unwritten(write: PlannedWrite, success: bool, error: str | None) -> list[NewLine]:
    """What is said of the write, if it has failed."""
    if success or write.unwritten is None:
        return []
    content = f"{write.unwritten.content}: {error or 'unknown'}."
    return [replace(write.unwritten, content=content)]


def _change(receipt: Write) -> Change:
    return Change(action=receipt.action, success=receipt.success, error=receipt.error)
