"""Outcomes that await their commit, in SQLite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import asdict

from app.adapters.store.packing import packed
from app.adapters.store.sqlite import budgets, queries
from app.adapters.store.sqlite.engine import SqliteEngine
from app.core.encoding import dump
from app.core.events import Entry
from app.core.money import NOTHING, Amount
from app.core.record import CommitRecord, Recording
from app.ports.store import Choice, Claim, Verdict

OPEN = "turn_id = ? AND owner = ? AND fence = ?"


class SqliteHolding:
    """The store's transactions on them."""

    _engine: SqliteEngine
    _now: Callable[[], float]
    _owner: str

    async def hold(
        self, claim: Claim, record: CommitRecord, entries: Sequence[Entry], recording: Recording
    ) -> Verdict:
        def work(db: sqlite3.Connection) -> Verdict:
            if not queries.changed(
                db,
                "UPDATE turns SET phase = 'awaiting', record = ?, recording = ?"
                f" WHERE {OPEN} AND phase IN ('streaming', 'retelling')",
                (record.model_dump_json(), packed(recording), *self._open(claim)),
            ):
                return self._refusal(db, claim)
            queries.add_entries(db, claim.turn_id, entries)
            return Verdict.STORED

        return await self._engine.write(work)

    async def held(self, turn_id: str) -> CommitRecord | None:
        def work(db: sqlite3.Connection) -> CommitRecord | None:
            row = db.execute(
                "SELECT record FROM turns WHERE turn_id = ? AND phase = 'awaiting'", (turn_id,)
            ).fetchone()
            return None if row is None else CommitRecord.model_validate_json(row[0])

        return await self._engine.read(work)

    async def choose(
        self,
        turn_id: str,
        choice: Choice,
        reserved: Amount = NOTHING,
        budget: Amount = NOTHING,
        shared: Amount = NOTHING,
    ) -> bool:
        now = self._now()

        def work(db: sqlite3.Connection) -> bool:
            awaits = queries.awaiting(db, turn_id)
            if awaits is None:
                return False
            user_id, key, record = awaits
            if choice.telling is not None and choice.telling != _telling_of(record):
                return False
            budgets.check(db, user_id, reserved, budget, now)
            budgets.check_table(db, key, shared)
            db.execute(
                "UPDATE turns SET phase = ?, choice = ?, reserved = reserved + ?,"
                " reserved_micros = reserved_micros + ? WHERE turn_id = ?",
                (
                    choice.phase,
                    dump(asdict(choice)),
                    reserved.tokens,
                    reserved.micros,
                    turn_id,
                ),
            )
            return True

        return await self._engine.write(work)

    async def choice(self, turn_id: str) -> Choice | None:
        def work(db: sqlite3.Connection) -> Choice | None:
            row = db.execute("SELECT choice FROM turns WHERE turn_id = ?", (turn_id,)).fetchone()
            return None if row is None or row[0] is None else Choice(**json.loads(row[0]))

        return await self._engine.read(work)

    def _phase(self, db: sqlite3.Connection, claim: Claim) -> str | None:
        """None when the claim has been lost."""
        row = db.execute(f"SELECT phase FROM turns WHERE {OPEN}", self._open(claim)).fetchone()
        return None if row is None else str(row[0])

    def _refusal(self, db: sqlite3.Connection, claim: Claim) -> Verdict:
        """Why an update of an open turn changed no row."""
        cancelled = self._phase(db, claim) == "cancelling"
        return Verdict.CANCELLED if cancelled else Verdict.LOST

    def _open(self, claim: Claim) -> tuple[str, str, int]:
        return claim.turn_id, self._owner, claim.fence


def _telling_of(record: str) -> int:
    return CommitRecord.model_validate_json(record).telling
