"""The end of a table's turn among its lines in PostgreSQL: the turn keeps the newest line that was there
when it ended. Locks are taken in the order of `settle_table_1`, which follows.
"""

from __future__ import annotations

from typing import Final

from app.adapters.store.postgres.table_functions import OF_TABLE

_OF_NEW: Final = f"NEW.{OF_TABLE.replace(' AND ', ' AND NEW.')}"

MIGRATION: Final = f"""
ALTER TABLE turns ADD COLUMN upto bigint;
CREATE FUNCTION note_end_1() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM 1 FROM tables WHERE table_id = substr(NEW.exclusive_key, 7)::bigint FOR UPDATE;
    PERFORM pg_advisory_xact_lock(hashtextextended('lines:' || substr(NEW.exclusive_key, 7), 0));
    NEW.upto := (SELECT coalesce(max(line_id), 0) FROM lines
        WHERE table_id = substr(NEW.exclusive_key, 7)::bigint);
    RETURN NEW;
END $body$;
CREATE TRIGGER turns_of_tables_end BEFORE UPDATE OF active ON turns FOR EACH ROW
    WHEN (OLD.active AND NOT NEW.active AND {_OF_NEW})
    EXECUTE FUNCTION note_end_1();
"""
