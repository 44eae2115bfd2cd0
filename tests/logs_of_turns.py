"""Logs of turns: one recorded turn for each ending, and any legal one."""

from __future__ import annotations

import json
from typing import Any, Final

from app.core.events import (
    Cancelled,
    Complete,
    Entry,
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
)
from app.core.results import Change, SubsystemSummary, Timing, Usage, Validation
from app.eventlog.reader import Cursor
from app.ports.event_log import TurnLog
from hypothesis import strategies as st

TURN: Final = "0190a5b0-7e1c-7000-8000-00000000000a"
CHARACTER: Final = "6f1c0b52-8a55-4f6e-9d6e-0c5f0c6f0a01"
NOON: Final = 1_790_000_000.0
WORDS: Final = ("Rain drums ", "on the roof; \u201cwho\u201d", " is\nthere?")


def log_of(*events: TurnEvent | dict[str, Any]) -> list[Entry]:
    """Consecutive entries, 125 ms apart; a dict is an event of a type that folds do not know."""
    return [_entry(seq, event) for seq, event in enumerate(events, 1)]


def _entry(seq: int, event: TurnEvent | dict[str, Any]) -> Entry:
    at = stamp(NOON + seq / 8)
    if not isinstance(event, dict):
        return encode_entry(seq, event, at)
    whole = {"type": event["type"], "timestamp": at, **event}
    return seq, event["type"], json.dumps(whole, separators=(",", ":")).encode()


BEGINNING: Final[tuple[TurnEvent, ...]] = (
    Metadata("start", 0, {"turn_id": TURN, "character_id": CHARACTER, "user_action": "I knock."}),
    Metadata("context"),
    Metadata("policy", 0, {"quest": {"eligible": True, "passed": False}}),
    Metadata("narrative"),
    *(Token(text, index) for index, text in enumerate(WORDS)),
)
COMPLETE: Final = Complete(
    TURN,
    {"quest_intent": None, "meta": {"player_mood": "tense"}},
    SubsystemSummary(quest_change=Change(action="offered", success=True), narrative_persisted=True),
    Timing(total_duration_ms=1250.5, time_to_first_token_ms=500.0, total_tokens=3),
    Usage(model="storyteller", input_tokens=120, output_tokens=30, total_tokens=150),
    Validation(),
)
RECORDED: Final[dict[str, list[Entry]]] = {
    "complete": log_of(
        *BEGINNING,
        Preview({"quest_intent": {"action": "offer"}}),
        Metadata("validation", 3),
        Metadata("writes", 3),
        Write("quest", "offered", True),
        Metadata("settling", 3, {"subsystem": "narrative", "until": "2026-09-21T14:00:00.000Z"}),
        Write("narrative", "appended", True),
        COMPLETE,
    ),
    "error": log_of(
        *BEGINNING,
        Failed(
            "llm_timeout", "The model did not answer in time.", True, "narrative", "Rain", (), 5
        ),
    ),
    "cancelled": log_of(*BEGINNING, Cancelled("narrative", "".join(WORDS))),
    "gap": [*log_of(*BEGINNING), gap(8, 20, stamp(NOON + 2))],
    "retold": log_of(
        *BEGINNING,
        {"type": "token", "content": "You may rest.", "index": 0, "field": "player_response"},
        Preview({"quest_intent": None}),
        Metadata("validation", 3),
        Metadata("awaiting_commit", 3, {"until": "2026-09-21T14:10:00.000Z"}),
        Metadata("retelling"),
        Token("Snow falls.", 0),
        Metadata("validation", 1),
        Metadata("awaiting_commit", 1, {"until": "2026-09-21T14:11:00.000Z"}),
        Metadata("retelling", 0, {"error_type": "llm_timeout"}),
        Token("Snow falls.", 0),
        Metadata("awaiting_commit", 1, {"until": "2026-09-21T14:12:00.000Z"}),
        Metadata("writes", 1),
        Write("narrative", "appended", True),
        COMPLETE,
    ),
    "later events": log_of(
        Metadata("queued", 0, {"position": 1}),
        *BEGINNING,
        {"type": "token", "content": "You may", "index": 0, "field": "player_response"},
        {"type": "token", "content": " rest.", "index": 1, "field": "player_response"},
        {"type": "options", "options": ["Rest", "Flee"]},
        {"type": "dice", "notation": "1d20", "total": 17},
        {"type": "never_heard_of", "value": None},
        COMPLETE,
    ),
}

# -- any legal log --------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
_token = st.builds(
    lambda text, field: {"type": "token", "content": text, "index": 0, "field": field},
    texts,
    st.sampled_from(["narrative", "narrative", "player_response"]),
)
_phases = ["queued", "start", "context", "policy", "narrative", "validation", "writes", "settling"]
_phases += ["retelling", "awaiting_commit"]
_other = st.one_of(
    st.builds(Token, texts, st.integers(0, 99)),
    _token,
    st.builds(Metadata, st.sampled_from(_phases), st.integers(0, 99), st.just({"quest": None})),
    st.builds(Preview, st.fixed_dictionaries({"meta": st.none() | texts})),
    st.builds(Write, st.sampled_from(["quest", "poi"]), texts, st.booleans(), st.none() | texts),
    st.builds(
        lambda kind, value: {"type": kind, "value": value},
        st.sampled_from(["options", "dice", "scene_change"]),
        st.none() | texts | st.lists(texts, max_size=2),
    ),
)
_numbers = st.integers(0, 10**6)
_terminal = st.one_of(
    st.builds(
        Complete,
        st.just(TURN),
        st.just({"meta": None}),
        st.just(SubsystemSummary()),
        st.just(Timing()),
        st.builds(Usage, model=texts, input_tokens=_numbers, output_tokens=_numbers),
        st.just(Validation()),
    ),
    st.builds(Failed, st.just("llm_error"), texts, st.booleans(), texts, st.none() | texts),
    st.builds(Cancelled, texts, texts),
)
legal_logs: st.SearchStrategy[list[Entry]] = st.builds(
    lambda events, end: log_of(*events, end), st.lists(_other, max_size=12), _terminal
)
"""Of an ended turn: any events, then one terminal one."""


def with_pings(log: list[Entry], places: list[int]) -> list[Entry]:
    """The log as a reader gets it who sometimes waited for long."""
    found = list(log)
    for place in sorted(places, reverse=True):
        found.insert(min(place, len(found)), ping(stamp(NOON)))
    return found


async def read(log: TurnLog, count: int, after: int = 0) -> list[Entry]:
    """The next `count` entries as they come."""
    cursor, found = Cursor(log, after), list[Entry]()
    async for batch in cursor:
        found += batch
        if len(found) >= count:
            break
    cursor.close()
    return found
