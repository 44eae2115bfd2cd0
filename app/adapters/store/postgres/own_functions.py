"""New tables in PostgreSQL: one that its owner is to have once, too."""

from __future__ import annotations

from functools import partial
from typing import Final

from app.adapters.store.postgres.functions import function

FUNCTIONS: Final[dict[str, str]] = {}
define = partial(function, FUNCTIONS)

# The number of the table: `p_number`, or with `p_once` that of the owner's first one of the name.
define(
    "create_table_1",
    "p_number bigint, p_name text, p_dm text, p_owner text, p_at double precision, p_rules text,"
    " p_act bytea, p_player text, p_key text, p_role text, p_character text, p_event text[],"
    " p_once boolean",
    "bigint",
    """
DECLARE known bigint;
BEGIN
    IF p_once THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('own:' || p_owner, 0));
        SELECT min(table_id) INTO known FROM tables WHERE owner = p_owner AND name = p_name;
        IF known IS NOT NULL THEN RETURN known; END IF;
    END IF;
    INSERT INTO tables (table_id, name, dm_name, owner, created_at, rules, act)
        OVERRIDING SYSTEM VALUE VALUES (p_number, p_name, p_dm, p_owner, p_at, p_rules, p_act)
        ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN RETURN p_number; END IF;
    PERFORM take_seat_1(p_number, p_owner, p_player, p_role, p_character, p_at, true, false, p_key,
        p_event, NULL, p_at, NULL);
    RETURN p_number;
END""",
)

MIGRATION: Final = "".join(FUNCTIONS.values())
