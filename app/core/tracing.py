"""Trace contexts in the form of W3C: `00-<32 hex digits>-<16 hex digits>-<flags>`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Attribute = str | int | float | bool
Kind = Literal["internal", "server", "client"]


class TraceContext(NamedTuple):
    """One span of one trace. `sampled`: it is recorded."""

    trace_id: str
    span_id: str
    sampled: bool = True

    @classmethod
    def of(cls, header: str | None) -> TraceContext | None:
        """None where there is none. The header must be well-formed."""
        if not header:
            return None
        _, trace_id, span_id, flags = header.split("-")[:4]
        return cls(trace_id, span_id, bool(int(flags, 16) & 1))

    @property
    def header(self) -> str:
        """As `traceparent` is sent."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"


@dataclass(frozen=True, slots=True)
class SpanRecord:
    """A span that has ended. Times are epoch seconds; `error`: its type, where it failed."""

    name: str
    context: TraceContext
    parent: TraceContext | None
    began: float
    ended: float
    kind: Kind = "internal"
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    error: str | None = None


def _unchanged(traceparent: str | None) -> str | None:
    return traceparent


@dataclass(frozen=True, slots=True)
class TurnTraces:
    """`begin` gives the trace context of a new turn, a child of its caller's; by default the caller's."""

    begin: Callable[[str | None], str | None] = _unchanged
