"""One encoding of a turn's events: bytes that every transport and every replay shares."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from app.core.cursors import cursor_of
from app.core.events import (
    TERMINAL_TYPES,
    Cancelled,
    Complete,
    Failed,
    Metadata,
    Preview,
    Token,
    TurnEvent,
    Write,
    encode_entry,
    gap,
    ping,
    stamp,
    type_of,
)
from app.core.results import SubsystemSummary, Timing, Usage, Validation
from app.core.shortening import MAX_EVENT
from app.core.view import TurnView
from app.core.wire import MetadataFields
from hypothesis import given
from hypothesis import strategies as st

STAMP = "2026-01-01T00:00:00.000Z"
TURN = "t_123"
SPECIAL = st.sampled_from('\n\r\u2028\u2029\x85\x00\x7f"\\:\U0001f525data: id')
texts = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), SPECIAL))
COMPLETE = Complete(
    TURN, {"meta": None}, SubsystemSummary(), Timing(), Usage(model="m"), Validation()
)

events: st.SearchStrategy[TurnEvent] = st.one_of(
    st.builds(Token, texts, st.integers(0)),
    st.builds(
        Metadata, st.sampled_from(["start", "context"]), st.integers(0), st.just({"turn_id": TURN})
    ),
    st.builds(Preview, st.fixed_dictionaries({"meta": st.none() | texts})),
    st.builds(Write, texts, texts, st.booleans(), st.none() | texts),
    st.just(COMPLETE),
    st.builds(Failed, texts, texts, st.booleans(), texts, st.none() | texts),
    st.builds(Cancelled, texts, texts),
)


def json_of(event: TurnEvent) -> dict[str, Any]:
    _, _, data = encode_entry(1, event, STAMP)
    found = json.loads(data)
    assert isinstance(found, dict)
    return found


LONG, LINES = "\U0001f409" * 8_000, ["\U0001f409" * 200] * 100
FIELDS = MetadataFields(turn_id=str(uuid.UUID(int=7)), user_action=LONG)


@pytest.mark.parametrize(
    "event",
    [
        Metadata("start", 0, FIELDS),
        Preview({"quest_intent": {"quest_details": {"requirements": LINES, "items": LINES}}}),
        Preview({f"intent{number}": LONG for number in range(40)}),
        Write("quest", "offered", False, LONG),
        replace(COMPLETE, turn_id=str(uuid.UUID(int=7)), intents={"meta": {"mood": LONG}}),
        Failed("llm_error", LONG, True, "narrative", LONG),
        Cancelled("narrative", LONG),
    ],
    ids=lambda event: type(event).__name__,
)
def test_long_event_is_cut_and_says_so(event: TurnEvent) -> None:
    _, kind, data = encode_entry(1, event, STAMP)
    found = json.loads(data)
    assert len(data) <= MAX_EVENT
    assert (found["truncated"], found["type"], found["timestamp"]) == (True, kind, STAMP)
    assert found.get("turn_id") in (None, str(uuid.UUID(int=7)))


def test_event_that_fits_says_nothing_of_being_cut() -> None:
    assert "truncated" not in json_of(Write("quest", "offered", False, "x" * 8_000))


@given(events, st.integers(1, 10**9))
def test_the_data_of_an_entry_is_one_line_of_ascii(event: TurnEvent, seq: int) -> None:
    number, kind, data = encode_entry(seq, event, STAMP)
    assert number == seq
    assert data.isascii()
    assert data.decode().splitlines() == [data.decode()]
    fields = json.loads(data)
    assert list(fields)[:2] == ["type", "timestamp"]
    assert fields["timestamp"] == STAMP
    assert kind == fields["type"] == type_of(data)


@given(texts, st.integers(0))
def test_token_holds_content_index_and_field(content: str, index: int) -> None:
    assert json_of(Token(content, index)) == {
        "type": "token",
        "timestamp": STAMP,
        "content": content,
        "index": index,
        "field": "narrative",
    }


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            Metadata("start", 0, {"turn_id": TURN, "character_id": "c"}),
            {"type": "metadata", "phase": "start", "turn_id": TURN, "character_id": "c"},
        ),
        (Metadata("writes", 4), {"type": "metadata", "phase": "writes", "tokens_streamed": 4}),
        (
            Preview({"meta": None}),
            {"type": "preview", "intents": {"meta": None}, "validated": False},
        ),
        (
            Write("quest", "offered", False, "no"),
            {
                "type": "write",
                "subsystem": "quest",
                "action": "offered",
                "success": False,
                "error": "no",
            },
        ),
        (
            Failed("llm_error", "m", True, "narrative", "so far", ("quest",), 2.0, "r"),
            {
                "type": "error",
                "error_type": "llm_error",
                "message": "m",
                "recoverable": True,
                "phase": "narrative",
                "partial_narrative": "so far",
                "committed": ["quest"],
                "retry_after_seconds": 2.0,
                "request_id": "r",
            },
        ),
        (
            Cancelled("narrative", "so far"),
            {"type": "cancelled", "phase": "narrative", "partial_narrative": "so far"},
        ),
    ],
)
def test_each_event_has_the_fields_of_the_contract(
    event: TurnEvent, expected: dict[str, Any]
) -> None:
    assert expected.items() <= json_of(event).items()


def test_complete_has_the_fields_of_the_contract() -> None:
    fields = json_of(COMPLETE)
    names = {"turn_id", "intents", "subsystem_summary", "timing", "usage", "validation"}
    assert names | {"type", "timestamp"} == fields.keys()
    assert fields["validation"] == {"schema_valid": True, "intents_normalized": False}
    assert {"total_duration_ms", "time_to_first_token_ms", "total_tokens", "phases"} == fields[
        "timing"
    ].keys()
    assert fields["timing"]["phases"].keys() == {
        "context_ms",
        "llm_ms",
        "validation_ms",
        "writes_ms",
    }
    assert fields["usage"].keys() == {
        "model",
        "input_tokens",
        "output_tokens",
        "total_tokens",
        "estimated",
    }


def test_error_leaves_out_unknown_fields() -> None:
    assert json_of(Failed("llm_error", "m", False, "narrative")).keys() == {
        "type",
        "timestamp",
        "error_type",
        "message",
        "recoverable",
        "phase",
        "committed",
    }


@given(events)
def test_exactly_the_terminal_events_end_the_view(event: TurnEvent) -> None:
    view = TurnView()
    view.apply(event)
    assert (view.terminal is not None) == (json_of(event)["type"] in TERMINAL_TYPES)


@given(st.lists(st.integers(0, 4_000_000_000_000), max_size=6))
def test_stamps_are_iso_8601_with_milliseconds_and_z(millis: list[int]) -> None:
    for milli in millis:
        text = stamp(milli / 1000 + 1e-5)
        assert len(text) == len("2026-01-01T00:00:00.000Z")
        assert text.endswith("Z")
        moment = datetime.fromisoformat(text)
        assert round(moment.timestamp() * 1000) == milli


@given(texts.filter(bool), st.integers(1, 999_999_999))
def test_the_cursor_of_an_event_id_is_its_sequence_number(turn_id: str, seq: int) -> None:
    assert cursor_of(f"{turn_id}:{seq}", turn_id) == seq


@pytest.mark.parametrize(
    "event_id",
    [
        "",
        "7",
        TURN,
        f"{TURN}:",
        f"{TURN}:x",
        f"{TURN}:-1",
        f"{TURN}:1.5",
        f"{TURN}: 7",
        f"{TURN}:7 ",
        f"{TURN}:٣",
        f"{TURN}:²",
        f"{TURN}:7:7",
        f"{TURN}:{'9' * 5000}",
        "other:7",
        f"x{TURN}:7",
        f"{TURN.upper()}:7",
    ],
)
def test_a_malformed_or_foreign_event_id_means_the_start(event_id: str) -> None:
    assert cursor_of(event_id, TURN) == 0


def test_pings_and_gaps_are_in_no_log() -> None:
    silence, trimmed = ping(STAMP), gap(3, 9, STAMP)
    assert [entry[:2] for entry in (silence, trimmed)] == [(0, "ping"), (0, "gap")]
    assert json.loads(silence[2]) == {"type": "ping", "timestamp": STAMP}
    assert json.loads(trimmed[2]) == {"type": "gap", "timestamp": STAMP, "from": 3, "to": 9}
