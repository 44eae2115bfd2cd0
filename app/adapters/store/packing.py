"""Entries of a turn as a store keeps them: runs of consecutive ones, compressed where that pays.

A part is the data of its entries, one a line. Numbers follow from the first one, and types are in the
data. Older releases stored SSE frames (`id: {turn_id}:{seq}`, `data: {json}`, an empty line); such
parts have no first number, and are read as long as turns that have them are kept.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence

from app.core.events import Entry, type_of
from app.core.record import Recording

SMALL = 8_192  # bytes that cost more to compress than to keep


def pack(entries: Sequence[Entry]) -> Iterator[tuple[int, bytes]]:
    """Parts as (first number, bytes)."""
    return ((first, data) for first, _, data in runs(entries))


def runs(entries: Sequence[Entry]) -> Iterator[tuple[int, int, bytes]]:
    """Parts as (first number, last number, bytes)."""
    start = 0
    while start < len(entries):
        end = _run_end(entries, start)
        yield (
            entries[start][0],
            entries[end - 1][0],
            joined(data for _, _, data in entries[start:end]),
        )
        start = end


def _run_end(entries: Sequence[Entry], start: int) -> int:
    """The index behind the last of the consecutive entries from `start`; mostly all of them are."""
    if entries[-1][0] - entries[start][0] == len(entries) - 1 - start:
        return len(entries)
    end = start + 1
    while entries[end][0] == entries[end - 1][0] + 1:
        end += 1
    return end


def unpack(first: int | None, part: bytes) -> list[Entry]:
    """The entries of a part; `first` is None in one of an older release."""
    if first is None:
        return _from_frames(part if part.startswith(b"id: ") else zlib.decompress(part))
    lines = part if part.startswith(b"{") else zlib.decompress(part)
    return [(seq, type_of(data), data) for seq, data in enumerate(lines.split(b"\n"), first)]


def packed(recording: Recording) -> bytes:
    """The recording that a replay needs, compressed."""
    return zlib.compress(recording.model_dump_json().encode(), 1)


def recording_of(kept: bytes | None) -> Recording | None:
    """The recording that `packed` has compressed; None for None."""
    return None if kept is None else Recording.model_validate_json(zlib.decompress(kept))


def joined(data: Iterable[bytes]) -> bytes:
    """A part, of the data of consecutive entries."""
    lines = b"\n".join(data)
    return zlib.compress(lines, 1) if len(lines) > SMALL else lines


def _from_frames(frames: bytes) -> list[Entry]:
    return [_from_frame(frame) for frame in frames.split(b"\n\n")[:-1]]


def _from_frame(frame: bytes) -> Entry:
    head, _, data = frame.partition(b"\ndata: ")
    return int(head.rpartition(b":")[2]), type_of(data), data
