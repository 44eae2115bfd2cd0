"""A character plays at one place at a time: what admission looks for beside its exclusive key."""

from __future__ import annotations

from functools import partial
from typing import Final

from app.adapters.store.postgres.functions import NOW, function

FUNCTIONS: Final[dict[str, str]] = {}
define = partial(function, FUNCTIONS)

_INDEX: Final = """
CREATE INDEX open_at_tables ON turns (character_id)
    WHERE phase <> 'done' AND exclusive_key >= 'table:' AND exclusive_key < 'table;';
"""

# `p_alone`: the key of turns that the character takes alone; null for a turn without a character. Locks are
# taken in the order of `admit_1`, the character's last.
define(
    "admit_2",
    "p_turn text, p_user text, p_character text, p_exclusive text, p_key text, p_hash bytea,"
    " p_request text, p_reserved bigint, p_owner text, p_queue_limit integer, p_budget bigint,"
    " p_now double precision, p_alone text",
    "TABLE (verdict text, other text, place integer, used bigint, set_aside bigint,"
    " at double precision, standing text)",
    f"""
DECLARE known boolean;
BEGIN
    IF p_alone IS NOT NULL THEN
        IF p_key IS NOT NULL OR p_budget > 0 THEN
            PERFORM pg_advisory_xact_lock(hashtextextended('user:' || p_user, 0));
        END IF;
        PERFORM pg_advisory_xact_lock(hashtextextended('exclusive:' || p_exclusive, 0));
        PERFORM pg_advisory_xact_lock(hashtextextended('plays:' || p_alone, 0));
        known := EXISTS (SELECT 1 FROM turns WHERE turn_id = p_turn)
            OR EXISTS (SELECT 1 FROM turns WHERE user_id = p_user AND idempotency_key = p_key
                AND created_at > {NOW} - 86400);
        IF NOT known AND (EXISTS (SELECT 1 FROM turns WHERE character_id = p_character
                    AND user_id = p_user AND exclusive_key <> p_exclusive AND phase <> 'done'
                    AND exclusive_key >= 'table:' AND exclusive_key < 'table;')
                OR (p_alone <> p_exclusive AND (
                    EXISTS (SELECT 1 FROM turns WHERE exclusive_key = p_alone AND active)
                    OR EXISTS (SELECT 1 FROM turns WHERE exclusive_key = p_alone
                        AND phase = 'queued')))) THEN
            verdict := 'busy'; at := {NOW};
            RETURN NEXT; RETURN;
        END IF;
    END IF;
    RETURN QUERY SELECT * FROM admit_1(p_turn, p_user, p_character, p_exclusive, p_key, p_hash,
        p_request, p_reserved, p_owner, p_queue_limit, p_budget, p_now);
END""",
)

MIGRATION: Final = _INDEX + "".join(FUNCTIONS.values())
