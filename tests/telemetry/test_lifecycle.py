from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from app.core.results import Change, SubsystemSummary
from app.eventlog.observe import ReaderClosed, ReaderOpened
from app.telemetry.lifecycle import StreamLifecycleLogger, TurnLogger
from app.turns.observe import (
    Observation,
    OutcomeParsed,
    TokensStreamed,
    TurnAdmitted,
    TurnEnded,
    WriteSettled,
    WritesFinished,
    WritesStarted,
)
from app.turns.state import TurnState
from example_turns import (
    ACTION,
    STORY,
    Logged,
    begun,
    cancelled,
    complete,
    failed,
    logging_to_memory,
    streamed,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture
def logged() -> Iterator[Logged]:
    with logging_to_memory() as logged:
        yield logged


def whole(turn: TurnState) -> list[Observation]:
    return [
        TurnAdmitted(turn),
        TokensStreamed(turn),
        OutcomeParsed(turn, True),
        WritesStarted(turn),
        WriteSettled(turn, "quest", "offered", "done"),
        WriteSettled(turn, "combat", "started", "unknown"),
        WriteSettled(turn, "narrative", "create", "done"),
        WritesFinished(turn),
        TurnEnded(turn, complete(turn)),
    ]


def watch(*observations: Observation) -> None:
    logger = StreamLifecycleLogger()
    for observation in observations:
        logger.observe(observation)


def test_a_turn_is_logged_phase_by_phase(logged: Logged) -> None:
    watch(*whole(streamed()))
    assert logged.phases() == [
        "start",
        "token_streaming",
        "parse_complete",
        "writes_start",
        "writes_complete",
        "complete",
    ]
    for row in logged.records:
        assert row["turn_id"] == "turn-1"
        assert row["request_id"] == "request-of-turn-1"
        assert row["character_id"] == "hero"


def test_written_flags_are_those_of_journey_log(logged: Logged) -> None:
    watch(*whole(streamed()))
    for row in logged.records[-2:]:
        assert row["quest_written"] is True
        assert row["narrative_written"] is True
        assert row["combat_written"] is False
        assert row["poi_written"] is False


def test_counts_lengths_and_times_are_logged(logged: Logged) -> None:
    watch(*whole(streamed()))
    parsed, end = logged.records[2], logged.records[-1]
    assert parsed["is_valid"] is True
    assert parsed["token_count"] == 2
    assert parsed["narrative_length"] == len(STORY)
    assert parsed["duration_ms"] == 1_500
    assert end["total_tokens"] == 7
    assert end["duration_ms"] == 1_500


def test_an_error_is_logged_with_its_message_made_safe(logged: Logged) -> None:
    turn = streamed()
    watch(TurnEnded(turn, failed(message="bad\nkey=abc123")))
    [row] = logged.records
    assert row["stream_phase"] == "error"
    assert row["level"] == "warning"
    assert row["error_type"] == "llm_timeout"
    assert row["error_message"] == "bad key=***"
    assert row["token_count"] == 2


def test_a_cancelled_turn_says_where_it_was(logged: Logged) -> None:
    turn = streamed()
    watch(TurnEnded(turn, cancelled()))
    assert logged.records[0]["stream_phase"] == "cancelled"
    assert logged.records[0]["at_phase"] == "narrative"


def test_only_readers_that_left_early_are_logged(logged: Logged) -> None:
    watch(
        ReaderOpened("sse"),
        ReaderClosed("sse", "turn-1", 9, disconnected=False),
        ReaderClosed("websocket", "turn-2", 4, disconnected=True),
    )
    [row] = logged.records
    assert row["stream_phase"] == "client_disconnect"
    assert (row["turn_id"], row["transport"], row["last_event"]) == ("turn-2", "websocket", 4)


def test_flags_of_one_turn_do_not_reach_another(logged: Logged) -> None:
    first, second = streamed("turn-1"), streamed("turn-2")
    watch(
        WriteSettled(first, "quest", "offered", "done"),
        WritesFinished(second),
        TurnEnded(second, complete(second)),
    )
    assert not any(row["quest_written"] for row in logged.records)


def test_no_word_of_the_story_or_the_action_is_logged() -> None:
    for as_json in (True, False):
        with logging_to_memory(level="DEBUG", json=as_json) as logged:
            turn = streamed()
            for ending in (complete(turn), failed(), cancelled()):
                watch(*whole(turn), TurnEnded(turn, ending))
                TurnLogger(1).observe(TurnEnded(turn, ending))
        assert "turn-1" in logged.text
        for words in (STORY.split(), ACTION.split()):
            assert not any(f"{one} {two}" in logged.text for one, two in pairwise(words))


# -- the turn log ---------------------------------------------------------------------------------


def turn_line(logged: Logged, observation: Observation, rate: float = 1) -> dict[str, Any]:
    TurnLogger(rate).observe(observation)
    [row] = logged.records
    return row


def test_turn_line_holds_decisions_and_results(logged: Logged) -> None:
    turn = streamed()
    row = turn_line(logged, TurnEnded(turn, complete(turn)))
    assert row["log_type"] == "turn"
    assert row["turn_id"] == "turn-1"
    assert row["outcome"] == "complete"
    assert row["subsystem_actions"] == {
        "quest": "offered",
        "combat": "none",
        "poi": "skipped",
        "narrative_write": "persisted",
    }
    assert row["policy_decisions"] == {"quest": "triggered", "poi": "skipped"}
    assert row["intent_summary"] == {
        "quest": "offer",
        "combat": None,
        "poi": None,
        "location": None,
    }
    assert row["latencies_ms"] == {
        "total": 1_500,
        "time_to_first_token": 500,
        "context": 20,
        "llm": 1_400,
        "validation": 0,
        "writes": 0,
    }
    assert row["errors"] == []
    assert row["narrative_length"] == len(STORY)
    assert row["action_length"] == len(ACTION)


def test_a_failed_turn_is_always_logged(logged: Logged) -> None:
    turn = begun()
    row = turn_line(logged, TurnEnded(turn, failed("character_not_found", "no hero")), rate=0)
    assert row["outcome"] == "error"
    assert row["level"] == "warning"
    assert row["errors"] == [{"type": "character_not_found", "message": "no hero"}]
    assert row["policy_decisions"] is None


def test_a_turn_with_a_failed_write_is_always_logged(logged: Logged) -> None:
    summary = SubsystemSummary(
        combat_change=Change(action="start", success=False, error="unknown"),
        narrative_error="timeout",
    )
    turn = streamed()
    row = turn_line(logged, TurnEnded(turn, complete(turn, summary)), rate=0)
    assert [error["type"] for error in row["errors"]] == ["combat_write", "narrative_write"]


def test_a_dry_run_has_no_failed_write(logged: Logged) -> None:
    turn = streamed(dry_run=True)
    row = turn_line(logged, TurnEnded(turn, complete(turn, SubsystemSummary(dry_run=True))))
    assert row["errors"] == []
    assert row["dry_run"] is True


def test_content_that_was_made_is_a_good_turn_that_writes_nothing(logged: Logged) -> None:
    turn = streamed()
    ended = replace(complete(turn, SubsystemSummary()), content={"content_id": "1"})
    row = turn_line(logged, TurnEnded(turn, ended))
    assert (row["level"], row["errors"], row["subsystem_actions"]) == ("info", [], {})


def test_a_rate_of_zero_logs_no_good_turn(logged: Logged) -> None:
    turn = streamed()
    TurnLogger(0).observe(TurnEnded(turn, complete(turn)))
    assert logged.text == ""


@given(st.uuids())
def test_the_same_turn_is_sampled_everywhere(turn_id: object) -> None:
    turn = streamed(str(turn_id))
    observation = TurnEnded(turn, complete(turn))
    with logging_to_memory() as logged:
        TurnLogger(0.5).observe(observation)
        TurnLogger(0.5).observe(observation)
    assert len(logged.records) in (0, 2)


def test_the_sampling_rate_is_kept_over_many_turns(logged: Logged) -> None:
    logger = TurnLogger(0.25)
    for number in range(400):
        turn = streamed(f"turn-{number}")
        logger.observe(TurnEnded(turn, complete(turn)))
    assert 60 < len(logged.records) < 140
