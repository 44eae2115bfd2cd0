"""Changes of tables in PostgreSQL that stop the turn which runs there, as an X card does."""

from __future__ import annotations

from functools import partial
from typing import Final

from app.adapters.store.postgres.functions import function
from app.adapters.store.postgres.table_functions import OF_TABLE

FUNCTIONS: Final[dict[str, str]] = {}
define = partial(function, FUNCTIONS)

# Null where nothing is changed, as `change_table_1` says; else the turn that is cancelled, empty for none.
# Its row is locked first, as by whatever ends it.
define(
    "change_table_2",
    "p_table bigint, p_mark text, p_name text, p_dm text, p_active boolean, p_rules text,"
    " p_event text[], p_line json, p_at double precision, p_act bytea, p_stops boolean",
    "text",
    f"""
DECLARE running text;
BEGIN
    IF EXISTS (SELECT 1 FROM lines WHERE act = p_act) THEN
        SELECT turn_id INTO running FROM turns
            WHERE exclusive_key = 'table:' || p_table AND {OF_TABLE} AND outside_act = p_act;
        RETURN coalesce(running, '');
    END IF;
    IF p_stops THEN
        SELECT turn_id INTO running FROM turns
            WHERE exclusive_key = 'table:' || p_table AND active FOR UPDATE;
    END IF;
    IF NOT change_table_1(p_table, p_mark, p_name, p_dm, p_active, p_rules, p_event, p_line, p_at,
            p_act) THEN
        RETURN NULL;
    END IF;
    RETURN CASE WHEN running IS NOT NULL AND cancel_2(running, p_act) THEN running ELSE '' END;
END""",
)

MIGRATION: Final = "".join(FUNCTIONS.values())
