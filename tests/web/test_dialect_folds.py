"""What each dialect makes of a turn: bytes for every ending, and streams that its protocol accepts."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from app.core.events import Entry, Token, encode_entry
from app.web.dialects.ag_ui import AG_UI
from app.web.dialects.ai_sdk import AI_SDK
from app.web.dialects.catalogue import DIALECTS
from app.web.dialects.dialect import Dialect, Message, Rendering
from app.web.dialects.encoded import token_millis, token_of
from app.web.dialects.gaia import GAIA
from app.web.dialects.openai import OPENAI, OPENAI_PLAIN
from app.web.dialects.rpg import RPG
from app.web.transports.sse import SSEFramer
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk
from pydantic import TypeAdapter

from logs_of_turns import (
    CHARACTER,
    RECORDED,
    TURN,
    WORDS,
    legal_logs,
    log_of,
    texts,
    with_pings,
)

GOLDEN = Path(__file__).parent.parent / "golden" / "dialects"
PARAMETERS: dict[str, dict[str, Any]] = {
    "ag-ui": {"thread": "thread-1", "run": "run-1", "protocol": "1.0"},
    "ai-sdk": {},
    "openai": {"model": f"dungeon-master/{CHARACTER}", "include_usage": True},
}
FOLDS: list[Dialect[Any]] = [AG_UI, AI_SDK, OPENAI]
every_fold = pytest.mark.parametrize("dialect", FOLDS, ids=[one.name for one in FOLDS])
NARRATIVE = "".join(WORDS)


def rendering(dialect: Dialect[Any], seen: int = 0, **parameters: Any) -> Rendering[Any]:
    begun = {"character_id": CHARACTER, **PARAMETERS.get(dialect.name, {}), **parameters}
    return Rendering(dialect, TURN, seen, begun)


def folded(dialect: Dialect[Any], log: Sequence[Entry], **parameters: Any) -> list[dict[str, Any]]:
    """The messages without comments."""
    messages = rendering(dialect, **parameters).messages(log)
    return [json.loads(one.data) for one in messages if isinstance(one, Message)]


# -- bytes ----------------------------------------------------------------------------------------


@every_fold
@pytest.mark.parametrize("ending", RECORDED)
def test_a_recorded_turn_has_the_same_bytes_for_ever(dialect: Dialect[Any], ending: str) -> None:
    """A client may resume in another release."""
    path = GOLDEN / f"{dialect.name} {ending}.txt".replace(" ", "-")
    frames = SSEFramer(rendering(dialect)).frames(RECORDED[ending])
    assert frames == path.read_bytes()


@every_fold
@given(legal_logs, st.integers(0, 12), st.lists(st.integers(0, 12), max_size=3))
def test_a_resumed_reader_gets_the_rest_of_the_same_bytes(
    dialect: Dialect[Any], log: list[Entry], after: int, places: list[int]
) -> None:
    whole = SSEFramer(rendering(dialect)).frames(log)
    first = SSEFramer(rendering(dialect)).frames(log[:after])
    resumed = rendering(dialect, seen=min(after, len(log)))
    rest = SSEFramer(resumed).frames(with_pings(log[after:], places) if not after else log)
    assert (first + rest).replace(b": ping\n\n", b"") == whole


@every_fold
@given(legal_logs)
def test_messages_are_lines_of_ascii_and_the_last_of_an_event_has_its_id(
    dialect: Dialect[Any], log: list[Entry]
) -> None:
    one = rendering(dialect)
    for entry in log:
        messages = one.messages([entry])
        numbers = [message.seq for message in messages if isinstance(message, Message)]
        assert numbers == [0] * (len(numbers) - 1) + [entry[0]] * bool(numbers)
        for message in messages:
            assert isinstance(message, Message)
            assert message.data.isascii()
            assert b"\n" not in message.data
            assert b"\r" not in message.data
    assert one.ended


@every_fold
@given(legal_logs)
def test_nothing_follows_the_end(dialect: Dialect[Any], log: list[Entry]) -> None:
    one = rendering(dialect)
    one.messages(log)
    assert one.messages(log) == []


@given(texts, st.integers(0, 10**6), st.floats(0, 4e9))
def test_a_token_is_read_without_parsing_as_with(text: str, index: int, now: float) -> None:
    _, _, data = encode_entry(1, Token(text, index), "2026-01-01T00:00:00.125Z")
    content, field = token_of(data)
    assert (json.loads(content), field) == (text, "narrative")
    spaced = json.dumps(json.loads(data)).encode()  # as nothing of ours writes it
    assert json.loads(token_of(spaced)[0]) == text
    assert token_millis(data) == token_millis(spaced) == 1_767_225_600_125


def test_the_dialects_are_found_by_their_names() -> None:
    assert list(DIALECTS) == ["native", "ag-ui", "ai-sdk", "openai", "gaia", "rpg"]


# -- older systems --------------------------------------------------------------------------------

OLDER: list[Dialect[Any]] = [GAIA, RPG]
OF_TURNS = {"metadata", "token", "preview", "write", "complete", "error", "cancelled"}


@pytest.mark.parametrize("dialect", OLDER, ids=[one.name for one in OLDER])
@given(legal_logs, st.integers(0, 12))
def test_a_resumed_reader_gets_the_rest_in_the_messages_of_older_systems(
    dialect: Dialect[Any], log: list[Entry], after: int
) -> None:
    log = [entry for entry in log if entry[1] in OF_TURNS]
    seen = log[min(after, len(log)) - 1][0] if after and log else 0
    whole = SSEFramer(rendering(dialect)).frames(log)
    first = SSEFramer(rendering(dialect)).frames([one for one in log if one[0] <= seen])
    assert first + SSEFramer(rendering(dialect, seen=seen)).frames(log) == whole


@pytest.mark.parametrize(
    ("dialect", "heartbeat"), [(GAIA, b'"type":"heartbeat"'), (RPG, b": ping")]
)
def test_silence_is_broken_for_clients_of_older_systems(
    dialect: Dialect[Any], heartbeat: bytes
) -> None:
    assert heartbeat in SSEFramer(rendering(dialect)).frames(with_pings([], [0]))


@pytest.mark.parametrize(
    ("ending", "last"),
    [
        ("complete", ("stream_end", NARRATIVE)),
        ("error", ("error", "Error processing message: The model did not answer in time.")),
        ("cancelled", ("system", "The turn was cancelled.")),
    ],
)
def test_a_turn_of_its_own_tells_an_older_table_client_input_and_end(
    ending: str, last: tuple[str, str]
) -> None:
    first, *middle, end = folded(RPG, RECORDED[ending])
    assert first == {
        "type": "message",
        "sender": "Player",
        "content": "I knock.",
        "message_type": "player",
    }
    assert [one["content"] for one in middle] == list(WORDS)
    assert {one["type"] for one in middle} == {"stream"}
    assert (end["type"], end.get("content", end.get("full_content"))) == last


@pytest.mark.parametrize(
    ("ending", "last"),
    [
        ("complete", "campaign_updated"),
        ("error", "turn_error"),
        ("cancelled", "turn_error"),
    ],
)
def test_a_turn_of_its_own_is_a_campaign_to_an_older_streaming_client(
    ending: str, last: str
) -> None:
    messages = folded(GAIA, RECORDED[ending])
    assert {one["campaign_id"] for one in messages} == {CHARACTER}
    assert [one["type"] for one in messages][:2] == ["turn_started", "input_received"]
    chunks = [one for one in messages if one["type"] == "narrative_chunk"]
    assert [one["content"] for one in chunks] == [*WORDS, ""]
    assert chunks[-1]["is_final"] is True
    assert messages[-1]["type"] == last


# -- AG-UI ----------------------------------------------------------------------------------------


@cache
def ag_ui_event() -> TypeAdapter[Any]:
    """The protocol's own types."""
    types: Any = pytest.importorskip("ag_ui.core")
    return TypeAdapter(types.Event)


def run_faults(events: list[dict[str, Any]]) -> list[str]:
    """What `verifyEvents` of the protocol's own client refuses in a run."""
    faults, message, step = [], None, None
    ends = ("RUN_FINISHED", "RUN_ERROR")
    for place, event in enumerate(events):
        kind = event["type"]
        if (kind == "RUN_STARTED") != (place == 0):
            faults.append(f"{kind} at {place}")
        if (kind in ends) != (place == len(events) - 1):
            faults.append(f"{kind} at {place} of {len(events)}")
        if kind == "TEXT_MESSAGE_START":
            faults += [kind] * (message is not None)
            message = event["messageId"]
        elif kind.startswith("TEXT_MESSAGE_") and event["messageId"] != message:
            faults.append(kind)
        message = None if kind == "TEXT_MESSAGE_END" else message
        if kind == "STEP_STARTED":
            faults += [kind] * (step is not None)
            step = event["stepName"]
        elif kind == "STEP_FINISHED":
            faults += [kind] * (step != event["stepName"])
            step = None
        if kind == "RUN_FINISHED" and (message or step):
            faults.append(f"{kind} with an open message or step")
        if kind not in ("STEP_STARTED", "STEP_FINISHED", "CUSTOM") and message is None:
            continue
        if message is not None and not kind.startswith("TEXT_MESSAGE_"):
            faults.append(f"{kind} inside a message")
    return faults


def nulls(event: dict[str, Any]) -> list[str]:
    return [name for name, value in event.items() if value is None]


@pytest.mark.parametrize("protocol", [None, "0.9", "1.0", "1.7", "nonsense"])
@given(legal_logs)
def test_any_log_is_a_run_that_the_protocol_accepts(protocol: str | None, log: list[Entry]) -> None:
    events = folded(AG_UI, log, protocol=protocol)
    assert run_faults(events) == []
    for event in events:
        ag_ui_event().validate_python(event)
        assert nulls({k: v for k, v in event.items() if k not in ("value", "result")}) == []
        assert type(event["timestamp"]) is int


@pytest.mark.parametrize(
    ("protocol", "last"),
    [
        (None, ("RUN_ERROR", None)),
        ("0.0.59", ("RUN_ERROR", None)),
        ("1.0", ("RUN_FINISHED", {"type": "cancelled"})),
        ("2", ("RUN_FINISHED", {"type": "cancelled"})),
    ],
)
def test_only_clients_that_know_outcomes_are_sent_one(protocol: str | None, last: Any) -> None:
    event = folded(AG_UI, RECORDED["cancelled"], protocol=protocol)[-1]
    assert (event["type"], event.get("outcome")) == last
    assert event.get("code") in (None, "turn_cancelled")


def test_a_run_of_an_unknown_client_is_named_after_character_and_turn() -> None:
    messages = Rendering(AG_UI, TURN, 0, {"character_id": CHARACTER}).messages(RECORDED["error"])
    assert isinstance(messages[0], Message)
    started = json.loads(messages[0].data)
    assert (started["threadId"], started["runId"]) == (CHARACTER, TURN)
    assert "protocolVersion" not in started


@given(st.integers(0, len(NARRATIVE)))
def test_text_that_a_client_holds_is_not_sent_again(length: int) -> None:
    events = folded(AG_UI, RECORDED["complete"], held=NARRATIVE[:length])
    rest = "".join(event.get("delta", "") for event in events)
    assert NARRATIVE[:length] + rest == NARRATIVE
    assert run_faults(events) == []
    whole = folded(AG_UI, RECORDED["complete"])
    kinds = [one["type"] for one in whole if one["type"] != "TEXT_MESSAGE_CONTENT"]
    assert kinds == [one["type"] for one in events if one["type"] != "TEXT_MESSAGE_CONTENT"]


def test_each_generation_is_a_message_of_its_own() -> None:
    events = folded(AG_UI, RECORDED["retold"])
    generations: dict[str, str] = {}
    for event in events:
        if event["type"] == "TEXT_MESSAGE_CONTENT":
            name = event["messageId"]
            generations[name] = generations.get(name, "") + event["delta"]
    assert generations == {
        TURN: NARRATIVE,
        f"{TURN}:player_response": "You may rest.",
        f"{TURN}:telling-2": "Snow falls.",
        f"{TURN}:telling-3": "Snow falls.",
    }
    assert run_faults(events) == []


# -- AI SDK ---------------------------------------------------------------------------------------

TYPES = {"start", "text-start", "text-delta", "text-end", "message-metadata", "finish", "abort"}


@given(legal_logs)
def test_any_log_is_a_message_stream(log: list[Entry]) -> None:
    chunks = folded(AI_SDK, log)
    opened: set[str] = set()
    for chunk in chunks:
        kind = chunk["type"]
        assert kind in {*TYPES, "error"} or re.fullmatch(r"data-dm-[a-z-]+", kind)
        assert nulls(chunk) == []
        assert kind[:4] != "data" or ("transient" in chunk) != ("id" in chunk)
        if kind == "text-start":
            opened.add(chunk["id"])
        elif kind.startswith("text-"):
            assert chunk["id"] in opened
        else:
            assert opened == set()
        if kind == "text-end":
            opened.remove(chunk["id"])
    assert chunks[0]["messageId"] == TURN
    assert [one["type"] for one in chunks].count("start") == 1
    assert chunks[-1]["type"] in ("finish", "error", "abort")


# -- OpenAI ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"include_usage": True, "dm_events": True}])
@given(legal_logs)
def test_any_log_is_a_completion(options: dict[str, bool], log: list[Entry]) -> None:
    chunks = folded(OPENAI, log, **options)
    for chunk in chunks:
        if "error" in chunk:
            assert chunk is chunks[-1]
            assert {"message", "type", "code", "param"} <= chunk["error"].keys()
            continue
        ChatCompletionChunk.model_validate(chunk, strict=True)
        assert chunk["id"] == f"chatcmpl-{TURN}"
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    finished = [c for c in chunks if c.get("choices") and c["choices"][0]["finish_reason"]]
    assert len(finished) == (log[-1][1] == "complete")


@given(legal_logs)
def test_chunks_for_others_have_no_ids(log: list[Entry]) -> None:
    plain = [one for one in rendering(OPENAI_PLAIN).messages(log) if isinstance(one, Message)]
    ours = [one for one in rendering(OPENAI).messages(log) if isinstance(one, Message)]
    assert plain == [Message(one.data) for one in ours]


def test_the_second_text_begins_with_an_empty_line_and_a_note_ends_it() -> None:
    chunks = folded(OPENAI, RECORDED["later events"], names_model=True)
    texts = [one["choices"][0]["delta"].get("content", "") for one in chunks if one["choices"]]
    note = f"To play on, choose the model `dungeon-master/{CHARACTER}`."
    assert "".join(texts) == f"{NARRATIVE}\n\nYou may rest.\n\n{note}"


@every_fold
def test_a_stream_that_stops_early_does_not_look_whole(dialect: Dialect[Any]) -> None:
    one = rendering(dialect)
    one.messages(RECORDED["complete"][:6])
    assert not one.ended
    cut = one.cut()
    if dialect is OPENAI:
        assert cut is not None
        (frame,) = cut
        assert isinstance(frame, Message)
        assert json.loads(frame.data)["error"]["type"] == "overloaded"
    else:
        assert cut is None


@every_fold
def test_an_empty_text_is_dropped(dialect: Dialect[Any]) -> None:
    log = log_of(Token("", 0), Token("a", 0), Token("", 1), Token("b", 1))
    kinds = [len(rendering(dialect).messages(log[:length])) for length in range(1, 5)]
    assert kinds[2] == kinds[1]
    assert kinds[3] == kinds[2] + 1
