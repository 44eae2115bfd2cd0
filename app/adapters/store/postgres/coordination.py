"""Functions in the database for coordination: orphaned turns, the log of running turns, rate windows,
and dropping expired rows."""

from __future__ import annotations

from functools import partial
from typing import Final

from app.adapters.store.postgres.functions import NOW, function

WEEK: Final = 7 * 86_400
FUNCTIONS: Final[dict[str, str]] = {}

define = partial(function, FUNCTIONS)

# A process that has just lost its lock gets it back within the grace; one whose row is gone has left.
define(
    "adopt_1",
    "p_owner text, p_known text[], p_grace double precision",
    "TABLE (waiting boolean, turn_id text, fence integer, request text, phase text,"
    " created_at double precision, record text, step integer, intent integer,"
    " sent_at double precision, first_sent_at double precision)",
    """
DECLARE
    other text;
    node nodes;
    now double precision := extract(epoch FROM clock_timestamp());
    dead text[] := ARRAY[''];
BEGIN
    waiting := false;
    FOR other IN SELECT owner FROM turns WHERE phase <> 'done' AND owner NOT IN (p_owner, '')
            UNION SELECT owner FROM nodes WHERE owner <> p_owner ORDER BY 1 LOOP
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(owner_key_1(other));
        SELECT * INTO node FROM nodes WHERE owner = other FOR UPDATE;
        IF NOT FOUND OR node.freed_at <= now - p_grace THEN
            DELETE FROM nodes WHERE owner = other;
            DELETE FROM log_owners WHERE owner = other;
            dead := dead || other;
        ELSE
            waiting := true;
            UPDATE nodes SET freed_at = now WHERE owner = other AND freed_at IS NULL;
        END IF;
    END LOOP;
    RETURN QUERY
        WITH taken AS (
            UPDATE turns t SET owner = p_owner, fence = t.fence + 1
            WHERE t.phase <> 'done' AND (t.owner = ANY (dead)
                OR (t.owner = p_owner AND t.turn_id <> ALL (p_known)))
            RETURNING t.*
        )
        SELECT waiting, t.turn_id, t.fence, t.request, t.phase, t.created_at, t.record, t.step,
            t.intent, t.sent_at, t.first_sent_at
        FROM taken t ORDER BY t.created_at, t.number;
    IF NOT FOUND THEN RETURN NEXT; END IF;
END""",
)

# Waits as long as the session's lock_timeout says. Caught here, the end of a wait is no line in the
# log of the server. The lock is the session's: it outlives the function.
define(
    "wait_for_peer_1",
    "p_owner text",
    "boolean",
    """
BEGIN
    PERFORM pg_advisory_lock(owner_key_1(p_owner));
    RETURN true;
EXCEPTION WHEN lock_not_available THEN
    RETURN false;
END""",
)

# `p_whole`: with these rows, everything that this process has published is there.
define(
    "append_log_1",
    "p_owner text, p_turns text[], p_firsts integer[], p_lasts integer[], p_parts bytea[],"
    " p_whole boolean, p_rewriting boolean, p_channel text, p_notes text[]",
    "boolean",
    """
BEGIN
    IF NOT p_rewriting AND NOT EXISTS (SELECT 1 FROM log_owners WHERE owner = p_owner) THEN
        RETURN false;
    END IF;
    INSERT INTO log (turn_id, first, last, data)
        SELECT * FROM unnest(p_turns, p_firsts, p_lasts, p_parts)
        ON CONFLICT (turn_id, first) DO UPDATE SET last = excluded.last, data = excluded.data;
    IF p_whole THEN
        INSERT INTO log_owners (owner) VALUES (p_owner) ON CONFLICT DO NOTHING;
    END IF;
    PERFORM pg_notify(p_channel, note) FROM unnest(p_notes) AS note;
    RETURN true;
END""",
)

# By hand. The turn is left without an owner.
define(
    "settle_1",
    "p_turn text, p_fence integer, p_intent integer, p_firsts integer[], p_parts bytea[]",
    "boolean",
    """
BEGIN
    UPDATE turns SET step = p_intent, owner = '', fence = fence + 1, first_sent_at = NULL
        WHERE turn_id = p_turn AND fence = p_fence AND phase = 'writing' AND step = p_intent - 1
            AND intent = p_intent;
    IF NOT FOUND THEN RETURN false; END IF;
    PERFORM add_entries_1(p_turn, p_firsts, p_parts);
    RETURN true;
END""",
)

# All windows or none. A window's hits are in the order of their times; those are never in the future.
define(
    "take_1",
    "p_names text[], p_limits integer[], p_lengths double precision[], p_now double precision",
    "TABLE (taken boolean, at double precision, places integer[], waits double precision[])",
    f"""
DECLARE
    w windows;
    length double precision;
    oldest_at double precision;
    i integer;
BEGIN
    INSERT INTO windows (name) SELECT DISTINCT unnest(p_names) ORDER BY 1 ON CONFLICT DO NOTHING;
    PERFORM 1 FROM windows WHERE name = ANY (p_names) ORDER BY name FOR UPDATE;
    at := {NOW};
    taken := true; places := '{{}}'; waits := '{{}}';
    FOR i IN 1 .. coalesce(array_length(p_names, 1), 0) LOOP
        length := p_lengths[i];
        PERFORM forget_hits_1(p_names[i], length, at);
        SELECT * INTO w FROM windows WHERE name = p_names[i];
        SELECT h.at INTO oldest_at FROM hits h WHERE h.name = w.name AND h.n = w.oldest;
        places := places || (p_limits[i] - (w.newest - w.oldest + 1))::integer;
        waits := waits || coalesce(oldest_at + length - at, 0);
        taken := taken AND places[i] > 0;
    END LOOP;
    IF taken THEN
        FOR i IN 1 .. coalesce(array_length(p_names, 1), 0) LOOP
            UPDATE windows SET newest = newest + 1, until = at + p_lengths[i]
                WHERE name = p_names[i] RETURNING * INTO w;
            INSERT INTO hits (name, n, at) VALUES (w.name, w.newest, take_1.at);
        END LOOP;
    END IF;
    RETURN NEXT;
END""",
)

define(
    "forget_hits_1",
    "p_name text, p_length double precision, p_at double precision",
    "void",
    """
DECLARE
    w windows;
    gone bigint;
BEGIN
    SELECT * INTO w FROM windows WHERE name = p_name;
    IF w.newest < w.oldest THEN RETURN; END IF;
    UPDATE hits SET at = p_at WHERE name = p_name AND n BETWEEN w.oldest AND w.newest AND at > p_at
        AND EXISTS (SELECT 1 FROM hits WHERE name = p_name AND n = w.newest AND at > p_at);
    DELETE FROM hits WHERE name = p_name AND n BETWEEN w.oldest AND w.oldest + 100
        AND at + p_length <= p_at;
    GET DIAGNOSTICS gone = ROW_COUNT;
    IF gone > 100 THEN
        DELETE FROM hits WHERE name = p_name AND at + p_length <= p_at;
    END IF;
    IF gone > 0 THEN
        SELECT min(n) INTO gone FROM hits WHERE name = p_name;
        UPDATE windows SET oldest = coalesce(gone, w.newest + 1) WHERE name = p_name;
    END IF;
END""",
)

# The hit leaves the middle: the times of later ones move down by one number.
define(
    "give_back_1",
    "p_names text[], p_at double precision",
    "void",
    """
DECLARE
    one text;
    w windows;
    found_n bigint;
BEGIN
    PERFORM 1 FROM windows WHERE name = ANY (p_names) ORDER BY name FOR UPDATE;
    FOREACH one IN ARRAY p_names LOOP
        SELECT * INTO w FROM windows WHERE name = one;
        SELECT n INTO found_n FROM hits WHERE name = one AND at <= p_at ORDER BY n DESC LIMIT 1;
        CONTINUE WHEN w.name IS NULL OR found_n IS NULL;
        UPDATE hits h SET at = later.at FROM hits later
            WHERE h.name = one AND h.n >= found_n AND later.name = one AND later.n = h.n + 1;
        DELETE FROM hits WHERE name = one AND n = w.newest;
        UPDATE windows SET newest = newest - 1 WHERE name = one;
    END LOOP;
END""",
)

# One process at a time, a bounded round.
define(
    "expire_1",
    "p_now double precision, p_events_ttl double precision, p_recordings_ttl double precision,"
    " p_recordings_limit bigint, p_max_bytes bigint, p_chunk integer",
    "TABLE (removed integer, more boolean)",
    f"""
DECLARE
    gone integer;
    most integer := 0;
    held bigint;
    size bigint;
    goners text[];
BEGIN
    removed := 0; more := false;
    IF NOT pg_try_advisory_xact_lock(hashtextextended('expire:' || current_schema(), 0)) THEN
        RETURN NEXT; RETURN;
    END IF;
    DELETE FROM events WHERE turn_id IN (SELECT t.turn_id FROM turns t
        WHERE t.finished_at < p_now - p_events_ttl
            AND EXISTS (SELECT 1 FROM events e WHERE e.turn_id = t.turn_id) LIMIT p_chunk);
    GET DIAGNOSTICS most = ROW_COUNT;
    SELECT count(*) INTO held FROM turns WHERE recording IS NOT NULL;
    UPDATE turns SET recording = NULL WHERE turn_id IN (SELECT turn_id FROM turns
        WHERE recording IS NOT NULL AND finished_at < p_now - p_recordings_ttl
        ORDER BY finished_at LIMIT p_chunk);
    GET DIAGNOSTICS gone = ROW_COUNT;
    most := greatest(most, gone);
    held := least(greatest(held - gone - p_recordings_limit, 0), p_chunk);
    UPDATE turns SET recording = NULL WHERE turn_id IN (SELECT turn_id FROM turns
        WHERE recording IS NOT NULL AND finished_at < p_now ORDER BY finished_at LIMIT held);
    GET DIAGNOSTICS gone = ROW_COUNT;
    most := greatest(most, gone);
    goners := ARRAY(SELECT turn_id FROM turns WHERE finished_at < p_now - p_events_ttl - {WEEK}
        ORDER BY finished_at LIMIT p_chunk);
    IF pg_total_relation_size('turns') + pg_total_relation_size('events') > p_max_bytes THEN
        SELECT coalesce(sum(bytes), 0) INTO size FROM turns WHERE finished_at IS NOT NULL;
        goners := goners || ARRAY(SELECT turn_id FROM (
            SELECT turn_id, finished_at, sum(bytes) OVER (ORDER BY finished_at, turn_id) - bytes AS before
            FROM (SELECT turn_id, finished_at, bytes FROM turns WHERE finished_at < p_now
                ORDER BY finished_at, turn_id LIMIT p_chunk) AS oldest) AS summed
            WHERE size - before > p_max_bytes);
    END IF;
    DELETE FROM events WHERE turn_id = ANY (goners);
    DELETE FROM turns WHERE turn_id = ANY (goners);
    GET DIAGNOSTICS removed = ROW_COUNT;
    DELETE FROM outbox WHERE event_id IN
        (SELECT event_id FROM outbox WHERE created_at < p_now - {WEEK} LIMIT p_chunk);
    DELETE FROM log WHERE NOT EXISTS
        (SELECT 1 FROM turns t WHERE t.turn_id = log.turn_id AND t.phase <> 'done');
    DELETE FROM hits WHERE name IN (SELECT name FROM windows WHERE until < p_now - 60);
    DELETE FROM windows WHERE until < p_now - 60;
    more := greatest(most, removed) >= p_chunk;
    RETURN NEXT;
END""",
)
