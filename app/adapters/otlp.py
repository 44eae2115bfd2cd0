"""Spans to an OpenTelemetry collector, over OTLP/HTTP, from a thread of their own.

Imported only where a collector is named. What cannot be delivered is dropped; nothing waits for it.
Headers, sampling and attributes of the resource come from the `OTEL_…` variables of the environment.
"""

from __future__ import annotations

import asyncio
from threading import Thread
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from app.core.tracing import SpanRecord, TraceContext

_KINDS: Final = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
}


class SpanExport:
    """`endpoint`: of the collector, without `/v1/traces`. `timeout`: seconds for a delivery, and for the
    last one at shutdown."""

    def __init__(
        self, endpoint: str, timeout: float, service: str, version: str, environment: str
    ) -> None:
        named = {
            "service.name": service,
            "service.version": version,
            "deployment.environment.name": environment,
        }
        self._resource = Resource.create(dict(named))
        self._scope = InstrumentationScope("dungeon-master", version)
        # It has the sampler that the environment names.
        self._sampler = TracerProvider(shutdown_on_exit=False).sampler
        self._ids = RandomIdGenerator()
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=timeout)
        self._timeout = timeout
        self._batches = BatchSpanProcessor(exporter)

    def span_id(self) -> str:
        """A new one."""
        return f"{self._ids.generate_span_id():016x}"

    def begin(self, traceparent: str | None = None) -> TraceContext:
        """The context of a new span: a child of the one that is named, or the root of a trace."""
        outer = TraceContext.of(traceparent)
        trace_id = f"{self._ids.generate_trace_id():032x}" if outer is None else outer.trace_id
        known = set_span_in_context(NonRecordingSpan(_context(outer))) if outer else None
        sampled = self._sampler.should_sample(known, int(trace_id, 16), "turn").decision
        return TraceContext(trace_id, self.span_id(), sampled is Decision.RECORD_AND_SAMPLE)

    def record(self, span: SpanRecord) -> None:
        """Hand it to the thread; beyond what that keeps, spans are dropped."""
        failed = span.error is not None
        attributes = {**span.attributes, "error.type": span.error} if failed else span.attributes
        self._batches.on_end(
            ReadableSpan(
                name=span.name,
                context=_context(span.context),
                parent=None if span.parent is None else _context(span.parent),
                resource=self._resource,
                attributes=attributes,
                kind=_KINDS[span.kind],
                status=Status(StatusCode.ERROR, span.error) if failed else Status(),
                start_time=int(span.began * 1e9),
                end_time=int(span.ended * 1e9),
                instrumentation_scope=self._scope,
            )
        )

    async def aclose(self) -> None:
        """Deliver what is left, for a bounded time: a collector that hangs must not keep the service."""
        over, loop = asyncio.Event(), asyncio.get_running_loop()

        def work() -> None:
            self._batches.shutdown()  # type: ignore[no-untyped-call]
            if not loop.is_closed():
                loop.call_soon_threadsafe(over.set)

        Thread(target=work, name="spans-last", daemon=True).start()
        try:
            async with asyncio.timeout(self._timeout):
                await over.wait()
        except TimeoutError:
            return


def _context(context: TraceContext) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if context.sampled else TraceFlags.DEFAULT)
    trace_id, span_id = int(context.trace_id, 16), int(context.span_id, 16)
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)
