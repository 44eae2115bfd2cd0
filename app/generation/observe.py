"""What happens to a generation, as facts for telemetry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from app.generation.request import GenerationRequest

CallOutcome = Literal["ok", "timeout", "unavailable", "failed", "invalid", "cancelled"]


@dataclass(frozen=True, slots=True)
class ModelCalled:
    """One call to a model. `seconds` from the request to the end of the answer."""

    request: GenerationRequest
    api: str
    model: str
    outcome: CallOutcome
    seconds: float


def unobserved(_: ModelCalled) -> None:
    """Ignore what happened."""
