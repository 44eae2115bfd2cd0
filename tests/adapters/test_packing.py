"""Entries as a store keeps them."""

from __future__ import annotations

import zlib

import pytest
from app.adapters.store.packing import SMALL, pack, unpack
from app.core.events import LOST_END, Entry, Failed, Token, encode_entry
from hypothesis import given
from hypothesis import strategies as st

AT = "2026-01-01T00:00:00.000Z"


def tokens(count: int, start: int = 1) -> list[Entry]:
    return [encode_entry(seq, Token(f"{seq}\n", seq), AT) for seq in range(start, start + count)]


def lost_end() -> Entry:
    return encode_entry(LOST_END, Failed("interrupted", "m", True, "narrative"), AT)


def unpacked(parts: list[tuple[int, bytes]]) -> list[Entry]:
    return [entry for first, part in parts for entry in unpack(first, part)]


@given(st.integers(0, 200), st.integers(1, 10**6), st.booleans())
def test_packed_entries_are_unpacked_as_they_were(count: int, start: int, lost: bool) -> None:
    entries = [*tokens(count, start), *([lost_end()] * lost)]
    assert unpacked(list(pack(entries))) == entries


def test_consecutive_entries_are_one_part() -> None:
    assert [first for first, _ in pack([*tokens(3), lost_end()])] == [1, LOST_END]
    assert list(pack([])) == []


def test_a_long_part_is_compressed_and_a_short_one_is_not() -> None:
    ((_, short),) = pack(tokens(2))
    ((_, long),) = pack(tokens(2_000))
    assert short == b"\n".join(data for _, _, data in tokens(2))
    assert len(long) < sum(len(data) for _, _, data in tokens(2_000)) / 8


@pytest.mark.parametrize("count", [1, 3, 2_000])
def test_parts_of_older_releases_are_frames(count: int) -> None:
    entries = [*tokens(count), lost_end()]
    part = b"".join(b"id: a-turn:%d\ndata: %b\n\n" % (seq, data) for seq, _, data in entries)
    kept = zlib.compress(part, 1) if len(part) > SMALL else part
    assert unpack(None, kept) == entries
