"""A sans-I/O decoder of server-sent events, down to their data.

The SDK makes the request; its own event objects cost more than everything else in a streamed turn,
so the raw bytes are split here.
"""

from __future__ import annotations

import re

BOM = b"\xef\xbb\xbf"
MAX_EVENT_BYTES = 8 * 1024 * 1024


class EventTooLong(ValueError):
    """No event may be that long; the server sends something else than events."""


class SSEDecoder:
    """`feed` takes bytes cut anywhere, and returns the data of each event they complete."""

    __slots__ = ("_held_cr", "_tail")

    def __init__(self) -> None:
        self._tail = b""
        self._held_cr = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Raises `EventTooLong`."""
        if self._held_cr or b"\r" in chunk:
            chunk = self._with_newlines(chunk)
        if self._tail:
            chunk = self._tail + chunk
        whole, end, self._tail = chunk.rpartition(b"\n\n")
        if len(self._tail) > MAX_EVENT_BYTES:
            raise EventTooLong
        if not end:
            return []
        return _plain(whole + end) or [d for block in whole.split(b"\n\n") if (d := _data(block))]

    def flush(self) -> list[bytes]:
        """The data of a last event that no empty line ended."""
        block, self._tail = self._tail, b""
        data = _data(block)
        return [data] if data else []

    def _with_newlines(self, chunk: bytes) -> bytes:
        """CRLF and CR become LF; a CR at the end waits for the LF that may follow it."""
        if self._held_cr:
            chunk = b"\r" + chunk
        self._held_cr = chunk.endswith(b"\r")
        if self._held_cr:
            chunk = chunk[:-1]
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


# The last line of an event, where it is its data.
_LAST = re.compile(rb"^data: ([^\n]+)\n\n", re.MULTILINE)


def _plain(events: bytes) -> list[bytes]:
    """The data of events that all have one line of it, as models send them; else nothing.

    One search for all the events of a read: looking at each of them costs five times as much.
    """
    many = events.count(b"\n\n")
    lines = events.count(b"\ndata:") + events.startswith(b"data:")
    found = _LAST.findall(events) if lines == many else []
    return found if len(found) == many else []


def _data(block: bytes) -> bytes:
    fields = [line.partition(b":") for line in block.removeprefix(BOM).split(b"\n")]
    return b"\n".join(value.removeprefix(b" ") for name, _, value in fields if name == b"data")
