"""Every statement that a node sends to PostgreSQL, by name. Columns are named: nodes of another release
may have added some."""

from __future__ import annotations

from typing import Final

# -- the journal ----------------------------------------------------------------------------------

ADMIT: Final = (
    "SELECT * FROM admit_10($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)"
)
NOTE: Final = "SELECT note_1($1, $2, $3, $4, $5, $6)"
VALIDATE: Final = "SELECT validate_3($1, $2, $3, $4, $5, $6, $7, $8, $9)"
STEP: Final = "SELECT step_1($1, $2, $3, $4, $5, $6, $7, $8)"
RESEND: Final = "SELECT resend_1($1, $2, $3, $4, $5)"
FINISH: Final = (
    "SELECT finish_6($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,"
    " $18, $19, $20)"
)
CANCEL: Final = "SELECT cancel_2($1, $2)"
HOLD: Final = "SELECT hold_1($1, $2, $3, $4, $5, $6, $7, $8)"
SETTLE_LEFT: Final = "SELECT settle_left_1($1)"
CHOOSE: Final = (
    "SELECT verdict, used, set_aside, at FROM choose_5($1, $2, $3, $4, $5, $6, $7, $8, $9)"
)
HELD: Final = "SELECT record FROM turns WHERE turn_id = $1 AND phase = 'awaiting'"
CHOICE: Final = "SELECT choice FROM turns WHERE turn_id = $1"
PROMOTE: Final = "SELECT promote_2($1, $2)"
ADOPT: Final = (
    "SELECT *, extract(epoch FROM clock_timestamp())::double precision AS at"
    " FROM adopt_1($1, $2, $3)"
)
LET_GO: Final = (
    "UPDATE turns SET owner = '' WHERE owner = $1 AND turn_id = ANY ($2) AND phase <> 'done'"
)
EXPIRE: Final = "SELECT removed, more FROM expire_2($1, $2, $3, $4, $5, $6)"

BY_KEY: Final = (
    "SELECT turn_id, body_hash FROM turns WHERE user_id = $1 AND idempotency_key = $2"
    " AND created_at > coalesce($3, extract(epoch FROM clock_timestamp())) - 86400"
)
SPENT: Final = (
    "SELECT used, set_aside"
    " FROM user_spent_1($1, coalesce($2, extract(epoch FROM clock_timestamp())))"
)
SPENT_BY_DAY: Final = (
    "SELECT day, tokens, micros FROM spending WHERE user_id = $1"
    " AND day > floor(coalesce($2, extract(epoch FROM clock_timestamp())) / 86400) - $3 ORDER BY day DESC"
)
SPEND: Final = "SELECT spend_1($1, $2, $3, $4)"
COST: Final = "SELECT coalesce((SELECT micros FROM costs WHERE account = $1), 0)"
PROGRESS: Final = "SELECT progress FROM characters WHERE character_id = $1"
KNOWS_PLACE: Final = "SELECT 1 FROM places WHERE character_id = $1 AND name = $2"
# What another process has drawn meanwhile is no row of this statement's snapshot: only the update finds it.
DRAWN: Final = (
    "INSERT INTO secrets (name, value) VALUES ($1, $2)"
    " ON CONFLICT (name) DO UPDATE SET value = secrets.value RETURNING value"
)
RECENT_STARTS: Final = (
    "SELECT request, created_at FROM turns WHERE created_at > $1 ORDER BY created_at, number"
)
ALIVE: Final = "SELECT NOT pg_is_in_recovery()"

UNSETTLED: Final = (
    "SELECT record, step, intent, fence, extract(epoch FROM clock_timestamp())::double precision AS at"
    " FROM turns WHERE turn_id = $1 AND phase = 'writing'"
)
SETTLE: Final = "SELECT settle_1($1, $2, $3, $4, $5)"

# -- turns as they are shown ----------------------------------------------------------------------

_SHOWN: Final = (
    "turn_id, user_id, character_id, status, created_at, request, finished_at, result, owner"
)
TURN: Final = f"SELECT {_SHOWN}, NULL::bytea AS recording FROM turns WHERE turn_id = $1"
TURN_RECORDED: Final = f"SELECT {_SHOWN}, recording FROM turns WHERE turn_id = $1"
RECENT: Final = (
    f"SELECT {_SHOWN}, recording FROM turns WHERE character_id = $1"
    " ORDER BY created_at DESC, number DESC LIMIT $2"
)
ENTRIES: Final = "SELECT first, data FROM events WHERE turn_id = $1 ORDER BY part"
ENTRIES_OF_MANY: Final = (
    "SELECT turn_id, first, data FROM events WHERE turn_id = ANY ($1) ORDER BY turn_id, part"
)

_OF_CHARACTER: Final = "FROM turns WHERE character_id = $1 AND user_id = $2"
_NUMBER: Final = "(SELECT number FROM turns WHERE turn_id = $3)"
CHARACTER_TURNS: Final = (
    f"SELECT {_SHOWN}, NULL::bytea AS recording {_OF_CHARACTER}"
    f" AND ($3::text IS NULL OR number < {_NUMBER}) ORDER BY number DESC LIMIT $4"
)
TURNS_SINCE: Final = (
    f"SELECT turn_id, status {_OF_CHARACTER} AND ($3::text IS NULL OR number > {_NUMBER}"
    f" OR (phase <> 'done' AND {_NUMBER} IS NULL)) ORDER BY number"
)
OPEN_TURNS: Final = f"SELECT turn_id, status {_OF_CHARACTER} AND phase <> 'done' ORDER BY number"
HAS_PLAYED: Final = f"SELECT 1 {_OF_CHARACTER} AND status = 'complete' LIMIT 1"
IS_REPEATED: Final = (
    "SELECT 1 FROM turns WHERE turn_id = $1 AND user_id = $2 AND body_hash = $3"
    " AND coalesce(idempotency_key = $4, true)"
)
MINE: Final = "SELECT turn_id, phase FROM turns WHERE owner = $1 AND phase <> 'done'"

# -- conversations ----------------------------------------------------------------------------------

CONVERSATION: Final = (
    "SELECT document, md5(document) AS mark FROM conversations"
    " WHERE user_id = $1 AND conversation_id = $2"
)
CHANGE_CONVERSATION: Final = "SELECT change_conversation_1($1, $2, $3, $4, $5)"
EXPIRE_CONVERSATIONS: Final = (
    "WITH gone AS (DELETE FROM conversations WHERE (user_id, conversation_id) IN"
    " (SELECT user_id, conversation_id FROM conversations WHERE updated_at < $1 LIMIT $2)"
    " RETURNING 1) SELECT count(*) FROM gone"
)

# -- content ----------------------------------------------------------------------------------------

_KEPT: Final = "SELECT content_id, user_id, kind, parent_id, created_at, body FROM contents"
CONTENT: Final = f"{_KEPT} WHERE content_id = $1"
CONTENTS: Final = (
    f"{_KEPT} WHERE user_id = $1 AND ($2::text IS NULL OR parent_id = $2)"
    ' AND ($3::text IS NULL OR (created_at, content_id COLLATE "C") <'
    " (SELECT created_at, content_id FROM contents WHERE content_id = $3))"
    ' ORDER BY created_at DESC, content_id COLLATE "C" DESC LIMIT $4'
)
KEEP_CONTENT: Final = "SELECT keep_content_1($1, $2)"
REMOVE_CONTENT: Final = (
    "WITH gone AS (DELETE FROM contents WHERE content_id = $1 RETURNING 1)"
    " SELECT count(*) FROM gone"
)
EXPIRE_CONTENTS: Final = (
    "WITH gone AS (DELETE FROM contents WHERE content_id IN"
    " (SELECT content_id FROM contents WHERE created_at < $1 LIMIT $2)"
    " RETURNING 1) SELECT count(*) FROM gone"
)

# -- who lives ------------------------------------------------------------------------------------

LOCK: Final = (
    "SELECT pg_try_advisory_lock(owner_key_1($1)), pg_backend_pid(),"
    " (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())"
)
END_FORMER: Final = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2"
)
JOIN: Final = (
    "INSERT INTO nodes (owner, started_at)"
    " VALUES ($1, extract(epoch FROM clock_timestamp()))"
    " ON CONFLICT (owner) DO UPDATE SET freed_at = NULL"
)
LEAVE: Final = "DELETE FROM nodes WHERE owner = $1"
NODES: Final = "SELECT owner FROM nodes ORDER BY owner"
WAIT_FOR_PEER: Final = "SELECT wait_for_peer_2($1)"
HEARTBEAT: Final = "SELECT 1"

# -- signals and the log of running turns -----------------------------------------------------------

NOTIFY: Final = "SELECT pg_notify($1, note) FROM unnest($2::text[]) AS note"
APPEND_LOG: Final = "SELECT append_log_1($1, $2, $3, $4, $5, $6, $7, $8, $9)"
READ_LOG: Final = (
    "SELECT l.turn_id, l.first, l.data FROM unnest($1::text[], $2::integer[]) AS w (turn_id, seen)"
    " JOIN log l ON l.turn_id = w.turn_id AND l.last > w.seen ORDER BY l.turn_id, l.first"
)
DROP_LOG: Final = "DELETE FROM log WHERE turn_id = ANY ($1)"
DROP_STOPPED_LISTENERS: Final = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND application_name = $1"
    " AND wait_event = 'ClientWrite' AND state_change < clock_timestamp() - interval '30 s'"
)

# -- rate windows -----------------------------------------------------------------------------------

TAKE: Final = "SELECT taken, at, places, waits FROM take_2($1, $2, $3, $4)"
LOOK: Final = (
    "WITH clock AS MATERIALIZED"
    " (SELECT coalesce($4, extract(epoch FROM clock_timestamp())::double precision) AS at)"
    " SELECT clock.at, array_agg(asked.most - coalesce(live.used, 0) ORDER BY i) AS places,"
    " array_agg(coalesce(live.wait, 0) ORDER BY i) AS waits"
    " FROM clock CROSS JOIN unnest($1::text[], $2::integer[], $3::double precision[])"
    " WITH ORDINALITY AS asked (name, most, length, i)"
    " LEFT JOIN windows w ON w.name = asked.name"
    " LEFT JOIN LATERAL (SELECT w.newest - h.n + 1 AS used, least(next.at, clock.at)"
    " + asked.length - clock.at AS wait FROM hits h JOIN hits next"
    " ON next.name = h.name AND next.n = greatest(h.n, w.newest - asked.most + 1)"
    " WHERE h.name = w.name AND h.n BETWEEN w.oldest AND w.newest AND h.at + asked.length > clock.at"
    " ORDER BY h.n LIMIT 1) live ON w.until > clock.at"
    " GROUP BY clock.at"
)
GIVE_BACK: Final = "SELECT give_back_1($1, $2)"
