"""Characters and users in PostgreSQL, beside running servers or without one."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from app.adapters.store import archiving
from app.adapters.store.erasing import Beside, forget
from app.adapters.store.moving import BYTES
from app.adapters.store.postgres.connecting import (
    LOST,
    Connection,
    Database,
    PostgresError,
    Unusable,
)
from app.adapters.store.postgres.inspection import require_newest
from app.adapters.store.postgres.preparing import UNHURRIED, blocking, reason_of
from app.adapters.store.postgres.rows import original, storable
from app.adapters.store.statements import T, Work, sql
from app.core.archive import Archive
from app.ports.archives import Added, Erased

_BESIDE: Final = Beside(logs=("log",), windows=("hits", "windows"), of_user=("attendance",))


class PostgresArchives:
    """Raises `Unusable`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        require_newest(database)

    def players(self, character_id: str) -> list[str]:
        return self._run(archiving.players(character_id))

    def read(self, user_id: str, character_id: str) -> Archive:
        return self._run(archiving.archive_of(user_id, character_id))

    def add(self, archive: Archive, *, check_only: bool = False) -> Added:
        return self._run(_added(archive), undo=check_only)

    def forget(self, user_id: str, characters: Collection[str] = ()) -> Erased:
        return self._run(forget(user_id, characters, _BESIDE))

    def _run(self, work: Work[T], *, undo: bool = False) -> T:
        return blocking(_in_transaction(self._database, work, undo))


def _added(archive: Archive) -> Work[Added]:
    """Add the archive and the sizes of its turns."""
    added = yield from archiving.add(archive)
    yield from sql(f"{BYTES} WHERE character_id = $1 AND bytes = 0", archive.character_id)
    return added


async def _in_transaction(database: Database, work: Work[T], undo: bool) -> T:
    connection: Connection | None = None
    try:
        connection = await database.connect("archives", UNHURRIED)
        transaction = connection.transaction(isolation="repeatable_read")
        await transaction.start()
        result = await _carried_out(connection, work)
        await (transaction.rollback() if undo else transaction.commit())
        return result
    except (*LOST, PostgresError) as error:
        raise Unusable(reason_of(error)) from error
    finally:
        if connection is not None:
            connection.terminate()


async def _carried_out(connection: Connection, work: Work[T]) -> T:
    try:
        statement = next(work)
        while True:
            values = [storable(v) if isinstance(v, str) else v for v in statement.values]
            rows = await connection.fetch(statement.text, *values)
            statement = work.send([[_plain(value) for value in row] for row in rows])
    except StopIteration as end:
        result: T = end.value
        return result


def _plain(value: Any) -> Any:
    return original(value) if isinstance(value, str) else value
