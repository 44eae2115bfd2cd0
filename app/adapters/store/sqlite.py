"""`TurnStore` on SQLite: the journal of turns, idempotency keys, standings, finished turns."""

from __future__ import annotations

import json
import secrets
import sqlite3
import uuid
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from app.adapters.store.engine import SqliteEngine
from app.core.context import Standing
from app.core.events import dump, join_frames, split_frames
from app.core.record import CommitRecord
from app.errors import IdempotencyKeyReused
from app.ports import Admitted, Attached, Busy, Ending, StoredTurn, TurnRequest

KEY_SECONDS = 86_400
_COLUMNS = "turn_id, user_id, character_id, status, created_at, request, finished_at, result, audit"


class SqliteTurnStore:
    """`now` gives epoch seconds. Retention in seconds: `events_ttl`, `audit_ttl`."""

    def __init__(
        self,
        path: Path,
        now: Callable[[], float],
        *,
        events_ttl: float = 86_400,
        audit_ttl: float = 3_600,
        audit_limit: int = 10_000,
    ) -> None:
        self._engine = SqliteEngine(path)
        self._now = now
        self._events_ttl = events_ttl
        self._audit_ttl = audit_ttl
        self._audit_limit = audit_limit
        self._owner = uuid.uuid4().hex

    def open(self) -> None:
        self._engine.open()

    async def aclose(self) -> None:
        self._engine.close()

    async def available(self) -> bool:
        await self._engine.read(lambda db: db.execute("SELECT 1").fetchone())
        return True

    # -- admission --------------------------------------------------------------------------------

    async def find_by_key(self, user_id: str, key: str, body_hash: bytes) -> str | None:
        now = self._now()
        return await self._engine.read(lambda db: _by_key(db, user_id, key, body_hash, now))

    async def admit(
        self, turn_id: str, request: TurnRequest, body_hash: bytes
    ) -> Admitted | Attached | Busy:
        now = self._now()

        def work(db: sqlite3.Connection) -> Admitted | Attached | Busy:
            key = request.idempotency_key
            if key is not None:
                bound = _by_key(db, request.user_id, key, body_hash, now)
                if bound is not None:
                    return Attached(bound)
                _unbind_expired(db, request.user_id, key)
            if busy := _running(db, request):
                return busy
            self._insert(db, turn_id, request, body_hash, now)
            return Admitted(turn_id, _standing(db, request.character_id))

        return await self._engine.write(work)

    def _insert(
        self,
        db: sqlite3.Connection,
        turn_id: str,
        request: TurnRequest,
        body_hash: bytes,
        now: float,
    ) -> None:
        told = {
            "user_action": request.user_action,
            "dry_run": request.dry_run,
            "request_id": request.request_id,
            "endpoint": request.endpoint,
            "kind": request.kind,
        }
        db.execute(
            "INSERT INTO turns (turn_id, user_id, character_id, idempotency_key, body_hash, request,"
            " status, phase, active, owner, fence, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?, 'running', 'streaming', 1, ?, 1, ?)",
            (
                turn_id,
                request.user_id,
                request.character_id,
                request.idempotency_key,
                body_hash,
                dump(told),
                self._owner,
                now,
            ),
        )

    # -- the journal ------------------------------------------------------------------------------

    async def begin_cancel(self, turn_id: str) -> bool:
        return await self._engine.write(
            lambda db: _changed(
                db,
                "UPDATE turns SET phase = 'cancelling' WHERE turn_id = ? AND phase = 'streaming'",
                (turn_id,),
            )
        )

    async def validate(self, turn_id: str, record: CommitRecord, frames: Sequence[bytes]) -> bool:
        text, now = record.model_dump_json(), self._now()

        def work(db: sqlite3.Connection) -> bool:
            taken = _changed(
                db,
                "UPDATE turns SET phase = 'writing', record = ?, intent = 1, sent_at = ?"
                " WHERE turn_id = ? AND phase = 'streaming' AND owner = ?",
                (text, now, turn_id, self._owner),
            )
            if taken:
                _add_frames(db, turn_id, frames)
            return taken

        return await self._engine.write(work)

    async def step(self, turn_id: str, step: int, frames: Sequence[bytes]) -> bool:
        now = self._now()

        def work(db: sqlite3.Connection) -> bool:
            taken = _changed(
                db,
                "UPDATE turns SET step = ?, intent = ?, sent_at = ?"
                " WHERE turn_id = ? AND owner = ? AND phase = 'writing' AND step = ?",
                (step, step + 1, now, turn_id, self._owner, step - 1),
            )
            if taken:
                _add_frames(db, turn_id, frames)
            return taken

        return await self._engine.write(work)

    async def finish(self, turn_id: str, ending: Ending) -> bool:
        now = self._now()

        def work(db: sqlite3.Connection) -> bool:
            if not self._close(db, turn_id, ending, now):
                return False
            _add_frames(db, turn_id, ending.frames)
            self._remember(db, turn_id, ending)
            if ending.status == "complete":
                _publish(db, turn_id, "turn.completed", now)
            return True

        return await self._engine.write(work)

    def _close(self, db: sqlite3.Connection, turn_id: str, ending: Ending, now: float) -> bool:
        cancelled = ending.status == "cancelled"
        phases = ("cancelling", "cancelling") if cancelled else ("streaming", "writing")
        return _changed(
            db,
            "UPDATE turns SET status = ?, phase = 'done', active = NULL, finished_at = ?,"
            " result = ?, audit = ?, record = NULL,"
            " idempotency_key = CASE WHEN ? THEN NULL ELSE idempotency_key END"
            " WHERE turn_id = ? AND owner = ? AND phase IN (?, ?)",
            (
                ending.status,
                now,
                dump(ending.result),
                None if ending.audit is None else dump(ending.audit),
                ending.release_key,
                turn_id,
                self._owner,
                *phases,
            ),
        )

    def _remember(self, db: sqlite3.Connection, turn_id: str, ending: Ending) -> None:
        if ending.standing is None:
            return
        (character_id,) = db.execute(
            "SELECT character_id FROM turns WHERE turn_id = ?", (turn_id,)
        ).fetchone()
        db.execute(
            "INSERT INTO characters (character_id, standing) VALUES (?, ?)"
            " ON CONFLICT (character_id) DO UPDATE SET standing = excluded.standing",
            (character_id, ending.standing.model_dump_json()),
        )
        if ending.place is not None:
            db.execute(
                "INSERT OR IGNORE INTO places (character_id, name) VALUES (?, ?)",
                (character_id, ending.place),
            )

    # -- what can be read -------------------------------------------------------------------------

    async def turn(self, turn_id: str) -> StoredTurn | None:
        def work(db: sqlite3.Connection) -> StoredTurn | None:
            row = db.execute(
                f"SELECT {_COLUMNS} FROM turns WHERE turn_id = ?",  # noqa: S608 - constants only
                (turn_id,),
            ).fetchone()
            return None if row is None else _stored(row)

        return await self._engine.read(work)

    async def frames(self, turn_id: str) -> list[bytes] | None:
        def work(db: sqlite3.Connection) -> list[bytes] | None:
            rows = db.execute(
                "SELECT frames FROM events WHERE turn_id = ? ORDER BY part", (turn_id,)
            ).fetchall()
            return split_frames(b"".join(zlib.decompress(row[0]) for row in rows)) or None

        return await self._engine.read(work)

    async def recent_turns(self, character_id: str, limit: int) -> list[StoredTurn]:
        def work(db: sqlite3.Connection) -> list[StoredTurn]:
            rows = db.execute(
                f"SELECT {_COLUMNS} FROM turns WHERE character_id = ?"  # noqa: S608 - constants
                " ORDER BY created_at DESC LIMIT ?",
                (character_id, limit),
            )
            return [_stored(row) for row in rows]

        return await self._engine.read(work)

    async def standing(self, character_id: str) -> Standing:
        return await self._engine.read(lambda db: _standing(db, character_id))

    async def knows_place(self, character_id: str, name: str) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            found = db.execute(
                "SELECT 1 FROM places WHERE character_id = ? AND name = ?", (character_id, name)
            )
            return found.fetchone() is not None

        return await self._engine.read(work)

    def secret(self, name: str) -> str:
        """A random value drawn once per database and name."""

        def work(db: sqlite3.Connection) -> str:
            db.execute(
                "INSERT OR IGNORE INTO secrets (name, value) VALUES (?, ?)",
                (name, secrets.token_hex(16)),
            )
            row = db.execute("SELECT value FROM secrets WHERE name = ?", (name,)).fetchone()
            return str(row[0])

        return self._engine.run(work)

    # -- retention --------------------------------------------------------------------------------

    async def expire(self, now: float) -> int:
        """Drop events and audits past their time, and turns a week after their events."""

        def work(db: sqlite3.Connection) -> int:
            gone = now - self._events_ttl
            db.execute(
                "DELETE FROM events WHERE turn_id IN"
                " (SELECT turn_id FROM turns WHERE finished_at < ?)",
                (gone,),
            )
            db.execute(
                "UPDATE turns SET audit = NULL WHERE audit IS NOT NULL AND (finished_at < ? OR"
                " turn_id NOT IN (SELECT turn_id FROM turns WHERE audit IS NOT NULL"
                " ORDER BY finished_at DESC LIMIT ?))",
                (now - self._audit_ttl, self._audit_limit),
            )
            old = db.execute("DELETE FROM turns WHERE finished_at < ?", (gone - 7 * 86_400,))
            return old.rowcount

        return await self._engine.write(work)


def _changed(db: sqlite3.Connection, sql: str, values: tuple[Any, ...]) -> bool:
    return db.execute(sql, values).rowcount == 1


def _by_key(
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
        raise IdempotencyKeyReused
    return str(row[0])


def _unbind_expired(db: sqlite3.Connection, user_id: str, key: str) -> None:
    db.execute(
        "UPDATE turns SET idempotency_key = NULL WHERE user_id = ? AND idempotency_key = ?",
        (user_id, key),
    )


def _running(db: sqlite3.Connection, request: TurnRequest) -> Busy | None:
    row = db.execute(
        "SELECT turn_id, user_id FROM turns WHERE character_id = ? AND active = 1",
        (request.character_id,),
    ).fetchone()
    if row is None:
        return None
    return Busy(row[0] if row[1] == request.user_id else None)


def _standing(db: sqlite3.Connection, character_id: str) -> Standing:
    row = db.execute(
        "SELECT standing FROM characters WHERE character_id = ?", (character_id,)
    ).fetchone()
    return Standing() if row is None else Standing.model_validate_json(row[0])


def _add_frames(db: sqlite3.Connection, turn_id: str, frames: Sequence[bytes]) -> None:
    db.execute(
        "INSERT INTO events (turn_id, part, frames) SELECT ?,"
        " 1 + COALESCE(MAX(part), 0), ? FROM events WHERE turn_id = ?",
        (turn_id, zlib.compress(join_frames(list(frames)), 1), turn_id),
    )


def _publish(db: sqlite3.Connection, turn_id: str, kind: str, now: float) -> None:
    db.execute(
        "INSERT INTO outbox (type, user_id, payload, created_at)"
        " SELECT ?, user_id, json_object('turn_id', turn_id, 'character_id', character_id), ?"
        " FROM turns WHERE turn_id = ?",
        (kind, now, turn_id),
    )


def _stored(row: tuple[Any, ...]) -> StoredTurn:
    return StoredTurn(
        turn_id=row[0],
        user_id=row[1],
        character_id=row[2],
        status=row[3],
        created_at=row[4],
        request=json.loads(row[5]),
        finished_at=row[6],
        result=None if row[7] is None else json.loads(row[7]),
        audit=None if row[8] is None else json.loads(row[8]),
    )
