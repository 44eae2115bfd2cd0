"""Turns that another process runs, as their log tells of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from app.core.events import Entry
from app.eventlog.reader import Cursor
from app.ports.event_log import TurnLog


def so_far(entries: Sequence[Entry]) -> dict[str, Any]:
    """What `GET /turns/{id}` shows of a turn that runs."""
    phase, narrative = "context", []
    for _, kind, data in entries:
        if kind == "metadata":
            phase = json.loads(data)["phase"]
        elif kind == "token":
            narrative.append(json.loads(data)["content"])
    return {"phase": phase, "narrative": "".join(narrative)}


async def read_to_end(log: TurnLog) -> None:
    """Returns once the log is closed."""
    cursor = Cursor(log)
    cursor.position = log.end
    try:
        async for _ in cursor:
            pass
    finally:
        cursor.close()
