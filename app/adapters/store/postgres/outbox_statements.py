"""Every statement of the outbox that a node sends to PostgreSQL. Each may be sent twice."""

from __future__ import annotations

from typing import Final

_NOW: Final = "extract(epoch FROM clock_timestamp())::double precision"
_EVENT: Final = (
    "event_id AS number, coalesce(position, 0) AS position, id, type, subject, user_id,"
    " payload AS data, created_at, refusals"
)

# What this process has claimed and does not hold, it does not know of: the answer was lost.
TAKE: Final = f"""
WITH heads AS (
    SELECT event_id FROM outbox o
    WHERE state = 'waiting' AND due_at <= coalesce($4, {_NOW})
        AND (claimed_by IS NULL OR (claimed_by = $1 AND event_id <> ALL ($2))
            OR NOT EXISTS (SELECT 1 FROM nodes WHERE owner = claimed_by))
        AND NOT EXISTS (SELECT 1 FROM outbox e WHERE e.subject = o.subject
            AND e.state = 'waiting' AND e.event_id < o.event_id)
    ORDER BY event_id LIMIT $3 FOR UPDATE SKIP LOCKED
), taken AS (
    UPDATE outbox SET claimed_by = $1 WHERE event_id IN (SELECT event_id FROM heads) RETURNING *
)
SELECT {_EVENT} FROM taken ORDER BY event_id
"""
DELIVERED: Final = (
    "UPDATE outbox SET state = 'done', reason = NULL, claimed_by = NULL"
    " WHERE event_id = $1 AND state = 'waiting'"
)
FAILED: Final = (
    "UPDATE outbox SET state = $2, refusals = $3, reason = $4, claimed_by = NULL,"
    f" due_at = coalesce($6, {_NOW}) + $5 WHERE event_id = $1 AND state = 'waiting'"
)
NUMBER: Final = "SELECT number_events_1($1)"
AFTER: Final = (
    f"SELECT {_EVENT} FROM outbox WHERE position > $1 AND ($2::text IS NULL OR user_id = $2)"
    " ORDER BY position LIMIT $3"
)
BACKLOG: Final = (
    "SELECT (SELECT count(*) FROM outbox WHERE state = 'waiting') AS waiting,"
    " (SELECT count(*) FROM outbox WHERE state = 'dead') AS dead"
)
