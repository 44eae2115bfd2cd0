"""Access to one character: each read and write of it is one transaction."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .database import transaction
from .errors import Refused
from .times import now

SQLITE_MAX = 2**63 - 1


class CharacterAccess:
    """Used only by the thread that opened `db`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    @contextmanager
    def _reading(self, key: str, user: str | None) -> Iterator[sqlite3.Row]:
        """The character's row, for anyone when `user` is None. Refuses 404, 400, 403."""
        with transaction(self._db, "DEFERRED"):
            row = self._existing(key)
            if user == "":
                raise Refused(400, "X-User-Id cannot be blank")
            if user is not None:
                _check_owner(row, user)
            yield row

    @contextmanager
    def _writing(self, key: str, user: str) -> Iterator[sqlite3.Row]:
        """The character's row, under the write lock. Refuses 404, 403."""
        with transaction(self._db, "IMMEDIATE"):
            row = self._existing(key)
            _check_owner(row, user)
            yield row

    def _existing(self, key: str) -> sqlite3.Row:
        row = self._one("SELECT * FROM characters WHERE id = ?", key)
        if row is None:
            raise Refused(404, f"Character {key} not found")
        return row

    def _touch(self, key: str) -> None:
        self._db.execute("UPDATE characters SET updated_at = ? WHERE id = ?", (now(), key))

    def _one(self, sql: str, *values: object) -> sqlite3.Row | None:
        row: sqlite3.Row | None = self._db.execute(sql, values).fetchone()
        return row

    def _all(self, sql: str, *values: object) -> list[sqlite3.Row]:
        return self._db.execute(sql, values).fetchall()

    def _number(self, sql: str, *values: object) -> int:
        return int(self._db.execute(sql, values).fetchone()[0])


def dumped(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _check_owner(row: sqlite3.Row, user: str) -> None:
    if row["owner"] != user:
        raise Refused(403, "Access denied: this character belongs to another user")
