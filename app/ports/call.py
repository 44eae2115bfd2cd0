"""What is sent on with every call to an upstream."""

from __future__ import annotations

from typing import NamedTuple


class CallMeta(NamedTuple):
    """What is sent on with a call to an upstream."""

    request_id: str
    traceparent: str | None = None
