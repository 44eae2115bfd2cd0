"""What other services are told of sessions. What happens there belongs to the session's owner."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from app.core.hub import EventType, NewEvent, session_event
from app.core.tables import Seat, Table


def created(session_id: int, name: str, owner: str) -> NewEvent:
    """A session that is about to be stored."""
    return _told("session.created", session_id, owner, {"name": name})


def changed(table: Table) -> NewEvent:
    """Its name, its rules or whether it is active."""
    rules = table.rules
    now = {"name": table.name, "is_active": table.is_active, "paused": rules.paused}
    return _told("session.changed", table.id, table.owner, now)


def deleted(table: Table) -> NewEvent:
    """With all that was said there."""
    return _told("session.deleted", table.id, table.owner, {"name": table.name})


def seated(table: Table, seat: Seat) -> NewEvent:
    """A member came, or went."""
    kind: EventType = "session.joined" if seat.present else "session.left"
    who = {"user_id": seat.user_id, "role": seat.role, "character_id": seat.character_id}
    removed = {} if seat.present else {"removed": seat.removed}
    return _told(kind, table.id, table.owner, {**who, **removed})


def _told(kind: EventType, session_id: int, owner: str, data: Mapping[str, Any]) -> NewEvent:
    return session_event(kind, session_id, str(uuid.uuid4()), owner, data)
