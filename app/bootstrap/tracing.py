"""Traces, where a collector is named: else nothing of them is imported or done."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from app import __version__
from app.core.tracing import TurnTraces
from app.feature import Feature
from app.ports.clock import Clock
from app.settings import SharedSettings
from app.telemetry.spans import TurnSpans


def tracing(settings: SharedSettings, clock: Clock) -> Feature:
    """Observes turns, and gives each its trace context."""
    endpoint = settings.otel_exporter_otlp_endpoint
    if endpoint is None:
        return Feature(services=(TurnTraces(),))
    export: Any = import_module("app.adapters.otlp").SpanExport(
        endpoint,
        settings.otel_exporter_otlp_timeout,
        settings.service_name,
        __version__,
        settings.environment,
    )
    spans = TurnSpans(export.record, export.span_id, export.begin, clock.now)
    return Feature(
        services=(TurnTraces(lambda outer: str(export.begin(outer).header)),),
        observers=(spans.observe,),
        on_stop=(export.aclose,),
    )
