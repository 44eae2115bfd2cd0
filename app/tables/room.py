"""The connections to one table in this process."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from app.core.encoding import dump
from app.core.events import Entry, stamp
from app.tables.fan_out import Access, FanOut

MAX_POSTS: Final = 256  # for one that does not read
WAKE_SECONDS: Final = 0.02
"""A turn that begins or ends is several changes of its table in short order."""


class Room:
    """The attendants of a table in this process. `changes` grows whenever there may be more to read.

    Attendants wake up at the first change; those within `WAKE_SECONDS` behind it are looked up together.
    `known`: names of the users whom they know to be connected; None before the first look.
    """

    __slots__ = ("_access", "_due", "_timer", "attendants", "changes", "fan_outs", "known")

    def __init__(self) -> None:
        self.attendants: list[Attendant] = []
        self.changes = 1
        self.fan_outs: list[FanOut] = []
        self.known: dict[str, str] | None = None
        self._access: Access | None = None  # as it was found last
        self._due = 0.0  # when they may be woken again, in the loop's time
        self._timer: asyncio.TimerHandle | None = None

    @property
    def names(self) -> dict[str, str]:
        """The names of the attendants' users."""
        return {one.user_id: one.player_name for one in self.attendants}

    def shared(self, found: Access | None) -> Access | None:
        """The same object for all who find the same: it has every seat of the table."""
        if found != self._access:
            self._access = found
        return self._access

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
        for fan_out in tuple(self.fan_outs):
            fan_out.wake()
        for one in self.attendants:
            if one.before_wake is None:  # no fan-out reads for it
                one.wake()

    def meet(self, elsewhere: Mapping[str, str]) -> None:
        """Show who has come and gone since the last look. Whoever attends finds out at first by themselves
        who is connected."""
        now = {**elsewhere, **self.names}
        before, self.known = now if self.known is None else self.known, now
        for one, other, present in ((before, now, False), (now, before, True)):
            for user_id in [user_id for user_id in one if user_id not in other]:
                self._announce(user_id, one[user_id], present=present)

    def _announce(self, user_id: str, name: str, *, present: bool) -> None:
        event = {"type": "presence", "timestamp": stamp(time.time())}
        shown = dump({**event, "player_name": name, "present": present}).encode("ascii")
        for one in list(self.attendants):
            if one.user_id != user_id:
                one.post((0, "presence", shown))


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
        "met",
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
        self.met: asyncio.Event | None = None
        """Set once others can know of it; what there was to know of them before, it can look up then."""
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
