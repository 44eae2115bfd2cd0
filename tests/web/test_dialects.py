"""Dialects are pure folds over entries; transports frame what they give."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from app.adapters.event_log.memory import MemoryTurnLog
from app.core.events import Entry, Token, encode_entry, gap, ping
from app.eventlog.reader import Cursor
from app.web.dialects.dialect import (
    NO_HEADERS,
    Comment,
    Dialect,
    Message,
    Messages,
    Rendering,
    rendering_from,
)
from app.web.dialects.native import NATIVE
from app.web.transports.sse import SSEFramer
from hypothesis import given
from hypothesis import strategies as st

AT = "2026-01-01T00:00:00.000Z"
KINDS = st.sampled_from(["token", "metadata", "ping", "never heard of"])
entries = st.lists(st.tuples(st.integers(0, 9**9), KINDS, st.binary(max_size=9)), max_size=9)


def tokens(count: int) -> list[Entry]:
    return [encode_entry(seq, Token(str(seq), seq), AT) for seq in range(1, count + 1)]


class Toy:
    """Counts the tokens, speaks twice at every second one, drops the id of the first, and keeps quiet
    otherwise."""

    name = "toy"
    identity = False
    retry = False
    done = False
    ids = True
    headers: Mapping[str, str] = NO_HEADERS

    def begin(self, turn_id: str, parameters: Mapping[str, Any]) -> tuple[str, int]:
        return parameters.get("voice", turn_id), 0

    def fold(self, state: tuple[str, int], entry: Entry) -> tuple[tuple[str, int], Messages]:
        (voice, count), (seq, kind, _) = state, entry
        if kind == "ping":
            return state, [Comment(b"ping")]
        count += 1
        if count % 2:
            return (voice, count), []
        said = f"{voice} {count}".encode()
        return (voice, count), [Message(b"again"), Message(said, seq)]

    def token(self, state: tuple[str, int], data: bytes) -> bytes | None:
        return None

    def ended(self, state: tuple[str, int]) -> bool:
        return False

    def cut(self, state: tuple[str, int]) -> Messages | None:
        return ()


TOY: Dialect[tuple[str, int]] = Toy()


def rendered(
    rendering: Rendering[Any], batch: Sequence[Entry], taken: Sequence[bool] = ()
) -> bytes:
    """Each entry written through where the connection takes it, else sent the usual way."""
    written: list[bytes] = []
    answers = iter(taken)

    def write(piece: bytes) -> bool:
        took = next(answers, True)
        if took:
            written.append(piece)
        return took

    framer = SSEFramer(rendering, write)
    for entry in batch:
        if not framer.write_through([entry]):
            written.append(framer.frames([entry]))
    return b"".join(written)


# -- the native dialect ---------------------------------------------------------------------------


@given(entries)
def test_an_identity_dialect_sends_each_entry_as_it_is(batch: list[Entry]) -> None:
    assert NATIVE.identity
    messages = Rendering(NATIVE, "t").messages(batch)
    assert messages == [Message(data, seq) for seq, _, data in batch]


@given(entries)
def test_framing_without_folding_is_framing_of_the_fold(batch: list[Entry]) -> None:
    class Folded(type(NATIVE)):  # type: ignore[misc]
        identity = False

    folded = SSEFramer(Rendering(Folded(), "t")).frames(batch)
    one_by_one = SSEFramer(Rendering(NATIVE, "t"))
    assert b"".join(one_by_one.frames([entry]) for entry in batch) == folded
    if 0 not in [seq for seq, _, _ in batch]:
        assert SSEFramer(Rendering(NATIVE, "t")).frames(batch) == folded


def test_an_event_is_an_id_line_a_data_line_and_an_empty_line() -> None:
    (_, _, data), *_ = tokens(1)
    assert rendered(Rendering(NATIVE, "a-turn"), tokens(1)) == b"id: a-turn:1\ndata: %b\n\n" % data


@pytest.mark.parametrize("entry", [ping(AT), gap(3, 9, AT)])
def test_event_outside_the_log_has_no_id(entry: Entry) -> None:
    assert rendered(Rendering(NATIVE, "t"), [entry]) == b"data: %b\n\n" % entry[2]


# -- dialects with a state ------------------------------------------------------------------------


def test_a_dialect_may_drop_ids_say_more_and_say_nothing() -> None:
    expected = b"data: again\n\nid: t:2\ndata: t 2\n\n: ping\n\n"
    assert rendered(Rendering(TOY, "t"), [*tokens(3), ping(AT)]) == expected


def test_parameters_of_the_request_reach_the_first_state() -> None:
    assert b"data: A 2" in rendered(Rendering(TOY, "t", parameters={"voice": "A"}), tokens(2))


@pytest.mark.parametrize("after", range(6))
def test_a_resumed_reader_gets_the_rest_of_the_same_bytes(after: int) -> None:
    whole = Rendering(TOY, "t").messages([*tokens(5), ping(AT)])
    seen = Rendering(TOY, "t").messages(tokens(after))
    resumed = Rendering(TOY, "t", after)
    assert seen + resumed.messages([*tokens(5), ping(AT)]) == whole


@pytest.mark.parametrize(("dialect", "read"), [(NATIVE, [4, 5]), (TOY, [1, 2, 3, 4, 5])])
def test_only_a_dialect_with_state_folds_seen_entries_again(
    dialect: Dialect[Any], read: list[int]
) -> None:
    async def work() -> list[Entry]:
        cursor = Cursor(MemoryTurnLog(tokens(5), closed=True), after=3)
        assert rendering_from(cursor, dialect, "t").turn_id == "t"
        return [entry async for batch in cursor for entry in batch]

    assert [seq for seq, _, _ in asyncio.run(work())] == read


@pytest.mark.parametrize("after", [-1, 0, 9])
def test_a_number_that_was_never_given_silences_nothing(after: int) -> None:
    async def work() -> bytes:
        cursor = Cursor(MemoryTurnLog(tokens(5), closed=True), after)
        framer = SSEFramer(rendering_from(cursor, TOY, "t"))
        return b"".join([framer.frames(batch) async for batch in cursor])

    assert asyncio.run(work()) == SSEFramer(Rendering(TOY, "t")).frames(tokens(5))


@given(st.lists(st.booleans(), max_size=8))
def test_data_that_a_connection_takes_later_is_sent_once(taken: list[bool]) -> None:
    whole = SSEFramer(Rendering(TOY, "t")).frames(tokens(8))
    assert rendered(Rendering(TOY, "t"), tokens(8), taken) == whole
