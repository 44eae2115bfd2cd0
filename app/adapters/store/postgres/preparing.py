"""Steps before there is an event loop: migrating the schema and reading values."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from app.adapters.store.postgres.connecting import (
    LOST,
    Connection,
    Database,
    PostgresError,
    Unusable,
    check_server,
)
from app.adapters.store.postgres.schema import MIGRATIONS

T = TypeVar("T")

MIGRATION_SECONDS: Final = 60.0  # how long another process may take for its migrations
NEWER: Final = "the database was written by a newer release of this service"
_PAUSE: Final = 0.05
VERSION: Final = "SELECT coalesce(max(version), 0) FROM schema_version"
# An earlier release made the row in a transaction of its own, and may have been ended before it.
_KEEP_VERSION: Final = (
    "CREATE TABLE IF NOT EXISTS schema_version (version integer NOT NULL);"
    " INSERT INTO schema_version SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM schema_version)"
)
UNHURRIED: Final = {"statement_timeout": "0", "lock_timeout": "0"}


def blocking(work: Coroutine[Any, Any, T]) -> T:
    """Its result, from a loop of its own: the caller may be in one."""
    with ThreadPoolExecutor(1, "postgres-start") as thread:
        return thread.submit(asyncio.run, work).result()


def at_the_start(database: Database, statement: str | None = None, *values: Any) -> list[Any]:
    """The rows of a statement; without one, the schema is brought up to date.

    Raises `Unusable` in either case, whose message names no secret.
    """
    return blocking(_at_the_start(database, statement, values))


def check_database(database: Database) -> str:
    """The state of the server and its schema in words, found without changing them. Raises `Unusable`."""
    return blocking(_check(database))


@asynccontextmanager
async def _connected(database: Database) -> AsyncIterator[Connection]:
    """A connection that nothing hurries. What fails on it is raised as `Unusable`."""
    try:
        connection = await database.connect("start", UNHURRIED, 10)
        try:
            yield connection
        finally:
            connection.terminate()
    except (*LOST, PostgresError) as error:
        raise Unusable(reason_of(error)) from error


async def _check(database: Database) -> str:
    async with _connected(database) as connection:
        await check_server(connection)
        release = connection.get_server_version().major
        version = 0
        if await connection.fetchval("SELECT to_regclass('schema_version') IS NOT NULL"):
            version = await connection.fetchval(VERSION)
    if version > len(MIGRATIONS):
        raise Unusable(NEWER)
    how = "takes turns" if version == len(MIGRATIONS) else "will be prepared at the next start"
    return f"PostgreSQL {release}, schema {database.schema}: {how}"


async def _at_the_start(
    database: Database, statement: str | None, values: tuple[Any, ...]
) -> list[Any]:
    async with _connected(database) as connection:
        if statement is not None:
            return list(await connection.fetch(statement, *values))
        await check_server(connection)
        await _migrate(connection, database.schema)
    return []


def reason_of(error: Exception) -> str:
    """One line for an operator."""
    if isinstance(error, TimeoutError):
        return "the server does not answer"
    if isinstance(error, OSError):
        return f"the server cannot be reached ({error.strerror or type(error).__name__})"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


async def _migrate(connection: Connection, schema: str) -> None:
    """One process after another, whoever starts at the same moment.

    The lock is asked for again and again: a session that waited for it would be in the way of
    `CREATE INDEX CONCURRENTLY`.
    """
    until = time.monotonic() + MIGRATION_SECONDS
    lock = "hashtextextended($1, 0)"
    while not await connection.fetchval(f"SELECT pg_try_advisory_lock({lock})", schema):
        if time.monotonic() > until:
            raise Unusable("another process has been changing the tables for a minute")
        await asyncio.sleep(_PAUSE)
    try:
        await _bring_up_to_date(connection, schema)
    finally:
        if not connection.is_closed():
            await connection.fetchval(f"SELECT pg_advisory_unlock({lock})", schema)


async def _bring_up_to_date(connection: Connection, schema: str) -> None:
    name = '"' + schema.replace('"', '""') + '"'
    exists = "SELECT 1 FROM pg_namespace WHERE nspname = $1"
    if not await connection.fetchval(exists, schema):
        await connection.execute(f"CREATE SCHEMA {name}")
    known = await connection.fetchval("SELECT to_regclass('schema_version') IS NOT NULL")
    if not (known and await connection.fetchval("SELECT EXISTS (SELECT 1 FROM schema_version)")):
        await connection.execute(_KEEP_VERSION)
    version = await connection.fetchval(VERSION)
    if version > len(MIGRATIONS):
        raise Unusable(NEWER)
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        async with connection.transaction():
            await connection.execute(script)
            await connection.execute("UPDATE schema_version SET version = $1", number)
