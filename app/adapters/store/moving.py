"""Moves the journal from SQLite to PostgreSQL: all of it, compared before it counts, or nothing."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, Final

from app.adapters.store.postgres.connecting import (
    LOST,
    Connection,
    Database,
    PostgresError,
    Unusable,
)
from app.adapters.store.postgres.preparing import UNHURRIED, at_the_start, blocking, reason_of
from app.adapters.store.postgres.rows import storable
from app.adapters.store.sqlite.lock import lock_beside
from app.adapters.store.sqlite.schema import require_newest

AT_ONCE: Final = 500  # rows
_TABLES: Final = (
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
)
_TYPES: Final = (
    "SELECT column_name, data_type, is_identity = 'YES' AS identity FROM information_schema.columns"
    " WHERE table_schema = current_schema() AND table_name = $1"
)
BYTES: Final = (
    "UPDATE turns t SET bytes = coalesce(length(result), 0) + coalesce(length(recording), 0)"
    " + (SELECT coalesce(sum(length(data)), 0) FROM events e WHERE e.turn_id = t.turn_id)"
)

# A reader of events goes on where it was.
_POSITIONS: Final = (
    "WITH moved AS (UPDATE outbox SET position = event_id RETURNING position)"
    " SELECT setval('positions', coalesce(max(position), 0)) FROM moved"
)


@dataclass(frozen=True, slots=True)
class Moved:
    """One table: `digest` is the same on both sides."""

    table: str
    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    columns: list[str]
    types: dict[str, str]
    identity: str | None

    @property
    def listed(self) -> str:
        return ", ".join(self.columns)

    def converted(self, row: Iterable[Any]) -> list[Any]:
        """The values of a row as PostgreSQL keeps them."""
        return [_kept(v, self.types[c]) for c, v in zip(self.columns, row, strict=True)]


class _Digest:
    """A digest of rows that does not depend on their order."""

    def __init__(self) -> None:
        self.rows = 0
        self._sum = 0

    def add(self, values: Iterable[Any]) -> None:
        plain = [v.hex() if isinstance(v, bytes) else v for v in values]
        digest = blake2b(json.dumps(plain).encode(), digest_size=16).digest()
        self._sum = (self._sum + int.from_bytes(digest)) % (1 << 128)
        self.rows += 1

    def moved(self, table: str) -> Moved:
        return Moved(table, self.rows, f"{self._sum:032x}")


def move(path: Path, database: Database) -> list[Moved]:
    """No server may run on the file meanwhile.

    Raises `FileNotFoundError`, `StoreInUse`, `RuntimeError` (a file of another release) or `Unusable`.
    """
    if not path.exists():
        raise FileNotFoundError(path)
    lock = lock_beside(path)
    try:
        at_the_start(database)
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, check_same_thread=False)) as source:
            require_newest(source)
            return blocking(_move(source, database))
    finally:
        os.close(lock)


async def _move(source: sqlite3.Connection, database: Database) -> list[Moved]:
    connection: Connection | None = None
    try:
        connection = await database.connect("moving", UNHURRIED)
        async with connection.transaction():
            moved = [await _moved(source, connection, name) for (name,) in source.execute(_TABLES)]
            await connection.execute(BYTES)
            await connection.execute(_POSITIONS)
            return moved
    except (*LOST, PostgresError) as error:
        raise Unusable(reason_of(error)) from error
    finally:
        if connection is not None:
            connection.terminate()


async def _moved(source: sqlite3.Connection, connection: Connection, name: str) -> Moved:
    """Raises `Unusable` where the table is not empty, or not the same afterwards."""
    if await connection.fetchval(f"SELECT EXISTS (SELECT 1 FROM {name})"):
        raise Unusable(f"table {name} is not empty; name a database or a schema without a journal")
    table = await _described(source, connection, name)
    given, found = _Digest(), _Digest()
    places = ", ".join(f"${number + 1}" for number in range(len(table.columns)))
    insert = f"INSERT INTO {name} ({table.listed}) OVERRIDING SYSTEM VALUE VALUES ({places})"
    await connection.execute(f"ALTER TABLE {name} DISABLE TRIGGER USER")
    for rows in _batches(source.execute(f"SELECT {table.listed} FROM {name}"), AT_ONCE):
        converted = [table.converted(row) for row in rows]
        for row in converted:
            given.add(row)
        await connection.executemany(insert, converted)
    await connection.execute(f"ALTER TABLE {name} ENABLE TRIGGER USER")
    if table.identity in table.columns:
        await connection.execute(
            f"SELECT setval(pg_get_serial_sequence('{name}', '{table.identity}'), newest)"
            f" FROM (SELECT max({table.identity}) AS newest FROM {name}) AS n WHERE newest > 0"
        )
    async for kept in _read(connection, f"SELECT {table.listed} FROM {name}"):
        found.add(kept)
    if given.moved(name) != found.moved(name):
        raise Unusable(f"table {name} is not the same as in SQLite; nothing was moved")
    return found.moved(name)


async def _described(source: sqlite3.Connection, connection: Connection, name: str) -> _Table:
    kept = await connection.fetch(_TYPES, name)
    types = {row["column_name"]: row["data_type"] for row in kept}
    identity = next((row["column_name"] for row in kept if row["identity"]), None)
    columns = [row[1] for row in source.execute(f"PRAGMA table_info({name})")]
    if missing := [column for column in columns if column not in types]:
        raise Unusable(f"table {name} has no {missing[0]} in PostgreSQL")
    return _Table(name, columns, types, identity)


async def _read(connection: Connection, statement: str) -> AsyncIterator[tuple[Any, ...]]:
    async for row in connection.cursor(statement, prefetch=AT_ONCE):
        yield tuple(row)


def _batches(rows: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while batch := list(islice(rows, size)):
        yield batch


def _kept(value: Any, kind: str) -> Any:
    if kind == "boolean":
        return bool(value)
    if value is None:
        return None
    if kind == "text":
        return storable(value)
    return float(value) if kind == "double precision" else value
