"""`TableStore` on the in-memory journal."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from app.core.hub import NewEvent
from app.core.limits import check_table_budget
from app.core.money import NOTHING, Amount, Spent
from app.core.rounds import Round
from app.core.tables import (
    DeedKey,
    Invitation,
    Line,
    NewLine,
    Role,
    Seat,
    Summary,
    Table,
    TableRules,
    table_key,
)
from app.ports.tables import (
    NO_NEWS,
    Changed,
    DeedMaker,
    LineMaker,
    NameTaken,
    RoundChange,
    Seating,
    SeatNews,
    TableAnnouncer,
    TableChange,
    TableTurn,
)

from fakes.store.journal import Journal, Row


class MemoryTableStore:
    """Nothing is awaited in between, so every method is a transaction."""

    def __init__(self, journal: Journal, now: Callable[[], float], owner: str = "") -> None:
        self._journal = journal
        self._owner = owner
        self._tables = journal.tables
        self._now = now

    def _add_event(self, event: NewEvent | None) -> None:
        if event is not None:
            self._journal.events.add(event, self._now())

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
        for known in self._tables.found.values():
            if once and (known.owner, known.name) == (owner.user_id, name):
                return known
        self._tables.count += 1
        table = Table(self._tables.count, name, dm_name, owner.user_id, now, rules=rules)
        self._tables.found[table.id] = table
        self._tables.seats[table.id, owner.user_id] = owner
        self._add_event(None if announce is None else announce(table.id))
        return table

    async def find(self, table_id: int) -> Table | None:
        found = self._tables.found.get(table_id)
        return None if found is None else self._with_dm(found)

    def _with_dm(self, table: Table) -> Table:
        seats = self._seats_of(table.id)
        return replace(table, has_dm=any(one.present and one.role == "dm" for one in seats))

    async def of_user(self, user_id: str) -> list[Table]:
        def sits(table: Table) -> bool:
            seat = self._tables.seats.get((table.id, user_id))
            return table.owner == user_id or (seat is not None and seat.present)

        found = [table for table in reversed(self._tables.found.values()) if sits(table)]
        return [self._with_dm(table) for table in found]

    async def change(
        self,
        table_id: int,
        make: TableChange,
        announce: TableAnnouncer | None = None,
    ) -> Changed | None:
        known = await self.find(table_id)
        if known is None:
            return None
        new = make(known)
        event, said, at, stops = NO_NEWS if announce is None else announce(known, new)
        self._add_event(event)
        if said is not None:
            self._tables.say(table_id, said, at)
        self._tables.found[table_id] = replace(new, tokens_used=known.tokens_used)
        return Changed(known, new, self._stop(table_id) if stops else None)

    def _stop(self, table_id: int) -> str | None:
        for row in self._turns(table_id):
            if row.active and row.phase in ("streaming", "awaiting", "retelling"):
                row.phase = "cancelling"
                return row.turn_id
        return None

    async def delete(self, table_id: int, event: NewEvent | None = None) -> bool:
        tables = self._tables
        tables.seats = {key: it for key, it in tables.seats.items() if key[0] != table_id}
        tables.invitations = {k: it for k, it in tables.invitations.items() if k[0] != table_id}
        tables.lines = [line for line in tables.lines if line.table_id != table_id]
        tables.rounds.pop(table_id, None)
        tables.reservations = {k: it for k, it in tables.reservations.items() if it[0] != table_id}
        self._journal.costs.pop(table_key(table_id), None)
        so = tables.found.pop(table_id, None) is not None
        self._add_event(event if so else None)
        return so

    async def seat(self, table_id: int, user_id: str) -> Seat | None:
        return self._tables.seats.get((table_id, user_id))

    def _seats_of(self, table_id: int) -> list[Seat]:
        found = [seat for (at, _), seat in self._tables.seats.items() if at == table_id]
        return sorted(found, key=lambda seat: seat.joined_at)

    async def seats(self, table_id: int) -> list[Seat]:
        return [seat for seat in self._seats_of(table_id) if seat.present]

    async def removed(self, table_id: int) -> list[Seat]:
        return [seat for seat in self._seats_of(table_id) if seat.removed]

    async def readmit(self, table_id: int, user_id: str) -> bool:
        known = self._tables.seats.get((table_id, user_id))
        if known is not None:
            self._tables.seats[table_id, user_id] = replace(known, removed=False)
        return known is not None

    async def take_seat(
        self, table_id: int, seat: Seat, news: SeatNews | None = None
    ) -> Seating | None:
        known = self._tables.seats.get((table_id, seat.user_id))
        if known is not None and known.removed and not seat.removed:
            return None
        others = [one for one in await self.seats(table_id) if one.user_id != seat.user_id]
        if seat.present and seat.name_key in {one.name_key for one in others}:
            raise NameTaken
        joined = seat.joined_at if known is None else known.joined_at
        self._tables.seats[table_id, seat.user_id] = replace(seat, joined_at=joined)
        recast = known is not None and known.character_id != seat.character_id
        found = Seating(seat.has_moved(known), recast)
        if found.moved and news is not None:
            self._add_event(news.event)
            self._tables.say(table_id, news.said, news.at)
        return found

    async def invite(
        self, table_id: int, invitation: Invitation, token_hash: bytes, by: str
    ) -> None:
        self._tables.invitations[table_id, token_hash] = invitation

    async def invitations(self, table_id: int) -> list[Invitation]:
        return [it for (at, _), it in self._tables.invitations.items() if at == table_id]

    async def invitation(self, table_id: int, token_hash: bytes, now: float) -> Role | None:
        found = self._tables.invitations.get((table_id, token_hash))
        if found is None or found.revoked:
            return None
        return None if found.expires_at is not None and found.expires_at <= now else found.role

    async def revoke(self, table_id: int, invitation_id: str) -> bool:
        for key, found in self._tables.invitations.items():
            if key[0] == table_id and found.id == invitation_id:
                self._tables.invitations[key] = replace(found, revoked=True)
                return True
        return False

    async def say(self, table_id: int, said: NewLine, now: float) -> Line:
        return self._tables.say(table_id, said, now)

    async def say_deed(
        self, table_id: int, make: LineMaker, now: float, key: DeedKey | None = None
    ) -> Line:
        known = None if key is None else self._tables.deed(key, now)
        made = make(self._tables.next_roll(table_id))
        return known or self._tables.say_deed(table_id, made, now, key)

    async def deed(self, key: DeedKey, now: float) -> Line | None:
        return self._tables.deed(key, now)

    async def lines(
        self, table_id: int, reader: str, limit: int, before: int | None = None
    ) -> list[Line]:
        found = [line for line in self._of(table_id) if line.is_for(reader)]
        return [line for line in found if before is None or line.id < before][-limit:]

    async def lines_since(self, table_id: int, line_id: int, limit: int) -> list[Line]:
        return [line for line in self._of(table_id) if line.id > line_id][:limit]

    def _of(self, table_id: int) -> list[Line]:
        return [line for line in self._tables.lines if line.table_id == table_id]

    async def round(self, table_id: int) -> Round:
        document = self._tables.rounds.get(table_id)
        return Round() if document is None else Round.model_validate_json(document)

    async def change_round(
        self, table_id: int, make: RoundChange, now: float, said: NewLine | None = None
    ) -> Round:
        known = await self.round(table_id)
        made = make(known)
        if made is None:
            return known
        self._tables.rounds[table_id] = made.model_dump_json()
        if said is not None:
            self._tables.say(table_id, said, now)
        return made

    async def collect(
        self, table_id: int, make: DeedMaker, now: float, key: DeedKey | None = None
    ) -> Round:
        known = await self.round(table_id)
        if key is not None and self._tables.deed(key, now) is not None:
            return known
        made = make(known, self._tables.next_roll(table_id))
        if made is None:
            return known
        self._tables.rounds[table_id] = made[0].model_dump_json()
        self._tables.say_deed(table_id, made[1], now, key)
        return made[0]

    async def rounds_due(self) -> list[tuple[int, float]]:
        rounds = [(number, await self.round(number)) for number in self._tables.rounds]
        return [(number, one.due) for number, one in rounds if one.due is not None]

    async def turns(self, table_id: int, after: str | None) -> Sequence[TableTurn]:
        rows = self._turns(table_id)
        ids = [row.turn_id for row in rows]
        if after in ids:
            rows = rows[ids.index(after) + 1 :]
        elif after is not None:
            rows = [row for row in rows if row.phase != "done"]
        return [
            TableTurn(row.turn_id, row.status, row.begun or None, row.behind, row.upto)
            for row in rows
        ]

    async def meet(self, here: Mapping[int, Mapping[str, str]]) -> Mapping[int, Mapping[str, str]]:
        self._tables.attendance.setdefault(self._owner, {}).update(here)
        return {table_id: await self.elsewhere(table_id) for table_id in here}

    async def elsewhere(self, table_id: int) -> Mapping[str, str]:
        others = {at: it for at, it in self._tables.attendance.items() if at != self._owner}
        return {user: name for it in others.values() for user, name in it.get(table_id, {}).items()}

    async def lead(
        self, held: Collection[int], taken: Collection[int], left: Collection[int]
    ) -> Collection[int]:
        leading = self._tables.leading
        for table_id in [one for one in left if leading.get(one) == self._owner]:
            del leading[table_id]
        leading.update(dict.fromkeys(taken, self._owner))
        for table_id in held:
            leading.setdefault(table_id, self._owner)
        return {one for one in (*held, *left) if leading.get(one, self._owner) != self._owner}

    async def spent(self, table_id: int) -> Spent:
        table = self._tables.found.get(table_id)
        running = (row.reserved for row in self._turns(table_id) if row.phase != "done")
        tokens = 0 if table is None else table.tokens_used
        cost = self._journal.costs.get(table_key(table_id), 0)
        beside = (it[2] for it in self._tables.reservations.values() if it[0] == table_id)
        return Spent(Amount(tokens, cost), sum([*running, *beside], NOTHING))

    async def summary(self, table_id: int) -> Summary:
        return self._tables.summaries.get(table_id, Summary())

    async def put_summary(self, table_id: int, known: Summary, new: Summary) -> bool:
        if table_id not in self._tables.found or await self.summary(table_id) != known:
            return False
        self._tables.summaries[table_id] = new
        return True

    async def reserve(
        self, table_id: int, reservation: str, amount: Amount, budget: Amount
    ) -> None:
        check_table_budget(budget, await self.spent(table_id))
        self._tables.reservations[reservation] = table_id, self._owner, amount

    async def settle(self, reservation: str, spent: Amount | None) -> None:
        table_id, _, reserved = self._tables.reservations.pop(reservation, (0, "", NOTHING))
        table, amount = self._tables.found.get(table_id), reserved if spent is None else spent
        if table is not None:
            self._journal.add_cost(table_key(table_id), amount)
            used = table.tokens_used + amount.tokens
            self._tables.found[table_id] = replace(table, tokens_used=used)

    async def settle_left(self) -> None:
        """Of other processes, which are dead."""
        for reservation, (_, owner, _) in list(self._tables.reservations.items()):
            if owner != self._owner:
                await self.settle(reservation, None)

    def _turns(self, table_id: int) -> list[Row]:
        key = table_key(table_id)
        return [r for r in self._journal.turns.values() if r.request.exclusive_key == key]
