"""The store's tables and their forward-only migrations.

`turns.exclusive_key` is what one turn at a time may have; the others wait in phase queued.
`turns.phase` is the state machine of the journal: queued → streaming → writing → done, with a way
through cancelling to done from the first two. An outcome that awaits its commit takes a way round:
streaming → awaiting (→ retelling → awaiting …) → committing → writing; until it is committing it can be
cancelled, too. `choice` is what was chosen last. `step` counts the writes whose fate is recorded,
`intent` the ones begun; `sent_at` and `first_sent_at` are the times of the last and the first send
of the write in between. `owner` is the process that carries the turn, `fence` grows with each owner.
`reserved` tokens and `reserved_micros` are set aside in the user's budget until the turn ends and
`spending` is charged; `table_reservations` are those of a table beside its turns, until they are settled;
`costs` has what a character's or a table's turns have cost so far, in micro-dollars.
`events` holds the entries of a turn in numbered parts (see `app.adapters.store.packing`), so that
ending a turn adds its last entries without rewriting the first. `first` is the number of a part's first
entry; it is null in a part that an older release wrote.
`turns_of_tables` holds the turns of tables alone, whose exclusive key is `table:` and a number; `begun`
numbers those of one table in the order in which they began, `behind` and `upto` are the newest lines that
the table had then, and when they ended. What is said at a table is in `lines`; its row ids, and those of
tables, are never used twice. The line of a deed has the idempotency key that the deed came with, and the
hash of its request. `rounds` has the round of each table that is collected; `due` is null as long as nobody
has acted in it.
`outbox` holds the events for other services: `payload` is the event's data, `state` is waiting, done, dead
or dropped, `due_at` when it is tried next, `reason` why the last attempt failed.
"""

from __future__ import annotations

import sqlite3

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE turns (
        turn_id         TEXT PRIMARY KEY,
        user_id         TEXT NOT NULL,
        character_id    TEXT NOT NULL,
        idempotency_key TEXT,
        body_hash       BLOB,
        request         TEXT NOT NULL,
        status          TEXT NOT NULL,
        phase           TEXT NOT NULL,
        active          INTEGER,
        owner           TEXT NOT NULL,
        fence           INTEGER NOT NULL,
        record          TEXT,
        step            INTEGER NOT NULL DEFAULT 0,
        intent          INTEGER NOT NULL DEFAULT 0,
        sent_at         REAL,
        first_sent_at   REAL,
        reserved        INTEGER NOT NULL DEFAULT 0,
        result          TEXT,
        recording       BLOB,
        created_at      REAL NOT NULL,
        finished_at     REAL
    );
    CREATE UNIQUE INDEX turns_by_key ON turns (user_id, idempotency_key)
        WHERE idempotency_key IS NOT NULL;
    CREATE UNIQUE INDEX one_active_turn ON turns (character_id) WHERE active = 1;
    CREATE INDEX turns_by_character ON turns (character_id, created_at);
    CREATE INDEX open_turns ON turns (character_id, created_at) WHERE phase <> 'done';
    CREATE INDEX reservations ON turns (user_id) WHERE reserved > 0;
    CREATE INDEX turns_by_start ON turns (created_at);
    CREATE INDEX turns_by_end ON turns (finished_at) WHERE finished_at IS NOT NULL;
    CREATE INDEX recordings ON turns (finished_at) WHERE recording IS NOT NULL;

    CREATE TABLE events (
        turn_id TEXT NOT NULL,
        part    INTEGER NOT NULL,
        frames  BLOB NOT NULL,
        PRIMARY KEY (turn_id, part)
    ) WITHOUT ROWID;

    CREATE TABLE characters (
        character_id TEXT PRIMARY KEY,
        standing     TEXT NOT NULL
    ) WITHOUT ROWID;

    CREATE TABLE places (
        character_id TEXT NOT NULL,
        name         TEXT NOT NULL,
        PRIMARY KEY (character_id, name)
    ) WITHOUT ROWID;

    CREATE TABLE spending (
        user_id TEXT NOT NULL,
        day     INTEGER NOT NULL,
        tokens  INTEGER NOT NULL,
        PRIMARY KEY (user_id, day)
    ) WITHOUT ROWID;

    CREATE TABLE outbox (
        event_id   INTEGER PRIMARY KEY AUTOINCREMENT,
        type       TEXT NOT NULL,
        user_id    TEXT NOT NULL,
        payload    TEXT NOT NULL,
        created_at REAL NOT NULL
    );

    CREATE TABLE secrets (
        name  TEXT PRIMARY KEY,
        value TEXT NOT NULL
    ) WITHOUT ROWID;
    """,
    """
    DROP INDEX one_active_turn;
    CREATE UNIQUE INDEX one_active_turn ON turns (character_id, user_id) WHERE active = 1;
    """,
    """
    ALTER TABLE turns ADD COLUMN exclusive_key TEXT NOT NULL DEFAULT '';
    UPDATE turns SET exclusive_key = 'character:' || character_id || ':' || user_id;
    DROP INDEX one_active_turn;
    CREATE UNIQUE INDEX one_active_turn ON turns (exclusive_key) WHERE active = 1;
    DROP INDEX open_turns;
    CREATE INDEX open_turns ON turns (created_at) WHERE phase <> 'done';
    CREATE INDEX queued_turns ON turns (exclusive_key, created_at) WHERE phase = 'queued';
    ALTER TABLE characters RENAME COLUMN standing TO progress;
    """,
    # Both change the table's description only; its rows, gigabytes perhaps, are read in either form.
    """
    ALTER TABLE events RENAME COLUMN frames TO data;
    ALTER TABLE events ADD COLUMN first INTEGER;
    """,
    """
    CREATE TABLE conversations (
        user_id         TEXT NOT NULL,
        conversation_id TEXT NOT NULL,
        document        TEXT NOT NULL,
        updated_at      REAL NOT NULL,
        PRIMARY KEY (user_id, conversation_id)
    ) WITHOUT ROWID;
    CREATE INDEX conversations_by_change ON conversations (updated_at);
    """,
    """
    CREATE TABLE tables (
        table_id    INTEGER PRIMARY KEY AUTOINCREMENT,
        name        TEXT NOT NULL,
        dm_name     TEXT NOT NULL,
        owner       TEXT NOT NULL,
        created_at  REAL NOT NULL,
        is_active   INTEGER NOT NULL DEFAULT 1,
        rules       TEXT NOT NULL,
        tokens_used INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX tables_by_owner ON tables (owner);

    CREATE TABLE seats (
        table_id     INTEGER NOT NULL,
        user_id      TEXT NOT NULL,
        player_name  TEXT NOT NULL,
        role         TEXT NOT NULL,
        character_id TEXT,
        joined_at    REAL NOT NULL,
        present      INTEGER NOT NULL,
        removed      INTEGER NOT NULL,
        PRIMARY KEY (table_id, user_id)
    );
    CREATE INDEX seats_by_user ON seats (user_id);

    CREATE TABLE invitations (
        invitation_id TEXT PRIMARY KEY,
        table_id      INTEGER NOT NULL,
        token_hash    BLOB NOT NULL,
        role          TEXT NOT NULL,
        created_by    TEXT NOT NULL,
        created_at    REAL NOT NULL,
        expires_at    REAL,
        revoked       INTEGER NOT NULL DEFAULT 0
    );
    CREATE UNIQUE INDEX invitations_by_token ON invitations (table_id, token_hash);

    CREATE TABLE lines (
        line_id      INTEGER PRIMARY KEY AUTOINCREMENT,
        table_id     INTEGER NOT NULL,
        sender       TEXT NOT NULL,
        content      TEXT NOT NULL,
        message_type TEXT NOT NULL,
        user_id      TEXT NOT NULL,
        turn_id      TEXT,
        recipient    TEXT,
        data         TEXT,
        created_at   REAL NOT NULL
    );
    CREATE INDEX lines_by_table ON lines (table_id, line_id);

    ALTER TABLE turns ADD COLUMN begun INTEGER;
    CREATE INDEX turns_of_tables ON turns (exclusive_key)
        WHERE exclusive_key >= 'table:' AND exclusive_key < 'table;';
    """,
    # What older releases have put into the outbox, nobody has ever read.
    """
    DELETE FROM outbox;
    ALTER TABLE outbox ADD COLUMN id TEXT NOT NULL DEFAULT '';
    ALTER TABLE outbox ADD COLUMN subject TEXT NOT NULL DEFAULT '';
    ALTER TABLE outbox ADD COLUMN state TEXT NOT NULL DEFAULT 'done';
    ALTER TABLE outbox ADD COLUMN refusals INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE outbox ADD COLUMN due_at REAL NOT NULL DEFAULT 0;
    ALTER TABLE outbox ADD COLUMN reason TEXT;
    CREATE INDEX waiting_events ON outbox (event_id) WHERE state = 'waiting';
    CREATE INDEX waiting_of_subject ON outbox (subject, event_id) WHERE state = 'waiting';
    CREATE INDEX dead_events ON outbox (event_id) WHERE state = 'dead';
    CREATE INDEX events_of_user ON outbox (user_id, event_id);
    """,
    "ALTER TABLE turns ADD COLUMN choice TEXT",
    """
    CREATE TABLE rounds (
        table_id INTEGER PRIMARY KEY,
        document TEXT NOT NULL,
        due      REAL
    );
    CREATE INDEX rounds_by_time ON rounds (due) WHERE due IS NOT NULL;
    """,
    """
    CREATE TABLE contents (
        content_id TEXT PRIMARY KEY,
        user_id    TEXT NOT NULL,
        kind       TEXT NOT NULL,
        parent_id  TEXT,
        body       TEXT NOT NULL,
        created_at REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX contents_by_user ON contents (user_id, created_at);
    CREATE INDEX contents_by_parent ON contents (parent_id, created_at) WHERE parent_id IS NOT NULL;
    CREATE INDEX contents_by_time ON contents (created_at);
    """,
    """
    CREATE INDEX open_at_tables ON turns (character_id)
        WHERE phase <> 'done' AND exclusive_key >= 'table:' AND exclusive_key < 'table;';
    """,
    """
    ALTER TABLE tables ADD COLUMN summary TEXT;
    ALTER TABLE tables ADD COLUMN rolls INTEGER NOT NULL DEFAULT 0;
    """,
    """
    ALTER TABLE turns ADD COLUMN reserved_micros INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE spending ADD COLUMN micros INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE costs (
        account TEXT PRIMARY KEY,
        micros  INTEGER NOT NULL
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE lines ADD COLUMN idempotency_key TEXT;
    ALTER TABLE lines ADD COLUMN body_hash BLOB;
    CREATE UNIQUE INDEX lines_by_key ON lines (user_id, idempotency_key)
        WHERE idempotency_key IS NOT NULL;
    """,
    """
    ALTER TABLE seats ADD COLUMN name_key TEXT;
    CREATE UNIQUE INDEX seats_by_name ON seats (table_id, name_key) WHERE present;
    """,
    """
    CREATE TABLE table_reservations (
        reservation_id TEXT PRIMARY KEY,
        table_id       INTEGER NOT NULL,
        owner          TEXT NOT NULL,
        tokens         INTEGER NOT NULL,
        micros         INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX reservations_by_table ON table_reservations (table_id);
    """,
    "ALTER TABLE turns ADD COLUMN behind INTEGER",
    "ALTER TABLE turns ADD COLUMN upto INTEGER",
)


def require_newest(db: sqlite3.Connection) -> None:
    """Raises `RuntimeError` for a database that another release has written."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version != len(MIGRATIONS):
        raise RuntimeError("the database is of another release; start this one once to upgrade it")


def migrate(db: sqlite3.Connection) -> None:
    """Bring the file to the newest schema; refuse one that a newer release has written."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise RuntimeError("the database was written by a newer release of this service")
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        db.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT;")
