"""The adapters that carry events, rate windows and cached answers between processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.adapters.event_log.shared import LogChannel
from app.feature import Probe, Work
from app.ports.answers import Answers
from app.ports.limits import Limiter


@dataclass(frozen=True, slots=True)
class Carried:
    """`closers` are called in their order; `health` is shown by `GET /health`."""

    channel: LogChannel
    limiter: Limiter
    answers: Answers
    closers: tuple[Work, ...] = ()
    health: Mapping[str, Probe] = field(default_factory=dict)
