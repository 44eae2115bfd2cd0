"""Events out of server-sent blocks, and where in a turn a reader is."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, Final, cast

import httpx

from app.core.wire import TurnEvent

ENDS: Final = frozenset({"complete", "error", "cancelled"})


@dataclass(slots=True)
class Place:
    """Where a reader is: the address of the events, and the id of the last one that it has. `heard`: when
    the service last sent something, by the monotonic clock."""

    path: str = ""
    last_id: str = ""
    over: bool = False
    heard: float = 0.0

    def passed(self, event_id: str, event: dict[str, Any]) -> bool:
        """Whether the reader is to see the event, which is behind it from now on."""
        self.heard = time.monotonic()
        if event["type"] in ("ping", "pong") or (event_id and event_id == self.last_id):
            return False
        if event["type"] == "gap":
            self.last_id = f"{self.last_id.rpartition(':')[0]}:{event['to']}"
        self.last_id = event_id or self.last_id
        self.over = event["type"] in ENDS
        return True


async def events_of(response: httpx.Response, place: Place) -> AsyncGenerator[TurnEvent, None]:
    """Those that are new, up to a terminal one or the end of the body."""
    event_id = ""
    async for line in response.aiter_lines():
        if line.startswith("id:"):
            event_id = line[3:].strip()
        elif line.startswith("data: {"):
            event = json.loads(line[6:])
            if place.passed(event_id, event):
                yield cast(TurnEvent, event)
            event_id = ""
