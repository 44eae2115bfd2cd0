"""Readers who note when each event of a turn arrived."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Final, cast

from bench.client import Target
from bench.processes import Failed
from bench.wire import END

_ID: Final = re.compile(rb"^id: ([0-9a-f-]{36}):(\d+)\n", re.MULTILINE)
_LONGEST_ID: Final = 80


class StampedReader(asyncio.Protocol):
    """`arrived`: by event number, on the clock of `time.perf_counter`. `first` is set at the first event,
    `over` at the end of the stream."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.arrived: dict[int, float] = {}
        self.turn_id = ""
        self.first: asyncio.Future[None] = loop.create_future()
        self.over: asyncio.Future[None] = loop.create_future()
        self._carry = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def ask(self, request: bytes) -> None:
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        now, seen = time.perf_counter(), self._carry + data
        end = 0
        for found in _ID.finditer(seen):
            self.turn_id, end = found[1].decode(), found.end()
            self.arrived.setdefault(int(found[2]), now)
        if self.arrived and not self.first.done():
            self.first.set_result(None)
        self._carry = seen[max(end, len(seen) - _LONGEST_ID) :]
        if seen.endswith(END) and not self.over.done():
            self.over.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        for waited in (self.first, self.over):
            if not waited.done():
                waited.set_exception(Failed("a stream broke off"))
                waited.exception()  # whoever waits has it; nobody need

    @property
    def last(self) -> int:
        """The number of the newest event."""
        return max(self.arrived, default=0)

    def close(self) -> None:
        self._transport.abort()


async def stamped(target: Target, request: bytes) -> StampedReader:
    """A reader on a connection of its own who has asked."""
    loop = asyncio.get_running_loop()
    _, reader = await loop.create_connection(StampedReader, "127.0.0.1", target.process.port)
    reader.ask(request)
    return reader


def delays_ms(here: StampedReader, there: StampedReader) -> list[float]:
    """By how much later each event arrived there that came while both were reading."""
    began = min(there.arrived.values(), default=0.0)
    return [
        (there.arrived[seq] - at) * 1000
        for seq, at in here.arrived.items()
        if at > began and seq in there.arrived
    ]
