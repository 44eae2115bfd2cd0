"""Logs of turns whose readers come from other processes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from app.adapters.event_log.memory import MemoryTurnLog
from app.core.cursors import after_lost
from app.core.events import TERMINAL_TYPES, Entry

_AHEAD: Final = 1 << 40
"""No log has so many entries: a position behind it is none of an entry that has come."""


class LaggingTurnLog(MemoryTurnLog):
    """A reader may have seen more elsewhere than is here yet, and waits for what comes behind.

    So it is with a turn that another process runs, and with one that runs here: its last entries are in
    the journal before they are in its log.
    """

    __slots__ = ()

    @property
    def seen(self) -> int:
        """The number of the newest entry; 0 without one."""
        return self._number_at(self.end - 1) if self.end else 0

    def position_after(self, seq: int) -> int:
        return (
            _AHEAD + seq
            if self.seen < seq < after_lost(self.seen) and not self.closed
            else super().position_after(seq)
        )


class FollowedLog(LaggingTurnLog):
    """The log of a turn that another process runs. `gap`: later entries have come than the next.

    Nothing is shown out of order or twice, whatever comes in which order.
    """

    __slots__ = ("_heard", "gap")

    def __init__(self, **fields: Any) -> None:
        super().__init__((), **fields)
        self.gap = False
        self._heard = asyncio.get_running_loop().time()

    def silent(self, now: float, seconds: float) -> bool:
        """Whether nothing new has come for so long."""
        return now - self._heard >= seconds

    def absorb(self, entries: Sequence[Entry]) -> None:
        """Show those that are next; keep none of the others."""
        fresh: list[Entry] = []
        seen = self.seen
        for entry in entries:
            number, kind, _ = entry
            if number <= seen:
                continue
            if number != seen + 1:
                if number != after_lost(seen):
                    self.gap = True
                    break
                self._show(fresh)
                fresh = []
                self.skip_to(number)
            fresh.append(entry)
            seen = number
            if kind in TERMINAL_TYPES:
                break
        else:
            self.gap = False if fresh else self.gap
        self._show(fresh)

    def _show(self, fresh: Sequence[Entry]) -> None:
        if fresh and not self.closed:
            self._heard = asyncio.get_running_loop().time()
            self.append(fresh, last=fresh[-1][1] in TERMINAL_TYPES)
            self.release(self.end)
