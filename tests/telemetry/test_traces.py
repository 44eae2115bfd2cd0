"""Traces as a collector gets them over a socket, for every way in which a turn can go."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
from app.adapters.otlp import SpanExport
from app.core.tracing import SpanRecord, TraceContext
from app.settings import BadSetting, SharedSettings, read_settings
from collector import Collector, collecting

from asking import CHARACTER
from fakes.journey_log import FakeJourneyLog, late
from fakes.model import NARRATIVE, FakeModel, Script, Usage
from processes import environment_of
from serving import Served, aside, turn_body

Serve = Callable[..., Served]
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{CALLER}-01"
ACTION = "I whisper the secret word xyzzy."
PLAIN = {"quest_trigger_prob": 0, "poi_trigger_prob": 0, "rng_seed": "x"}
PHASES = ["context", "generation", "validation", "writes"]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture
def traced(serve: Serve, collector: Collector) -> Callable[..., Served]:
    """Closing it delivers what is left."""

    def start(**settings: object) -> Served:
        to = {"otel_exporter_otlp_endpoint": collector.url + "/", "otel_exporter_otlp_timeout": 60}
        return serve(**PLAIN, **to, **settings)

    return start


def ids_of(header: str) -> tuple[str, str]:
    _, trace_id, span_id, flags = header.split("-")
    assert flags == "01"
    return trace_id, span_id


def test_a_turn_is_one_tree_of_spans_within_its_callers_trace(
    traced: Serve, collector: Collector, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    model.then(Script(usage=Usage(900, 33, cached=100)))
    service = traced(openai_model="gpt-9", model_prices="gpt-9=1/1", service_name="dm-1")
    body = turn_body(journey_log.seed_character(), ACTION)
    stream = service.stream("POST", "/turn/stream", body, traceparent=TRACEPARENT)
    assert stream.last["type"] == "complete"
    service.close()
    assert collector.paths == {"/v1/traces"}
    assert collector.resource["service.name"] == "dm-1"
    assert collector.tree() == {
        "": ["turn"],
        "turn": PHASES,
        "generation": ["chat gpt-9"],
        "writes": ["write narrative"],
    }
    turn, call = collector.one("turn"), collector.one("chat gpt-9")
    assert (turn.trace_id, turn.parent_id, turn.kind) == (TRACE, CALLER, "server")
    assert {span.trace_id for span in collector.spans} == {TRACE}
    assert {span.failed for span in collector.spans} == {None}
    for span in collector.spans:
        assert turn.began <= span.began <= span.ended <= turn.ended
    assert (call.kind, collector.one("write narrative").kind) == ("client", "client")
    assert call.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-9",
        "gen_ai.response.model": model.calls[0].get("model"),
        "gen_ai.usage.input_tokens": 900,
        "gen_ai.usage.output_tokens": 33,
        "gen_ai.usage.cache_read.input_tokens": 100,
        "gen_ai.output.type": "json",
        "dungeon_master.generation.purpose": "turn",
        "dungeon_master.cost_micros": 933,
    }
    assert turn.attributes["dungeon_master.turn.outcome"] == "complete"
    assert turn.attributes["gen_ai.conversation.id"] == body["character_id"]


def test_upstreams_get_the_turns_context_and_spans_hold_no_text(
    traced: Serve, collector: Collector, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    service = traced()
    service.stream("POST", "/turn/stream", turn_body(journey_log.seed_character(), ACTION))
    service.close()
    turn = collector.one("turn")
    assert turn.parent_id == ""
    asked = [*model.requests, *journey_log.requests]
    sent = {request.headers["traceparent"] for request in asked if request.method != "GET"}
    sent |= {r.headers["traceparent"] for r in journey_log.requests if r.path.endswith("/context")}
    assert {ids_of(header) for header in sent} == {(turn.trace_id, turn.span_id)}
    received = b"".join(collector.bodies)
    for text in ("xyzzy", NARRATIVE[:12]):
        assert text.encode() not in received


def test_spans_do_not_grow_with_tokens(
    traced: Serve, collector: Collector, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    model.then(Script(token_chars=1))
    service = traced()
    service.stream("POST", "/turn/stream", turn_body(journey_log.seed_character()))
    service.close()
    assert len(collector.spans) == 1 + len(PHASES) + 2


def test_a_failed_turn_says_where_and_why(
    traced: Serve, collector: Collector, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    model.default = Script(status=400, error_body={"error": {"message": "no xyzzy"}})
    service = traced(openai_model="gpt-9")
    service.stream("POST", "/turn/stream", turn_body(journey_log.seed_character(), ACTION))
    service.close()
    tree = collector.tree()
    assert (tree[""], tree["turn"]) == (["turn"], ["context", "generation"])
    assert set(tree["generation"]) == {"chat gpt-9"}
    turn, generation = collector.one("turn"), collector.one("generation")
    assert (turn.failed, generation.failed) == ("llm_error", "llm_error")
    assert turn.attributes["error.type"] == "llm_error"
    assert turn.attributes["dungeon_master.turn.outcome"] == "error"
    assert collector.one("context").failed is None
    assert b"xyzzy" not in b"".join(collector.bodies)


def test_a_turn_that_fails_before_its_model_is_asked_has_a_failed_context(
    traced: Serve, collector: Collector
) -> None:
    service = traced()
    body = turn_body("6f1c0b52-8a55-4f6e-9d6e-0c5f0c6f0a01")
    assert service.call("POST", "/turn", body).status == 404
    service.close()
    assert collector.tree() == {"": ["turn"], "turn": ["context"]}
    assert {span.failed for span in collector.spans} == {"character_not_found"}


def test_a_cancelled_turn_is_no_failure(
    traced: Serve, collector: Collector, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    model.then(Script(gate=threading.Event(), gate_after=8))
    service = traced(openai_model="gpt-9")
    with service.open("POST", "/turn/stream", turn_body(journey_log.seed_character())) as response:
        model.wait_for(lambda: model.stats.open)
        turn_id = response.headers["X-Turn-Id"]
        assert service.call("POST", f"/turns/{turn_id}/cancel").status == 202
        response.read()
    service.close()
    tree = collector.tree()
    assert (tree["turn"], tree["generation"]) == (["context", "generation"], ["chat gpt-9"])
    turn = collector.one("turn")
    assert (turn.failed, turn.attributes["dungeon_master.turn.outcome"]) == (None, "cancelled")
    assert collector.one("chat gpt-9").failed == "cancelled"


def test_chat_and_content_have_the_phases_that_they_pass_through(
    traced: Serve, collector: Collector, model: FakeModel
) -> None:
    service = traced(openai_model="gpt-9")
    model.then(Script(text="The bell rings."))
    said = {"username": "ann", "message": "Who is there?"}
    assert service.call("POST", "/chat", said, traceparent=TRACEPARENT).status == 200
    model.then(Script(text='{"content": "She left at dawn."}'))
    made = service.call("POST", "/api/v2/text/character", CHARACTER, traceparent=TRACEPARENT)
    assert made.status == 200
    service.close()
    turns = [span for span in collector.spans if span.name == "turn"]
    chat, content = sorted(turns, key=lambda span: span.began)
    for turn in (chat, content):
        below = [span for span in collector.spans if span.parent_id == turn.span_id]
        assert sorted(span.name for span in below) == PHASES[:3]
        (generation,) = (span for span in below if span.name == "generation")
        calls = [span.name for span in collector.spans if span.parent_id == generation.span_id]
        assert len(calls) == 1
        assert calls[0].startswith("chat ")
        assert {span.failed for span in (turn, *below)} == {None}
    kinds = [turn.attributes["dungeon_master.turn.kind"] for turn in (chat, content)]
    assert kinds == ["chat", "content"]


@pytest.mark.parametrize("stage", ["generation", "writes"])
def test_a_turn_that_another_process_ends_stays_in_its_trace(
    traced: Serve,
    collector: Collector,
    model: FakeModel,
    journey_log: FakeJourneyLog,
    stage: str,
) -> None:
    gate = threading.Event()
    if stage == "generation":
        model.then(Script(gate=gate, gate_after=8))
    else:
        journey_log.fail("narrative", late(gate))
    first = traced(openai_model="gpt-9")
    body = turn_body(journey_log.seed_character(), ACTION)
    turn = aside(first.stream, "POST", "/turn/stream", body, traceparent=TRACEPARENT)
    asked = {"generation": model.wait_for, "writes": journey_log.wait_for}[stage]
    asked(lambda: model.stats.open if stage == "generation" else written_to(journey_log))
    first.close()
    gate.set()
    turn.exception(300)
    before = {span.name for span in collector.spans}
    assert "turn" not in before
    assert "context" in before
    second = traced(openai_model="gpt-9")
    second.wait_for(lambda: finished(second, body["character_id"]))
    second.close()
    assert {span.trace_id for span in collector.spans} == {TRACE}
    ended = collector.one("turn")
    assert ended.parent_id == CALLER
    assert ended.attributes["dungeon_master.turn.recovered"] is True
    assert ended.failed == ("interrupted" if stage == "generation" else None)
    assert ended.began <= collector.one("context").began
    if stage == "writes":
        (write,) = [span for span in collector.spans if span.name == "write narrative"]
        assert write.attributes["dungeon_master.write.outcome"] == "done"


def written_to(journey_log: FakeJourneyLog) -> bool:
    return any(request.path.endswith("/narrative") for request in journey_log.requests)


def finished(service: Served, character_id: str) -> bool:
    turns = service.call("GET", f"/characters/{character_id}/turns").json()["turns"]
    return [turn["status"] for turn in turns] not in (["running"], ["queued"])


def test_a_trace_that_is_not_sampled_is_not_recorded(
    traced: Serve, collector: Collector, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    service = traced()
    body = turn_body(journey_log.seed_character())
    service.stream("POST", "/turn/stream", body, traceparent=TRACEPARENT[:-1] + "0")
    service.close()
    assert collector.spans == []
    assert {request.headers["traceparent"][-2:] for request in model.requests} == {"00"}


def test_a_collector_that_is_down_harms_no_turn(serve: Serve, journey_log: FakeJourneyLog) -> None:
    to = {"otel_exporter_otlp_endpoint": "http://127.0.0.1:9", "otel_exporter_otlp_timeout": 0.2}
    service = serve(**PLAIN, **to)
    body = turn_body(journey_log.seed_character())
    assert service.stream("POST", "/turn/stream", body).last["type"] == "complete"
    service.close()


def test_a_collector_that_hangs_does_not_keep_the_service() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # accepts, and never answers
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        export = SpanExport(address, 0.2, "s", "1", "test")
        export.record(SpanRecord("turn", TraceContext(TRACE, CALLER), None, 1.0, 2.0))
        asyncio.run(export.aclose())


@pytest.mark.parametrize("value", ["collector:4318", "http://user:pass@host", "ftp://host"])
def test_an_endpoint_that_is_no_address_stops_the_start(value: str) -> None:
    with pytest.raises(BadSetting, match="OTEL_EXPORTER_OTLP_ENDPOINT"):
        read_settings(SharedSettings, otel_exporter_otlp_endpoint=value)


def test_what_no_setting_asks_for_is_not_imported() -> None:
    """Each of them takes longer to import than a small command runs."""
    code = """
import sys
from app.bootstrap import build, load_settings
build(load_settings(_env_file=None, store_url="sqlite:///{folder}/s.db"))
heavy = {"google", "openai", "mcp", "mcp_types", "genai_prices", "redis", "nats"}
traces = ("opentelemetry.sdk", "opentelemetry.exporter")
print([name for name in sys.modules if name.startswith(traces) or name.partition(".")[0] in heavy])
"""
    import_it = "import tempfile; folder = tempfile.mkdtemp()"
    script = f"{import_it}\n" + code.replace('"sqlite', 'f"sqlite')
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment_of({}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split("\n")[-2] == "[]"
