"""Every statement of tables that a node sends to PostgreSQL. Each may be sent twice."""

from __future__ import annotations

from typing import Final

from app.adapters.store.postgres.change_functions import MARK
from app.adapters.store.table_rows import DEED, LINE, SEAT, TABLE


def _event(place: str) -> str:
    """Adds the event in an array of its columns, if there is one."""
    columns = ", ".join(f"({place}::text[])[{number}]" for number in range(1, 6))
    at = "extract(epoch FROM clock_timestamp())::double precision"
    return f"CASE WHEN {place}::text[] IS NOT NULL THEN add_event_1({columns}, {at}) END"


NEXT: Final = "SELECT nextval(pg_get_serial_sequence('tables', 'table_id'))"
CREATE: Final = "SELECT create_table_1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
FIND: Final = f"SELECT {TABLE}, {MARK} AS mark FROM tables WHERE table_id = $1"
OF_USER: Final = (
    f"SELECT {TABLE} FROM tables WHERE owner = $1 OR table_id IN"
    " (SELECT table_id FROM seats WHERE user_id = $1 AND present) ORDER BY table_id DESC"
)
CHANGE: Final = "SELECT change_table_2($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
DELETE: Final = (
    "WITH s AS (DELETE FROM seats WHERE table_id = $1),"
    " i AS (DELETE FROM invitations WHERE table_id = $1),"
    " l AS (DELETE FROM lines WHERE table_id = $1),"
    " r AS (DELETE FROM rounds WHERE table_id = $1),"
    " b AS (DELETE FROM table_reservations WHERE table_id = $1),"
    " c AS (DELETE FROM costs WHERE account = 'table:' || $1::bigint),"
    " t AS (DELETE FROM tables WHERE table_id = $1 RETURNING true)"
    f" SELECT true, {_event('$2')} FROM t"
)
SEAT_OF: Final = f"SELECT {SEAT} FROM seats WHERE table_id = $1 AND user_id = $2"
_SEATS: Final = f"SELECT {SEAT} FROM seats WHERE table_id = $1 AND %s ORDER BY joined_at, number"
SEATS: Final = _SEATS % "present"
REMOVED: Final = _SEATS % "removed"
READMIT: Final = (
    "UPDATE seats SET removed = false WHERE table_id = $1 AND user_id = $2 RETURNING true"
)
TAKE_SEAT: Final = (
    "SELECT verdict, moved, recast"
    " FROM take_seat_1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
)
INVITE: Final = (
    "INSERT INTO invitations (invitation_id, table_id, token_hash, role, created_by, created_at,"
    " expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (invitation_id) DO NOTHING"
)
INVITATIONS: Final = (
    "SELECT invitation_id, role, created_at, expires_at, revoked FROM invitations"
    " WHERE table_id = $1 ORDER BY created_at, number"
)
INVITATION: Final = (
    "SELECT role FROM invitations WHERE table_id = $1 AND token_hash = $2 AND NOT revoked"
    " AND (expires_at IS NULL OR expires_at > $3)"
)
REVOKE: Final = (
    "UPDATE invitations SET revoked = true WHERE (table_id, invitation_id) = ($1, $2) RETURNING 1"
)
SAY: Final = "SELECT say_2($1, $2, $3, $4, $5, $6, $7)"
DEED_OF: Final = (
    f"SELECT {DEED} FROM lines WHERE user_id = $1 AND idempotency_key = $2 AND created_at > $3"
)
LINES: Final = (
    f"SELECT {LINE} FROM lines WHERE table_id = $1 AND line_id < $2"
    " AND (recipient IS NULL OR recipient = $3 OR user_id = $3) ORDER BY line_id DESC LIMIT $4"
)
LINES_SINCE: Final = (
    f"SELECT {LINE} FROM lines WHERE table_id = $1 AND line_id > $2 ORDER BY line_id LIMIT $3"
)
_OF_TABLE: Final = "exclusive_key = $1 AND exclusive_key >= 'table:' AND exclusive_key < 'table;'"
_NUMBER: Final = "(SELECT number FROM turns WHERE turn_id = $2)"
TURNS: Final = (
    f"SELECT turn_id, status, begun, behind, upto FROM turns WHERE {_OF_TABLE} AND ($2::text IS NULL"
    f" OR number > {_NUMBER} OR (phase <> 'done' AND {_NUMBER} IS NULL)) ORDER BY number"
)
SUMMARY: Final = "SELECT summary FROM tables WHERE table_id = $1"
PUT_SUMMARY: Final = (
    "UPDATE tables SET summary = $3 WHERE table_id = $1"
    " AND (summary IS NOT DISTINCT FROM $2 OR summary = $3) RETURNING true"
)
NEXT_ROLL: Final = "SELECT 1 + coalesce((SELECT rolls FROM tables WHERE table_id = $1), 0)"
RESERVE: Final = "SELECT verdict, used, set_aside FROM reserve_1($1, $2, $3, $4, $5)"
SETTLE: Final = "SELECT settle_reservation_1($1, $2)"
SPENT: Final = "SELECT used, set_aside FROM table_spent_2($1)"
