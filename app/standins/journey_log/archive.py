"""One character as a document, and the characters of one owner erased.

A document has a list of rows for each table; times are microseconds.
"""

import json
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from .database import connect, transaction

Row = Mapping[str, Any]

_KEYS: Final = {
    "characters": "id",
    "turns": "character_id",
    "pois": "character_id",
    "archived_quests": "character_id",
}
"""Each table with its column that has the character's id, parents first."""
_DOCUMENTS: Final = frozenset({"location", "quest", "combat", "tags"})
_TYPES: Final = {"TEXT": str, "INTEGER": int}


class Conflict(Exception):
    """Something else is here, or the document is none; the message is for an operator."""


class JourneyArchive:
    """The file of an embedded journey-log, for the command line. Raises what `connect` raises."""

    def __init__(self, path: Path) -> None:
        self._db = connect(path)

    def close(self) -> None:
        self._db.close()

    def owner(self, character_id: str) -> str | None:
        """None: there is no such character."""
        found = self._db.execute("SELECT owner FROM characters WHERE id = ?", (character_id,))
        row = found.fetchone()
        return None if row is None else str(row["owner"])

    def owned(self, owner: str) -> list[str]:
        """Ids of the owner's characters."""
        found = self._db.execute("SELECT id FROM characters WHERE owner = ?", (owner,))
        return [row["id"] for row in found]

    def document(self, character_id: str) -> dict[str, Any] | None:
        with transaction(self._db, "DEFERRED"):
            return self._document(character_id)

    def add(self, character_id: str, owner: str, document: Mapping[str, Any]) -> bool:
        """Whether it was not here before. Raises `Conflict`; then nothing was changed."""
        with transaction(self._db, "IMMEDIATE"):
            known = self._document(character_id)
            rows = self._checked(character_id, document)
            if document["characters"][0]["owner"] != owner:
                raise Conflict(f"journey_log.characters: the character is not {owner}'s")
            if known not in (None, document):
                raise Conflict(
                    "journey-log has the character, and its story is not that of the file"
                )
            if known is None:
                self._refuse_twin(document["characters"][0])
            for table, row in rows if known is None else ():
                self._insert(table, row)
        return known is None

    def erase(self, owner: str) -> int:
        """All characters of the owner; their number. Nothing of them is left in the file."""
        gone = [(character_id,) for character_id in self.owned(owner)]
        with transaction(self._db, "IMMEDIATE"):
            for table, key in reversed(_KEYS.items()):
                self._db.executemany(f"DELETE FROM {table} WHERE {key} = ?", gone)
        self._db.execute("VACUUM")
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return len(gone)

    def _document(self, character_id: str) -> dict[str, Any] | None:
        found: dict[str, Any] = {}
        for table, key in _KEYS.items():
            rows = self._db.execute(
                f"SELECT * FROM {table} WHERE {key} = ? ORDER BY seq", (character_id,)
            )
            found[table] = [{k: row[k] for k in row.keys() if k != "seq"} for row in rows]  # noqa: SIM118
        return found if found["characters"] else None

    def _checked(self, character_id: str, document: Mapping[str, Any]) -> list[tuple[str, Row]]:
        if set(document) != set(_KEYS) or len(document["characters"]) != 1:
            raise Conflict("journey_log: is no document of one character")
        rows = [(table, row) for table in _KEYS for row in document[table]]
        for table, row in rows:
            if not isinstance(row, dict) or row.get(_KEYS[table]) != character_id:
                raise Conflict(f"journey_log.{table}: has a row that is not the character's")
            self._check(table, row)
        return rows

    def _check(self, table: str, row: Row) -> None:
        columns = {c["name"]: c for c in self._db.execute(f"PRAGMA table_info({table})")}
        del columns["seq"]
        if set(row) != set(columns):
            raise Conflict(f"journey_log.{table}: has other columns than this release")
        for name, column in columns.items():
            value = row[name]
            fits = type(value) is _TYPES[column["type"]] or (
                value is None and not column["notnull"]
            )
            if not fits or (name in _DOCUMENTS and not _is_json(value)):
                raise Conflict(f"journey_log.{table}.{name}: has no value of this column")

    def _refuse_twin(self, row: Row) -> None:
        """As creating it would be refused."""
        same = "owner = ? AND name = ? AND race = ? AND class = ?"
        values = [row[name] for name in ("owner", "name", "race", "class")]
        if self._db.execute(f"SELECT 1 FROM characters WHERE {same}", values).fetchone():
            raise Conflict("the user already has a character of that name, race and class")

    def _insert(self, table: str, row: Row) -> None:
        places = ", ".join("?" * len(row))
        try:
            self._db.execute(
                f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", list(row.values())
            )
        except sqlite3.IntegrityError as error:
            raise Conflict(f"journey_log.{table}: {error}") from None


def _is_json(text: str | None) -> bool:
    with suppress(ValueError):
        return text is None or json.loads(text) is not ...
    return False
