"""The probe of the model server at the start."""

from __future__ import annotations

from app.bootstrap.models import as_probed
from app.doctor.at_start import StartProbe
from app.generation.service import GenerationService
from app.ports.model import LanguageModel
from app.settings import ModelSettings


def start_probe(
    settings: ModelSettings, model: LanguageModel, generation: GenerationService
) -> StartProbe:
    """`model`: the one that generates, without a circuit breaker in front of it."""
    asked = as_probed(settings, model) if settings.probes_model else None
    return StartProbe(
        asked,
        stream=settings.llm_streaming,
        busy=lambda: generation.busy,
        learn=generation.room_of(model).know,
    )
