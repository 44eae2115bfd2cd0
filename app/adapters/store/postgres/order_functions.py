"""The order of a table's turns and lines in PostgreSQL: a turn keeps the newest line that was there when it
began. It takes the lock of the table's lines: none of them is on its way past it.
"""

from __future__ import annotations

from typing import Final

from app.adapters.store.postgres.functions import revised
from app.adapters.store.postgres.table_functions import TRIGGERS

_BEHIND: Final = """
    PERFORM pg_advisory_xact_lock(hashtextextended('lines:' || substr(NEW.exclusive_key, 7), 0));
    NEW.behind := (SELECT coalesce(max(line_id), 0) FROM lines
        WHERE table_id = substr(NEW.exclusive_key, 7)::bigint);
"""

MIGRATION: Final = """
ALTER TABLE turns ADD COLUMN behind bigint;
DROP TRIGGER turns_of_tables_begin ON turns;
""" + revised(
    TRIGGERS,
    ("FUNCTION number_begun_1() RETURNS", "FUNCTION number_begun_2() RETURNS"),
    ("EXECUTE FUNCTION number_begun_1", "EXECUTE FUNCTION number_begun_2"),
    ("    RETURN NEW;", f"{_BEHIND.strip(chr(10))}\n    RETURN NEW;"),
)
