"""The SQL of budgets: what a user has spent and reserved on one day (UTC), and what all of it has cost."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from app.adapters.store.accounts import accounts_of
from app.adapters.store.sqlite.engine import SqliteEngine
from app.adapters.store.sqlite.table_turns import OF_TABLE
from app.core.limits import DAY, check_budget, check_table_budget
from app.core.money import Amount, DaySpent, Spent
from app.ports.store import Ending


def today(now: float) -> int:
    """Days since 1970, UTC."""
    return int(now // DAY)


def spent(db: sqlite3.Connection, user_id: str, now: float) -> Spent:
    """The spending of a user today."""
    used = db.execute(
        "SELECT tokens, micros FROM spending WHERE user_id = ? AND day = ?", (user_id, today(now))
    ).fetchone()
    return Spent(Amount(*(used or ())), set_aside(db, "user_id = ? AND reserved > 0", user_id))


def spent_since(db: sqlite3.Connection, user_id: str, day: int) -> list[DaySpent]:
    """The spending of each day after `day`, newest first."""
    rows = db.execute(
        "SELECT day, tokens, micros FROM spending WHERE user_id = ? AND day > ? ORDER BY day DESC",
        (user_id, day),
    )
    return [DaySpent(found, Amount(*numbers)) for found, *numbers in rows]


def set_aside(db: sqlite3.Connection, of: str, *values: str) -> Amount:
    """The amount reserved by the turns that the condition `of` finds."""
    row = db.execute(
        "SELECT COALESCE(SUM(reserved), 0), COALESCE(SUM(reserved_micros), 0)"
        f" FROM turns WHERE {of}",
        values,
    ).fetchone()
    return Amount(*row)


def check(db: sqlite3.Connection, user_id: str, asked: Amount, budget: Amount, now: float) -> None:
    """Raises `TokenBudgetExceeded` when what is used, reserved and asked for is over the budget."""
    if budget:
        check_budget(budget, spent(db, user_id, now), asked, now)


def table_spent(db: sqlite3.Connection, key: str) -> Spent:
    """The spending of the table with that exclusive key."""
    number = key.partition(":")[2]
    row = db.execute("SELECT tokens_used FROM tables WHERE table_id = ?", (number,)).fetchone()
    used = Amount(row[0] if row else 0, cost_of(db, key))
    beside = db.execute(
        "SELECT COALESCE(SUM(tokens), 0), COALESCE(SUM(micros), 0) FROM table_reservations"
        " WHERE table_id = ?",
        (number,),
    ).fetchone()
    return Spent(used, set_aside(db, f"{OF_TABLE} AND phase <> 'done'", key) + Amount(*beside))


def check_table(db: sqlite3.Connection, key: str, budget: Amount) -> None:
    """Raises `TokenBudgetExceeded` when nothing is left of a table's budget."""
    if budget:
        check_table_budget(budget, table_spent(db, key))


def spend(db: sqlite3.Connection, user_id: str, amount: Amount, now: float) -> None:
    """Charge a user."""
    amount = amount.believable
    db.execute(
        "INSERT INTO spending (user_id, day, tokens, micros) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (user_id, day) DO UPDATE SET tokens = tokens + excluded.tokens,"
        " micros = micros + excluded.micros",
        (user_id, today(now), amount.tokens, amount.micros),
    )


def add_cost(db: sqlite3.Connection, account: str | None, amount: Amount) -> None:
    """Charge a character or a table."""
    if account is not None and amount.micros:
        db.execute(
            "INSERT INTO costs (account, micros) VALUES (?, ?)"
            " ON CONFLICT (account) DO UPDATE SET micros = micros + excluded.micros",
            (account, amount.believable.micros),
        )


def cost_of(db: sqlite3.Connection, account: str) -> int:
    """Micro-dollars so far."""
    row = db.execute("SELECT micros FROM costs WHERE account = ?", (account,)).fetchone()
    return row[0] if row else 0


def due(db: sqlite3.Connection, turn_id: str, ending: Ending) -> Amount:
    """The charge for an ending turn: its usage, or its reservation where the usage is not known."""
    return set_aside(db, "turn_id = ?", turn_id) if ending.spent is None else ending.spent


def charge(db: sqlite3.Connection, turn_id: str, amount: Amount, now: float) -> None:
    """Turn the reservation into spending."""
    (user_id, *named) = db.execute(
        "SELECT user_id, character_id, exclusive_key FROM turns WHERE turn_id = ?", (turn_id,)
    ).fetchone()
    spend(db, user_id, amount, now)
    for account in accounts_of(user_id, *named):
        add_cost(db, account, amount)
    db.execute("UPDATE turns SET reserved = 0, reserved_micros = 0 WHERE turn_id = ?", (turn_id,))


class SqliteSpending:
    """The store's transactions on what was spent."""

    _engine: SqliteEngine
    _now: Callable[[], float]

    async def spent(self, user_id: str) -> Spent:
        now = self._now()
        return await self._engine.read(lambda db: spent(db, user_id, now))

    async def spent_by_day(self, user_id: str, days: int) -> list[DaySpent]:
        since = today(self._now()) - days
        return await self._engine.read(lambda db: spent_since(db, user_id, since))

    async def spend(self, user_id: str, amount: Amount, account: str | None = None) -> None:
        now = self._now()

        def work(db: sqlite3.Connection) -> None:
            spend(db, user_id, amount, now)
            add_cost(db, account, amount)

        await self._engine.write(work)

    async def cost_of(self, account: str) -> int:
        return await self._engine.read(lambda db: cost_of(db, account))
