"""An installation moves from SQLite to PostgreSQL with everything it has."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from app.adapters.store.moving import move
from app.adapters.store.postgres.connecting import Database, Unusable
from app.adapters.store.postgres.preparing import at_the_start
from app.adapters.store.postgres.store import PostgresTurnStore
from app.adapters.store.sqlite.lock import StoreInUse
from app.adapters.store.sqlite.store import SqliteTurnStore
from app.core.context import CharacterProgress
from app.core.hub import session_event
from app.core.money import Amount
from app.ports.store import Attached, Busy, Verdict, Writing

from databases import SERVERS
from journal import (
    CHARACTER,
    HASH,
    USER,
    Hands,
    add_event,
    ending,
    entries,
    planned,
    record,
    recording,
    turn_request,
)
from loops import in_loop

ODD = "key \0 \\ é"


def ends(reason: str) -> None:
    raise AssertionError(reason)


async def filled(path: Path, clock: Hands) -> SqliteTurnStore:
    """One turn that has ended, one in the middle of its writes, one that waits."""
    store = SqliteTurnStore(path, clock)
    store.open()
    store.secret("seed")
    first: Any = await store.admit("t1", turn_request(idempotency_key=ODD), HASH)
    await first.durable
    progress = CharacterProgress(turns=3)
    joined = session_event("session.joined", 1, "x", USER, {})
    last = ending(progress=progress, place="vault", spent=Amount(7), event=joined)
    await store.finish(first.claim, last)
    clock.now += 1
    second: Any = await store.admit("t2", turn_request(reserved=5), HASH)
    await second.durable
    plan = record("t2", planned(1), planned(2))
    await store.validate(second.claim, plan, entries(1, 3), recording())
    await store.admit("t3", turn_request(), HASH, 4)
    return store


@in_loop
async def test_everything_moves_and_open_turns_are_carried_on(tmp_path: Path) -> None:
    clock, path = Hands(), tmp_path / "store.db"
    old = await filled(path, clock)
    secret = old.secret("seed")
    await old.aclose()
    database = Database(SERVERS.postgres.url())
    moved = {one.table: one.rows for one in move(path, database)}
    assert (moved["turns"], moved["characters"], moved["places"], moved["spending"]) == (3, 1, 1, 1)
    store = PostgresTurnStore(database, clock, on_fatal=ends)
    assert store.secret("seed") == secret
    assert await store.find_by_key(USER, ODD, HASH) == "t1"
    assert await store.admit("t9", turn_request(idempotency_key=ODD), HASH) == Attached("t1")
    assert await store.admit("t9", turn_request(), HASH) == Busy("t2")
    assert await store.entries("t1") == entries(9)
    assert (await store.spent(USER)).used == Amount(7)
    assert (await store.progress(CHARACTER)).turns == 3
    assert await store.knows_place(CHARACTER, "vault")
    second, third = await store.adopt()
    assert isinstance(second.phase, Writing)
    assert (second.entries, third.phase) == (entries(1, 3), "queued")
    assert await store.finish(second.claim, ending()) is Verdict.STORED
    assert await store.promote(turn_request().exclusive_key) == "t3"
    turns = await store.character_turns(USER, CHARACTER, 9)
    assert [turn.turn_id for turn in turns] == ["t3", "t2", "t1"]
    assert at_the_start(database, "SELECT bytes > 0 FROM turns WHERE turn_id = 't1'")[0][0]
    (kept,) = await store.outbox.events_after(0, USER, 9)
    assert (kept.id, kept.position) == ("session-joined-x", 1)
    await add_event(store.tables, session_event("session.left", 1, "y", USER, {}))
    (later,) = await store.outbox.events_after(kept.position, USER, 9)
    assert later.id == "session-left-y"
    await store.aclose()


def with_a_row_in_each_table(path: Path) -> set[str]:
    """Fills the tables that are empty; the names of all."""
    values = {"TEXT": "a", "INTEGER": 1, "REAL": 1.5, "BLOB": b"\x00b"}
    with closing(sqlite3.connect(path)) as db, db:
        found = db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        names = {name for (name,) in found if not name.startswith("sqlite_")}
        for name in names:
            if not db.execute(f"SELECT 1 FROM {name}").fetchone():
                row = [values[column[2]] for column in db.execute(f"PRAGMA table_info({name})")]
                db.execute(f"INSERT INTO {name} VALUES ({', '.join('?' * len(row))})", row)
    return names


@in_loop
async def test_a_row_of_each_table_moves(tmp_path: Path) -> None:
    path, database = tmp_path / "store.db", Database(SERVERS.postgres.url())
    await (await filled(path, Hands())).aclose()
    names = with_a_row_in_each_table(path)
    moved = {one.table: one.rows for one in move(path, database)}
    assert moved.keys() == names
    for name in names:
        (count,) = at_the_start(database, f"SELECT count(*) FROM {name}")[0]
        assert count == moved[name] > 0, name
    (cost,) = at_the_start(database, "SELECT account, micros FROM costs")
    assert tuple(cost) == ("a", 1)


@in_loop
async def test_a_journal_that_is_in_use_or_not_empty_is_left_alone(tmp_path: Path) -> None:
    path, database = tmp_path / "store.db", Database(SERVERS.postgres.url())
    old = await filled(path, Hands())
    with pytest.raises(StoreInUse):
        move(path, database)
    await old.aclose()
    move(path, database)
    with pytest.raises(Unusable, match="is not empty"):
        move(path, database)


@in_loop
async def test_a_difference_moves_nothing(tmp_path: Path) -> None:
    path, database = tmp_path / "store.db", Database(SERVERS.postgres.url())
    await (await filled(path, Hands())).aclose()
    at_the_start(database)
    rule = "CREATE RULE lose AS ON INSERT TO places DO INSTEAD NOTHING"
    at_the_start(database, rule)
    with pytest.raises(Unusable, match="table places is not the same"):
        move(path, database)
    assert at_the_start(database, "SELECT count(*) FROM turns")[0][0] == 0


def test_no_file_is_no_installation(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        move(tmp_path / "none.db", Database(SERVERS.postgres.url()))
    with closing(sqlite3.connect(tmp_path / "old.db")) as db:
        db.execute("PRAGMA user_version = 1")
        db.commit()
    with pytest.raises(RuntimeError, match="another release"):
        move(tmp_path / "old.db", Database(SERVERS.postgres.url()))
