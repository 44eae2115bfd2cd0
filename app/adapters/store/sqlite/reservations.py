"""What is set aside in budgets of tables beside their turns, in SQLite."""

from __future__ import annotations

import sqlite3

from app.adapters.store.sqlite import budgets
from app.adapters.store.sqlite.engine import SqliteEngine
from app.adapters.store.sqlite.table_lines import charge_table
from app.core.money import Amount
from app.core.tables import table_key


def settle(db: sqlite3.Connection, reservation: str, spent: Amount | None) -> None:
    """Charge what was used; None: all that was set aside."""
    row = db.execute(
        "DELETE FROM table_reservations WHERE reservation_id = ? RETURNING table_id, tokens, micros",
        (reservation,),
    ).fetchone()
    if row is not None:
        table_id, *reserved = row
        amount = Amount(*reserved) if spent is None else spent
        charge_table(db, table_id, amount)
        budgets.add_cost(db, table_key(table_id), amount)


def settle_left(db: sqlite3.Connection, owner: str) -> None:
    """Charge what other processes have left open: nobody knows what they have used."""
    left = db.execute("SELECT reservation_id FROM table_reservations WHERE owner <> ?", (owner,))
    for (reservation,) in left.fetchall():
        settle(db, reservation, None)


class SqliteReservations:
    """That part of `TableStore`."""

    _engine: SqliteEngine
    _owner: str

    async def reserve(
        self, table_id: int, reservation: str, amount: Amount, budget: Amount
    ) -> None:
        def work(db: sqlite3.Connection) -> None:
            budgets.check_table(db, table_key(table_id), budget)
            db.execute(
                "INSERT INTO table_reservations (reservation_id, table_id, owner, tokens, micros)"
                " VALUES (?, ?, ?, ?, ?)",
                (reservation, table_id, self._owner, amount.tokens, amount.micros),
            )

        await self._engine.write(work)

    async def settle(self, reservation: str, spent: Amount) -> None:
        await self._engine.write(lambda db: settle(db, reservation, spent))
