from collections.abc import Iterator
from typing import Any

import pytest
from app.core.messages import Prompt
from app.eventlog.observe import ReaderClosed, ReaderOpened
from app.generation.observe import ModelCalled
from app.generation.request import GenerationRequest, Purpose
from app.ports.call import CallMeta
from app.telemetry.instruments import Buckets, Window
from app.telemetry.metrics import Metrics
from app.turns.observe import (
    OutcomeParsed,
    PolicyDecided,
    TokensStreamed,
    TurnAdmitted,
    TurnEnded,
    WriteSettled,
    WritesFinished,
    WritesStarted,
)
from example_turns import HandClock, begun, cancelled, complete, failed, streamed
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

OPENMETRICS = "application/openmetrics-text; version=1.0.0, text/plain;q=0.5"


def families(metrics: Metrics, accept: str = "") -> list[Metric]:
    body, content_type = metrics.render(accept)
    parse: Any = parse_openmetrics if "openmetrics" in content_type else parse_text
    return list(parse(body.decode()))


def samples(metrics: Metrics) -> Iterator[tuple[str, dict[str, str], float]]:
    for family in families(metrics):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


def value(metrics: Metrics, name: str, **labels: str) -> float:
    found = [got for key, have, got in samples(metrics) if key == name and have == labels]
    assert len(found) == 1, (name, labels, found)
    return found[0]


REQUEST = GenerationRequest(Prompt(()), Purpose.TURN, "local", CallMeta("request-1"))


def busy() -> Metrics:
    """One of everything."""
    metrics, turn = Metrics(version="1.2.3"), streamed()
    assert turn.decision is not None
    for observation in (
        TurnAdmitted(turn),
        ReaderOpened("sse"),
        ReaderOpened("websocket"),
        PolicyDecided(turn, turn.decision),
        ModelCalled(REQUEST, "chat", "m", "timeout", 0.3),
        ModelCalled(REQUEST, "chat", "m", "ok", 1.3),
        TokensStreamed(turn),
        OutcomeParsed(turn, True),
        WritesStarted(turn),
        WriteSettled(turn, "quest", "offered", "done"),
        WriteSettled(turn, "narrative", "create", "done"),
        WritesFinished(turn),
        TurnEnded(turn, complete(turn)),
        ReaderClosed("sse", "turn-1", 9, disconnected=False),
        ReaderClosed("websocket", "turn-1", 3, disconnected=True),
    ):
        metrics.observe(observation)
    metrics.record_gap(0.02)
    metrics.journey_log_call("context", "200", 0.03)
    metrics.http_request("POST", "/turn/stream", 200, 1.6)
    return metrics


# -- the exposition -------------------------------------------------------------------------------


@pytest.mark.parametrize("accept", ["", "text/plain", "*/*", "application/openmetrics-text;q=0"])
def test_text_is_served_unless_openmetrics_is_asked_for(accept: str) -> None:
    _, content_type = Metrics().render(accept)
    assert content_type.startswith("text/plain; version=0.0.4")


@pytest.mark.parametrize("accept", [OPENMETRICS, "Application/OpenMetrics-Text"])
def test_openmetrics_is_served_when_asked_for(accept: str) -> None:
    body, content_type = Metrics().render(accept)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
@pytest.mark.parametrize("metrics", [Metrics(), busy()], ids=["fresh", "busy"])
def test_both_expositions_parse_and_keep_the_naming_rules(metrics: Metrics, accept: str) -> None:
    found = families(metrics, accept)
    names = [family.name for family in found]
    assert len(names) == len(set(names))
    assert "turn_parse_failures" in {name.removesuffix("_total") for name in names}
    others = [name for name in names if not name.startswith(("turn_parse_failures", "process_"))]
    assert all(name.startswith("dungeon_master_") for name in others)
    assert all(family.documentation for family in found)


ANYTHING = st.text(st.characters(), max_size=130)


@given(ANYTHING, ANYTHING, st.integers(-5, 1_000), st.floats(0, 1e6))
def test_any_label_value_still_parses(first: str, second: str, status: int, seconds: float) -> None:
    metrics = Metrics()
    metrics.http_request(first, second, status, seconds)
    metrics.journey_log_call(first, second, seconds)
    metrics.observe(ModelCalled(REQUEST, "chat", first, "ok", seconds))
    metrics.record_gap(seconds)
    families(metrics)
    families(metrics, OPENMETRICS)
    metrics.legacy()


def test_parse_failures_are_exported_under_their_promised_name() -> None:
    metrics = Metrics()
    assert value(metrics, "turn_parse_failures_total") == 0
    metrics.observe(OutcomeParsed(streamed(), False))
    assert value(metrics, "turn_parse_failures_total") == 1
    assert "\nturn_parse_failures_total 1.0\n" in metrics.render(OPENMETRICS)[0].decode()


def test_turns_are_counted_by_endpoint_and_outcome() -> None:
    metrics = Metrics()
    for ending in (failed(), failed(), cancelled()):
        metrics.observe(TurnEnded(streamed(endpoint="/turn"), ending))
    name = "dungeon_master_turns_total"
    assert value(metrics, name, endpoint="/turn", outcome="error") == 2
    assert value(metrics, name, endpoint="/turn", outcome="cancelled") == 1
    assert value(metrics, "dungeon_master_turn_errors_total", type="llm_timeout") == 2


def test_everything_that_happened_is_exported() -> None:
    metrics, prefix = busy(), "dungeon_master_"
    for name, labels, expected in (
        ("streams_started_total", {"transport": "sse"}, 1),
        ("streams_completed_total", {"transport": "sse"}, 1),
        ("streams_disconnected_total", {"transport": "websocket"}, 1),
        ("streams_active", {}, 0),
        ("stream_tokens_sum", {}, 7),
        ("stream_duration_seconds_sum", {}, 1.5),
        ("time_to_first_token_seconds_sum", {}, 0.5),
        ("token_gap_seconds_count", {}, 1),
        ("phase_duration_seconds_sum", {"phase": "llm"}, 1.4),
        ("journey_log_calls_total", {"operation": "context", "status": "200"}, 1),
        ("journey_log_call_duration_seconds_sum", {"operation": "context"}, 0.03),
        ("model_calls_total", {"api": "chat", "model": "m", "outcome": "timeout"}, 1),
        ("model_call_duration_seconds_count", {"api": "chat", "model": "m"}, 2),
        ("model_tokens_total", {"kind": "input"}, 300),
        ("model_tokens_total", {"kind": "output"}, 40),
        ("policy_rolls_total", {"kind": "quest", "result": "triggered"}, 1),
        ("policy_rolls_total", {"kind": "poi", "result": "skipped"}, 1),
        (
            "writes_total",
            {"subsystem": "narrative", "action": "create", "outcome": "done"},
            1,
        ),
        (
            "http_requests_total",
            {"method": "POST", "route": "/turn/stream", "status": "200"},
            1,
        ),
    ):
        assert value(metrics, prefix + name, **labels) == pytest.approx(expected)
    assert value(
        metrics, f"{prefix}build_info", version="1.2.3", python=_python(metrics)
    )  # the value of an info is always 1


def _python(metrics: Metrics) -> str:
    return next(
        labels["python"] for name, labels, _ in samples(metrics) if name.endswith("build_info")
    )


def test_open_streams_are_a_gauge() -> None:
    metrics = Metrics()
    metrics.observe(ReaderOpened("sse"))
    metrics.observe(ReaderOpened("sse"))
    metrics.observe(ReaderClosed("sse", "turn-1", 1, disconnected=True))
    assert value(metrics, "dungeon_master_streams_active") == 1


def test_a_tracked_gauge_is_read_at_every_scrape() -> None:
    metrics, waiting = Metrics(), [3]
    metrics.track("model_slots_waiting", "About it.", lambda: waiting[0])
    assert value(metrics, "dungeon_master_model_slots_waiting") == 3
    waiting[0] = 0
    assert value(metrics, "dungeon_master_model_slots_waiting") == 0


def test_a_gauge_that_fails_does_not_cost_the_scrape() -> None:
    metrics = busy()
    metrics.track("turns_running", "About it.", lambda: 1 / 0)
    assert value(metrics, "turn_parse_failures_total") == 0


def test_a_turn_that_never_began_is_no_stream() -> None:
    metrics = Metrics()
    metrics.observe(TurnEnded(begun(), failed("character_not_found")))
    assert value(metrics, "dungeon_master_stream_tokens_count") == 0
    assert value(metrics, "dungeon_master_time_to_first_token_seconds_count") == 0


def test_two_sets_of_metrics_share_nothing() -> None:
    one, other = busy(), Metrics()
    assert value(one, "dungeon_master_token_gap_seconds_count") == 1
    assert value(other, "dungeon_master_token_gap_seconds_count") == 0


# -- bounded labels -------------------------------------------------------------------------------


def test_a_thousand_names_cannot_grow_the_labels() -> None:
    metrics = Metrics()
    for number in range(1_000):
        turn = streamed(
            f"turn-{number}",
            endpoint=f"/made-up/{number}",
            character_id=f"hero-{number}",
            user_id=f"user-{number}",
        )
        metrics.observe(ModelCalled(REQUEST, "chat", f"model-{number}", "ok", 1))
        metrics.observe(ReaderOpened(f"transport-{number}"))
        metrics.observe(TurnEnded(turn, complete(turn)))
        metrics.http_request(f"VERB{number}", f"/users/{number}", 200, 0.1)
        metrics.journey_log_call(f"operation-{number}", "200", 0.1)
    seen: dict[tuple[str, str], set[str]] = {}
    for name, labels, _ in samples(metrics):
        for label, got in labels.items():
            seen.setdefault((name, label), set()).add(got)
    assert len(seen["dungeon_master_model_calls_total", "model"]) == 51
    assert "other" in seen["dungeon_master_model_calls_total", "model"]
    assert seen["dungeon_master_http_requests_total", "method"] == {"other"}
    assert max(len(values) for values in seen.values()) <= 201
    text = metrics.render("")[0].decode()
    assert "hero-" not in text
    assert "user-" not in text
    assert "turn-" not in text


def test_names_seen_first_are_still_counted_after_the_limit() -> None:
    metrics = Metrics()
    for number in [*range(100), 0]:
        metrics.journey_log_call(f"operation-{number}", "200", 0.1)
    name = "dungeon_master_journey_log_calls_total"
    assert value(metrics, name, operation="operation-0", status="200") == 2
    assert value(metrics, name, operation="other", status="200") == 50


# -- distributions --------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 100), max_size=50))
def test_buckets_count_every_value_once(values: list[float]) -> None:
    buckets = Buckets([0.1, 1, 10])
    for each in values:
        buckets.add(each)
    rows = dict(buckets.cumulative())
    assert rows["1.0"] == sum(each <= 1 for each in values)
    assert rows["+Inf"] == buckets.count == len(values)
    assert buckets.sum == pytest.approx(sum(values))


# -- the JSON form --------------------------------------------------------------------------------


def test_the_json_form_has_every_section_of_a_busy_service() -> None:
    report = busy().legacy()
    assert report.keys() == {
        "uptime_seconds",
        "requests",
        "errors",
        "latencies",
        "schema_conformance",
        "turns",
        "policy_triggers",
        "subsystem_deltas",
        "journey_log_latencies",
        "streaming",
    }
    assert report["requests"] == {
        "total": 1,
        "success": 1,
        "errors": 0,
        "by_status_code": {"200": 1},
    }
    assert report["latencies"]["/turn/stream"] == {
        "count": 1,
        "avg_ms": 1_600,
        "min_ms": 1_600,
        "max_ms": 1_600,
    }
    assert report["journey_log_latencies"]["context"]["avg_ms"] == 30
    assert report["policy_triggers"] == {"quest:triggered": 1, "poi:skipped": 1}
    assert report["subsystem_deltas"] == {
        "quest:offered": 1,
        "poi:skipped": 1,
        "narrative:persisted": 1,
    }
    assert report["schema_conformance"]["conformance_rate"] == 1
    assert report["turns"]["by_label"] == {"outcome:success": 1}
    assert report["streaming"] == {
        "total_streams": 2,
        "completed_streams": 1,
        "client_disconnects": 1,
        "parse_failures": 0,
        "tokens_per_stream": {
            "count": 1,
            "avg": 7,
            "min": 7,
            "max": 7,
            "avg_ms": 7,
            "min_ms": 7,
            "max_ms": 7,
        },
        "stream_duration": {"count": 1, "avg_ms": 1_500, "min_ms": 1_500, "max_ms": 1_500},
    }


def test_the_json_form_of_a_fresh_service_is_all_zero() -> None:
    time = HandClock()
    metrics = Metrics(clock=time.clock())
    time.seconds += 2.5
    report = metrics.legacy()
    assert report["uptime_seconds"] == 2.5
    assert report["requests"]["total"] == 0
    assert report["streaming"]["tokens_per_stream"]["avg"] == 0
    assert report["schema_conformance"]["conformance_rate"] == 0


def test_errors_are_counted_by_type() -> None:
    metrics = Metrics()
    metrics.observe(TurnEnded(streamed(), failed("llm_error")))
    metrics.http_request("POST", "/turn", 502, 0.2)
    report = metrics.legacy()
    assert report["errors"] == {"total": 1, "by_type": {"llm_error": 1}}
    assert report["requests"]["errors"] == 1


# -- the last minute ------------------------------------------------------------------------------


def test_an_empty_window_is_all_zero() -> None:
    assert Metrics().window() == {"request_rate": 0, "error_rate": 0, "p95_latency": 0}


def test_window_holds_rate_errors_and_latency_of_the_last_minute() -> None:
    time = HandClock()
    metrics = Metrics(clock=time.clock())
    metrics.http_request("GET", "/old", 500, 9)
    time.seconds += 120
    for number in range(1, 101):
        metrics.http_request("GET", "/x", 500 if number <= 5 else 404, number / 1000)
    assert metrics.window() == {"request_rate": 1.667, "error_rate": 0.05, "p95_latency": 95}


def test_a_young_service_is_not_averaged_over_a_minute_it_never_had() -> None:
    time = HandClock()
    metrics = Metrics(clock=time.clock())
    time.seconds += 10
    for _ in range(20):
        metrics.http_request("GET", "/x", 200, 0.1)
    assert metrics.window()["request_rate"] == 2


def test_a_full_window_knows_the_time_it_covers() -> None:
    time = HandClock()
    window = Window(time.clock().monotonic, size=10)
    time.seconds += 600
    for _ in range(100):
        time.seconds += 0.5
        window.add(failed=False, seconds=0.1)
    assert window.report()["request_rate"] == pytest.approx(2, rel=0.2)


def test_a_window_holds_no_request_from_before_it() -> None:
    time = HandClock()
    window = Window(time.clock().monotonic)
    for _ in range(200):
        time.seconds += 1
        window.add(failed=False, seconds=0.1)
    assert len(window._requests) == 60
    assert window.report()["request_rate"] == pytest.approx(1, rel=0.02)
