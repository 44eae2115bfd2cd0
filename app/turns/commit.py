"""Phase 2 after validation: the planned writes, in order, each recorded before anybody sees it."""

from __future__ import annotations

from app.core.events import Complete, Write
from app.core.record import CommitRecord, next_standing
from app.core.results import Change, SubsystemSummary
from app.core.writes import PlannedWrite
from app.ports import Ending, JourneyLog, TurnStore, WriteResult
from app.turns.observe import Observer, WriteSettled, WritesFinished, WritesStarted
from app.turns.running import RunningTurn


class LostTurn(Exception):
    """Another owner carries this turn now; nothing more may be done for it here."""


class Committer:
    def __init__(self, journey_log: JourneyLog, store: TurnStore, observe: Observer) -> None:
        self._journey_log = journey_log
        self._store = store
        self._observe = observe

    async def carry_out(self, turn: RunningTurn, record: CommitRecord) -> None:
        """Write quest → combat → POI → narrative and end the turn. Raises `LostTurn`.

        A write that fails does not stop the later ones: the summary says what happened.
        """
        began = turn.clock.monotonic()
        self._observe(WritesStarted(turn))
        summary = record.plan.summary
        *early, last = record.plan.writes
        for number, write in enumerate(early, start=1):
            receipt = await self._send(turn, record, write)
            summary = summary.with_write(write.subsystem, _change(receipt))
            frames = turn.tape.draft(receipt)
            if not await self._store.step(turn.turn_id, number, frames):
                raise LostTurn
            turn.tape.publish(frames)
        receipt = await self._send(turn, record, last)
        summary = summary.with_write(last.subsystem, _change(receipt))
        self._observe(WritesFinished(turn))
        turn.spent("writes_ms", began)
        await self._finish(turn, record, receipt, summary)

    async def _send(self, turn: RunningTurn, record: CommitRecord, write: PlannedWrite) -> Write:
        result = await self._journey_log.write(
            record.user_id, record.character_id, write, turn.meta
        )
        receipt = _receipt(write, result)
        outcome = "skipped" if receipt.action == "skipped" else result.outcome
        self._observe(WriteSettled(turn, write.subsystem, write.action, outcome))
        return receipt

    async def _finish(
        self,
        turn: RunningTurn,
        record: CommitRecord,
        receipt: Write,
        summary: SubsystemSummary,
    ) -> None:
        complete = completion(turn, record, summary)
        ending = Ending(
            status="complete",
            result=turn.tape.preview(complete).result(),
            frames=turn.tape.draft(receipt, complete),
            standing=next_standing(record, summary, turn.clock.now()),
            place=record.plan.poi_name if summary.poi_change.success else None,
            audit=turn.audit(),
        )
        if not await self._store.finish(turn.turn_id, ending):
            raise LostTurn
        turn.tape.publish(ending.frames)


def completion(turn: RunningTurn, record: CommitRecord, summary: SubsystemSummary) -> Complete:
    return Complete(
        turn_id=turn.turn_id,
        intents=record.intents.model_dump(),
        subsystem_summary=summary,
        timing=turn.timing(),
        usage=record.usage,
        validation=record.validation,
    )


def _receipt(write: PlannedWrite, result: WriteResult) -> Write:
    if result.outcome == "done":
        return Write(write.subsystem, write.action, True)
    if write.subsystem == "quest" and result.status == 409:
        return Write("quest", "skipped", False, result.error)
    return Write(write.subsystem, write.action, False, result.error or result.outcome)


def _change(receipt: Write) -> Change:
    return Change(action=receipt.action, success=receipt.success, error=receipt.error)
