"""The views of the journal that all inspectors show, and the record of settling by hand."""

from __future__ import annotations

import json
import zlib
from typing import Any, Final

from app.core.events import Write
from app.core.record import CommitRecord
from app.core.writes import PlannedWrite
from app.ports.inspection import CannotSettle

EVENT_LISTED: Final = "id, type, subject, user_id, state, refusals, reason, created_at, due_at"


def under_way(record: str, step: int, intent: int) -> PlannedWrite:
    """The write whose fate is not known. Raises `CannotSettle`."""
    writes = CommitRecord.model_validate_json(record).plan.writes
    if intent != step + 1 or intent > len(writes):
        raise CannotSettle("the turn has no write under way")
    return writes[step]


def receipt_of(write: PlannedWrite, *, landed: bool) -> Write:
    """The receipt of a write that somebody has settled by hand."""
    error = None if landed else "settled by hand"
    return Write(write.subsystem, write.action, landed, error)


def journal_view(row: dict[str, Any]) -> dict[str, Any]:
    """The view of a turn's row, whose documents are still encoded."""
    record, recording = row.pop("record"), row.pop("recording")
    request, result = json.loads(row.pop("request")), row.pop("result")
    plan = json.loads(record)["plan"] if record else None
    if plan is None and recording is not None:
        plan = json.loads(zlib.decompress(recording)).get("plan")
    return row | {
        "request_id": request["request_id"],
        "endpoint": request["endpoint"],
        "dry_run": request["dry_run"],
        "recorded": recording is not None,
        "writes": _writes(plan, row["step"], row["intent"], row["phase"] == "done"),
        "result": None if result is None else json.loads(result),
    }


def _writes(
    plan: dict[str, Any] | None, step: int, intent: int, done: bool
) -> list[dict[str, Any]]:
    def state(number: int) -> str:
        if done or number <= step:
            return "settled"
        return "under way" if number == intent else "waiting"

    return [
        {
            "number": number,
            "subsystem": write["subsystem"],
            "action": write["action"],
            "marker": write["marker"],
            "state": state(number),
        }
        for number, write in enumerate(plan["writes"] if plan else [], start=1)
    ]
