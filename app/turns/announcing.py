"""The event that other services get of a turn that has ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.core.hub import CONVERSATIONS, SESSIONS, EventType, NewEvent, about_turn, event_id
from app.ports.turn import TurnRequest, TurnStatus

_TYPES: Final[dict[TurnStatus, EventType]] = {
    "complete": "turn.completed",
    "error": "turn.failed",
    "cancelled": "turn.cancelled",
}
_MEMBERS: Final = {SESSIONS: "session_id", CONVERSATIONS: "conversation_id"}


def turn_event(
    turn_id: str, request: TurnRequest, status: TurnStatus, result: Mapping[str, Any]
) -> NewEvent:
    """`result`: the turn's final view. Nothing of what was said goes along: whoever may read it can ask for
    the turn."""
    kind = _TYPES[status]
    subject = about_turn(turn_id, request.character_id, request.exclusive)
    data: dict[str, Any] = {
        "turn_id": turn_id,
        "kind": request.kind,
        "user_id": request.user_id,
        "character_id": request.of_character,
        "dry_run": request.dry_run,
    }
    about, _, name = subject.partition("/")
    if about in _MEMBERS:
        data[_MEMBERS[about]] = name
    for field in ("subsystem_summary", "usage"):
        if field in result:
            data[field] = result[field]
    if "error" in result:
        data["error"] = {name: result["error"][name] for name in ("type", "recoverable", "phase")}
    return NewEvent(event_id(kind, turn_id), kind, subject, request.user_id, data)
