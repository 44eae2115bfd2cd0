"""Tables in PostgreSQL: their own tables, and what the journal's transactions do to them.

Columns mean what they mean in SQLite. `act` of a row names the call that has inserted it, so that one
whose answer was lost can be sent again.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from app.adapters.store.postgres.functions import function

FUNCTIONS: Final[dict[str, str]] = {}
define = partial(function, FUNCTIONS)

TABLES: Final = """
CREATE TABLE tables (
    table_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL,
    dm_name     text NOT NULL,
    owner       text NOT NULL,
    created_at  double precision NOT NULL,
    is_active   boolean NOT NULL DEFAULT true,
    rules       text NOT NULL,
    tokens_used bigint NOT NULL DEFAULT 0,
    act         bytea UNIQUE
);
CREATE INDEX tables_by_owner ON tables (owner);
CREATE TABLE seats (
    table_id     bigint NOT NULL,
    user_id      text NOT NULL,
    number       bigint GENERATED ALWAYS AS IDENTITY,
    player_name  text NOT NULL,
    role         text NOT NULL,
    character_id text,
    joined_at    double precision NOT NULL,
    present      boolean NOT NULL,
    removed      boolean NOT NULL,
    PRIMARY KEY (table_id, user_id)
);
CREATE INDEX seats_by_user ON seats (user_id);
CREATE TABLE invitations (
    invitation_id text PRIMARY KEY,
    number        bigint GENERATED ALWAYS AS IDENTITY,
    table_id      bigint NOT NULL,
    token_hash    bytea NOT NULL,
    role          text NOT NULL,
    created_by    text NOT NULL,
    created_at    double precision NOT NULL,
    expires_at    double precision,
    revoked       boolean NOT NULL DEFAULT false
);
CREATE UNIQUE INDEX invitations_by_token ON invitations (table_id, token_hash);
CREATE TABLE lines (
    line_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    table_id     bigint NOT NULL,
    sender       text NOT NULL,
    content      text NOT NULL,
    message_type text NOT NULL,
    user_id      text NOT NULL,
    turn_id      text,
    recipient    text,
    data         text,
    created_at   double precision NOT NULL,
    act          bytea UNIQUE
);
CREATE INDEX lines_by_table ON lines (table_id, line_id);
ALTER TABLE turns ADD COLUMN begun bigint;
CREATE INDEX turns_of_tables ON turns (exclusive_key, number)
    WHERE exclusive_key >= 'table:' AND exclusive_key < 'table;';
"""

OF_TABLE: Final = "exclusive_key >= 'table:' AND exclusive_key < 'table;'"

# A line has its number before it is committed: two of one table must not pass each other on the way, or
# a reader behind the later one would never see the earlier one.
define(
    "say_1",
    "p_table bigint, p_sender text, p_content text, p_type text, p_user text, p_turn text,"
    " p_recipient text, p_data text, p_at double precision, p_act bytea",
    "bigint",
    """
DECLARE found bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('lines:' || p_table, 0));
    SELECT line_id INTO found FROM lines WHERE act = p_act;
    IF FOUND THEN RETURN found; END IF;
    INSERT INTO lines (table_id, sender, content, message_type, user_id, turn_id, recipient, data,
            created_at, act)
        VALUES (p_table, p_sender, p_content, p_type, p_user, p_turn, p_recipient, p_data, p_at, p_act)
        RETURNING line_id INTO found;
    RETURN found;
END""",
)

define(
    "settle_table_1",
    "p_table bigint, p_tokens bigint, p_lines json, p_at double precision",
    "void",
    """
DECLARE line json;
BEGIN
    UPDATE tables SET tokens_used = tokens_used + p_tokens WHERE table_id = p_table;
    IF NOT FOUND THEN RETURN; END IF;
    FOR line IN SELECT * FROM json_array_elements(p_lines) LOOP
        PERFORM say_1(p_table, line ->> 0, line ->> 1, line ->> 2, line ->> 3, line ->> 4, line ->> 5,
            line ->> 6, p_at, NULL);
    END LOOP;
END""",
)

define(
    "finish_2",
    "p_turn text, p_owner text, p_fence integer, p_act bytea, p_status text, p_result text,"
    " p_recording bytea, p_release boolean, p_firsts integer[], p_parts bytea[], p_progress text,"
    " p_place text, p_tokens bigint, p_event text, p_conversation text[],"
    " p_changed double precision, p_now double precision, p_lines json",
    "text",
    f"""
DECLARE r turns; verdict text;
BEGIN
    SELECT * INTO r FROM turns WHERE turn_id = p_turn FOR UPDATE;
    verdict := finish_1(p_turn, p_owner, p_fence, p_act, p_status, p_result, p_recording, p_release,
        p_firsts, p_parts, p_progress, p_place, p_tokens, p_event, p_conversation, p_changed, p_now);
    IF verdict = 'stored' AND r.act IS DISTINCT FROM p_act
            AND r.{OF_TABLE.replace(" AND ", " AND r.")} THEN
        PERFORM settle_table_1(substr(r.exclusive_key, 7)::bigint, coalesce(p_tokens, r.reserved),
            p_lines, (SELECT finished_at FROM turns WHERE turn_id = p_turn));
    END IF;
    RETURN verdict;
END""",
)

define(
    "promote_2",
    "p_exclusive text, p_act bytea",
    "text",
    f"""
DECLARE r turns;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('exclusive:' || p_exclusive, 0));
    SELECT * INTO r FROM turns WHERE exclusive_key = p_exclusive AND active;
    IF FOUND THEN RETURN CASE WHEN r.outside_act = p_act THEN r.turn_id END; END IF;
    SELECT * INTO r FROM turns q WHERE exclusive_key = p_exclusive AND phase = 'queued'
        ORDER BY CASE WHEN {OF_TABLE} THEN (SELECT max(o.begun) FROM turns o
                WHERE o.exclusive_key = p_exclusive AND o.{OF_TABLE.replace(" AND ", " AND o.")}
                    AND o.user_id = q.user_id) END NULLS FIRST,
            created_at, number
        LIMIT 1 FOR UPDATE;
    IF NOT FOUND OR r.phase <> 'queued' THEN RETURN NULL; END IF;
    UPDATE turns SET status = 'running', phase = 'streaming', active = true, outside_act = p_act
        WHERE turn_id = r.turn_id;
    RETURN r.turn_id;
END""",
)

TRIGGERS: Final = f"""
CREATE FUNCTION number_begun_1() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    NEW.begun := (SELECT 1 + coalesce(max(begun), 0) FROM turns
        WHERE exclusive_key = NEW.exclusive_key AND {OF_TABLE});
    RETURN NEW;
END $body$;
CREATE TRIGGER turns_of_tables_begin BEFORE INSERT OR UPDATE OF active ON turns FOR EACH ROW
    WHEN (NEW.active AND NEW.{OF_TABLE.replace(" AND ", " AND NEW.")})
    EXECUTE FUNCTION number_begun_1();
"""

MIGRATION: Final = TABLES + "".join(FUNCTIONS.values()) + TRIGGERS
