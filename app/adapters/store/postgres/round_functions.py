"""Rounds of tables in PostgreSQL. Columns mean what they mean in SQLite; `act` names the last change."""

from __future__ import annotations

from functools import partial
from typing import Final

from app.adapters.store.postgres.functions import function

FUNCTIONS: Final[dict[str, str]] = {}
define = partial(function, FUNCTIONS)

TABLES: Final = """
CREATE TABLE rounds (
    table_id bigint PRIMARY KEY,
    document text NOT NULL,
    due      double precision,
    act      bytea
);
CREATE INDEX rounds_by_time ON rounds (due) WHERE due IS NOT NULL;
"""

# `p_old`: the MD5 of the document that the new one was made from; empty where there was none.
define(
    "change_round_1",
    "p_table bigint, p_old text, p_new text, p_due double precision, p_lines json,"
    " p_at double precision, p_act bytea",
    "boolean",
    """
DECLARE line json;
BEGIN
    PERFORM 1 FROM rounds WHERE table_id = p_table AND act = p_act;
    IF FOUND THEN RETURN true; END IF;
    IF p_old = '' THEN
        INSERT INTO rounds (table_id, document, due, act) VALUES (p_table, p_new, p_due, p_act)
            ON CONFLICT DO NOTHING;
    ELSE
        UPDATE rounds SET document = p_new, due = p_due, act = p_act
            WHERE table_id = p_table AND md5(document) = p_old;
    END IF;
    IF NOT FOUND THEN RETURN false; END IF;
    FOR line IN SELECT * FROM json_array_elements(p_lines) LOOP
        PERFORM say_1(p_table, line ->> 0, line ->> 1, line ->> 2, line ->> 3, line ->> 4, line ->> 5,
            line ->> 6, p_at, p_act);
    END LOOP;
    RETURN true;
END""",
)

MIGRATION: Final = TABLES + "".join(FUNCTIONS.values())
