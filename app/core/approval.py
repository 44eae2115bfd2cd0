"""Changes of a human dungeon master to a narration that needs approval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict

from app.core.record import CommitRecord
from app.core.table_outcome import story_text
from app.core.writes import WritePlan


class Changes(BaseModel):
    """None leaves a part as the model wrote it."""

    model_config = ConfigDict(frozen=True)

    narrative: str | None = None
    player_response: str | None = None
    player_options: tuple[str, ...] | None = None


def approved(record: CommitRecord, changes: Changes) -> CommitRecord:
    """The outcome with these changes, in its events, its stored record and its writes."""
    given = changes.model_dump(exclude_none=True)
    narrative = given.pop("narrative", record.narrative)
    extras: dict[str, Any] = {**record.extras, **given}
    text = _text(narrative, extras)
    lines = [
        replace(line, content=text) if line.turn_id == record.turn_id else line
        for line in record.lines
    ]
    changed: dict[str, Any] = {
        "narrative": narrative,
        "extras": extras,
        "plan": _with_text(record.plan, text),
    }
    if text != _text(record.narrative, record.extras):
        # somebody has read it and made it right
        changed["validation"] = record.validation.model_copy(update={"roll_conflicts": ()})
    return record.model_copy(update={**changed, "lines": tuple(lines)})


def _with_text(plan: WritePlan, text: str) -> WritePlan:
    writes = [
        write.model_copy(update={"body": {**(write.body or {}), "ai_response": text}})
        if write.subsystem == "narrative"
        else write
        for write in plan.writes
    ]
    return plan.model_copy(update={"writes": tuple(writes)})


def _text(narrative: str, extras: Mapping[str, Any]) -> str:
    return story_text(narrative, str(extras.get("player_response") or ""))
