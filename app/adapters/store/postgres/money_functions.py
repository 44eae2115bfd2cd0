"""Budgets in money beside those in tokens. Where a function takes or returns both, the first number of an
array is of tokens, the second of micro-dollars.

A reservation of micro-dollars counts as long as one of tokens does: a node of the release before, which
ends a turn without knowing of money, gives back both.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from app.adapters.store.postgres import character_functions, functions, holding_functions
from app.adapters.store.postgres.functions import function, revised
from app.adapters.store.postgres.table_functions import OF_TABLE

FUNCTIONS: Final[dict[str, str]] = {}
define = partial(function, FUNCTIONS)

_TABLES: Final = """
ALTER TABLE turns ADD COLUMN reserved_micros bigint NOT NULL DEFAULT 0;
ALTER TABLE spending ADD COLUMN micros bigint NOT NULL DEFAULT 0;
CREATE TABLE costs (account text PRIMARY KEY, micros bigint NOT NULL);
"""

define(
    "spent_1",
    "p_user text, p_at double precision",
    "bigint[]",
    """
BEGIN
    RETURN (SELECT ARRAY[coalesce(sum(tokens), 0), coalesce(sum(micros), 0)]::bigint[] FROM spending
        WHERE user_id = p_user AND day = floor(p_at / 86400));
END""",
)

define(
    "set_aside_1",
    "p_user text",
    "bigint[]",
    """
BEGIN
    RETURN (SELECT ARRAY[coalesce(sum(reserved), 0), coalesce(sum(reserved_micros), 0)]::bigint[]
        FROM turns WHERE user_id = p_user AND reserved > 0);
END""",
)

define(
    "over_budget_1",
    "p_used bigint[], p_aside bigint[], p_asked bigint[], p_budget bigint[]",
    "boolean",
    """
BEGIN
    RETURN EXISTS (SELECT 1 FROM unnest(p_used, p_aside, p_asked, p_budget) AS u (used, aside, asked, most)
        WHERE most > 0 AND used + aside + asked > most);
END""",
)

define(
    "accounts_1",
    "p_turn turns",
    "SETOF text",
    f"""
BEGIN
    IF p_turn.character_id <> '' AND p_turn.character_id NOT LIKE 'chat:%'
            AND p_turn.character_id NOT LIKE 'content:%' THEN
        RETURN NEXT 'character:' || p_turn.character_id || ':' || p_turn.user_id;
    END IF;
    IF p_turn.{OF_TABLE.replace(" AND ", " AND p_turn.")} THEN
        RETURN NEXT p_turn.exclusive_key;
    END IF;
END""",
)

# Locks of accounts are taken in the order of their names.
define(
    "add_costs_1",
    "p_accounts text[], p_micros bigint",
    "void",
    """
BEGIN
    IF p_micros > 0 THEN
        INSERT INTO costs (account, micros) SELECT a, p_micros FROM unnest(p_accounts) AS a ORDER BY a
            ON CONFLICT (account) DO UPDATE SET micros = costs.micros + excluded.micros;
    END IF;
END""",
)

define(
    "spend_1",
    "p_user text, p_spent bigint[], p_account text, p_now double precision",
    "void",
    f"""
BEGIN
    INSERT INTO spending (user_id, day, tokens, micros)
        VALUES (p_user, floor({functions.NOW} / 86400), p_spent[1], p_spent[2])
        ON CONFLICT (user_id, day) DO UPDATE SET tokens = spending.tokens + excluded.tokens,
            micros = spending.micros + excluded.micros;
    PERFORM add_costs_1(array_remove(ARRAY[p_account], NULL), p_spent[2]);
END""",
)

_BOTH: Final = (
    ("p_reserved bigint,", "p_reserved bigint[],"),
    ("p_budget bigint,", "p_budget bigint[],"),
)
_SHOWN: Final = ("used bigint, set_aside bigint", "used bigint[], set_aside bigint[]")


_BOUND: Final = "0 < ANY (p_budget)"


def _checked(user: str, at: str) -> tuple[str, str]:
    """The check of tokens alone, and the one of both."""
    before = f"""    IF p_budget > 0 THEN
        SELECT coalesce(sum(tokens), 0) INTO used FROM spending
            WHERE user_id = {user} AND day = floor({at} / 86400);
        SELECT coalesce(sum(reserved), 0) INTO set_aside FROM turns
            WHERE user_id = {user} AND reserved > 0;
        IF used + set_aside + p_reserved > p_budget THEN"""
    after = f"""    IF {_BOUND} THEN
        used := spent_1({user}, {at});
        set_aside := set_aside_1({user});
        IF over_budget_1(used, set_aside, p_reserved, p_budget) THEN"""
    return before, after


FUNCTIONS["admit_3"] = revised(
    functions.FUNCTIONS["admit_1"],
    ("FUNCTION admit_1", "FUNCTION admit_3"),
    *_BOTH,
    _SHOWN,
    ("p_key IS NOT NULL OR p_budget > 0", f"p_key IS NOT NULL OR {_BOUND}"),
    _checked("p_user", "at"),
    ("request, reserved, status", "request, reserved, reserved_micros, status"),
    ("p_request, p_reserved,\n", "p_request, p_reserved[1], p_reserved[2],\n"),
)
FUNCTIONS["admit_4"] = revised(
    character_functions.FUNCTIONS["admit_2"],
    ("FUNCTION admit_2", "FUNCTION admit_4"),
    *_BOTH,
    _SHOWN,
    ("p_key IS NOT NULL OR p_budget > 0", f"p_key IS NOT NULL OR {_BOUND}"),
    ("FROM admit_1(", "FROM admit_3("),
)
FUNCTIONS["choose_2"] = revised(
    holding_functions.FUNCTIONS["choose_1"],
    ("FUNCTION choose_1", "FUNCTION choose_2"),
    *_BOTH,
    _SHOWN,
    ("IF p_budget > 0 THEN\n        PERFORM", f"IF {_BOUND} THEN\n        PERFORM"),
    _checked("r.user_id", "at"),
    (
        "reserved = reserved + p_reserved,",
        "reserved = reserved + p_reserved[1],\n            reserved_micros = reserved_micros"
        " + p_reserved[2],",
    ),
)

# What was reserved is still in the row as it was before its end.
define(
    "finish_6",
    "p_turn text, p_owner text, p_fence integer, p_act bytea, p_status text, p_result text,"
    " p_recording bytea, p_release boolean, p_firsts integer[], p_parts bytea[], p_progress text,"
    " p_place text, p_spent bigint[], p_event text[], p_conversation text[],"
    " p_changed double precision, p_now double precision, p_lines json, p_content text[],"
    " p_made double precision",
    "text",
    """
DECLARE r turns; verdict text; due bigint;
BEGIN
    SELECT * INTO r FROM turns WHERE turn_id = p_turn FOR UPDATE;
    verdict := finish_5(p_turn, p_owner, p_fence, p_act, p_status, p_result, p_recording, p_release,
        p_firsts, p_parts, p_progress, p_place, p_spent[1], p_event, p_conversation, p_changed, p_now,
        p_lines, p_content, p_made);
    IF verdict <> 'stored' OR r.act = p_act THEN RETURN verdict; END IF;
    due := CASE WHEN p_spent IS NULL THEN r.reserved_micros ELSE p_spent[2] END;
    IF due > 0 THEN
        UPDATE spending SET micros = micros + due WHERE user_id = r.user_id
            AND day = (SELECT floor(finished_at / 86400) FROM turns WHERE turn_id = p_turn);
        PERFORM add_costs_1(ARRAY(SELECT accounts_1(r)), due);
    END IF;
    RETURN verdict;
END""",
)

MIGRATION: Final = _TABLES + "".join(FUNCTIONS.values())
