"""Every metric family of the service, and the older JSON form of them.

Families follow the Prometheus conventions: base units, `_total` on counters, bounded labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf
from typing import Any, Final

from prometheus_client.metrics_core import Metric

from app.telemetry.instruments import Buckets, Counts, Distribution, Histogram, histogram_family
from app.telemetry.report import CountsReport, StreamingReport

PREFIX: Final = "dungeon_master_"
ROUTES: Final = 200

_CALL_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LONG_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)
_PHASE_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_FIRST_TOKEN = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60)
_GAPS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60)
_TOKENS = (0, 25, 50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800)


class TurnFamilies:
    """Turns, their streams and their writes."""

    def __init__(self) -> None:
        self.turns = _counts("turns", "Ended turns.", "endpoint", "outcome")
        self.turn_errors = _counts("turn_errors", "Turns ended by an error.", "type")
        self.parse_failures = Counts(
            "turn_parse_failures", "Model answers that were no valid outcome; nothing was written."
        )
        self.parsed = _counts("outcomes_parsed", "Model answers checked.", "valid")
        self.repairs = _counts(
            "intent_repairs",
            "Whole narratives without valid intents: supplied by one more call, or dropped.",
            "model",
            "outcome",
        )
        self.streams_started = _counts("streams_started", "Streams opened.", "transport")
        self.streams_completed = _counts(
            "streams_completed", "Streams read to their last event.", "transport"
        )
        self.streams_disconnected = _counts(
            "streams_disconnected", "Streams left by their reader.", "transport"
        )
        self.rolls = _counts("policy_rolls", "Policy rolls.", "kind", "result")
        self.writes = _counts(
            "writes", "Writes to journey-log by result.", "subsystem", "action", "outcome"
        )
        self.deltas = _counts(
            "subsystem_changes", "Changes that turns made.", "subsystem", "action"
        )
        self.stream_tokens = _histogram("stream_tokens", "Text deltas of a turn.", _TOKENS)
        self.stream_seconds = _histogram(
            "stream_duration_seconds", "From a turn's admission to its end.", _LONG_SECONDS
        )
        self.first_token = _histogram(
            "time_to_first_token_seconds",
            "From a turn's admission to its first narrative text.",
            _FIRST_TOKEN,
        )
        self.phases = _histogram(
            "phase_duration_seconds", "Time spent in a stage.", _PHASE_SECONDS, "phase"
        )


class CallFamilies:
    """Calls of clients and to upstreams."""

    def __init__(self) -> None:
        self.model_calls = _counts("model_calls", "Calls to the model.", "api", "model", "outcome")
        self.model_tokens = _counts("model_tokens", "Tokens of model calls.", "kind")
        self.journey_log_calls = _counts(
            "journey_log_calls", "Requests to journey-log.", "operation", "status"
        )
        self.requests = Counts(
            f"{PREFIX}http_requests", "HTTP requests.", ("method", "route", "status"), ROUTES
        )
        self.model_seconds = _histogram(
            "model_call_duration_seconds", "Duration of model calls.", _LONG_SECONDS, "api", "model"
        )
        self.journey_log_seconds = _histogram(
            "journey_log_call_duration_seconds",
            "Duration of requests to journey-log.",
            _CALL_SECONDS,
            "operation",
        )
        self.request_seconds = Histogram(
            f"{PREFIX}http_request_duration_seconds",
            "Duration of HTTP requests; a stream counts with its whole length.",
            _CALL_SECONDS,
            ("method", "route"),
            ROUTES,
        )
        self.gaps = Buckets(_GAPS)


class MoneyFamilies:
    """Costs of models, and budgets."""

    def __init__(self) -> None:
        self.costs = _counts(
            "model_cost_dollars",
            "US dollars that calls to models with a known price have cost.",
            "model",
            "purpose",
        )
        self.unpriced = _counts(
            "model_unpriced_tokens", "Tokens of calls to models without a known price.", "model"
        )
        self.near_budget = _counts(
            "turns_near_budget",
            "Turns begun with 80 % or more used of a budget, their user's of the day or their table's.",
            "of",
            "unit",
        )


class MetricFamilies(TurnFamilies, CallFamilies, MoneyFamilies):
    """All metric families of the service."""

    def __init__(self) -> None:
        TurnFamilies.__init__(self)
        CallFamilies.__init__(self)
        MoneyFamilies.__init__(self)

    def families(self) -> Iterator[Metric]:
        for instrument in vars(self).values():
            if isinstance(instrument, (Counts, Histogram)):
                yield instrument.family()
        yield histogram_family(
            f"{PREFIX}token_gap_seconds",
            "Time between two upstream reads of one model stream.",
            (),
            [((), self.gaps)],
        )


def _counts(name: str, about: str, *labels: str) -> Counts:
    return Counts(PREFIX + name, about, labels)


def _histogram(name: str, about: str, bounds: tuple[float, ...], *labels: str) -> Histogram:
    return Histogram(PREFIX + name, about, bounds, labels)


# -- the JSON form --------------------------------------------------------------------------------


def legacy_report(families: MetricFamilies) -> CountsReport:
    """The JSON document that earlier versions of the service served; durations in milliseconds."""
    return CountsReport(
        requests=_requests(families),
        errors=_errors(families),
        latencies=_by_label(families.request_seconds, 1),
        schema_conformance=_conformance(families),
        turns=_turns(families),
        policy_triggers=_joined(families.rolls),
        subsystem_deltas=_joined(families.deltas),
        journey_log_latencies=_by_label(families.journey_log_seconds, 0),
        streaming=_streaming(families),
    )


def _requests(families: MetricFamilies) -> dict[str, Any]:
    by_status = families.requests.by(2)
    total = families.requests.total()
    success = sum(count for status, count in by_status.items() if status[0] in "123")
    return {
        "total": total,
        "success": success,
        "errors": total - success,
        "by_status_code": by_status,
    }


def _errors(families: MetricFamilies) -> dict[str, Any]:
    return {"total": families.turn_errors.total(), "by_type": families.turn_errors.by(0)}


def _conformance(families: MetricFamilies) -> dict[str, float]:
    by_validity = families.parsed.by(0)
    valid, total = by_validity.get("true", 0), families.parsed.total()
    return {
        "total_parses": total,
        "successful_parses": valid,
        "failed_parses": total - valid,
        "conformance_rate": round(valid / total, 4) if total else 0.0,
    }


def _turns(families: MetricFamilies) -> dict[str, Any]:
    by_outcome = families.turns.by(1)
    return {
        "total": families.turns.total(),
        "by_outcome": by_outcome,
        "by_endpoint": families.turns.by(0),
        "by_label": {
            f"outcome:{'success' if outcome == 'complete' else outcome}": count
            for outcome, count in by_outcome.items()
        },
    }


def _joined(counts: Counts) -> dict[str, float]:
    return {":".join(key): count for key, count in counts.items()}


def _streaming(families: MetricFamilies) -> StreamingReport:
    tokens = _summary([distribution for _, distribution in families.stream_tokens.items()])
    lengths = [distribution for _, distribution in families.stream_seconds.items()]
    return StreamingReport(
        total_streams=families.streams_started.total(),
        completed_streams=families.streams_completed.total(),
        client_disconnects=families.streams_disconnected.total(),
        parse_failures=families.parse_failures.total(),
        # both spellings were promised for counts of tokens
        tokens_per_stream=tokens | _in_ms(tokens),
        stream_duration=_in_ms(_summary(lengths, scale=1000)),
    )


def _by_label(histogram: Histogram, position: int) -> dict[str, dict[str, float]]:
    groups: dict[str, list[Distribution]] = {}
    for key, distribution in histogram.items():
        groups.setdefault(key[position], []).append(distribution)
    return {name: _in_ms(_summary(group, scale=1000)) for name, group in groups.items()}


def _summary(found: list[Distribution], scale: float = 1) -> dict[str, float]:
    count = sum(distribution.count for distribution in found)
    if not count:
        return {"count": 0, "avg": 0.0, "min": 0.0, "max": 0.0}
    total = sum(distribution.sum for distribution in found)
    low = min((distribution.low for distribution in found), default=inf)
    high = max((distribution.high for distribution in found), default=-inf)
    return {
        "count": count,
        "avg": round(total / count * scale, 3),
        "min": round(low * scale, 3),
        "max": round(high * scale, 3),
    }


def _in_ms(summary: dict[str, float]) -> dict[str, float]:
    return {name if name == "count" else f"{name}_ms": value for name, value in summary.items()}
