"""The SQL behind the store's transactions, one statement's work each."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, cast

from app.adapters.store.packing import pack, recording_of, unpack
from app.adapters.store.retention import KEY_SECONDS
from app.adapters.store.sqlite import contents, conversations
from app.adapters.store.sqlite.table_turns import LEAST_RECENT, begin_at_table
from app.core.context import CharacterProgress
from app.core.encoding import dump
from app.core.events import Entry
from app.core.record import CommitRecord
from app.errors import IdempotencyKeyReused
from app.ports.store import (
    Claim,
    DeliveryProgress,
    Ending,
    Held,
    Orphan,
    OrphanPhase,
    StoredTurn,
    TurnRequest,
    Writing,
)

_REQUEST_FIELDS = tuple(field.name for field in fields(TurnRequest))
STORED = "turn_id, user_id, character_id, status, created_at, request, finished_at, result"


def changed(db: sqlite3.Connection, sql: str, values: tuple[Any, ...]) -> bool:
    """Whether the statement changed one row: the verdict of a compare-and-set."""
    return db.execute(sql, values).rowcount == 1


# -- keys and claims ------------------------------------------------------------------------------


def peek(db: sqlite3.Connection) -> None:
    """Read from the file."""
    db.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()


def touch(db: sqlite3.Connection) -> None:
    """Write to the file what it holds already."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    db.execute(f"PRAGMA user_version = {version:d}")


def by_key(
    db: sqlite3.Connection, user_id: str, key: str, body_hash: bytes, now: float
) -> str | None:
    row = db.execute(
        "SELECT turn_id, body_hash FROM turns"
        " WHERE user_id = ? AND idempotency_key = ? AND created_at > ?",
        (user_id, key, now - KEY_SECONDS),
    ).fetchone()
    if row is None:
        return None
    if row[1] != body_hash:
        raise IdempotencyKeyReused(row[0])
    return str(row[0])


def unbind(db: sqlite3.Connection, user_id: str, key: str) -> None:
    """Free a key whose time is over."""
    db.execute(
        "UPDATE turns SET idempotency_key = NULL WHERE user_id = ? AND idempotency_key = ?",
        (user_id, key),
    )


def queue_of(db: sqlite3.Connection, exclusive_key: str) -> tuple[int, str | None]:
    """The number of turns that wait for the key, and the turn that has it."""
    (waiting,) = db.execute(
        "SELECT COUNT(*) FROM turns WHERE exclusive_key = ? AND phase = 'queued'", (exclusive_key,)
    ).fetchone()
    active = db.execute(
        "SELECT turn_id FROM turns WHERE exclusive_key = ? AND active = 1", (exclusive_key,)
    ).fetchone()
    return waiting, None if active is None else active[0]


def own_in_queue(db: sqlite3.Connection, request: TurnRequest) -> int:
    """The number of turns of the request's user that wait for its key."""
    (waiting,) = db.execute(
        "SELECT COUNT(*) FROM turns WHERE exclusive_key = ? AND phase = 'queued' AND user_id = ?",
        (request.exclusive_key, request.user_id),
    ).fetchone()
    return int(waiting)


def insert(
    db: sqlite3.Connection,
    turn_id: str,
    request: TurnRequest,
    body_hash: bytes,
    owner: str,
    now: float,
    *,
    queued: bool,
) -> None:
    state = ("queued", "queued", None) if queued else ("running", "streaming", 1)
    db.execute(
        "INSERT INTO turns (turn_id, user_id, character_id, exclusive_key, idempotency_key,"
        " body_hash, request, reserved, reserved_micros, status, phase, active, owner, fence,"
        " created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?)",
        (
            turn_id,
            request.user_id,
            request.character_id,
            request.exclusive_key,
            request.idempotency_key,
            body_hash,
            dump({name: getattr(request, name) for name in _REQUEST_FIELDS}),
            request.reserved,
            request.reserved_micros,
            *state,
            owner,
            now,
        ),
    )
    if not queued:
        begin_at_table(db, turn_id, request.exclusive_key)


def promote(db: sqlite3.Connection, exclusive_key: str) -> str | None:
    """Give the key to the first turn in its queue, unless a turn has it.

    At a table, which has many players, the one goes first whose latest turn began longest ago.
    """
    waiting, active = queue_of(db, exclusive_key)
    if active is not None or not waiting:
        return None
    order = LEAST_RECENT if exclusive_key.startswith("table:") else ""
    (turn_id,) = db.execute(
        "SELECT turn_id FROM turns WHERE exclusive_key = ?1 AND phase = 'queued'"
        f" ORDER BY {order} created_at, rowid LIMIT 1",
        (exclusive_key,),
    ).fetchone()
    db.execute(
        "UPDATE turns SET status = 'running', phase = 'streaming', active = 1 WHERE turn_id = ?",
        (turn_id,),
    )
    begin_at_table(db, turn_id, exclusive_key)
    return str(turn_id)


def awaiting(db: sqlite3.Connection, turn_id: str) -> tuple[str, str, str] | None:
    """User, exclusive key and record of a turn that awaits its commit; None where it awaits none."""
    row = db.execute(
        "SELECT user_id, exclusive_key, record FROM turns WHERE turn_id = ? AND phase = 'awaiting'",
        (turn_id,),
    ).fetchone()
    return None if row is None else (row[0], row[1], row[2])


def adopt(db: sqlite3.Connection, owner: str) -> list[Orphan]:
    """Take over what others left open; in the order in which it was admitted."""
    found = db.execute(
        "SELECT turn_id, fence + 1, request, phase, created_at, record, step, intent, sent_at,"
        " first_sent_at FROM turns WHERE phase <> 'done' AND owner <> ? ORDER BY created_at, rowid",
        (owner,),
    ).fetchall()
    db.execute(
        "UPDATE turns SET owner = ?, fence = fence + 1 WHERE phase <> 'done' AND owner <> ?",
        (owner, owner),
    )
    return [
        Orphan(
            claim=Claim(row[0], row[1]),
            request=_request(row[2]),
            phase=_orphan_phase(row[3], row[5:]),
            created_at=row[4],
            entries=entries(db, row[0]),
        )
        for row in found
    ]


def _orphan_phase(phase: Any, writes: tuple[Any, ...]) -> OrphanPhase:
    """`phase` with the columns record, step, intent, sent_at and first_sent_at."""
    record, step, intent, sent_at, first_sent_at = writes
    if phase in ("awaiting", "retelling", "committing"):
        return Held(phase, CommitRecord.model_validate_json(record))
    if phase != "writing":
        return cast(OrphanPhase, phase)
    delivery = DeliveryProgress(step, intent, sent_at or 0.0, first_sent_at or 0.0)
    return Writing(CommitRecord.model_validate_json(record), delivery)


# -- endings --------------------------------------------------------------------------------------


def remember(db: sqlite3.Connection, turn_id: str, ending: Ending) -> None:
    """Keep what outlives the turn: an exchange of a conversation, content, or the character's progress and
    the place that was written."""
    if ending.exchange is not None:
        conversations.change(db, ending.exchange.key, ending.exchange.apply)
    if ending.content is not None:
        contents.add(db, ending.content)
    if ending.progress is None:
        return
    (character_id,) = db.execute(
        "SELECT character_id FROM turns WHERE turn_id = ?", (turn_id,)
    ).fetchone()
    db.execute(
        "INSERT INTO characters (character_id, progress) VALUES (?, ?)"
        " ON CONFLICT (character_id) DO UPDATE SET progress = excluded.progress",
        (character_id, ending.progress.model_dump_json()),
    )
    if ending.place is not None:
        db.execute(
            "INSERT OR IGNORE INTO places (character_id, name) VALUES (?, ?)",
            (character_id, ending.place),
        )


# -- events ---------------------------------------------------------------------------------------


def add_entries(db: sqlite3.Connection, turn_id: str, added: Sequence[Entry]) -> None:
    for first, packed in pack(added):
        db.execute(
            "INSERT INTO events (turn_id, part, first, data) SELECT ?,"
            " 1 + COALESCE(MAX(part), 0), ?, ? FROM events WHERE turn_id = ?",
            (turn_id, first, packed, turn_id),
        )


def entries(db: sqlite3.Connection, turn_id: str) -> list[Entry]:
    parts = db.execute(
        "SELECT first, data FROM events WHERE turn_id = ? ORDER BY part", (turn_id,)
    ).fetchall()
    return [entry for first, packed in parts for entry in unpack(first, packed)]


# -- turns as they are shown ----------------------------------------------------------------------


def stored(db: sqlite3.Connection, turn_id: str, *, recording: bool = False) -> StoredTurn | None:
    """`recording`: with what a replay needs, which is large."""
    last = "recording" if recording else "NULL"
    row = db.execute(f"SELECT {STORED}, {last} FROM turns WHERE turn_id = ?", (turn_id,)).fetchone()
    return None if row is None else as_stored(row)


def recent(db: sqlite3.Connection, character_id: str, limit: int) -> list[StoredTurn]:
    """Newest first."""
    found = db.execute(
        f"SELECT {STORED}, recording FROM turns WHERE character_id = ?"
        " ORDER BY created_at DESC, rowid DESC LIMIT ?",
        (character_id, limit),
    )
    return [as_stored(row) for row in found]


def as_stored(row: tuple[Any, ...]) -> StoredTurn:
    """The turn of a row with the columns `STORED` and the recording."""
    return StoredTurn(
        turn_id=row[0],
        user_id=row[1],
        character_id=row[2],
        status=row[3],
        created_at=row[4],
        request=json.loads(row[5]),
        finished_at=row[6],
        result=None if row[7] is None else json.loads(row[7]),
        recording=recording_of(row[8]),
    )


def recent_starts(db: sqlite3.Connection, since: float) -> list[tuple[TurnRequest, float]]:
    """The requests admitted since then, oldest first, with their times."""
    found = db.execute(
        "SELECT request, created_at FROM turns WHERE created_at > ? ORDER BY created_at", (since,)
    )
    return [(_request(row[0]), row[1]) for row in found]


def _request(text: str) -> TurnRequest:
    """The stored request; fields of another release that this one does not know are left out."""
    stored = json.loads(text)
    return TurnRequest(**{name: stored[name] for name in stored if name in _REQUEST_FIELDS})


def progress_of(db: sqlite3.Connection, character_id: str) -> CharacterProgress:
    row = db.execute(
        "SELECT progress FROM characters WHERE character_id = ?", (character_id,)
    ).fetchone()
    return CharacterProgress() if row is None else CharacterProgress.model_validate_json(row[0])
