"""Each transaction of the journal as a function in the database: one call, one round trip, no pause of
a client between its statements.

A function locks the turn's row first and reads the clock after that (`p_now` null: the database's): a time
from before the wait for a lock would end a settle window too early. `p_act` names a transaction: a second
call with the name of the one that the row has seen last answers as the first did, and changes nothing.
"""

from __future__ import annotations

from functools import partial
from typing import Final

FUNCTIONS: Final[dict[str, str]] = {}


def function(into: dict[str, str], name: str, arguments: str, returns: str, body: str) -> None:
    """Add the statement that creates it."""
    into[name] = (
        f"\nCREATE FUNCTION {name}({arguments}) RETURNS {returns} LANGUAGE plpgsql AS $body$"
        f"\n#variable_conflict use_column\n{body}\n$body$;\n"
    )


def revised(known: str, *changes: tuple[str, str]) -> str:
    """The next version of a released function: the same but for these changes."""
    for old, new in changes:
        if known.count(old) != 1:
            raise ValueError(old)
        known = known.replace(old, new)
    return known


define = partial(function, FUNCTIONS)

NOW: Final = "coalesce(p_now, extract(epoch FROM clock_timestamp()))"
_HELD = """
    SELECT * INTO r FROM turns WHERE turn_id = p_turn FOR UPDATE;
    IF NOT FOUND OR r.owner <> p_owner OR r.fence <> p_fence THEN RETURN 'moved'; END IF;
"""
_CLAIM = "p_turn text, p_owner text, p_fence integer"

define(
    "owner_key_1",
    "p_owner text",
    "bigint",
    "BEGIN RETURN ('x' || substr(p_owner, 1, 16))::bit(64)::bigint; END",
)

define(
    "add_entries_1",
    "p_turn text, p_firsts integer[], p_parts bytea[]",
    "void",
    """
BEGIN
    INSERT INTO events (turn_id, part, first, data)
        SELECT p_turn, n + coalesce((SELECT max(part) FROM events WHERE turn_id = p_turn), 0), f, d
        FROM unnest(p_firsts, p_parts) WITH ORDINALITY AS added (f, d, n);
END""",
)

define(
    "admit_1",
    "p_turn text, p_user text, p_character text, p_exclusive text, p_key text, p_hash bytea,"
    " p_request text, p_reserved bigint, p_owner text, p_queue_limit integer, p_budget bigint,"
    " p_now double precision",
    "TABLE (verdict text, other text, place integer, used bigint, set_aside bigint,"
    " at double precision, standing text)",
    f"""
DECLARE
    r turns;
    waiting integer;
    holder text;
BEGIN
    IF p_key IS NOT NULL OR p_budget > 0 THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('user:' || p_user, 0));
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('exclusive:' || p_exclusive, 0));
    at := {NOW};
    SELECT * INTO r FROM turns WHERE turn_id = p_turn;
    IF FOUND THEN
        SELECT count(*) INTO place FROM turns
            WHERE exclusive_key = p_exclusive AND phase = 'queued' AND number <= r.number;
        verdict := CASE WHEN r.phase = 'queued' THEN 'queued' ELSE 'admitted' END;
        SELECT progress INTO standing FROM characters WHERE character_id = p_character;
        RETURN NEXT; RETURN;
    END IF;
    IF p_key IS NOT NULL THEN
        SELECT * INTO r FROM turns WHERE user_id = p_user AND idempotency_key = p_key
            AND created_at > at - 86400;
        IF FOUND THEN
            verdict := CASE WHEN r.body_hash = p_hash THEN 'attached' ELSE 'reused' END;
            other := r.turn_id;
            RETURN NEXT; RETURN;
        END IF;
        UPDATE turns SET idempotency_key = NULL
            WHERE user_id = p_user AND idempotency_key = p_key;
    END IF;
    SELECT count(*) INTO waiting FROM turns WHERE exclusive_key = p_exclusive AND phase = 'queued';
    SELECT turn_id INTO holder FROM turns WHERE exclusive_key = p_exclusive AND active;
    IF (holder IS NOT NULL OR waiting > 0) AND waiting >= p_queue_limit THEN
        verdict := 'busy'; other := holder;
        RETURN NEXT; RETURN;
    END IF;
    IF p_budget > 0 THEN
        SELECT coalesce(sum(tokens), 0) INTO used FROM spending
            WHERE user_id = p_user AND day = floor(at / 86400);
        SELECT coalesce(sum(reserved), 0) INTO set_aside FROM turns
            WHERE user_id = p_user AND reserved > 0;
        IF used + set_aside + p_reserved > p_budget THEN
            verdict := 'over budget';
            RETURN NEXT; RETURN;
        END IF;
    END IF;
    verdict := CASE WHEN holder IS NULL AND waiting = 0 THEN 'admitted' ELSE 'queued' END;
    place := waiting + 1;
    INSERT INTO turns (turn_id, user_id, character_id, exclusive_key, idempotency_key, body_hash,
            request, reserved, status, phase, active, owner, fence, created_at)
        VALUES (p_turn, p_user, p_character, p_exclusive, p_key, p_hash, p_request, p_reserved,
            CASE verdict WHEN 'admitted' THEN 'running' ELSE 'queued' END,
            CASE verdict WHEN 'admitted' THEN 'streaming' ELSE 'queued' END,
            verdict = 'admitted', p_owner, 1, at);
    SELECT progress INTO standing FROM characters WHERE character_id = p_character;
    RETURN NEXT;
END""",
)

define(
    "note_1",
    f"{_CLAIM}, p_act bytea, p_firsts integer[], p_parts bytea[]",
    "text",
    f"""
DECLARE r turns;
BEGIN {_HELD}
    IF r.act = p_act THEN RETURN 'stored'; END IF;
    UPDATE turns SET act = p_act WHERE turn_id = p_turn;
    PERFORM add_entries_1(p_turn, p_firsts, p_parts);
    RETURN 'stored';
END""",
)

define(
    "validate_1",
    f"{_CLAIM}, p_act bytea, p_record text, p_recording bytea, p_firsts integer[], p_parts bytea[],"
    " p_now double precision",
    "text",
    f"""
DECLARE r turns; now double precision;
BEGIN {_HELD}
    now := {NOW};
    IF r.act = p_act AND r.phase = 'writing' THEN
        UPDATE turns SET sent_at = now WHERE turn_id = p_turn;
        RETURN 'stored';
    END IF;
    IF r.phase <> 'streaming' THEN
        RETURN CASE r.phase WHEN 'cancelling' THEN 'cancelled' ELSE 'lost' END;
    END IF;
    UPDATE turns SET act = p_act, phase = 'writing', record = p_record, recording = p_recording,
            intent = 1, sent_at = now, first_sent_at = now
        WHERE turn_id = p_turn;
    PERFORM add_entries_1(p_turn, p_firsts, p_parts);
    INSERT INTO outbox (type, user_id, payload, created_at) VALUES ('turn.validated', r.user_id,
        json_build_object('turn_id', r.turn_id, 'character_id', r.character_id), now);
    RETURN 'stored';
END""",
)

define(
    "step_1",
    f"{_CLAIM}, p_act bytea, p_step integer, p_firsts integer[], p_parts bytea[],"
    " p_now double precision",
    "text",
    f"""
DECLARE r turns; now double precision;
BEGIN {_HELD}
    now := {NOW};
    IF r.act = p_act AND r.phase = 'writing' THEN
        UPDATE turns SET sent_at = now WHERE turn_id = p_turn;
        RETURN 'stored';
    END IF;
    IF r.phase <> 'writing' OR r.step <> p_step - 1 THEN RETURN 'lost'; END IF;
    UPDATE turns SET act = p_act, step = p_step, intent = p_step + 1, sent_at = now,
            first_sent_at = now
        WHERE turn_id = p_turn;
    PERFORM add_entries_1(p_turn, p_firsts, p_parts);
    RETURN 'stored';
END""",
)

define(
    "resend_1",
    f"{_CLAIM}, p_intent integer, p_now double precision",
    "text",
    f"""
DECLARE r turns; now double precision;
BEGIN {_HELD}
    now := {NOW};
    IF r.phase <> 'writing' OR r.step <> p_intent - 1 THEN RETURN 'lost'; END IF;
    UPDATE turns SET intent = p_intent, sent_at = now, first_sent_at = coalesce(first_sent_at, now)
        WHERE turn_id = p_turn;
    RETURN 'stored';
END""",
)

# `p_old`: the MD5 of the document that the new one was made from; empty where there was none.
define(
    "change_conversation_1",
    "p_user text, p_conversation text, p_old text, p_new text, p_changed double precision",
    "boolean",
    """
BEGIN
    IF p_old = '' THEN
        INSERT INTO conversations (user_id, conversation_id, document, updated_at)
            VALUES (p_user, p_conversation, p_new, p_changed) ON CONFLICT DO NOTHING;
    ELSE
        UPDATE conversations SET document = p_new, updated_at = p_changed
            WHERE user_id = p_user AND conversation_id = p_conversation AND md5(document) = p_old;
    END IF;
    RETURN FOUND;
END""",
)

define(
    "finish_1",
    f"{_CLAIM}, p_act bytea, p_status text, p_result text, p_recording bytea, p_release boolean,"
    " p_firsts integer[], p_parts bytea[], p_progress text, p_place text, p_tokens bigint,"
    " p_event text, p_conversation text[], p_changed double precision, p_now double precision",
    "text",
    f"""
DECLARE r turns; now double precision;
BEGIN {_HELD}
    now := {NOW};
    IF r.act = p_act THEN RETURN 'stored'; END IF;
    IF p_status = 'cancelled' AND r.phase <> 'cancelling' THEN RETURN 'lost'; END IF;
    IF p_status <> 'cancelled' AND r.phase NOT IN ('streaming', 'writing') THEN
        RETURN CASE r.phase WHEN 'cancelling' THEN 'cancelled' ELSE 'lost' END;
    END IF;
    IF p_conversation IS NOT NULL AND NOT change_conversation_1(p_conversation[1],
            p_conversation[2], p_conversation[3], p_conversation[4], p_changed) THEN
        RETURN 'conversation changed';
    END IF;
    PERFORM add_entries_1(p_turn, p_firsts, p_parts);
    UPDATE turns SET act = p_act, status = p_status, phase = 'done', active = false,
            finished_at = now, result = p_result, recording = coalesce(p_recording, recording),
            record = NULL, reserved = 0,
            idempotency_key = CASE WHEN p_release THEN NULL ELSE idempotency_key END,
            bytes = length(p_result) + coalesce(length(coalesce(p_recording, recording)), 0)
                + (SELECT coalesce(sum(length(data)), 0) FROM events WHERE turn_id = p_turn)
        WHERE turn_id = p_turn;
    IF p_progress IS NOT NULL THEN
        INSERT INTO characters (character_id, progress) VALUES (r.character_id, p_progress)
            ON CONFLICT (character_id) DO UPDATE SET progress = excluded.progress;
        IF p_place IS NOT NULL THEN
            INSERT INTO places (character_id, name) VALUES (r.character_id, p_place)
                ON CONFLICT DO NOTHING;
        END IF;
    END IF;
    INSERT INTO spending (user_id, day, tokens)
        VALUES (r.user_id, floor(now / 86400), coalesce(p_tokens, r.reserved))
        ON CONFLICT (user_id, day) DO UPDATE SET tokens = spending.tokens + excluded.tokens;
    INSERT INTO outbox (type, user_id, payload, created_at) VALUES (p_event, r.user_id,
        json_build_object('turn_id', r.turn_id, 'character_id', r.character_id), now);
    RETURN 'stored';
END""",
)

define(
    "cancel_1",
    "p_turn text, p_act bytea",
    "boolean",
    """
DECLARE r turns;
BEGIN
    SELECT * INTO r FROM turns WHERE turn_id = p_turn FOR UPDATE;
    IF FOUND AND r.outside_act = p_act THEN RETURN true; END IF;
    IF NOT FOUND OR r.phase NOT IN ('queued', 'streaming') THEN RETURN false; END IF;
    UPDATE turns SET phase = 'cancelling', outside_act = p_act WHERE turn_id = p_turn;
    RETURN true;
END""",
)

define(
    "promote_1",
    "p_exclusive text, p_act bytea",
    "text",
    """
DECLARE r turns;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('exclusive:' || p_exclusive, 0));
    SELECT * INTO r FROM turns WHERE exclusive_key = p_exclusive AND active;
    IF FOUND THEN RETURN CASE WHEN r.outside_act = p_act THEN r.turn_id END; END IF;
    SELECT * INTO r FROM turns WHERE exclusive_key = p_exclusive AND phase = 'queued'
        ORDER BY created_at, number LIMIT 1 FOR UPDATE;
    IF NOT FOUND OR r.phase <> 'queued' THEN RETURN NULL; END IF;
    UPDATE turns SET status = 'running', phase = 'streaming', active = true, outside_act = p_act
        WHERE turn_id = r.turn_id;
    RETURN r.turn_id;
END""",
)
