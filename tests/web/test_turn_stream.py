"""`POST /turn/stream`: the bytes, the events and the story they carry."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from itertools import groupby, pairwise

import pytest
from app.eventlog.reader import Cursor
from app.turns import routes as turn_routes

from fakes.journey_log import FakeJourneyLog, Fault
from fakes.model import (
    COMBAT_START,
    META,
    NARRATIVE,
    POI_CREATE,
    QUEST_OFFER,
    FakeModel,
    Script,
    Usage,
    cut,
    outcome,
    outcome_text,
)
from serving import Served, Stream, turn_body

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
AWKWARD = (
    'She says: "No\\yes" \\ and {"narrative": "not this"}\r\n\tÉlise — 𝔘 🔥👩‍🚒 \u2028\u2029\x85'
    " /slash/ \\u0041 \b\f end"
)
EVERYTHING = Script(text=outcome_text(quest=QUEST_OFFER, combat=COMBAT_START, poi=POI_CREATE))
GRANTED = {"quest_trigger_prob": 1, "poi_trigger_prob": 1, "rng_seed": "x"}
ALL_PHASES = ["start", "context", "policy", "narrative", "validation", "writes"]


@pytest.fixture
def full(serve: Callable[..., Served], model: FakeModel, character: str) -> Stream:
    """The stream of a turn in which everything happens."""
    model.then(EVERYTHING)
    return serve(**GRANTED).turn(character)


# -- bytes ----------------------------------------------------------------------------------------


def test_a_stream_is_retry_then_frames_of_id_and_data_then_done(full: Stream) -> None:
    frame = rb"id: %s:\d+\ndata: \{[\x20-\x7e]*\}\n\n" % full.turn_id.encode()
    assert re.fullmatch(rb"retry: 2000\n(?:%s)+data: \[DONE\]\n\n" % frame, full.body)


def test_frames_are_numbered_from_one_without_gaps(full: Stream) -> None:
    ids = [frame.split(b"\n")[0].decode() for frame in full.frames]
    assert ids == [f"id: {full.turn_id}:{n}" for n in range(1, len(ids) + 1)]


def test_the_head_forbids_caching_and_buffering_and_names_the_turn(full: Stream) -> None:
    media = full.header("content-type")
    assert media is not None
    assert media.partition(";")[0] == "text/event-stream"
    assert full.header("cache-control") == "no-store, no-transform"
    assert full.header("x-accel-buffering") == "no"
    assert full.header("location") == f"/turns/{full.turn_id}/events"
    assert full.header("content-length") is None


def test_line_separators_of_unicode_are_escaped(
    service: Served, model: FakeModel, character: str
) -> None:
    model.then(Script(text=outcome_text("one\u2028two\u2029three\x85four é 🔥")))
    stream = service.turn(character)
    assert stream.body.isascii()
    assert rb"\u2028" in stream.body
    assert stream.narrative == "one\u2028two\u2029three\x85four é 🔥"


# -- events ---------------------------------------------------------------------------------------


def test_events_come_in_the_order_of_the_turn(full: Stream) -> None:
    kinds = [kind for kind, _ in groupby(event["type"] for event in full.events)]
    assert kinds == ["metadata", "token", "preview", "metadata", "write", "complete"]
    assert full.phases == ALL_PHASES
    assert [event["subsystem"] for event in full.of("write")] == [
        "quest",
        "combat",
        "poi",
        "narrative",
    ]


def test_every_event_says_its_type_and_time(full: Stream) -> None:
    assert all(TIME.fullmatch(event["timestamp"]) for event in full.events)
    stamps = [event["timestamp"] for event in full.events]
    assert stamps == sorted(stamps)


FIELDS = {
    "token": {"content", "index", "field"},
    "preview": {"intents", "validated"},
    "write": {"subsystem", "action", "success", "error"},
    "complete": {"turn_id", "intents", "subsystem_summary", "timing", "usage", "validation"},
}


@pytest.mark.parametrize("kind", FIELDS)
def test_events_have_exactly_their_fields(full: Stream, kind: str) -> None:
    assert full.of(kind)
    for event in full.of(kind):
        assert set(event) == {"type", "timestamp"} | FIELDS[kind]


def test_metadata_names_each_phase_with_its_own_fields(full: Stream, character: str) -> None:
    by_phase = {event["phase"]: event for event in full.of("metadata")}
    common = {"type", "timestamp", "phase", "tokens_streamed"}
    own = {"start": {"turn_id", "character_id", "user_action"}, "policy": {"quest", "poi"}}
    assert {phase: set(event) - common for phase, event in by_phase.items()} == {
        phase: own.get(phase, set()) for phase in ALL_PHASES
    }
    assert (by_phase["start"]["turn_id"], by_phase["start"]["character_id"]) == (
        full.turn_id,
        character,
    )
    assert (
        by_phase["policy"]["quest"]
        == by_phase["policy"]["poi"]
        == {"eligible": True, "passed": True}
    )
    assert by_phase["narrative"]["tokens_streamed"] == 0
    assert by_phase["validation"]["tokens_streamed"] == by_phase["writes"]["tokens_streamed"] > 0


def test_the_preview_shows_the_intents_once_and_unvalidated(full: Stream) -> None:
    (preview,) = full.of("preview")
    assert preview["validated"] is False
    assert preview["intents"]["quest_intent"]["quest_title"] == "The Ninth Bell"
    assert preview["intents"]["meta"] == META


def test_complete_holds_summary_timing_usage_and_validation(full: Stream) -> None:
    end = full.last
    deltas = len(cut(EVERYTHING.text, EVERYTHING.token_chars))
    assert end["turn_id"] == full.turn_id
    assert end["subsystem_summary"] == {
        "quest_change": {"action": "offered", "success": True, "error": None},
        "combat_change": {"action": "started", "success": True, "error": None},
        "poi_change": {"action": "create", "success": True, "error": None},
        "narrative_persisted": True,
        "narrative_error": None,
        "dry_run": False,
    }
    assert end["timing"]["total_tokens"] == deltas
    assert 0 < end["timing"]["time_to_first_token_ms"] <= end["timing"]["total_duration_ms"]
    assert set(end["timing"]["phases"]) == {"context_ms", "llm_ms", "validation_ms", "writes_ms"}
    assert all(spent > 0 for spent in end["timing"]["phases"].values())
    assert end["usage"]["estimated"] is False
    assert (end["usage"]["input_tokens"], end["usage"]["output_tokens"]) == (900, deltas)
    assert end["usage"]["total_tokens"] == 900 + deltas
    assert end["validation"] == {"schema_valid": True, "intents_normalized": False}


def test_usage_is_estimated_when_the_provider_reports_none(
    service: Served, model: FakeModel, character: str
) -> None:
    model.then(Script(usage=None), Script(usage=Usage(11, 7)))
    estimated, reported = (service.turn(character).last["usage"] for _ in range(2))
    assert estimated["estimated"] is True
    assert estimated["total_tokens"] == estimated["input_tokens"] + estimated["output_tokens"] > 0
    assert reported["estimated"] is False
    assert (reported["input_tokens"], reported["output_tokens"]) == (11, 7)


@pytest.mark.parametrize("api", ["responses", "chat"])
def test_both_apis_of_the_model_give_the_same_turn(
    serve: Callable[..., Served], model: FakeModel, character: str, api: str
) -> None:
    model.then(EVERYTHING)
    stream = serve(llm_api=api, **GRANTED).turn(character)
    assert stream.narrative == NARRATIVE
    assert stream.phases == ALL_PHASES
    assert stream.last["type"] == "complete"


# -- the story ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ensure_ascii", [False, True], ids=["raw", "escaped"])
@pytest.mark.parametrize("chars", [1, 2, 3, 5, 7, 1000])
def test_the_story_streamed_is_the_story_persisted(
    service: Served,
    model: FakeModel,
    journey_log: FakeJourneyLog,
    character: str,
    chars: int,
    ensure_ascii: bool,
) -> None:
    text = outcome_text(AWKWARD, ensure_ascii=ensure_ascii)
    model.then(Script(text=text, token_chars=chars))
    stream = service.turn(character)
    assert stream.narrative == AWKWARD
    assert journey_log.narratives(character) == [AWKWARD]
    assert service.call("GET", f"/turns/{stream.turn_id}").json()["narrative"] == AWKWARD
    assert not any(0xD800 <= ord(char) <= 0xDFFF for char in stream.narrative)


@pytest.mark.parametrize("ensure_ascii", [False, True], ids=["raw", "escaped"])
@pytest.mark.parametrize("chars", [1, 3])
def test_the_story_is_shown_as_it_forms(
    service: Served, model: FakeModel, character: str, chars: int, ensure_ascii: bool
) -> None:
    text, gate = outcome_text(AWKWARD, ensure_ascii=ensure_ascii), threading.Event()
    tokens = len(cut(text[: text.index('"intents": {')], chars))
    model.then(Script(text=text, token_chars=chars, gate=gate, gate_after=tokens))
    with service.live(character) as live:
        while live.seen.narrative != AWKWARD:
            live.until("token")
        gate.set()
        assert live.rest().narrative == AWKWARD


def test_halves_of_a_character_in_two_deltas_become_one(
    service: Served, model: FakeModel, character: str
) -> None:
    deltas = [rb"{\"narrative\": \"a \ud83d", rb"\udd25\", \"intents\": {}}"]
    frames = [b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % d for d in deltas]
    model.then(Script(raw_stream=b"".join([*frames, b"data: [DONE]\n\n"])))
    assert service.turn(character).narrative == "a 🔥"


@pytest.mark.parametrize("per_write", [0, 1, 3])
def test_a_token_carries_the_number_of_its_first_delta(
    service: Served, model: FakeModel, character: str, per_write: int
) -> None:
    model.then(Script(per_write=per_write))
    stream = service.turn(character)
    indexes = [event["index"] for event in stream.of("token")]
    assert indexes[0] == 0
    assert all(one < other for one, other in pairwise(indexes))
    deltas = stream.of("metadata")[-1]["tokens_streamed"]
    assert indexes[-1] < deltas <= len(NARRATIVE)
    assert {event["field"] for event in stream.of("token")} == {"narrative"}


def test_the_first_token_does_not_wait_for_a_second(
    service: Served, model: FakeModel, character: str
) -> None:
    gate = threading.Event()
    model.then(
        Script(pieces=['{"narrative": "A', ' bell", "intents": {}}'], gate=gate, gate_after=1)
    )
    with service.live(character) as live:
        assert live.until("token")["content"] == "A"
        gate.set()
        assert live.rest().narrative == "A bell"


HIDDEN = "the secret plan"


@pytest.mark.parametrize(
    "script",
    [
        Script(reasoning=HIDDEN),
        Script(text=f'<think>{HIDDEN} {{"narrative": "no"}}</think>\n{outcome_text()}'),
        Script(text=f"```json\n{outcome_text()}\n```"),
        Script(text=f"<think>{HIDDEN}</think>```json\n{outcome_text()}\n```", token_chars=1),
        Script(first_delta_null=True),
        Script(text=json.dumps(outcome(), ensure_ascii=False, indent=4)),
    ],
    ids=["reasoning_content", "think", "fence", "think_and_fence", "null_delta", "indented"],
)
def test_nothing_but_the_decoded_narrative_is_shown(
    service: Served, model: FakeModel, character: str, script: Script
) -> None:
    model.then(script)
    stream = service.turn(character)
    assert stream.narrative == NARRATIVE
    assert stream.last["type"] == "complete"
    assert HIDDEN.encode() not in stream.body


def test_the_order_of_the_models_fields_does_not_matter(
    service: Served, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    document = outcome(AWKWARD, combat=COMBAT_START)
    backwards = json.dumps(dict(reversed(document.items())), ensure_ascii=False)
    model.then(Script(text=backwards))
    stream = service.turn(character)
    kinds = [kind for kind, _ in groupby(event["type"] for event in stream.events)]
    # What came in one read leaves in one step: either may be the first then.
    assert sorted(kinds[1:3]) == ["preview", "token"]
    assert kinds[:1] + kinds[3:] == ["metadata", "metadata", "write", "complete"]
    assert [stream.narrative] == journey_log.narratives(character) == [AWKWARD]


# -- silence and failure --------------------------------------------------------------------------


def test_silence_is_filled_with_pings_that_have_no_id(
    service: Served, model: FakeModel, character: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Cursor.__init__, "__defaults__", (0, 0.02))
    gate = threading.Event()
    model.then(Script(gate=gate, gate_after=8))
    with service.live(character) as live:
        live.until("token")
        assert set(live.until("ping")) == {"type", "timestamp"}
        live.until("ping")
        gate.set()
        stream = live.rest()
    pings = [block for block in stream.blocks if b'"ping"' in block]
    assert all(block.startswith(b'data: {"type":"ping"') for block in pings)
    assert stream.events[-1]["type"] == "complete"
    assert [int(f.split(b"\n")[0].rpartition(b":")[2]) for f in stream.frames] == list(
        range(1, len(stream.frames) + 1)
    )


def test_a_failure_before_the_context_is_an_http_error(service: Served) -> None:
    unknown = "7b6f1f34-6a0e-4f5a-9a53-0d6e6d3f6f10"
    reply = service.call("POST", "/turn/stream", turn_body(unknown))
    assert (reply.status, reply.error["type"]) == (404, "character_not_found")
    assert reply.header("content-type") == "application/problem+json"


@pytest.mark.parametrize(
    ("status", "kinds"), [(None, ("complete", "")), (503, ("error", "journey_log_error"))]
)
def test_after_the_patience_for_the_context_the_stream_begins_without_it(
    serve: Callable[..., Served],
    journey_log: FakeJourneyLog,
    character: str,
    monkeypatch: pytest.MonkeyPatch,
    status: int | None,
    kinds: tuple[str, str],
) -> None:
    monkeypatch.setattr(turn_routes, "HEAD_SECONDS", 0.05)
    gate = threading.Event()
    journey_log.fail("context", Fault(status=status, gate=gate))
    service = serve(journey_log_max_retries=0)
    with service.live(character) as live:  # its head is here, and the context is not
        gate.set()
        stream = live.rest()
    assert (stream.last["type"], stream.last.get("error_type", "")) == kinds
    assert stream.phases[0] == "start"


def test_error_event_holds_the_fields_that_a_client_needs(
    service: Served, model: FakeModel, character: str
) -> None:
    model.then(Script(text='{"narrative": "Hm.", "intents": {'))
    stream = service.turn(character)
    error = stream.last
    fields = {"error_type", "message", "recoverable", "phase", "partial_narrative", "committed"}
    assert fields | {"type", "timestamp"} <= set(error)
    assert (error["type"], error["error_type"]) == ("error", "llm_response_error")
    assert (error["recoverable"], error["committed"]) == (False, [])
    assert error["partial_narrative"] == stream.narrative == "Hm."


# -- what goes upstream ---------------------------------------------------------------------------


def test_request_id_and_trace_go_on_to_the_model_and_to_journey_log(
    service: Served, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    character = journey_log.seed_character("mara")
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    stream = service.stream(
        "POST",
        "/turn/stream",
        turn_body(character),
        X_User_Id="mara",
        X_Request_Id="req-1",
        traceparent=trace,
    )
    assert stream.header("x-request-id") == "req-1"
    upstream = journey_log.requests + model.requests
    assert len(upstream) >= 3
    for request in upstream:
        assert request.headers["x-request-id"] == "req-1"
        assert request.headers["traceparent"] == trace
    assert {request.headers["x-user-id"] for request in journey_log.requests} == {"mara"}
