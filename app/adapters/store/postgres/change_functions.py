"""Changes of tables in PostgreSQL, each with what is announced of it."""

from __future__ import annotations

from functools import partial
from typing import Final

from app.adapters.store.postgres.functions import function

FUNCTIONS: Final[dict[str, str]] = {}
define = partial(function, FUNCTIONS)

MARK: Final = "md5((name, dm_name, is_active, rules)::text)"

# False, and nothing is announced, where the table is another one by now than the one of `p_mark`.
define(
    "change_table_1",
    "p_table bigint, p_mark text, p_name text, p_dm text, p_active boolean, p_rules text,"
    " p_event text[], p_line json, p_at double precision, p_act bytea",
    "boolean",
    f"""
BEGIN
    UPDATE tables SET name = p_name, dm_name = p_dm, is_active = p_active, rules = p_rules
        WHERE table_id = p_table AND {MARK} = p_mark;
    IF NOT FOUND THEN RETURN EXISTS (SELECT 1 FROM lines WHERE act = p_act); END IF;
    IF p_event IS NOT NULL THEN
        PERFORM add_event_1(p_event[1], p_event[2], p_event[3], p_event[4], p_event[5],
            extract(epoch FROM clock_timestamp())::double precision);
    END IF;
    IF p_line IS NOT NULL THEN
        PERFORM say_2(p_table, p_line, p_at, p_act, NULL, NULL, NULL);
    END IF;
    RETURN true;
END""",
)

MIGRATION: Final = "".join(FUNCTIONS.values())
