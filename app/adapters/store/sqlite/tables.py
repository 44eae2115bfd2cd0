"""`TableStore` on the store's engine."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import cast

from app.adapters.store.sqlite import budgets, outbox
from app.adapters.store.sqlite.attendance import SqliteAttendance
from app.adapters.store.sqlite.engine import SqliteEngine
from app.adapters.store.sqlite.queries import changed
from app.adapters.store.sqlite.reservations import SqliteReservations
from app.adapters.store.sqlite.rounds import SqliteRounds
from app.adapters.store.sqlite.summaries import SqliteSummaries
from app.adapters.store.sqlite.table_lines import SqliteLines, add_line
from app.adapters.store.sqlite.table_turns import OF_TABLE, stop_turn
from app.adapters.store.table_rows import SEAT, TABLE, seat_from, table_from
from app.core.hub import NewEvent
from app.core.money import Spent
from app.core.tables import (
    Invitation,
    Role,
    Seat,
    Table,
    TableRules,
    table_key,
)
from app.ports.tables import (
    NO_NEWS,
    Changed,
    NameTaken,
    Seating,
    SeatNews,
    TableAnnouncer,
    TableChange,
    TableTurn,
)


class SqliteTableStore(
    SqliteAttendance, SqliteLines, SqliteRounds, SqliteSummaries, SqliteReservations
):
    """`TableStore`."""

    def __init__(self, engine: SqliteEngine, now: Callable[[], float], owner: str) -> None:
        self._engine = engine
        self._owner = owner
        self._now = now

    # -- tables -----------------------------------------------------------------------------------

    async def create(
        self,
        owner: Seat,
        name: str,
        dm_name: str,
        rules: TableRules,
        now: float,
        announce: Callable[[int], NewEvent] | None = None,
        *,
        once: bool = False,
    ) -> Table:
        def work(db: sqlite3.Connection) -> Table:
            if once and (known := _own(db, owner.user_id, name)) is not None:
                return known
            added = db.execute(
                "INSERT INTO tables (name, dm_name, owner, created_at, rules) VALUES (?, ?, ?, ?, ?)",
                (name, dm_name, owner.user_id, now, rules.model_dump_json()),
            )
            assert added.lastrowid is not None
            _seat(db, added.lastrowid, owner)
            if announce is not None:
                outbox.add(db, announce(added.lastrowid), now)
            return Table(added.lastrowid, name, dm_name, owner.user_id, now, rules=rules)

        return await self._engine.write(work)

    async def find(self, table_id: int) -> Table | None:
        return self._engine.look(lambda db: _table(db, table_id))

    async def of_user(self, user_id: str) -> list[Table]:
        def work(db: sqlite3.Connection) -> list[Table]:
            found = db.execute(
                f"SELECT {TABLE} FROM tables WHERE owner = ? OR table_id IN"
                " (SELECT table_id FROM seats WHERE user_id = ? AND present)"
                " ORDER BY table_id DESC",
                (user_id, user_id),
            )
            return [table_from(row) for row in found]

        return await self._engine.read(work)

    async def change(
        self,
        table_id: int,
        make: TableChange,
        announce: TableAnnouncer | None = None,
    ) -> Changed | None:
        def work(db: sqlite3.Connection) -> Changed | None:
            known = _table(db, table_id)
            if known is None:
                return None
            new = make(known)
            db.execute(
                "UPDATE tables SET name = ?, dm_name = ?, is_active = ?, rules = ? WHERE table_id = ?",
                (new.name, new.dm_name, new.is_active, new.rules.model_dump_json(), table_id),
            )
            news = NO_NEWS if announce is None else announce(known, new)
            if news.event is not None:
                outbox.add(db, news.event, news.at)
            if news.said is not None:
                add_line(db, table_id, news.said, news.at)
            return Changed(known, new, stop_turn(db, table_id) if news.stops else None)

        return await self._engine.write(work)

    async def delete(self, table_id: int, event: NewEvent | None = None) -> bool:
        now = self._now()

        def work(db: sqlite3.Connection) -> bool:
            for name in ("seats", "invitations", "lines", "rounds", "table_reservations"):
                db.execute(f"DELETE FROM {name} WHERE table_id = ?", (table_id,))
            db.execute("DELETE FROM costs WHERE account = ?", (table_key(table_id),))
            gone = changed(db, "DELETE FROM tables WHERE table_id = ?", (table_id,))
            if gone and event is not None:
                outbox.add(db, event, now)
            return gone

        return await self._engine.write(work)

    # -- seats ------------------------------------------------------------------------------------

    async def seat(self, table_id: int, user_id: str) -> Seat | None:
        return self._engine.look(lambda db: _seat_of(db, table_id, user_id))

    async def seats(self, table_id: int) -> list[Seat]:
        return await self._seats(table_id, "present")

    async def removed(self, table_id: int) -> list[Seat]:
        return await self._seats(table_id, "removed")

    async def _seats(self, table_id: int, which: str) -> list[Seat]:
        def work(db: sqlite3.Connection) -> list[Seat]:
            found = db.execute(
                f"SELECT {SEAT} FROM seats WHERE table_id = ? AND {which} ORDER BY joined_at, rowid",
                (table_id,),
            )
            return [seat_from(row) for row in found]

        return await self._engine.read(work)

    async def take_seat(
        self, table_id: int, seat: Seat, news: SeatNews | None = None
    ) -> Seating | None:
        def work(db: sqlite3.Connection) -> Seating | None:
            before = _seat_of(db, table_id, seat.user_id)
            if not _seat(db, table_id, seat):
                return None
            recast = before is not None and before.character_id != seat.character_id
            found = Seating(seat.has_moved(before), recast)
            if found.moved and news is not None:
                outbox.add(db, news.event, news.at)
                add_line(db, table_id, news.said, news.at)
            return found

        return await self._engine.write(work)

    async def readmit(self, table_id: int, user_id: str) -> bool:
        statement = "UPDATE seats SET removed = 0 WHERE table_id = ? AND user_id = ?"
        return await self._engine.write(lambda db: changed(db, statement, (table_id, user_id)))

    # -- invitations ------------------------------------------------------------------------------

    async def invite(
        self, table_id: int, invitation: Invitation, token_hash: bytes, by: str
    ) -> None:
        statement = (
            "INSERT INTO invitations (invitation_id, table_id, token_hash, role, created_by,"
            " created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)"
        )
        times = invitation.created_at, invitation.expires_at
        values = invitation.id, table_id, token_hash, invitation.role, by, *times
        await self._engine.write(lambda db: changed(db, statement, values))

    async def invitations(self, table_id: int) -> list[Invitation]:
        def work(db: sqlite3.Connection) -> list[Invitation]:
            found = db.execute(
                "SELECT invitation_id, role, created_at, expires_at, revoked FROM invitations"
                " WHERE table_id = ? ORDER BY created_at, rowid",
                (table_id,),
            )
            return [
                Invitation(name, role, created_at, expires_at, bool(revoked))
                for name, role, created_at, expires_at, revoked in found
            ]

        return await self._engine.read(work)

    async def invitation(self, table_id: int, token_hash: bytes, now: float) -> Role | None:
        def work(db: sqlite3.Connection) -> Role | None:
            row = db.execute(
                "SELECT role FROM invitations WHERE table_id = ? AND token_hash = ?"
                " AND NOT revoked AND (expires_at IS NULL OR expires_at > ?)",
                (table_id, token_hash, now),
            ).fetchone()
            return None if row is None else cast(Role, row[0])

        return self._engine.look(work)

    async def revoke(self, table_id: int, invitation_id: str) -> bool:
        return await self._engine.write(
            lambda db: changed(
                db,
                "UPDATE invitations SET revoked = 1 WHERE table_id = ? AND invitation_id = ?",
                (table_id, invitation_id),
            )
        )

    # -- its turns --------------------------------------------------------------------------------

    async def turns(self, table_id: int, after: str | None) -> Sequence[TableTurn]:
        row = "(SELECT rowid FROM turns WHERE turn_id = ?2)"

        def work(db: sqlite3.Connection) -> list[TableTurn]:
            found = db.execute(
                f"SELECT turn_id, status, begun, behind, upto FROM turns WHERE {OF_TABLE}"
                f" AND (?2 IS NULL OR rowid > {row} OR (phase <> 'done' AND {row} IS NULL)) ORDER BY rowid",
                (table_key(table_id), after),
            )
            return [TableTurn(*row) for row in found]

        return await self._engine.read(work)

    async def spent(self, table_id: int) -> Spent:
        return await self._engine.read(lambda db: budgets.table_spent(db, table_key(table_id)))


def _table(db: sqlite3.Connection, table_id: int) -> Table | None:
    row = db.execute(f"SELECT {TABLE} FROM tables WHERE table_id = ?", (table_id,)).fetchone()
    return None if row is None else table_from(row)


def _own(db: sqlite3.Connection, owner: str, name: str) -> Table | None:
    """The owner's first table of that name."""
    row = db.execute(
        f"SELECT {TABLE} FROM tables WHERE owner = ? AND name = ? ORDER BY table_id LIMIT 1",
        (owner, name),
    ).fetchone()
    return None if row is None else table_from(row)


def _seat_of(db: sqlite3.Connection, table_id: int, user_id: str) -> Seat | None:
    row = db.execute(
        f"SELECT {SEAT} FROM seats WHERE table_id = ? AND user_id = ?", (table_id, user_id)
    ).fetchone()
    return None if row is None else seat_from(row)


def _seat(db: sqlite3.Connection, table_id: int, seat: Seat) -> bool:
    """See `take_seat`."""
    others = "SELECT 1 FROM seats WHERE table_id = ? AND name_key = ? AND present AND user_id <> ?"
    named = table_id, seat.name_key, seat.user_id
    if seat.present and db.execute(others, named).fetchone():
        raise NameTaken
    return changed(
        db,
        f"INSERT INTO seats (table_id, {SEAT}, name_key) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (table_id, user_id) DO UPDATE SET player_name = excluded.player_name,"
        " name_key = excluded.name_key,"
        " role = excluded.role, character_id = excluded.character_id,"
        " present = excluded.present, removed = excluded.removed"
        " WHERE excluded.removed OR NOT removed",
        (
            table_id,
            seat.user_id,
            seat.player_name,
            seat.role,
            seat.character_id,
            seat.joined_at,
            seat.present,
            seat.removed,
            seat.name_key,
        ),
    )
