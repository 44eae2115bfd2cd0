"""Characters and users in the database file. Erasing needs the file for itself: what was erased must not
be left in free pages, nor in the log beside the file, so the file is written anew."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

from app.adapters.store import archiving
from app.adapters.store.erasing import Beside, forget
from app.adapters.store.sqlite.inspection import connect_beside
from app.adapters.store.sqlite.lock import lock_beside
from app.adapters.store.sqlite.schema import require_newest
from app.adapters.store.statements import T, Work
from app.core.archive import Archive
from app.ports.archives import Added, Erased


class SqliteArchives:
    """Raises `FileNotFoundError` when there is no database at `path`, and `RuntimeError` when another
    release has written it. `forget` raises `StoreInUse` where a server runs on the file."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise FileNotFoundError(path)
        self._path = path
        with closing(connect_beside(path, "ro")) as db:
            require_newest(db)

    def players(self, character_id: str) -> list[str]:
        return self._read(archiving.players(character_id))

    def read(self, user_id: str, character_id: str) -> Archive:
        return self._read(archiving.archive_of(user_id, character_id))

    def add(self, archive: Archive, *, check_only: bool = False) -> Added:
        with closing(connect_beside(self._path, "rw")) as db:
            return in_transaction(db, archiving.add(archive), undo=check_only)

    def forget(self, user_id: str, characters: Collection[str] = ()) -> Erased:
        lock = lock_beside(self._path)
        try:
            with closing(connect_beside(self._path, "rw")) as db:
                erased = in_transaction(db, forget(user_id, characters, Beside()))
                rewrite(db)
                return erased
        finally:
            os.close(lock)

    def _read(self, work: Work[T]) -> T:
        with closing(connect_beside(self._path, "ro")) as db:
            return in_transaction(db, work, begin="BEGIN")


def in_transaction(
    db: sqlite3.Connection, work: Work[T], *, begin: str = "BEGIN IMMEDIATE", undo: bool = False
) -> T:
    """Carry the statements out, all of them or none."""
    db.execute(begin)
    try:
        result = _carried_out(db, work)
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("ROLLBACK" if undo else "COMMIT")
    return result


def _carried_out(db: sqlite3.Connection, work: Work[T]) -> T:
    try:
        statement = next(work)
        while True:
            values = {str(number): value for number, value in enumerate(statement.values, 1)}
            statement = work.send(db.execute(statement.text, values).fetchall())
    except StopIteration as end:
        result: T = end.value
        return result


def rewrite(db: sqlite3.Connection) -> None:
    """Leave nothing of what was deleted in the file, nor in its log."""
    db.execute("VACUUM")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
