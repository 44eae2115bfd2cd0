"""A collector of OpenTelemetry spans on a socket of its own."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status


@dataclass(frozen=True)
class Received:
    """A span as it came. Its times are nanoseconds, its ids lower-case hexadecimal digits."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    began: int
    ended: int
    kind: str
    failed: str | None
    attributes: dict[str, object]


@dataclass
class Collector:
    """`bodies` as they came, uncompressed; `status`: of its answers."""

    url: str = ""
    status: int = 200
    bodies: list[bytes] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)

    @property
    def resource(self) -> dict[str, object]:
        """Of the first batch."""
        request = ExportTraceServiceRequest.FromString(self.bodies[0])
        return _values(request.resource_spans[0].resource.attributes)

    @property
    def spans(self) -> list[Received]:
        """All that have come, in the order in which they began."""
        found = [
            _received(span)
            for body in self.bodies
            for one in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in one.scope_spans
            for span in scope.spans
        ]
        return sorted(found, key=lambda span: span.began)

    def tree(self, *, of: str | None = None) -> dict[str, list[str]]:
        """Names of the children by name of the parent; "" has those whose parent did not come."""
        spans = [span for span in self.spans if of is None or span.trace_id == of]
        names = {span.span_id: span.name for span in spans}
        assert len(names) == len(spans), "a span came twice"
        found: dict[str, list[str]] = {}
        for span in spans:
            found.setdefault(names.get(span.parent_id, ""), []).append(span.name)
        return found

    def one(self, name: str) -> Received:
        """The only span of that name."""
        (found,) = [span for span in self.spans if span.name == name]
        return found


def _received(span: Span) -> Received:
    failed = span.status.code == Status.STATUS_CODE_ERROR
    return Received(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        began=span.start_time_unix_nano,
        ended=span.end_time_unix_nano,
        kind=Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        failed=span.status.message if failed else None,
        attributes=_values(span.attributes),
    )


def _values(pairs: object) -> dict[str, object]:
    found: dict[str, object] = {}
    for pair in pairs:  # type: ignore[attr-defined]
        assert isinstance(pair, KeyValue)
        found[pair.key] = getattr(pair.value, str(pair.value.WhichOneof("value")))
    return found


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector that listens."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            collector.paths.add(self.path)
            collector.bodies.append(body)
            self.send_response(collector.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        collector.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()
