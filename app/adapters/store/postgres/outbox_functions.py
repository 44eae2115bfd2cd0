"""Events for other services in PostgreSQL, and the transactions of the journal that add some.

Columns mean what they mean in SQLite. A row has its `event_id` before it is committed. Those of one subject
are committed in that order: a lock keeps the later one back. Over all subjects the order is that of
`position`, which rows get by a later transaction, one such transaction after another: whoever has read up
to a position has missed nothing. `claimed_by`: the process that delivers it; the claim of one that has died
(it is not in `nodes` any more) is void. Rows without a subject are of an older release, and nobody's.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from app.adapters.store.postgres import coordination, functions, table_functions
from app.adapters.store.postgres.functions import function, revised
from app.adapters.store.retention import UNDELIVERED, WEEK

FUNCTIONS: Final[dict[str, str]] = {}
define = partial(function, FUNCTIONS)

_TABLES: Final = """
ALTER TABLE outbox ADD COLUMN id text NOT NULL DEFAULT '';
ALTER TABLE outbox ADD COLUMN subject text NOT NULL DEFAULT '';
ALTER TABLE outbox ADD COLUMN state text NOT NULL DEFAULT 'done';
ALTER TABLE outbox ADD COLUMN refusals integer NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN due_at double precision NOT NULL DEFAULT 0;
ALTER TABLE outbox ADD COLUMN reason text;
ALTER TABLE outbox ADD COLUMN claimed_by text;
ALTER TABLE outbox ADD COLUMN position bigint;
CREATE UNIQUE INDEX events_by_id ON outbox (id) WHERE subject <> '';
CREATE INDEX waiting_events ON outbox (event_id) WHERE state = 'waiting';
CREATE INDEX waiting_of_subject ON outbox (subject, event_id) WHERE state = 'waiting';
CREATE INDEX dead_events ON outbox (event_id) WHERE state = 'dead';
CREATE INDEX events_without_position ON outbox (event_id) WHERE position IS NULL AND subject <> '';
CREATE UNIQUE INDEX events_by_position ON outbox (position);
CREATE INDEX events_of_user ON outbox (user_id, position);
CREATE SEQUENCE positions MINVALUE 0 START 0;
"""

# The last statement of its transaction: nobody who has this lock waits for another.
define(
    "add_event_1",
    "p_id text, p_type text, p_subject text, p_user text, p_data text, p_at double precision",
    "void",
    """
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('event:' || p_subject, 0));
    INSERT INTO outbox (id, type, subject, user_id, payload, created_at, state)
        VALUES (p_id, p_type, p_subject, p_user, p_data, p_at, 'waiting')
        ON CONFLICT (id) WHERE subject <> '' DO NOTHING;
END""",
)

# True: there may be more.
define(
    "number_events_1",
    "p_limit integer",
    "boolean",
    """
DECLARE base bigint; given bigint;
BEGIN
    IF NOT EXISTS (SELECT 1 FROM outbox WHERE position IS NULL AND subject <> '') THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('positions', 0));
    SELECT last_value INTO base FROM positions;
    UPDATE outbox o SET position = base + f.n
        FROM (SELECT event_id, row_number() OVER (ORDER BY event_id) AS n
            FROM (SELECT event_id FROM outbox WHERE position IS NULL AND subject <> ''
                ORDER BY event_id LIMIT p_limit) AS oldest) AS f
        WHERE o.event_id = f.event_id;
    GET DIAGNOSTICS given = ROW_COUNT;
    PERFORM setval('positions', base + given);
    RETURN given = p_limit;
END""",
)


_ROW: Final = """    INSERT INTO outbox (type, user_id, payload, created_at) VALUES ({type}, r.user_id,
        json_build_object('turn_id', r.turn_id, 'character_id', r.character_id), now);
"""
_OF_TABLE: Final = table_functions.OF_TABLE.replace("exclusive_key", "r.exclusive_key")

FUNCTIONS["validate_2"] = revised(
    functions.FUNCTIONS["validate_1"],
    ("FUNCTION validate_1", "FUNCTION validate_2"),
    (_ROW.format(type="'turn.validated'"), ""),
)
FUNCTIONS["finish_3"] = revised(
    functions.FUNCTIONS["finish_1"],
    ("FUNCTION finish_1", "FUNCTION finish_3"),
    ("p_event text, p_conversation", "p_event text[], p_conversation"),
    ("p_now double precision)", "p_now double precision, p_lines json)"),
    (
        _ROW.format(type="p_event"),
        f"""    IF {_OF_TABLE} THEN
        PERFORM settle_table_1(substr(r.exclusive_key, 7)::bigint, coalesce(p_tokens, r.reserved),
            p_lines, now);
    END IF;
    IF p_event IS NOT NULL THEN
        PERFORM add_event_1(p_event[1], p_event[2], p_event[3], p_event[4], p_event[5], now);
    END IF;
""",
    ),
)
FUNCTIONS["expire_2"] = revised(
    coordination.FUNCTIONS["expire_1"],
    ("FUNCTION expire_1", "FUNCTION expire_2"),
    (
        f"WHERE created_at < p_now - {WEEK} LIMIT p_chunk);",
        f"""WHERE created_at < p_now - {WEEK}
            AND (state IN ('done', 'dropped') OR created_at < p_now - {UNDELIVERED})
            LIMIT p_chunk FOR UPDATE SKIP LOCKED);""",
    ),
)

MIGRATION: Final = _TABLES + "".join(FUNCTIONS.values())
