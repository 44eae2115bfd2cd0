"""What the dialects of tables make of a turn: bytes for every ending, and what their older clients read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
from app.core.events import Cancelled, Entry, Failed, Metadata, TurnEvent
from app.web.dialects.dialect import Dialect, Message, Rendering
from app.web.dialects.gaia import GAIA
from app.web.dialects.rpg import RPG
from hypothesis import given
from hypothesis import strategies as st

from logs_of_turns import BEGINNING, COMPLETE, WORDS, log_of

Json = dict[str, Any]
GOLDEN = Path(__file__).parent.parent / "golden" / "dialects"
FOLDS: Final[list[Dialect[Any]]] = [GAIA, RPG]
PARAMETERS = {"campaign_id": "7", "dm_name": "Grim"}
every_fold = pytest.mark.parametrize("dialect", FOLDS, ids=[one.name for one in FOLDS])

_LINE = {"session_id": 7, "sender_name": "Mara", "id": 3}
_PLAYERS = {"message_type": "player", "private": False}
SAID: Final[Json] = {"type": "message", **_LINE, "content": "I knock.", **_PLAYERS}
_ROLL = {"notation": "1d20", "seed": "5f", "dice": [], "modifier": 0, "total": 17}
DICE: Final[Json] = {"type": "dice", **_LINE, "content": "rolled 1d20: 17", **_ROLL}
SCENE: Final[Json] = {
    "environmental_conditions": "Rain.",
    "immediate_threats": "",
    "story_progression": "The door gives.",
    "scene_elements": {
        "npcs_present": ["Wren"],
        "objects_of_interest": [],
        "current_location": "The porch",
    },
}
ANSWER: Final[list[Json]] = [
    {"type": "token", "content": "You may", "index": 0, "field": "player_response"},
    {"type": "token", "content": " rest.", "index": 1, "field": "player_response"},
    {"type": "player_options", "player_options": ["Rest", "Flee", "Knock again"]},
    {"type": "scene", "scene": SCENE, "dm_notes": "It is a trap."},
]
SEAT: Final[Json] = {
    "user_id": "mara",
    "player_name": "Mara",
    "role": "player",
    "character_id": None,
    "present": True,
}
OPENING = Metadata("start", 0, {"occasion": "start"})
ROLLED = Metadata("start", 0, {"occasion": "roll"})
RETOLD: Final[list[TurnEvent]] = [Metadata("retelling"), *BEGINNING[4:]]
LOGS: Final[dict[str, list[Entry]]] = {
    "complete": log_of(SAID, *BEGINNING, *ANSWER, COMPLETE),
    "roll": log_of(DICE, ROLLED, *BEGINNING[1:], *ANSWER, COMPLETE),
    "retold": log_of(SAID, *BEGINNING, *RETOLD, *ANSWER, COMPLETE),
    "error": log_of(
        SAID, *BEGINNING, Failed("llm_timeout", "The model did not answer in time.", True, "narrative")
    ),
    "opening": log_of(OPENING, *BEGINNING[1:], *ANSWER, COMPLETE),
    "failed opening": log_of(OPENING, Cancelled("narrative", "")),
    "cancelled": log_of(SAID, *BEGINNING, Cancelled("narrative", "".join(WORDS))),
    "comings and goings": log_of(
        {"type": "presence", "player_name": "Mara", "present": True},
        {"type": "room", "event": "dm_joined"},
        {**SAID, "message_type": "dm", "sender_name": "Grim", "content": "It opens."},
        {**SAID, "message_type": "system", "content": "The table is paused."},
        {**SAID, "private": True},
        {"type": "room", "event": "dm_left"},
        {"type": "room", "event": "seat_updated", "seat": SEAT},
        {"type": "room", "event": "seat_character_updated", "seat": SEAT},
        {"type": "room", "event": "player_vacated", "seat": {**SEAT, "present": False}},
        {"type": "presence", "player_name": "Mara", "present": False},
    ),
}  # fmt: skip

READ: Final[dict[str, dict[str, set[str]]]] = {
    "gaia": {
        "narrative_chunk": {"content", "is_final"},
        "player_response_chunk": {"content", "is_final"},
        "player_options": {"options"},
        "metadata_update": {"metadata"},
        "turn_started": {"session_id", "turn_number"},
        "input_received": {"session_id", "turn_number", "input_text", "active_player_input"},
        "turn_complete": {"session_id", "turn_number"},
        "turn_error": {"session_id", "turn_number", "error"},
        "turn_message": {
            "message_id",
            "turn_number",
            "response_index",
            "response_type",
            "role",
            "content",
            "character_name",
            "has_audio",
        },
        "campaign_updated": {"structured_data"},
        "player_connected": {"player_name"},
        "room.dm_joined": set(),
        "room.dm_left": set(),
    },
    "rpg": {
        "message": {"sender", "content", "message_type"},
        "stream": {"sender", "content"},
        "stream_end": {"sender", "full_content"},
        "system": {"content"},
    },
}
"""What the older clients read of each message."""


def folded(dialect: Dialect[Any], log: list[Entry]) -> list[dict[str, Any]]:
    messages = Rendering(dialect, "", parameters=PARAMETERS).messages(log)
    return [json.loads(one.data) for one in messages if isinstance(one, Message)]


@every_fold
@pytest.mark.parametrize("ending", LOGS)
def test_a_recorded_turn_of_a_table_has_the_same_bytes_for_ever(
    dialect: Dialect[Any], ending: str
) -> None:
    path = GOLDEN / f"{dialect.name} {ending}.txt".replace(" ", "-")
    messages = Rendering(dialect, "", parameters=PARAMETERS).messages(LOGS[ending])
    lines = [b"%d %b\n" % (one.seq, one.data) for one in messages if isinstance(one, Message)]
    assert b"".join(lines) == path.read_bytes()


_tokens = st.builds(
    lambda text, field: {"type": "token", "content": text, "index": 0, "field": field},
    st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    st.sampled_from(["narrative", "player_response"]),
)
_between = st.sampled_from([*ANSWER[2:], SAID, DICE, Metadata("narrative"), Metadata("retelling")])
_ends = st.sampled_from([LOGS[name][-1] for name in ("complete", "error", "cancelled")])
table_logs = st.builds(
    lambda events, end: [*log_of(SAID, *BEGINNING[:1], *events), (len(events) + 3, *end[1:])],
    st.lists(_tokens | _between, max_size=12),
    _ends,
)


@every_fold
@given(table_logs)
def test_any_log_folds_to_messages_of_the_older_clients(
    dialect: Dialect[Any], log: list[Entry]
) -> None:
    read = READ[dialect.name]
    for message in folded(dialect, log):
        assert read[message["type"]] <= message.keys()


@given(table_logs)
def test_every_phase_that_was_begun_is_closed_before_the_end(log: list[Entry]) -> None:
    is_open = False
    for message in folded(GAIA, log):
        if message["type"].endswith("_chunk"):
            assert is_open or not message["is_final"]
            is_open = not message["is_final"]
    assert not is_open


@given(table_logs)
def test_the_end_of_a_stream_has_the_whole_of_it(log: list[Entry]) -> None:
    text = ""
    for seq in range(1, len(log) + 1):
        kind, event = log[seq - 1][1], json.loads(log[seq - 1][2])
        text = "" if event.get("phase") in ("retelling", "start") else text
        said = folded(RPG, log[:seq])[len(folded(RPG, log[: seq - 1])) :]
        text += "".join(one["content"] for one in said if one["type"] == "stream")
        if kind in ("complete", "error", "cancelled"):
            ends = [one["full_content"] for one in said if one["type"] == "stream_end"]
            assert ends == ([text] if text or kind == "complete" else [])


@every_fold
@given(table_logs, st.integers(0, 12))
def test_reader_that_rejoins_a_table_continues_at_its_position(
    dialect: Dialect[Any], log: list[Entry], seen: int
) -> None:
    whole = Rendering(dialect, "", parameters=PARAMETERS).messages(log)
    rest = Rendering(dialect, "", min(seen, len(log)), PARAMETERS).messages(log)
    first = Rendering(dialect, "", parameters=PARAMETERS).messages(log[:seen])
    assert first + rest == whole
