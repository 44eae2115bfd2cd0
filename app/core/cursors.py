"""Positions of readers of a turn."""

from __future__ import annotations

from app.core.events import LOST_END


def cursor_of(event_id: str, turn_id: str) -> int:
    """The sequence number in an event id; 0, the start, for a malformed or foreign one."""
    owner, _, seq = event_id.rpartition(":")
    return int(seq) if owner == turn_id and seq.isascii() and seq.isdigit() and len(seq) < 10 else 0


def after_lost(newest: int) -> int:
    """The next number where entries behind `newest` may have been seen and are lost."""
    return (newest // LOST_END + 1) * LOST_END
