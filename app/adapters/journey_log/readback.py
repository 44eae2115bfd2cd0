"""Finding a write again whose answer was lost, by its marker or by what it put in place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

from app.core.writes import PlannedWrite, marker_time, parse_marker
from app.errors import JourneyLogError
from app.ports.journey_log import Landed

Read = Callable[[str, str], Awaitable[Any]]
"""(operation, path below the character) → the answer's JSON."""


async def look_for(write: PlannedWrite, read: Read) -> Landed:
    """Raises `JourneyLogError` when an answer cannot be understood."""
    try:
        match write.subsystem:
            case "narrative":
                return await _narrative(write, read)
            case "poi":
                return await _poi(write, read)
            case "quest":
                return await _quest(write, read)
            case "combat":
                return await _combat(write, read)
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
        raise JourneyLogError("journey-log sent an answer that cannot be read.") from None


async def _narrative(write: PlannedWrite, read: Read) -> Landed:
    since = quote(marker_time(write.marker - 1))
    found = await read("get_narrative", f"/narrative?n=100&since={since}")
    marks = (parse_marker(turn["timestamp"]) for turn in found["turns"])
    return "yes" if write.marker in marks else "no"


async def _poi(write: PlannedWrite, read: Read) -> Landed:
    """Newest first, so pages are read until they are older than the marker."""
    path = "/pois?limit=100"
    while True:
        page = await read("get_pois", path)
        marks = [parse_marker(poi["created_at"]) for poi in page["pois"]]
        if write.marker in marks:
            return "yes"
        cursor = page.get("cursor")
        if not cursor or not marks or marks[-1] < write.marker:
            return "no"
        path = f"/pois?limit=100&cursor={quote(cursor)}"


async def _quest(write: PlannedWrite, read: Read) -> Landed:
    quest = (await read("get_quest", "/quest"))["quest"]
    if write.method == "DELETE":
        if quest is None:
            return "yes"
        return "no" if _same_time(quest["updated_at"], write.replaces) else "other"
    if quest is None:
        return "no"
    return "yes" if parse_marker(quest["updated_at"]) == write.marker else "other"


def _same_time(one: str, other: str | None) -> bool:
    return parse_marker(one) == parse_marker(other)


async def _combat(write: PlannedWrite, read: Read) -> Landed:
    shown = await read("get_combat", "/combat")
    meant = (write.body or {}).get("combat_state")
    if meant is None:
        return "no" if shown["active"] else "yes"
    state = shown["state"]
    same = state is not None and all(state[name] == meant[name] for name in ("combat_id", "turn"))
    return "yes" if same else "no"
