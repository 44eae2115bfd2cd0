"""Outcomes that await their commit: the journal's transactions on them, as functions in the database.

Those of the journal that meet such a phase go back to `streaming` first, in the same transaction, and are
then what they were.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from app.adapters.store.postgres.functions import NOW, function

FUNCTIONS: Final[dict[str, str]] = {}
define = partial(function, FUNCTIONS)

_LOCKED: Final = "SELECT * INTO r FROM turns WHERE turn_id = p_turn FOR UPDATE;"
_OURS: Final = "FOUND AND r.owner = p_owner AND r.fence = p_fence"
_CLAIM: Final = "p_turn text, p_owner text, p_fence integer"

define(
    "hold_1",
    f"{_CLAIM}, p_act bytea, p_record text, p_recording bytea, p_firsts integer[], p_parts bytea[]",
    "text",
    f"""
DECLARE r turns;
BEGIN
    {_LOCKED}
    IF NOT ({_OURS}) THEN RETURN 'moved'; END IF;
    IF r.act = p_act THEN RETURN 'stored'; END IF;
    IF r.phase NOT IN ('streaming', 'retelling') THEN
        RETURN CASE r.phase WHEN 'cancelling' THEN 'cancelled' ELSE 'lost' END;
    END IF;
    UPDATE turns SET act = p_act, phase = 'awaiting', record = p_record, recording = p_recording
        WHERE turn_id = p_turn;
    PERFORM add_entries_1(p_turn, p_firsts, p_parts);
    RETURN 'stored';
END""",
)

# The lock of the user comes first, as in `admit_1`.
define(
    "choose_1",
    "p_turn text, p_act bytea, p_phase text, p_choice text, p_reserved bigint, p_budget bigint,"
    " p_now double precision",
    "TABLE (verdict text, used bigint, set_aside bigint, at double precision)",
    f"""
DECLARE r turns;
BEGIN
    IF p_budget > 0 THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('user:' || user_id, 0)) FROM turns
            WHERE turn_id = p_turn;
    END IF;
    {_LOCKED}
    at := {NOW};
    verdict := CASE WHEN r.outside_act = p_act THEN 'chosen'
        WHEN r.phase IS DISTINCT FROM 'awaiting' THEN 'too late' ELSE 'open' END;
    IF verdict <> 'open' THEN RETURN NEXT; RETURN; END IF;
    IF p_budget > 0 THEN
        SELECT coalesce(sum(tokens), 0) INTO used FROM spending
            WHERE user_id = r.user_id AND day = floor(at / 86400);
        SELECT coalesce(sum(reserved), 0) INTO set_aside FROM turns
            WHERE user_id = r.user_id AND reserved > 0;
        IF used + set_aside + p_reserved > p_budget THEN
            verdict := 'over budget';
            RETURN NEXT; RETURN;
        END IF;
    END IF;
    UPDATE turns SET phase = p_phase, choice = p_choice, reserved = reserved + p_reserved,
            outside_act = p_act
        WHERE turn_id = p_turn;
    verdict := 'chosen';
    RETURN NEXT;
END""",
)

define(
    "validate_3",
    f"{_CLAIM}, p_act bytea, p_record text, p_recording bytea, p_firsts integer[], p_parts bytea[],"
    " p_now double precision",
    "text",
    f"""
DECLARE r turns;
BEGIN
    {_LOCKED}
    IF {_OURS} AND r.phase = 'committing' THEN
        UPDATE turns SET phase = 'streaming' WHERE turn_id = p_turn;
    END IF;
    RETURN validate_2(p_turn, p_owner, p_fence, p_act, p_record, p_recording, p_firsts, p_parts,
        p_now);
END""",
)

define(
    "cancel_2",
    "p_turn text, p_act bytea",
    "boolean",
    f"""
DECLARE r turns;
BEGIN
    {_LOCKED}
    IF r.phase IN ('awaiting', 'retelling') THEN
        UPDATE turns SET phase = 'streaming' WHERE turn_id = p_turn;
    END IF;
    RETURN cancel_1(p_turn, p_act);
END""",
)

define(
    "finish_4",
    "p_turn text, p_owner text, p_fence integer, p_act bytea, p_status text, p_result text,"
    " p_recording bytea, p_release boolean, p_firsts integer[], p_parts bytea[], p_progress text,"
    " p_place text, p_tokens bigint, p_event text[], p_conversation text[],"
    " p_changed double precision, p_now double precision, p_lines json",
    "text",
    f"""
DECLARE r turns; verdict text; former text;
BEGIN
    {_LOCKED}
    IF {_OURS} AND r.phase IN ('awaiting', 'retelling', 'committing') AND p_status <> 'cancelled' THEN
        former := r.phase;
        UPDATE turns SET phase = 'streaming' WHERE turn_id = p_turn;
    END IF;
    verdict := finish_3(p_turn, p_owner, p_fence, p_act, p_status, p_result, p_recording, p_release,
        p_firsts, p_parts, p_progress, p_place, p_tokens, p_event, p_conversation, p_changed, p_now,
        p_lines);
    IF verdict <> 'stored' AND former IS NOT NULL THEN
        UPDATE turns SET phase = former WHERE turn_id = p_turn;
    END IF;
    RETURN verdict;
END""",
)

MIGRATION: Final = "ALTER TABLE turns ADD COLUMN choice text;" + "".join(FUNCTIONS.values())
