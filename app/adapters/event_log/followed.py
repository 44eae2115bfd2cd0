"""The log of a turn that another process runs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from app.adapters.event_log.memory import MemoryTurnLog
from app.core.events import LOST_END, TERMINAL_TYPES, Entry


class FollowedLog(MemoryTurnLog):
    """`seen`: the number of the newest entry. `gap`: later ones have come than the next.

    Nothing is shown out of order or twice, whatever comes in which order.
    """

    __slots__ = ("_heard", "gap", "seen")

    def __init__(self, **fields: Any) -> None:
        super().__init__((), **fields)
        self.seen = 0
        self.gap = False
        self._heard = asyncio.get_running_loop().time()

    def position_after(self, seq: int) -> int:
        return (
            seq if self.seen < seq < LOST_END and not self.closed else super().position_after(seq)
        )

    def silent(self, now: float, seconds: float) -> bool:
        """Whether nothing new has come for so long."""
        return now - self._heard >= seconds

    def absorb(self, entries: Sequence[Entry]) -> None:
        """Show those that are next; keep none of the others."""
        fresh, seen = [], self.seen
        for entry in entries:
            number, kind, _ = entry
            if number <= seen:
                continue
            if number != seen + 1 and number != LOST_END:
                self.gap = True
                break
            fresh.append(entry)
            seen = number
            if kind in TERMINAL_TYPES:
                break
        else:
            self.gap = False if fresh else self.gap
        if fresh and not self.closed:
            self.seen = seen
            self._heard = asyncio.get_running_loop().time()
            self.append(fresh, last=fresh[-1][1] in TERMINAL_TYPES)
            self.release(self.end)
