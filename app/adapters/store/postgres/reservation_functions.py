"""What is set aside in budgets of tables beside their turns, in PostgreSQL.

Columns mean what they mean in SQLite. The budget is checked under the lock and by the sum that admissions
use.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from app.adapters.store.postgres import budget_functions, queue_functions
from app.adapters.store.postgres.functions import function, revised

FUNCTIONS: Final[dict[str, str]] = {}
define = partial(function, FUNCTIONS)

_TABLE: Final = """
CREATE TABLE table_reservations (
    reservation_id text PRIMARY KEY,
    table_id       bigint NOT NULL,
    owner          text NOT NULL,
    tokens         bigint NOT NULL,
    micros         bigint NOT NULL
);
CREATE INDEX reservations_by_table ON table_reservations (table_id);
"""

FUNCTIONS["table_spent_2"] = revised(
    budget_functions.FUNCTIONS["table_spent_1"],
    ("FUNCTION table_spent_1", "FUNCTION table_spent_2"),
    ("FROM turns\n", "FROM (SELECT reserved, reserved_micros FROM turns\n"),
    (
        "phase <> 'done');",
        "phase <> 'done'\n"
        "            UNION ALL SELECT tokens, micros FROM table_reservations\n"
        "                WHERE table_id = substr(p_exclusive, 7)::bigint) AS every);",
    ),
)

define(
    "reserve_1",
    "p_table bigint, p_id text, p_owner text, p_reserved bigint[], p_shared bigint[]",
    "TABLE (verdict text, used bigint[], set_aside bigint[])",
    """
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('exclusive:table:' || p_table, 0));
    verdict := 'reserved';
    IF EXISTS (SELECT 1 FROM table_reservations WHERE reservation_id = p_id) THEN
        RETURN NEXT; RETURN;
    END IF;
    IF 0 < ANY (p_shared) THEN
        SELECT u.* INTO used, set_aside FROM table_spent_2('table:' || p_table) AS u;
        IF over_budget_1(used, set_aside, ARRAY[1, 1]::bigint[], p_shared) THEN
            verdict := 'table over budget';
            RETURN NEXT; RETURN;
        END IF;
    END IF;
    INSERT INTO table_reservations (reservation_id, table_id, owner, tokens, micros)
        VALUES (p_id, p_table, p_owner, p_reserved[1], p_reserved[2]);
    RETURN NEXT;
END""",
)

# `p_spent` null: all that was set aside.
define(
    "settle_reservation_1",
    "p_id text, p_spent bigint[]",
    "void",
    """
DECLARE r table_reservations;
BEGIN
    DELETE FROM table_reservations WHERE reservation_id = p_id RETURNING * INTO r;
    IF NOT FOUND THEN RETURN; END IF;
    UPDATE tables SET tokens_used = tokens_used + coalesce(p_spent[1], r.tokens)
        WHERE table_id = r.table_id;
    PERFORM add_costs_1(ARRAY['table:' || r.table_id], coalesce(p_spent[2], r.micros));
END""",
)

# Of processes that `adopt_1` has found dead: their rows are gone.
define(
    "settle_left_1",
    "p_owner text",
    "void",
    """
BEGIN
    PERFORM settle_reservation_1(reservation_id, NULL) FROM
        (SELECT reservation_id FROM table_reservations AS r WHERE owner <> p_owner
            AND NOT EXISTS (SELECT 1 FROM nodes n WHERE n.owner = r.owner)
            ORDER BY table_id, reservation_id) AS found;
END""",
)

_SPENT: Final = ("table_spent_1(", "table_spent_2(")

FUNCTIONS["admit_9"] = revised(
    queue_functions.FUNCTIONS["admit_7"], ("FUNCTION admit_7", "FUNCTION admit_9"), _SPENT
)
FUNCTIONS["admit_10"] = revised(
    queue_functions.FUNCTIONS["admit_8"],
    ("FUNCTION admit_8", "FUNCTION admit_10"),
    ("FROM admit_7(", "FROM admit_9("),
)
FUNCTIONS["choose_4"] = revised(
    budget_functions.FUNCTIONS["choose_3"], ("FUNCTION choose_3", "FUNCTION choose_4"), _SPENT
)

MIGRATION: Final = _TABLE + "".join(FUNCTIONS.values())
