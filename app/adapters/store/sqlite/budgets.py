"""The SQL of token budgets: what a user has spent and reserved on one day (UTC)."""

from __future__ import annotations

import sqlite3

from app.core.limits import DAY, check_budget
from app.ports.store import Spent


def today(now: float) -> int:
    """Days since 1970, UTC."""
    return int(now // DAY)


def spent(db: sqlite3.Connection, user_id: str, now: float) -> Spent:
    """Today's tokens of a user."""
    used = db.execute(
        "SELECT tokens FROM spending WHERE user_id = ? AND day = ?", (user_id, today(now))
    ).fetchone()
    (reserved,) = db.execute(
        "SELECT COALESCE(SUM(reserved), 0) FROM turns WHERE user_id = ? AND reserved > 0",
        (user_id,),
    ).fetchone()
    return Spent(used[0] if used else 0, reserved)


def check(db: sqlite3.Connection, user_id: str, asked: int, budget: int, now: float) -> None:
    """Raises `TokenBudgetExceeded` when what is used, reserved and asked for is over the budget."""
    if not budget:
        return
    so_far = spent(db, user_id, now)
    check_budget(budget, so_far.used, so_far.reserved, asked, now)


def spend(db: sqlite3.Connection, user_id: str, tokens: int, now: float) -> None:
    """Charge what was used beside turns."""
    db.execute(
        "INSERT INTO spending (user_id, day, tokens) VALUES (?, ?, ?)"
        " ON CONFLICT (user_id, day) DO UPDATE SET tokens = tokens + excluded.tokens",
        (user_id, today(now), believable(tokens)),
    )


def charge(db: sqlite3.Connection, turn_id: str, tokens: int | None, now: float) -> None:
    """Turn the reservation into spending: what was used, or all of it where nobody knows."""
    tokens = believable(tokens)
    db.execute(
        "INSERT INTO spending (user_id, day, tokens)"
        " SELECT user_id, ?, COALESCE(?, reserved) FROM turns WHERE turn_id = ?"
        " ON CONFLICT (user_id, day) DO UPDATE SET tokens = tokens + excluded.tokens",
        (today(now), tokens, turn_id),
    )
    db.execute("UPDATE turns SET reserved = 0 WHERE turn_id = ?", (turn_id,))


def believable(tokens: int | None) -> int | None:
    """A record of an older release may hold any number."""
    return None if tokens is None else min(max(tokens, 0), 2**40)
