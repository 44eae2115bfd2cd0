"""The retained events of turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from app.core.events import Entry


class SharedEntries(list[Entry]):
    """Entries that several watchers are notified of in one go, so that they are encoded once for all."""

    __slots__ = ("_encoded",)

    def __init__(self, entries: Sequence[Entry]) -> None:
        super().__init__(entries)
        self._encoded: dict[bytes, bytes] = {}

    def encoded(self, form: bytes, encode: Callable[[Sequence[Entry]], bytes]) -> bytes:
        """The entries encoded by `encode`, cached under `form`."""
        found = self._encoded.get(form)
        if found is None:
            found = self._encoded[form] = encode(self)
        return found


class Watcher(Protocol):
    """Is notified that a log has more. Nothing that a watcher raises reaches the turn."""

    def on_readable(self, fresh: Sequence[Entry]) -> None:
        """There may be more to read, or the log has been closed. Called inside `append`.

        `fresh`: the newest entries; there may be older ones of which this watcher was not notified.
        """
        ...

    def on_failure(self) -> None:
        """`on_readable` raised: the log has logged it and forgotten this watcher."""
        ...


class TurnLog(Protocol):
    """The entries of one turn, in order.

    Positions count entries from 0, `start` (the oldest one kept) to `end` (where the next one will
    be). Sequence numbers follow them, from 1. Numbers are left out where entries were lost with their
    process: then the next is one of `app.core.cursors.after_lost`.
    """

    start: int
    end: int
    closed: bool
    broken: bool

    @property
    def coalescing(self) -> float:
        """How long what comes in short order may be kept back from all but the first reader, in seconds."""
        ...

    def entries(self, start: int = 0, end: int | None = None) -> list[Entry]:
        """The entries at the positions `start` to `end`, as far as they are kept."""
        ...

    def position_after(self, seq: int) -> int:
        """The position behind the entry `seq`; 0 for a number that was never given. Of a turn that runs
        elsewhere, it may be far ahead of `end` until that is known: the entry has not come yet, or was
        lost."""
        ...

    def append(self, entries: Sequence[Entry], *, last: bool = False) -> None:
        """Make entries visible and notify the watchers; `last` closes the log.

        The first watcher is notified at once, and all of them of the end. For the others, what
        comes in short order may be coalesced. A watcher that raises is removed.
        """
        ...

    def skip_to(self, seq: int) -> None:
        """The next entry has this number: those before it that are missing were lost."""
        ...

    def release(self, end: int) -> None:
        """The journal holds the entries before the position `end`: they may leave memory."""
        ...

    def break_off(self) -> None:
        """Close the log of a turn that goes on elsewhere: readers must come back and find it."""
        ...

    def watch(self, watcher: Watcher, *, patient: bool = False) -> None:
        """`patient`: it is notified after all that are not, whenever they came."""
        ...

    def unwatch(self, watcher: Watcher) -> None: ...


class EventLog(Protocol):
    def open(self, turn_id: str, entries: Sequence[Entry] = (), *, shared: bool = False) -> TurnLog:
        """The log of a running turn; `entries` are those that the journal has of it. `shared`: several
        players read it, none of whom is to wait long for what the first one has."""
        ...

    async def follow(self, turn_id: str, recorded: Sequence[Entry]) -> TurnLog | None:
        """The log of a turn that another process runs, with what has come so far; `recorded` are the
        entries that the journal has of it. None: the turns of other processes cannot be followed."""
        ...

    def sealed(self, turn_id: str, entries: Sequence[Entry]) -> TurnLog:
        """A closed log of a finished turn, held by its readers only."""
        ...
