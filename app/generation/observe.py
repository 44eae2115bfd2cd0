"""Observations of generations for telemetry."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from app.core.results import Usage
from app.generation.request import GenerationRequest

CallOutcome = Literal["ok", "timeout", "unavailable", "failed", "invalid", "cancelled"]


@dataclass(frozen=True, slots=True)
class ModelCalled:
    """One call to a model. `seconds` from the request to the end of the answer; `usage` with its cost."""

    request: GenerationRequest
    api: str
    model: str
    outcome: CallOutcome
    seconds: float
    usage: Usage = field(default_factory=Usage)


def unobserved(_: ModelCalled) -> None:
    """Ignore what happened."""
