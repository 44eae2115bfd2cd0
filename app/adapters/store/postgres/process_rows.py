"""Rows that belong to a process, and go with it."""

from __future__ import annotations


def ends_with_process(table: str, trigger: str) -> str:
    """The rows of a process in that table go with its row in `nodes`, by a trigger of that name."""
    return f"""
CREATE FUNCTION end_{table}_1() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    DELETE FROM {table} WHERE owner = OLD.owner;
    RETURN NULL;
END $body$;
CREATE TRIGGER {trigger} AFTER DELETE ON nodes FOR EACH ROW EXECUTE FUNCTION end_{table}_1();
"""
