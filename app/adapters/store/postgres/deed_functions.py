"""Deeds at tables in PostgreSQL: a line that exists once for an idempotency key, with its roll's number.

A roll's number is taken only from the one before it. Locks are taken in the order of `settle_table_1`: the
table's row, then its lines.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from app.adapters.store.postgres.functions import function

FUNCTIONS: Final[dict[str, str]] = {}
define = partial(function, FUNCTIONS)

_COLUMNS: Final = """
ALTER TABLE lines ADD COLUMN idempotency_key text;
ALTER TABLE lines ADD COLUMN body_hash bytea;
CREATE UNIQUE INDEX lines_by_key ON lines (user_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;
"""

# Null where the roll's number is taken by now, or the key is bound.
define(
    "say_2",
    "p_table bigint, p_line json, p_at double precision, p_act bytea, p_key text, p_hash bytea,"
    " p_roll bigint",
    "bigint",
    """
DECLARE rolled bigint; number bigint;
BEGIN
    IF p_roll IS NOT NULL THEN
        SELECT rolls INTO rolled FROM tables WHERE table_id = p_table FOR UPDATE;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('lines:' || p_table, 0));
    SELECT line_id INTO number FROM lines WHERE act = p_act;
    IF number IS NOT NULL THEN RETURN number; END IF;
    IF p_roll <> rolled + 1 THEN RETURN NULL; END IF;
    UPDATE lines SET idempotency_key = NULL WHERE user_id = p_line ->> 3 AND idempotency_key = p_key
        AND created_at <= p_at - 86400;
    INSERT INTO lines (table_id, sender, content, message_type, user_id, turn_id, recipient, data,
            created_at, act, idempotency_key, body_hash)
        VALUES (p_table, p_line ->> 0, p_line ->> 1, p_line ->> 2, p_line ->> 3, p_line ->> 4,
            p_line ->> 5, p_line ->> 6, p_at, p_act, p_key, p_hash)
        ON CONFLICT (user_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
        RETURNING line_id INTO number;
    IF number IS NOT NULL AND p_roll IS NOT NULL THEN
        UPDATE tables SET rolls = p_roll WHERE table_id = p_table;
    END IF;
    RETURN number;
END""",
)

# False, and nothing is changed, where the round is another one by now or the line cannot be said.
define(
    "change_round_2",
    "p_table bigint, p_old text, p_new text, p_due double precision, p_line json,"
    " p_at double precision, p_act bytea, p_key text, p_hash bytea, p_roll bigint",
    "boolean",
    """
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
    IF p_line IS NOT NULL AND say_2(p_table, p_line, p_at, p_act, p_key, p_hash, p_roll) IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'DM001';
    END IF;
    RETURN true;
EXCEPTION WHEN SQLSTATE 'DM001' THEN RETURN false;
END""",
)

MIGRATION: Final = _COLUMNS + "".join(FUNCTIONS.values())
