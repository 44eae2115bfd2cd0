"""The JSON form of the numbers, as types."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema
from typing_extensions import TypedDict

Count = Annotated[float, WithJsonSchema({"type": "integer"})]
"""A whole number; counters keep them as floats."""


class RecentRequests(TypedDict):
    """Requests of the last 60 s."""

    request_rate: Annotated[float, Field(description="Per second.")]
    error_rate: Annotated[float, Field(description="Share of answers with a 5xx status.")]
    p95_latency: Annotated[float, Field(description="Milliseconds.")]


class StreamingReport(TypedDict):
    total_streams: Count
    completed_streams: Count
    client_disconnects: Count
    parse_failures: Count
    tokens_per_stream: dict[str, float]
    stream_duration: dict[str, float]


class CountsReport(TypedDict):
    requests: dict[str, Any]
    errors: dict[str, Any]
    latencies: dict[str, dict[str, float]]
    schema_conformance: dict[str, float]
    turns: dict[str, Any]
    policy_triggers: dict[str, Count]
    subsystem_deltas: dict[str, Count]
    journey_log_latencies: dict[str, dict[str, float]]
    streaming: StreamingReport


class MetricsReport(CountsReport):
    """Durations are in milliseconds."""

    uptime_seconds: float
