"""The SQLite file: opening, migrating, transactions."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from app.private_files import private_database

_BUSY_MS = 10_000

# Entry k brings a file from user_version k to k + 1; an entry that was released never changes.
# Moments are microseconds; `seq` breaks ties between equal moments in the order of arrival.
_MIGRATIONS = (
    """
    CREATE TABLE characters (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        owner TEXT NOT NULL,
        name TEXT NOT NULL,
        race TEXT NOT NULL,
        class TEXT NOT NULL,
        status TEXT NOT NULL,
        location TEXT NOT NULL,
        adventure_prompt TEXT NOT NULL,
        quest TEXT,
        combat TEXT,
        turn_count INTEGER NOT NULL DEFAULT 0,
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL
    );
    CREATE INDEX characters_by_owner ON characters (owner, updated_at, seq);
    CREATE INDEX characters_by_identity ON characters (owner, name, race, class);
    CREATE TABLE turns (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL,
        character_id TEXT NOT NULL REFERENCES characters (id),
        player_action TEXT NOT NULL,
        gm_response TEXT NOT NULL,
        timestamp INTEGER NOT NULL
    );
    CREATE INDEX turns_by_time ON turns (character_id, timestamp, seq);
    CREATE TABLE pois (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL,
        character_id TEXT NOT NULL REFERENCES characters (id),
        name TEXT NOT NULL,
        description TEXT NOT NULL,
        tags TEXT,
        visited INTEGER NOT NULL DEFAULT 0,
        created_at INTEGER NOT NULL,
        UNIQUE (character_id, id)
    );
    CREATE INDEX pois_by_time ON pois (character_id, created_at, seq);
    CREATE TABLE archived_quests (
        seq INTEGER PRIMARY KEY,
        character_id TEXT NOT NULL REFERENCES characters (id),
        quest TEXT NOT NULL,
        cleared_at INTEGER NOT NULL
    );
    CREATE INDEX archived_quests_by_character ON archived_quests (character_id, seq);
    """,
)


def connect(path: Path) -> sqlite3.Connection:
    """An open, migrated connection for the calling thread only.

    Raises OSError, sqlite3.Error, or RuntimeError for a file of a newer release.
    """
    private_database(path)
    db = sqlite3.connect(path, isolation_level=None)
    try:
        _prepare(db)
    except BaseException:
        db.close()
        raise
    return db


@contextmanager
def transaction(db: sqlite3.Connection, mode: Literal["DEFERRED", "IMMEDIATE"]) -> Iterator[None]:
    db.execute(f"BEGIN {mode}")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # Some failures, a full disk among them, have already rolled back.
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _prepare(db: sqlite3.Connection) -> None:
    db.row_factory = sqlite3.Row
    db.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")
    with transaction(db, "IMMEDIATE"):
        _migrate(db)


def _migrate(db: sqlite3.Connection) -> None:
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > len(_MIGRATIONS):
        raise RuntimeError(f"the journey-log file has version {version}, made by a newer release")
    for script in _MIGRATIONS[version:]:
        # Not executescript(): it would commit the transaction that makes a migration whole.
        for statement in filter(str.strip, script.split(";")):
            db.execute(statement)
    db.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")
