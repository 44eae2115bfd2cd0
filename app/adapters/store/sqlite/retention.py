"""Retention as SQL, a bounded round at a time."""

from __future__ import annotations

import sqlite3

from app.adapters.store.retention import UNDELIVERED, WEEK, Retention

CHUNK = 200  # turns a transaction: the writer must stay free for those that are running
FEW = 10  # turns between two looks at the size


def expire_some(db: sqlite3.Connection, keep: Retention, now: float) -> tuple[int, bool]:
    """One bounded round: the number of turns removed, and whether there is more to do."""
    events = _delete_events(db, now - keep.events_ttl)
    recordings = _drop_recordings(db, keep, now)
    turns = _delete_turns(db, now - keep.events_ttl - WEEK, CHUNK)
    turns += _make_room(db, keep.max_bytes, now)
    _delete_hub_events(db, now)
    db.execute(f"PRAGMA incremental_vacuum({CHUNK})").fetchall()
    return turns, max(events, recordings, turns) >= CHUNK


def _delete_events(db: sqlite3.Connection, ended_before: float) -> int:
    return db.execute(
        "DELETE FROM events WHERE turn_id IN (SELECT t.turn_id FROM turns t"
        " WHERE t.finished_at < ? AND EXISTS (SELECT 1 FROM events e WHERE e.turn_id = t.turn_id)"
        " LIMIT ?)",
        (ended_before, CHUNK),
    ).rowcount


def _delete_hub_events(db: sqlite3.Connection, now: float) -> None:
    """Among the oldest, those that need not be delivered any more."""
    db.execute(
        "DELETE FROM outbox WHERE event_id IN (SELECT event_id FROM"
        " (SELECT event_id, state, created_at FROM outbox ORDER BY event_id LIMIT ?)"
        " WHERE created_at < CASE WHEN state IN ('done', 'dropped') THEN ? ELSE ? END LIMIT ?)",
        (10 * CHUNK, now - WEEK, now - UNDELIVERED, CHUNK),
    )


def _drop_recordings(db: sqlite3.Connection, keep: Retention, now: float) -> int:
    """Drop recordings past their time, and the oldest above the limit."""
    (held,) = db.execute("SELECT COUNT(*) FROM turns WHERE recording IS NOT NULL").fetchone()
    surplus = min(max(held - keep.recordings_limit, 0), CHUNK)
    return sum(
        db.execute(
            "UPDATE turns SET recording = NULL WHERE turn_id IN (SELECT turn_id FROM turns"
            " WHERE recording IS NOT NULL AND finished_at < ? ORDER BY finished_at LIMIT ?)",
            bounds,
        ).rowcount
        for bounds in ((now - keep.recordings_ttl, CHUNK), (now, surplus))
    )


def _make_room(db: sqlite3.Connection, max_bytes: int, now: float) -> int:
    """Only as many of the oldest as must go."""
    gone = 0
    while gone < CHUNK and _size(db) > max_bytes:
        few = _delete_turns(db, now, FEW)
        if not few:
            break
        gone += few
    return gone


def _delete_turns(db: sqlite3.Connection, ended_before: float, limit: int) -> int:
    old = db.execute(
        "SELECT turn_id FROM turns WHERE finished_at < ? ORDER BY finished_at LIMIT ?",
        (ended_before, limit),
    ).fetchall()
    db.executemany("DELETE FROM events WHERE turn_id = ?", old)
    db.executemany("DELETE FROM turns WHERE turn_id = ?", old)
    return len(old)


def _size(db: sqlite3.Connection) -> int:
    """Bytes in use; free pages inside the file do not count."""
    pages, free, size = (
        db.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)
