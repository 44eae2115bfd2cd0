"""The connected members of each table in this process, and the readers that wait for news there."""

from __future__ import annotations

import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Any, Literal

from app.core.encoding import dump
from app.core.events import Entry, stamp
from app.core.tables import KIND, Seat
from app.ports.signals import Signal, Signals
from app.ports.tables import TableStore
from app.tables.dm_seats import DungeonMasterSeats
from app.tables.presence import Presence
from app.tables.room import Attendant, Room
from app.turns.observe import TurnAdmitted, TurnEnded, TurnPromoted

SeatEvent = Literal["seat_updated", "seat_character_updated", "player_vacated"]


class Rooms:
    """The attendants of each table in this process; what happens here is signalled to other processes."""

    def __init__(self, tables: TableStore, signals: Signals) -> None:
        self._rooms: dict[int, Room] = {}
        self.presence = Presence(self._rooms, tables, signals)
        self.dm_seats = DungeonMasterSeats(tables, signals, self._dm_seat_changed)
        self._signals = signals
        signals.receive(self._signalled, self._missed)

    def _signalled(self, signal: Signal) -> None:
        if signal.kind == "table":
            self._wake(int(signal.key))
        elif signal.kind == "room":
            number, _, event = signal.key.partition(":")
            self.post(int(number), (0, "room", urlsafe_b64decode(event)))

    def _missed(self) -> None:
        """Something may have happened at any table."""
        for table_id in tuple(self._rooms):
            self._wake(table_id)

    def attend(self, table_id: int, user_id: str, player_name: str) -> Attendant:
        """A connection that sees everything from now on; `close` it."""
        room = self._rooms.setdefault(table_id, Room())
        attendant = Attendant(room, user_id, player_name, lambda one: self._drop(table_id, one))
        room.attendants.append(attendant)
        attendant.met = self.presence.changed(table_id)
        return attendant

    def said(self, table_id: int) -> None:
        """There is a new line, or another change that readers look up."""
        self._signals.send(Signal("table", str(table_id)))
        self._wake(table_id)

    def seat_changed(self, table_id: int, event: SeatEvent, seat: Seat) -> None:
        """Announce that a member has come, has gone, or plays another character."""
        names = "user_id", "player_name", "role", "character_id", "present"
        shown = {name: getattr(seat, name) for name in names}
        news = dump({**_room(event), "seat": shown}).encode("ascii")
        self._signals.send(Signal("room", f"{table_id}:{urlsafe_b64encode(news).decode('ascii')}"))
        self.post(table_id, (0, "room", news))

    def put_out(self, table_id: int, user_id: str | None = None) -> None:
        """End every connection of a user, or of everybody. Other processes look up who may read."""
        self._signals.send(Signal("table", str(table_id)))
        for one in list(self._of(table_id)):
            if user_id in (None, one.user_id):
                one.dismiss()

    def observe(self, observation: object) -> None:
        """Takes note of turns that come, begin and end: the journal knows it by then."""
        if isinstance(observation, TurnAdmitted | TurnPromoted | TurnEnded):
            kind, _, number = observation.turn.request.exclusive_key.partition(":")
            if kind == KIND:
                self.said(int(number))

    def _wake(self, table_id: int) -> None:
        if (room := self._rooms.get(table_id)) is not None:
            room.wake()

    def _dm_seat_changed(self, table_id: int, joined: bool) -> None:
        event = _room("dm_joined" if joined else "dm_left")
        self.post(table_id, (0, "room", dump(event).encode("ascii")))

    def post(self, table_id: int, entry: Entry) -> None:
        """Show something to everybody who is connected here."""
        for one in self._of(table_id):
            one.post(entry)

    def _of(self, table_id: int) -> Sequence[Attendant]:
        room = self._rooms.get(table_id)
        return () if room is None else room.attendants

    def _drop(self, table_id: int, attendant: Attendant) -> None:
        room = self._rooms.get(table_id)
        if room is None or attendant not in room.attendants:
            return
        room.attendants.remove(attendant)
        if not room.attendants:
            del self._rooms[table_id]
        self.presence.changed(table_id)


def _room(event: str) -> dict[str, Any]:
    return {"type": "room", "timestamp": stamp(time.time()), "event": event}
