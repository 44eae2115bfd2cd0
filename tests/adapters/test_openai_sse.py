"""The decoder of server-sent events against the text of the HTML standard."""

from __future__ import annotations

import re

import pytest
from app.adapters.openai.sse import BOM, MAX_EVENT_BYTES, EventTooLong, SSEDecoder
from hypothesis import example, given
from hypothesis import strategies as st


def decoded(chunks: list[bytes]) -> list[bytes]:
    decoder = SSEDecoder()
    found = [data for chunk in chunks for data in decoder.feed(chunk)]
    return found + decoder.flush()


def reference(stream: bytes) -> list[bytes]:
    """Line by line as the standard says; a last event counts although nothing ends it."""
    found: list[bytes] = []
    data: list[bytes] = []
    for line in [*re.split(rb"\r\n|\r|\n", stream.removeprefix(BOM)), b""]:
        if not line:
            found.append(b"\n".join(data))
            data = []
            continue
        name, _, value = line.partition(b":")
        if name == b"data":
            data.append(value[1:] if value.startswith(b" ") else value)
    return [event for event in found if event]


LINES = [
    b'data: {"a": 1}',
    b"data: \xf0\x9f\x94\xa5",
    b"data:no blank",
    b"data:  two blanks",
    b"data: a: b",
    b"data",
    b"data:",
    b"data: ",
    b"database: x",
    b" data: x",
    b": comment",
    b":",
    b"event: x",
    b"id: 1",
    b"data: [DONE]",
]
EVENTS = [
    b"data: {}",
    b"event: a\ndata: {}",
    b"event: a\ndata: ",
    b"data: ",
    b"data: 1\ndata: 2",
    b"event: a\nid: 1\ndata: {}",
    b"event: a",
    b": comment",
]


@given(st.lists(st.sampled_from(EVENTS), max_size=8))
def test_whole_events_in_one_read_equal_their_lines(events: list[bytes]) -> None:
    stream = b"".join(event + b"\n\n" for event in events)
    assert decoded([stream]) == reference(stream)


lines = st.one_of(st.sampled_from(LINES), st.binary(max_size=4))
endings = st.sampled_from([b"\n", b"\r\n", b"\r", b"\n\n", b"\r\n\r\n", b"\r\r"])
streams = st.builds(
    lambda start, rows: start + b"".join(line + end for line, end in rows),
    st.sampled_from([b"", BOM]),
    st.lists(st.tuples(lines, endings), max_size=8),
).filter(lambda stream: BOM not in stream[1:])


def chunks_of(stream: bytes, places: list[int]) -> list[bytes]:
    edges = sorted(min(place, len(stream)) for place in places)
    return [stream[a:b] for a, b in zip([0, *edges], [*edges, len(stream)], strict=True)]


@given(streams, st.lists(st.integers(0, 120), max_size=10))
@example(b"data: a\r\n\r\ndata: b\r\n\r\n", [8, 9, 10, 11])
@example(b"data: a\n\n\n\ndata: b", [9])
def test_any_split_is_decoded_as_the_standard_says(stream: bytes, places: list[int]) -> None:
    assert decoded(chunks_of(stream, places)) == reference(stream)


@given(streams)
def test_byte_by_byte_is_decoded_as_the_standard_says(stream: bytes) -> None:
    assert decoded([bytes([byte]) for byte in stream]) == reference(stream)


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n"])
def test_an_event_is_there_with_the_byte_that_ends_it(end: bytes) -> None:
    decoder = SSEDecoder()
    stream = b"data: x" + end
    assert decoder.feed(stream[:-1]) == []
    assert decoder.feed(stream[-1:]) == [b"x"]


def test_several_events_of_one_read_come_together() -> None:
    assert SSEDecoder().feed(b"data: a\n\n: hm\n\ndata: b\ndata: c\n\n") == [b"a", b"b\nc"]


def test_body_that_is_no_event_stream_is_given_up_before_it_fills_the_memory() -> None:
    decoder = SSEDecoder()
    block = b"x" * (MAX_EVENT_BYTES // 4)
    for _ in range(4):
        assert decoder.feed(block) == []
    with pytest.raises(EventTooLong):
        decoder.feed(b"x")
