"""`TurnStore` on SQLite: the journal of turns, idempotency keys, characters' progress, finished turns."""

from __future__ import annotations

import secrets
import sqlite3
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from app.adapters.store.packing import packed
from app.adapters.store.retention import Retention
from app.adapters.store.sqlite import budgets, outbox, queries, table_lines, tables
from app.adapters.store.sqlite.contents import SqliteContents
from app.adapters.store.sqlite.conversations import SqliteConversations
from app.adapters.store.sqlite.engine import SqliteEngine
from app.adapters.store.sqlite.history import SqliteTurnHistory
from app.adapters.store.sqlite.holding import OPEN, SqliteHolding
from app.adapters.store.sqlite.reservations import settle_left
from app.adapters.store.sqlite.retention import expire_some
from app.adapters.store.sqlite.table_turns import begin_cancel, plays_elsewhere
from app.core.context import CharacterProgress
from app.core.encoding import dump
from app.core.events import Entry
from app.core.limits import may_wait
from app.core.money import NOTHING, Amount
from app.core.record import CommitRecord, Recording
from app.ports.store import (
    Admitted,
    Attached,
    Busy,
    CancelVerdict,
    Claim,
    Ending,
    Kept,
    Orphan,
    Queued,
    StoredTurn,
    TurnRequest,
    Verdict,
)


class SqliteTurnStore(
    SqliteTurnHistory,
    SqliteHolding,
    budgets.SqliteSpending,
    SqliteConversations,
    SqliteContents,
):
    """`now` gives epoch seconds."""

    def __init__(
        self, path: Path, now: Callable[[], float], retention: Retention | None = None
    ) -> None:
        self._engine = SqliteEngine(path)
        self._now = now
        self._retention = retention or Retention()
        self._owner = uuid.uuid4().hex
        self.tables = tables.SqliteTableStore(self._engine, now, self._owner)
        self.outbox = outbox.SqliteOutbox(self._engine, now)

    def open(self) -> None:
        """Raises `StoreInUse`, `sqlite3.Error`, `OSError` or `RuntimeError` (a newer schema)."""
        self._engine.open()

    async def aclose(self) -> None:
        await self._engine.aclose()

    @property
    def waiting(self) -> int:
        """Transactions that wait for the writer."""
        return self._engine.waiting

    async def available(self) -> bool:
        engine = self._engine  # after a write that failed, only another one shows
        await (engine.write(queries.touch) if engine.failing else engine.read(queries.peek))
        return engine.alive

    # -- admission --------------------------------------------------------------------------------

    async def find_by_key(self, user_id: str, key: str, body_hash: bytes) -> str | None:
        now = self._now()
        return self._engine.look(lambda db: queries.by_key(db, user_id, key, body_hash, now))

    async def admit(
        self,
        turn_id: str,
        request: TurnRequest,
        body_hash: bytes,
        queue_limit: int = 0,
        budget: Amount = NOTHING,
    ) -> Admitted | Queued | Attached | Busy:
        now = self._now()

        def work(db: sqlite3.Connection) -> CharacterProgress | Queued | Attached | Busy:
            if request.idempotency_key is not None:
                key = (request.user_id, request.idempotency_key)
                if bound := queries.by_key(db, *key, body_hash, now):
                    return Attached(bound)
                queries.unbind(db, *key)
            if plays_elsewhere(db, request):
                return Busy(None)
            waiting, active = queries.queue_of(db, request.exclusive_key)
            share = request.may_wait_each
            own = queries.own_in_queue(db, request) if share else 0
            if (active or waiting) and not may_wait(waiting, queue_limit, own, share):
                return Busy(active, over_share=share > 0)
            budgets.check(db, request.user_id, request.asks, budget, now)
            budgets.check_table(db, request.exclusive_key, request.shared)
            if active is None and not waiting:
                queries.insert(db, turn_id, request, body_hash, self._owner, now, queued=False)
                return queries.progress_of(db, request.character_id)
            queries.insert(db, turn_id, request, body_hash, self._owner, now, queued=True)
            return Queued(Claim(turn_id, 1), waiting + 1)

        found, durable = await self._engine.write_early(work)
        if isinstance(found, CharacterProgress):
            return Admitted(Claim(turn_id, 1), found, durable)
        await durable
        return found

    async def promote(self, exclusive_key: str) -> str | None:
        return await self._engine.write(lambda db: queries.promote(db, exclusive_key))

    # -- the journal ------------------------------------------------------------------------------

    async def begin_cancel(self, turn_id: str) -> CancelVerdict:
        taken = await self._engine.write(lambda db: begin_cancel(db, turn_id))
        return CancelVerdict.CANCELLING if taken else CancelVerdict.TOO_LATE

    async def note(self, claim: Claim, entries: Sequence[Entry]) -> Kept:
        def work(db: sqlite3.Connection) -> Kept:
            if self._phase(db, claim) is None:
                return Verdict.LOST
            queries.add_entries(db, claim.turn_id, entries)
            return Verdict.STORED

        return await self._engine.write(work)

    async def validate(
        self, claim: Claim, record: CommitRecord, entries: Sequence[Entry], recording: Recording
    ) -> Verdict:
        def work(db: sqlite3.Connection) -> Verdict:
            now = self._now()
            if not queries.changed(
                db,
                "UPDATE turns SET phase = 'writing', record = ?, recording = ?,"
                " intent = 1, sent_at = ?, first_sent_at = ?"
                f" WHERE {OPEN} AND phase IN ('streaming', 'committing')",
                (record.model_dump_json(), packed(recording), now, now, *self._open(claim)),
            ):
                return self._refusal(db, claim)
            queries.add_entries(db, claim.turn_id, entries)
            return Verdict.STORED

        return await self._engine.write(work)

    async def step(self, claim: Claim, step: int, entries: Sequence[Entry]) -> Kept:
        def work(db: sqlite3.Connection) -> Kept:
            now = self._now()
            if not queries.changed(
                db,
                "UPDATE turns SET step = ?, intent = ?, sent_at = ?, first_sent_at = ?"
                f" WHERE {OPEN} AND phase = 'writing' AND step = ?",
                (step, step + 1, now, now, *self._open(claim), step - 1),
            ):
                return Verdict.LOST
            queries.add_entries(db, claim.turn_id, entries)
            return Verdict.STORED

        return await self._engine.write(work)

    async def resend(self, claim: Claim, intent: int) -> Kept:
        def work(db: sqlite3.Connection) -> Kept:
            now = self._now()
            taken = queries.changed(
                db,
                "UPDATE turns SET intent = ?, sent_at = ?, first_sent_at = COALESCE(first_sent_at, ?)"
                f" WHERE {OPEN} AND phase = 'writing' AND step = ?",
                (intent, now, now, *self._open(claim), intent - 1),
            )
            return Verdict.STORED if taken else Verdict.LOST

        return await self._engine.write(work)

    async def finish(self, claim: Claim, ending: Ending) -> Verdict:
        now = self._now()

        def work(db: sqlite3.Connection) -> Verdict:
            if not self._close(db, claim, ending, now):
                cancelled = ending.status == "cancelled"
                return Verdict.LOST if cancelled else self._refusal(db, claim)
            queries.add_entries(db, claim.turn_id, ending.entries)
            queries.remember(db, claim.turn_id, ending)
            amount = budgets.due(db, claim.turn_id, ending)
            table_lines.settle(db, claim.turn_id, ending, amount, now)
            budgets.charge(db, claim.turn_id, amount, now)
            if ending.event is not None:
                outbox.add(db, ending.event, now)
            return Verdict.STORED

        return await self._engine.write(work)

    def _close(self, db: sqlite3.Connection, claim: Claim, ending: Ending, now: float) -> bool:
        cancelled = ending.status == "cancelled"
        phases = "'cancelling'" if cancelled else _UNCANCELLED
        return queries.changed(
            db,
            "UPDATE turns SET status = ?, phase = 'done', active = NULL, finished_at = ?,"
            " result = ?, recording = COALESCE(?, recording), record = NULL,"
            " idempotency_key = CASE WHEN ? THEN NULL ELSE idempotency_key END"
            f" WHERE {OPEN} AND phase IN ({phases})",
            (
                ending.status,
                now,
                dump(ending.result),
                None if ending.recording is None else packed(ending.recording),
                ending.release_key,
                *self._open(claim),
            ),
        )

    async def adopt(self) -> list[Orphan]:
        owner = self._owner

        def work(db: sqlite3.Connection) -> list[Orphan]:
            settle_left(db, owner)
            return queries.adopt(db, owner)

        return await self._engine.write(work)

    async def phases(self) -> dict[str, str]:
        return {}

    # -- what can be read -------------------------------------------------------------------------

    async def turn(self, turn_id: str, *, recording: bool = False) -> StoredTurn | None:
        return await self._engine.read(lambda db: queries.stored(db, turn_id, recording=recording))

    async def entries(self, turn_id: str) -> list[Entry] | None:
        return await self._engine.read(lambda db: queries.entries(db, turn_id) or None)

    async def recent_turns(self, character_id: str, limit: int) -> list[StoredTurn]:
        return await self._engine.read(lambda db: queries.recent(db, character_id, limit))

    def recent_starts(self, since: float) -> list[tuple[TurnRequest, float]]:
        return self._engine.run(lambda db: queries.recent_starts(db, since))

    async def progress(self, character_id: str) -> CharacterProgress:
        return await self._engine.read(lambda db: queries.progress_of(db, character_id))

    async def knows_place(self, character_id: str, name: str) -> bool:
        def work(db: sqlite3.Connection) -> bool:
            found = db.execute(
                "SELECT 1 FROM places WHERE character_id = ? AND name = ?", (character_id, name)
            )
            return found.fetchone() is not None

        return self._engine.look(work)

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
        """Drop what is past its time or over its size, a little at a time; the turns removed."""
        removed = 0
        while True:
            gone, more = await self._engine.write(
                lambda db: expire_some(db, self._retention, now), heavy=True
            )
            removed += gone
            if not more:
                return removed


_UNCANCELLED = "'streaming', 'awaiting', 'retelling', 'committing', 'writing'"
