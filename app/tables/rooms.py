"""The connected members of each table in this process, and the readers that wait for news there."""

from __future__ import annotations

import asyncio
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

from app.core.encoding import dump
from app.core.events import Entry, stamp
from app.core.tables import KIND, Seat
from app.ports.signals import Signal, Signals
from app.tables.fan_out import Alike, FanOut
from app.turns.observe import TurnAdmitted, TurnEnded, TurnPromoted

MAX_POSTS: Final = 256  # for one that does not read
WAKE_SECONDS: Final = 0.02
"""A turn that begins or ends is several changes of its table in short order."""
SeatEvent = Literal["seat_updated", "seat_character_updated", "player_vacated"]


class Room:
    """The attendants of a table. `changes` grows whenever there may be more to read.

    Attendants wake up at the first change; those within `WAKE_SECONDS` behind it are looked up together.
    """

    __slots__ = ("_due", "_timer", "attendants", "changes", "fan_outs")

    def __init__(self) -> None:
        self.attendants: list[Attendant] = []
        self.changes = 1
        self.fan_outs: dict[Alike, FanOut] = {}
        self._due = 0.0  # when they may be woken again, in the loop's time
        self._timer: asyncio.TimerHandle | None = None

    def wake(self) -> None:
        """There may be more to read."""
        self.changes += 1
        if self._timer is not None:
            return
        loop = asyncio.get_running_loop()
        if loop.time() >= self._due:
            self._wake_all()
        else:
            self._timer = loop.call_at(self._due, self._wake_all)

    def _wake_all(self) -> None:
        self._timer = None
        self._due = asyncio.get_running_loop().time() + WAKE_SECONDS
        for one in self.attendants:
            one.wake()


class Attendant:
    """One open connection of one user.

    `changed` is set whenever there may be more to read, and once the attendant is put out. `posts` are for
    this connection alone, or for those who are connected now. `write_through`, when it is set, may take one
    at once, so that no task has to wake up for it. `before_wake` is called once, before `changed` is set.
    """

    __slots__ = (
        "_leave",
        "before_wake",
        "changed",
        "player_name",
        "posts",
        "put_out",
        "room",
        "user_id",
        "write_through",
    )

    def __init__(
        self, room: Room, user_id: str, player_name: str, leave: Callable[[Attendant], None]
    ) -> None:
        self.user_id = user_id
        self.player_name = player_name
        self.changed = asyncio.Event()
        self.put_out = False
        self.posts: deque[Entry] = deque(maxlen=MAX_POSTS)
        self.write_through: Callable[[Entry], bool] | None = None
        self.before_wake: Callable[[], None] | None = None
        self.room = room
        self._leave = leave

    def wake(self) -> None:
        """There may be more to read."""
        if self.before_wake is not None:
            self.before_wake()
        self.changed.set()

    def post(self, entry: Entry) -> None:
        """Show something without a number, behind what there is by now."""
        write = self.write_through
        if self.posts or write is None or not write(entry):
            self.posts.append(entry)
            self.wake()

    def dismiss(self) -> None:
        """The user may read no more."""
        self.put_out = True
        self.wake()

    def close(self) -> None:
        """The connection is over."""
        self.write_through = None
        self._leave(self)


class Rooms:
    """The attendants of each table in this process; what happens here is signalled to other processes."""

    def __init__(self, signals: Signals) -> None:
        self._rooms: dict[int, Room] = {}
        self._reins: dict[int, tuple[float, Callable[[], None]]] = {}  # since when, and its end
        self._signals = signals
        signals.receive(self._signalled)

    def _signalled(self, signal: Signal) -> None:
        if signal.kind == "table":
            self._wake(int(signal.key))
        elif signal.kind == "room":
            number, _, event = signal.key.partition(":")
            self.post(int(number), (0, "room", urlsafe_b64decode(event)))
        elif signal.kind == "seat":
            number, what, taken_at = signal.key.split(":")
            self._seat_changed(int(number), what, float(taken_at))

    def _seat_changed(self, table_id: int, what: str, taken_at: float) -> None:
        """In another process. There is one seat in all of them, of whoever has taken it last; news of an
        earlier one may come later."""
        held = self._reins.get(table_id)
        if what == "joined" and held is not None:
            if held[0] > taken_at:
                return
            del self._reins[table_id]
            held[1]()
        self._announce_seat(table_id, joined=what == "joined")

    def attend(self, table_id: int, user_id: str, player_name: str) -> Attendant:
        """A connection that sees everything from now on; `close` it."""
        if user_id not in self.present(table_id):
            self._announce_presence(table_id, player_name, present=True)
        room = self._rooms.setdefault(table_id, Room())
        attendant = Attendant(room, user_id, player_name, lambda one: self._drop(table_id, one))
        room.attendants.append(attendant)
        return attendant

    def present(self, table_id: int) -> set[str]:
        """The users who are connected."""
        return {one.user_id for one in self._of(table_id)}

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

    def take_reins(self, table_id: int, dismiss: Callable[[], None]) -> Callable[[], None]:
        """Hold the one seat of a human dungeon master; whoever held it, in any process, is dismissed.

        The function that is returned gives it up.
        """
        former, taken = self._reins.get(table_id), (time.time(), dismiss)
        self._reins[table_id] = taken
        if former is not None:
            former[1]()
        self._say_seat(table_id, "joined", taken[0])

        def give_up() -> None:
            if self._reins.get(table_id) is taken:
                del self._reins[table_id]
                self._say_seat(table_id, "left", taken[0])

        return give_up

    def _say_seat(self, table_id: int, what: str, taken_at: float) -> None:
        self._signals.send(Signal("seat", f"{table_id}:{what}:{taken_at}"))
        self._announce_seat(table_id, joined=what == "joined")

    def _announce_seat(self, table_id: int, *, joined: bool) -> None:
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
        if attendant.user_id not in self.present(table_id):
            self._announce_presence(table_id, attendant.player_name, present=False)

    def _announce_presence(self, table_id: int, player_name: str, *, present: bool) -> None:
        event = {
            "type": "presence",
            "timestamp": stamp(time.time()),
            "player_name": player_name,
            "present": present,
        }
        self.post(table_id, (0, "presence", dump(event).encode("ascii")))


def _room(event: str) -> dict[str, Any]:
    return {"type": "room", "timestamp": stamp(time.time()), "event": event}
