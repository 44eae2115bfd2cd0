"""Language models and moderation."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog

from app.adapters.moderation.words import WordList
from app.core.breaker import BreakerRule, CircuitBreaker
from app.generation.request import GenerationLimits
from app.ports.model import LanguageModel, ProbedModel
from app.ports.moderation import Moderator
from app.requirements import cannot_be
from app.settings import BadSetting, ModelSettings
from app.standins.storyteller import Storyteller

log = structlog.get_logger(__name__)


def language_models(settings: ModelSettings, tls: ssl.SSLContext) -> list[LanguageModel]:
    """The first one generates; the others take over in order when those before them cannot."""
    storyteller = Storyteller(settings.storyteller_tokens_per_second, settings.rng_seed)
    if settings.offline:
        return [storyteller]
    if not urlsplit(settings.openai_base_url or "/v1").path:
        log.warning("model_address", hint="OPENAI_BASE_URL has no path; it mostly ends in /v1")
    models = _on_openai().probed_models(settings, tls, model_names(settings))
    return [*models, storyteller] if settings.offline_fallback else models


def further_models(settings: ModelSettings, tls: ssl.SSLContext) -> list[LanguageModel]:
    """Models that a request may name, at the same address."""
    if settings.offline or not settings.openai_further_models:
        return []
    further: list[LanguageModel] = _on_openai().models(
        settings, tls, settings.openai_further_models
    )
    return further


def probed_models(settings: ModelSettings, tls: ssl.SSLContext) -> list[ProbedModel]:
    """The same for diagnosis, without the storyteller."""
    if settings.offline:
        return []
    probed: list[ProbedModel] = _on_openai().probed_models(settings, tls, model_names(settings))
    return probed


def as_probed(settings: ModelSettings, model: LanguageModel) -> ProbedModel | None:
    """None where it does not show how it is asked."""
    return None if settings.offline else _on_openai().as_probed(model)


def _on_openai() -> Any:
    return import_module("app.bootstrap.on_openai")


def model_names(settings: ModelSettings) -> list[str]:
    """The first one generates, the other one takes over."""
    names = (settings.model_name, settings.openai_fallback_model)
    return [name for name in names if name is not None]


def moderator(
    settings: ModelSettings, tls: ssl.SSLContext, now: Callable[[], float]
) -> Moderator | None:
    """None: nothing is judged. Raises `BadSetting` when the list cannot be read."""
    if settings.moderation == "openai":
        judge: Moderator = _on_openai().moderation(settings, tls, breaker(settings), now)
        return judge
    if settings.moderation == "off" or settings.moderation_words_file is None:
        return None
    return _word_list(settings.moderation_words_file)


def _word_list(file: Path) -> WordList:
    try:
        return WordList.from_file(file)
    except (OSError, UnicodeDecodeError) as error:
        raise BadSetting(f"MODERATION_WORDS_FILE: {cannot_be('read', error)}") from None


def breaker(settings: ModelSettings) -> CircuitBreaker:
    """A breaker of its own for each upstream."""
    return CircuitBreaker(BreakerRule(settings.breaker_failures, settings.breaker_window_seconds))


def generation_limits(settings: ModelSettings) -> GenerationLimits:
    """The limits of generations that have none of their own."""
    return GenerationLimits(
        streaming=settings.llm_streaming,
        max_retries=settings.llm_max_retries,
        delay_base=settings.llm_retry_delay_base,
        delay_max=settings.llm_retry_delay_max,
        seconds=settings.llm_phase_seconds,
        hold_characters=settings.moderation_hold_characters,
    )
