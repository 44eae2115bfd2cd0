"""Budgets of tables beside those of users, checked by the transaction that reserves.

What is used and what is set aside is read in one statement, from one snapshot: a turn that ends between two
statements would be in neither.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from app.adapters.store.postgres import money_functions
from app.adapters.store.postgres.functions import function, revised
from app.adapters.store.postgres.table_functions import OF_TABLE

FUNCTIONS: Final[dict[str, str]] = {}
define = partial(function, FUNCTIONS)

_PAIR: Final = "TABLE (used bigint[], set_aside bigint[])"
_RESERVED: Final = "ARRAY[coalesce(sum(reserved), 0), coalesce(sum(reserved_micros), 0)]::bigint[]"

define(
    "user_spent_1",
    "p_user text, p_at double precision",
    _PAIR,
    f"""
BEGIN
    RETURN QUERY SELECT
        (SELECT ARRAY[coalesce(sum(tokens), 0), coalesce(sum(micros), 0)]::bigint[] FROM spending
            WHERE user_id = p_user AND day = floor(p_at / 86400)),
        (SELECT {_RESERVED} FROM turns WHERE user_id = p_user AND reserved > 0);
END""",
)

define(
    "table_spent_1",
    "p_exclusive text",
    _PAIR,
    f"""
BEGIN
    RETURN QUERY SELECT
        ARRAY[coalesce((SELECT tokens_used FROM tables
                WHERE table_id = substr(p_exclusive, 7)::bigint), 0),
            coalesce((SELECT micros FROM costs WHERE account = p_exclusive), 0)]::bigint[],
        (SELECT {_RESERVED} FROM turns
            WHERE exclusive_key = p_exclusive AND {OF_TABLE} AND phase <> 'done');
END""",
)


def _checked(user: str, at: str, key: str) -> tuple[str, str]:
    """The check of a user's budget, and both. A table's has room as long as any of it is left."""
    apart = f"""        used := spent_1({user}, {at});
        set_aside := set_aside_1({user});
        IF over_budget_1(used, set_aside, p_reserved, p_budget) THEN
            verdict := 'over budget';
            RETURN NEXT; RETURN;
        END IF;
    END IF;"""
    user_read = f"SELECT u.* INTO used, set_aside FROM user_spent_1({user}, {at}) AS u;"
    together = f"""        {user_read}
        IF over_budget_1(used, set_aside, p_reserved, p_budget) THEN
            verdict := 'over budget';
            RETURN NEXT; RETURN;
        END IF;
    END IF;
    IF 0 < ANY (p_shared) THEN
        SELECT u.* INTO used, set_aside FROM table_spent_1({key}) AS u;
        IF over_budget_1(used, set_aside, ARRAY[1, 1]::bigint[], p_shared) THEN
            verdict := 'table over budget';
            RETURN NEXT; RETURN;
        END IF;
    END IF;"""
    return apart, together


_SHARED: Final = ("p_budget bigint[],", "p_budget bigint[], p_shared bigint[],")
_KNOWN: Final = money_functions.FUNCTIONS
_ROW: Final = "SELECT * INTO r FROM turns WHERE turn_id = p_turn FOR UPDATE;"

FUNCTIONS["admit_5"] = revised(
    _KNOWN["admit_3"],
    ("FUNCTION admit_3", "FUNCTION admit_5"),
    _SHARED,
    _checked("p_user", "at", "p_exclusive"),
)
FUNCTIONS["admit_6"] = revised(
    _KNOWN["admit_4"],
    ("FUNCTION admit_4", "FUNCTION admit_6"),
    _SHARED,
    ("FROM admit_3(", "FROM admit_5("),
    ("p_queue_limit, p_budget, p_now);", "p_queue_limit, p_budget, p_shared, p_now);"),
)
# The lock of the exclusive key comes before the row's, as in `promote_2`.
FUNCTIONS["choose_3"] = revised(
    _KNOWN["choose_2"],
    ("FUNCTION choose_2", "FUNCTION choose_3"),
    _SHARED,
    (
        _ROW,
        f"""IF 0 < ANY (p_shared) THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('exclusive:' || exclusive_key, 0)) FROM turns
            WHERE turn_id = p_turn;
    END IF;
    {_ROW}""",
    ),
    _checked("r.user_id", "at", "r.exclusive_key"),
)

MIGRATION: Final = "".join(FUNCTIONS.values())
