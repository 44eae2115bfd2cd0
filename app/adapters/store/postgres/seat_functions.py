"""Seats of tables in PostgreSQL, where no two present members have one name.

`name_key` is null in a seat that an older release has written.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from app.adapters.store.postgres.functions import function

FUNCTIONS: Final[dict[str, str]] = {}
define = partial(function, FUNCTIONS)

_COLUMN: Final = """
ALTER TABLE seats ADD COLUMN name_key text;
CREATE UNIQUE INDEX seats_by_name ON seats (table_id, name_key) WHERE present;
"""

define(
    "take_seat_1",
    "p_table bigint, p_user text, p_name text, p_role text, p_character text,"
    " p_joined double precision, p_present boolean, p_removed boolean, p_key text, p_event text[],"
    " p_line json, p_at double precision, p_act bytea",
    "TABLE (verdict text, moved boolean, recast boolean)",
    """
DECLARE known seats; broken text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('seat:' || p_table || ':' || p_user, 0));
    SELECT * INTO known FROM seats WHERE table_id = p_table AND user_id = p_user;
    moved := (known.present, known.removed) IS DISTINCT FROM (p_present, p_removed);
    recast := known.user_id IS NOT NULL AND known.character_id IS DISTINCT FROM p_character;
    INSERT INTO seats (table_id, user_id, player_name, role, character_id, joined_at, present, removed,
            name_key)
        VALUES (p_table, p_user, p_name, p_role, p_character, p_joined, p_present, p_removed, p_key)
        ON CONFLICT (table_id, user_id) DO UPDATE SET player_name = excluded.player_name,
            role = excluded.role, character_id = excluded.character_id, present = excluded.present,
            removed = excluded.removed, name_key = excluded.name_key
        WHERE excluded.removed OR NOT seats.removed;
    verdict := CASE WHEN FOUND THEN 'seated' ELSE 'removed' END;
    IF verdict = 'seated' AND moved AND p_event IS NOT NULL THEN
        PERFORM add_event_1(p_event[1], p_event[2], p_event[3], p_event[4], p_event[5],
            extract(epoch FROM clock_timestamp())::double precision);
    END IF;
    IF verdict = 'seated' AND moved AND p_line IS NOT NULL THEN
        PERFORM say_2(p_table, p_line, p_at, p_act, NULL, NULL, NULL);
    END IF;
    RETURN NEXT;
EXCEPTION WHEN unique_violation THEN
    GET STACKED DIAGNOSTICS broken = CONSTRAINT_NAME;
    IF broken <> 'seats_by_name' THEN RAISE; END IF;
    verdict := 'taken';
    RETURN NEXT;
END""",
)

MIGRATION: Final = _COLUMN + "".join(FUNCTIONS.values())
