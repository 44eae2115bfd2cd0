"""`TableStore` on PostgreSQL."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import cast

from app.adapters.store.postgres import table_statements as sql
from app.adapters.store.postgres.attendance import PostgresAttendance
from app.adapters.store.postgres.engine import PostgresEngine
from app.adapters.store.postgres.leading import PostgresLeading
from app.adapters.store.postgres.lines import line_values
from app.adapters.store.postgres.outbox import event_values
from app.adapters.store.postgres.rounds import PostgresRounds
from app.adapters.store.postgres.rows import both, original, spent_of, storable, texts
from app.adapters.store.table_rows import seat_from, table_from
from app.core.hub import NewEvent
from app.core.limits import check_table_budget
from app.core.money import Amount, Spent
from app.core.tables import (
    Invitation,
    Role,
    Seat,
    Summary,
    Table,
    TableRules,
    table_key,
)
from app.errors import StoreUnavailable
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


class PostgresTableStore(PostgresRounds, PostgresAttendance, PostgresLeading):
    """`TableStore`."""

    def __init__(self, engine: PostgresEngine, owner: str) -> None:
        self._engine = engine
        self._owner = owner

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
        while True:
            number = await self._engine.value(sql.NEXT)
            found = await self._engine.value(
                sql.CREATE,
                number,
                storable(name),
                storable(dm_name),
                storable(owner.user_id),
                now,
                rules.model_dump_json(),
                os.urandom(12),
                storable(owner.player_name),
                storable(owner.name_key),
                owner.role,
                owner.character_id,
                _columns(announce and announce(number)),
                once,
            )
            if found == number:
                return Table(number, name, dm_name, owner.user_id, now, rules=rules)
            if (known := await self.find(found)) is not None:
                return known

    async def find(self, table_id: int) -> Table | None:
        rows = await self._engine.fetch(sql.FIND, table_id)
        return table_from(texts(rows[0])[:-1]) if rows else None

    async def of_user(self, user_id: str) -> list[Table]:
        rows = await self._engine.fetch(sql.OF_USER, storable(user_id))
        return [table_from(texts(row)) for row in rows]

    async def change(
        self,
        table_id: int,
        make: TableChange,
        announce: TableAnnouncer | None = None,
    ) -> Changed | None:
        while rows := await self._engine.fetch(sql.FIND, table_id):
            *row, mark = texts(rows[0])
            known = table_from(tuple(row))
            new = make(known)
            event, said, at, stops = NO_NEWS if announce is None else announce(known, new)
            if new == known and said is None:
                return Changed(known, known)
            rules, news = new.rules.model_dump_json(), (_columns(event), *line_values(said, at)[:3])
            values = storable(new.name), storable(new.dm_name), new.is_active, rules
            made = await self._engine.value(sql.CHANGE, table_id, mark, *values, *news, stops)
            if made is not None:
                return Changed(known, new, made or None)
        return None

    async def delete(self, table_id: int, event: NewEvent | None = None) -> bool:
        return bool(await self._engine.value(sql.DELETE, table_id, _columns(event)))

    async def seat(self, table_id: int, user_id: str) -> Seat | None:
        rows = await self._engine.fetch(sql.SEAT_OF, table_id, storable(user_id))
        return seat_from(texts(rows[0])) if rows else None

    async def seats(self, table_id: int) -> list[Seat]:
        return [seat_from(texts(row)) for row in await self._engine.fetch(sql.SEATS, table_id)]

    async def removed(self, table_id: int) -> list[Seat]:
        return [seat_from(texts(row)) for row in await self._engine.fetch(sql.REMOVED, table_id)]

    async def readmit(self, table_id: int, user_id: str) -> bool:
        return bool(await self._engine.value(sql.READMIT, table_id, storable(user_id)))

    async def take_seat(
        self, table_id: int, seat: Seat, news: SeatNews | None = None
    ) -> Seating | None:
        event, said, now = news or (None, None, 0.0)
        ((verdict, *found),) = await self._engine.fetch(
            sql.TAKE_SEAT,
            table_id,
            storable(seat.user_id),
            storable(seat.player_name),
            seat.role,
            seat.character_id,
            seat.joined_at,
            seat.present,
            seat.removed,
            storable(seat.name_key),
            _columns(event),
            *line_values(said, now)[:3],
        )
        if verdict == "taken":
            raise NameTaken
        return Seating(*found) if verdict == "seated" else None

    async def invite(
        self, table_id: int, invitation: Invitation, token_hash: bytes, by: str
    ) -> None:
        await self._engine.fetch(
            sql.INVITE,
            invitation.id,
            table_id,
            token_hash,
            invitation.role,
            storable(by),
            invitation.created_at,
            invitation.expires_at,
        )

    async def invitations(self, table_id: int) -> list[Invitation]:
        rows = await self._engine.fetch(sql.INVITATIONS, table_id)
        return [Invitation(row[0], row[1], row[2], row[3], row[4]) for row in rows]

    async def invitation(self, table_id: int, token_hash: bytes, now: float) -> Role | None:
        return cast(
            Role | None, await self._engine.value(sql.INVITATION, table_id, token_hash, now)
        )

    async def revoke(self, table_id: int, invitation_id: str) -> bool:
        return bool(await self._engine.value(sql.REVOKE, table_id, storable(invitation_id)))

    async def turns(self, table_id: int, after: str | None) -> Sequence[TableTurn]:
        known = None if after is None else storable(after)
        rows = await self._engine.fetch(sql.TURNS, table_key(table_id), known)
        return [TableTurn(*row.values()) for row in rows]

    async def spent(self, table_id: int) -> Spent:
        (row,) = await self._engine.fetch(sql.SPENT, table_key(table_id))
        return spent_of(row)

    async def summary(self, table_id: int) -> Summary:
        text = await self._engine.value(sql.SUMMARY, table_id)
        return Summary() if text is None else Summary.model_validate_json(original(text))

    async def put_summary(self, table_id: int, known: Summary, new: Summary) -> bool:
        old = None if known == Summary() else storable(known.model_dump_json())
        values = table_id, old, storable(new.model_dump_json())
        return bool(await self._engine.value(sql.PUT_SUMMARY, *values))

    async def reserve(
        self, table_id: int, reservation: str, amount: Amount, budget: Amount
    ) -> None:
        values = table_id, reservation, self._owner, both(amount), both(budget)
        (row,) = await self._engine.fetch(sql.RESERVE, *values)
        if row["verdict"] != "reserved":
            check_table_budget(budget, spent_of(row))
            raise StoreUnavailable  # the function refused what is within the budget

    async def settle(self, reservation: str, spent: Amount) -> None:
        await self._engine.fetch(sql.SETTLE, reservation, both(spent.believable))


def _columns(event: NewEvent | None) -> list[str] | None:
    return None if event is None else event_values(event)
