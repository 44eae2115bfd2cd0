"""Turns that another process runs, followed through their log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from app.core.events import Entry
from app.eventlog.reader import Cursor
from app.ports.event_log import TurnLog


def so_far(entries: Sequence[Entry]) -> dict[str, Any]:
    """The state of a running turn from its entries, in the fields of `GET /turns/{id}`, and a table's
    answer to the player beside it."""
    phase, until = "context", None
    narrative: list[str] = []
    response: list[str] = []
    for _, kind, data in entries:
        if kind == "metadata":
            event = json.loads(data)
            phase, until = event["phase"], event.get("until")
            if phase == "retelling":
                narrative, response = [], []
        elif kind == "token":
            event = json.loads(data)
            text = response if event.get("field") == "player_response" else narrative
            text.append(event["content"])
    texts = {"narrative": "".join(narrative), "player_response": "".join(response)}
    return {"phase": phase, "until": until, **texts}


_HELD: Final = ("awaiting_commit", "approval")


async def awaits_commit(log: TurnLog) -> bool:
    """Returns once the turn awaits its commit or approval (True), or the log is closed."""
    cursor, phase = Cursor(log), None
    try:
        async for batch in cursor:
            phases = [json.loads(data)["phase"] for _, kind, data in batch if kind == "metadata"]
            phase = phases[-1] if phases else phase
            if phase in _HELD and cursor.position >= log.end and not log.closed:
                return True
    finally:
        cursor.close()
    return False


async def read_to_end(log: TurnLog) -> None:
    """Returns once the log is closed."""
    cursor = Cursor(log)
    cursor.position = log.end
    try:
        async for _ in cursor:
            pass
    finally:
        cursor.close()
