"""Headers of every call to an upstream."""

from __future__ import annotations

from typing import NamedTuple


class CallMeta(NamedTuple):
    """The request id and trace context of a call to an upstream."""

    request_id: str
    traceparent: str | None = None
