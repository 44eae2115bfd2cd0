"""Sessions as transports may use them: who sits where, and what is said.

Who may do what is the access policy's (`core/access.py`, `core/tables.py`). To a caller who has no seat
a table does not exist.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from app.core.access import Action, Caller, may
from app.core.tables import (
    DEFAULT_PLAYER,
    X_CARD,
    DeedKey,
    Line,
    MessageType,
    NewLine,
    Seat,
    Table,
    TableRules,
    seated,
)
from app.core.text import as_seen
from app.errors import Forbidden, NotFound
from app.ports.tables import Changed, LineMaker, NameTaken, TableChange, TableStore
from app.tables.announcing import Announced, Say
from app.tables.invitations import NO_MEMBER, REMOVED, TableInvitations
from app.tables.rooms import Rooms
from app.tables.topics import TableTopics
from app.tables.visit import Visit

UNKNOWN = "Session not found"
MAX_NAME = 100


class TableService:
    """`now` gives epoch seconds. `defaults`: the rules of a new table."""

    def __init__(
        self,
        tables: TableStore,
        invitations: TableInvitations,
        rooms: Rooms,
        topics: TableTopics,
        now: Callable[[], float],
        defaults: TableRules,
        observe: Callable[[object], None],
    ) -> None:
        self._tables = tables
        self._invitations = invitations
        self._announced = Announced(tables, rooms, observe)
        self._rooms = rooms
        self._topics = topics
        self._now = now
        self.defaults = defaults

    # -- tables -----------------------------------------------------------------------------------

    async def create(
        self,
        caller: Caller,
        name: str,
        dm_name: str,
        player: Seat,
        rules: TableRules,
        *,
        once: bool = False,
    ) -> Table:
        """A table that the caller owns. `once`: see `TableStore`."""
        now = self._now()
        seat = replace(player, user_id=caller.user_id, joined_at=now)
        return await self._announced.create(seat, name, dm_name, rules, now, once=once)

    async def visit(self, caller: Caller, table_id: int) -> Visit:
        """Raises `NotFound` for a table that does not exist or at which the caller has no seat."""
        table = await self._found(table_id)
        seat = await self._tables.seat(table_id, caller.user_id)
        acting = seated(caller, table, seat)
        if not may(acting, Action.READ, table.story):
            raise NotFound(UNKNOWN)
        return Visit(table, seat if seat is not None and seat.present else None, acting)

    async def visit_or_refuse(self, caller: Caller, table_id: int) -> Visit:
        """Raises `NotFound` for an unknown table, `Forbidden` for one at which the caller has no seat."""
        await self._found(table_id)
        try:
            return await self.visit(caller, table_id)
        except NotFound:
            raise Forbidden("You have no seat at this session.") from None

    async def own(self, caller: Caller, name: str, dm_name: str, player: Seat) -> Table:
        """The caller's first own table of that name, made where there is none."""
        for table in reversed(await self.of_user(caller)):
            if (table.owner, table.name) == (caller.user_id, name):
                return table
        return await self.create(caller, name, dm_name, player, self.defaults, once=True)

    async def of_user(self, caller: Caller) -> list[Table]:
        """The caller's tables, newest first."""
        return await self._tables.of_user(caller.user_id)

    async def change(self, visit: Visit, make: TableChange) -> Table:
        """Raises `Forbidden`, `NotFound`, and what `make` raises."""
        visit.require(visit.table.property)
        return await self._changed(visit.table, make)

    async def _changed(self, table: Table, make: TableChange, say: Say | None = None) -> Table:
        return (await self._change(table, make, say)).new

    async def _change(
        self, table: Table, make: TableChange, say: Say | None, *, stops: bool = False
    ) -> Changed:
        changed = await self._announced.change(table.id, make, self._now(), say, stops=stops)
        if changed is None:
            raise NotFound(UNKNOWN)
        return changed

    async def delete(self, visit: Visit) -> None:
        """Raises `Forbidden`."""
        visit.require(visit.table.property)
        await self._announced.delete(visit.table)
        self._rooms.put_out(visit.table.id)

    async def _found(self, table_id: int) -> Table:
        table = await self._tables.find(table_id)
        if table is None:
            raise NotFound(UNKNOWN)
        return table

    # -- seats ------------------------------------------------------------------------------------

    async def members(self, visit: Visit) -> tuple[list[Seat], set[str]]:
        """The seats of the table, and the user ids among them that are connected."""
        seats = await self._tables.seats(visit.table.id)
        return seats, await self._rooms.presence.of(visit.table.id)

    async def join(
        self, caller: Caller, table_id: int, invitation: str | None, player: Seat
    ) -> Visit:
        """Take a seat by invitation, or openly where the table is open. Raises `Forbidden`,
        and `ValidationError` for a name that the table keeps out: it is announced.

        `player` without a name gets one that is free, and keeps the character of a seat that was not left.
        """
        table = await self._found(table_id)
        known = await self._tables.seat(table_id, caller.user_id)
        role = await self._invitations.role(table, known, invitation, caller)
        name = player.player_name or await self._free_name(table, caller.user_id, known)
        seat = replace(player, user_id=caller.user_id, player_name=name, role=role)
        if known is not None and known.present:
            seat = replace(seat, character_id=player.character_id or known.character_id)
        seat = replace(seat, joined_at=self._now())
        await self._refuse_taken_name(table, caller.user_id, name)
        await self._topics.require_lines(table, {"player_name": player.player_name})
        words = f"{seat.player_name} has joined."
        try:
            seated = await self._announced.seat(table, seat, words, self._now())
        except NameTaken:
            if player.player_name:
                raise
            return await self.join(caller, table_id, invitation, player)  # it was free a moment ago
        if not seated:
            raise Forbidden(REMOVED)
        return await self.visit(caller, table_id)

    async def leave(self, visit: Visit) -> None:
        """Give up the caller's own seat."""
        if (seat := visit.seat) is not None:
            await self._vacate(visit.table, seat, f"{seat.player_name} has left.")

    async def remove(self, visit: Visit, user_id: str) -> None:
        """Put a member out, who stops reading at once and takes no seat until they are readmitted. Raises
        `Forbidden`, `NotFound`."""
        visit.require(*visit.table.management)
        seat = await self._tables.seat(visit.table.id, user_id)
        if seat is None or seat.removed:
            raise NotFound(NO_MEMBER)
        if user_id == visit.table.owner:
            raise Forbidden("The owner of a session cannot be removed.")
        gone = replace(seat, removed=True)
        await self._vacate(visit.table, gone, f"{seat.player_name} was removed.")

    async def _vacate(self, table: Table, seat: Seat, words: str) -> None:
        gone = replace(seat, present=False, role="player")
        if not await self._announced.seat(table, gone, words, self._now()):
            return  # they were removed meanwhile
        if seat.user_id != table.owner:
            self._rooms.put_out(table.id, seat.user_id)

    async def require_own_name(self, visit: Visit, name: str, field: str) -> None:
        """Raises `Forbidden` for the name of somebody else, `ValidationError` for one, given in `field`,
        that the table keeps out: it is shown. Whoever has taken a seat keeps its name."""
        await self._refuse_taken_name(visit.table, visit.caller.user_id, name)
        if visit.seat is None or as_seen(name) != visit.seat.name_key:
            await self._topics.require_lines(visit.table, {field: name})

    async def _refuse_taken_name(self, table: Table, user_id: str, name: str) -> None:
        """Nobody may speak in another's name. Raises `Forbidden`."""
        if as_seen(name) in await self._taken(table, user_id):
            raise NameTaken

    async def _taken(self, table: Table, user_id: str) -> set[str]:
        """The names of others, see `as_seen`."""
        seats = await self._tables.seats(table.id)
        others = {seat.name_key for seat in seats if seat.user_id != user_id}
        return others | {as_seen(table.dm_name)}

    async def _free_name(self, table: Table, user_id: str, known: Seat | None) -> str:
        taken = await self._taken(table, user_id)
        wanted = DEFAULT_PLAYER if known is None else known.player_name
        return wanted if as_seen(wanted) not in taken else user_id[:MAX_NAME]

    # -- what is said -----------------------------------------------------------------------------

    async def lines(self, visit: Visit, limit: int, before: int | None = None) -> Sequence[Line]:
        """The newest lines, oldest first."""
        reader = visit.caller.user_id
        return await self._tables.lines(visit.table.id, reader, limit, before)

    async def say(
        self, visit: Visit, sender: str, content: str, message_type: MessageType = "player"
    ) -> Line:
        """Raises `Forbidden` for a name or a type that is not the caller's to use, `ValidationError` for a
        `content` that the table keeps out."""
        if message_type == "dm":
            visit.require(visit.table.moderation)
        elif message_type == "system":
            visit.require(*visit.table.management)
        else:
            await self.require_own_name(visit, sender, "sender_name")
        hold_to = self._topics.require_story if message_type == "dm" else self._topics.require_lines
        named = {} if message_type == "player" else {"sender_name": sender}
        await hold_to(visit.table, {**named, "content": content})
        return await self.add(
            visit.table, NewLine(sender, content, message_type, visit.caller.user_id)
        )

    async def whisper(self, visit: Visit, user_id: str, content: str) -> Line:
        """Say something to one member alone. Raises `Forbidden`, `NotFound`, and `ValidationError` for a
        `content` that the table keeps out."""
        visit.require(visit.table.moderation)
        seat = await self._tables.seat(visit.table.id, user_id)
        if seat is None or not seat.present:
            raise NotFound(NO_MEMBER)
        await self._topics.require_story(visit.table, {"content": content})
        author = visit.caller.user_id
        line = NewLine(visit.table.dm_name, content, "dm", author, recipient=user_id)
        return await self.add(visit.table, line)

    async def pause(self, visit: Visit, *, paused: bool) -> Table:
        """Take no deeds until the table is resumed; the turn that runs goes on. Raises `Forbidden`."""
        visit.require(*visit.table.management)
        words = f"The session is {'paused' if paused else 'resumed'}."

        def say(known: Table, new: Table) -> NewLine | None:
            return None if known.rules.paused == paused else NewLine(new.dm_name, words, "system")

        return await self._changed(visit.table, lambda known: known.ruled(paused=paused), say)

    async def avoid(self, visit: Visit, topic: str | None, by: str | None) -> Changed:
        """Announce the X card, which cancels the turn that runs; a `topic` is avoided from now on, where
        there is room for it. All this is one transaction: no kill leaves a part of it. `by`: the player's
        name, None for an anonymous one."""
        words = "The X card was played." if by is None else f"{by} has played the X card."
        words = f"{words} The story moves on to something else."

        def make(known: Table) -> Table:
            return known if topic is None else known.without(topic)

        def say(_: Table, new: Table) -> NewLine:
            return NewLine(new.dm_name, words, "system", data={X_CARD: True})

        return await self._change(visit.table, make, say, stops=True)

    async def add(self, table: Table, said: NewLine) -> Line:
        """Store a line and show it to everybody whom it is for."""
        line = await self._tables.say(table.id, said, self._now())
        self._rooms.said(table.id)
        return line

    async def do(self, table: Table, make: LineMaker, key: DeedKey | None) -> Line:
        """The line of a deed, stored and shown to everybody once for its key. Raises as `say_deed` of
        `TableStore`."""
        line = await self._tables.say_deed(table.id, make, self._now(), key)
        self._rooms.said(table.id)
        return line
