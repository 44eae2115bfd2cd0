"""Language models and moderation."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx2
import structlog
from openai import AsyncOpenAI

from app.adapters.moderation.openai import OpenAIModeration
from app.adapters.moderation.words import WordList
from app.adapters.openai import OpenAIModel, ProbedOpenAIModel
from app.core.breaker import BreakerRule, CircuitBreaker
from app.generation.request import GenerationLimits
from app.http1 import transport_for
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
    client = _openai_client(settings, tls)
    models: list[LanguageModel] = [
        ProbedOpenAIModel(client, name, settings.resolved_llm_api) for name in model_names(settings)
    ]
    return [*models, storyteller] if settings.offline_fallback else models


def further_models(settings: ModelSettings, tls: ssl.SSLContext) -> list[LanguageModel]:
    """Models that a request may name, at the same address."""
    if settings.offline or not settings.openai_further_models:
        return []
    client, api = _openai_client(settings, tls), settings.resolved_llm_api
    return [OpenAIModel(client, name, api) for name in settings.openai_further_models]


def probed_models(settings: ModelSettings, tls: ssl.SSLContext) -> list[ProbedModel]:
    """The same for diagnosis, without the storyteller."""
    if settings.offline:
        return []
    client, api = _openai_client(settings, tls), settings.resolved_llm_api
    return [ProbedOpenAIModel(client, name, api) for name in model_names(settings)]


def model_names(settings: ModelSettings) -> list[str]:
    """The first one generates, the other one takes over."""
    names = (settings.model_name, settings.openai_fallback_model)
    return [name for name in names if name is not None]


def moderator(
    settings: ModelSettings, tls: ssl.SSLContext, now: Callable[[], float]
) -> Moderator | None:
    """None: nothing is judged. Raises `BadSetting` when the list cannot be read."""
    if settings.moderation == "openai":
        return OpenAIModeration(
            _openai_client(settings, tls),
            settings.moderation_model,
            fail_open=settings.moderation_fail_open,
            breaker=breaker(settings),
            now=now,
        )
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


def _openai_client(settings: ModelSettings, tls: ssl.SSLContext) -> AsyncOpenAI:
    key, limit = settings.openai_api_key, settings.max_concurrent_llm_calls
    timeout = httpx2.Timeout(settings.openai_timeout, connect=min(settings.openai_timeout, 10.0))
    # A proxy from the environment is for the library's own transport.
    transport = None if getproxies() else transport_for(httpx2, limit=limit, tls=tls)
    client = AsyncOpenAI(
        api_key=key.get_secret_value() if key else "none",
        base_url=settings.model_address,
        organization=settings.openai_org_id,
        project=settings.openai_project_id,
        max_retries=0,
        timeout=timeout,  # the SDK takes a client's own 5 s for "not set" and waits 600 s
        http_client=httpx2.AsyncClient(
            timeout=timeout,
            transport=transport,
            limits=httpx2.Limits(max_connections=limit, max_keepalive_connections=limit),
            verify=tls,
            follow_redirects=False,
        ),
    )
    # The SDK takes what is None, and further headers, from the environment: no settings of ours.
    client.organization, client.project = settings.openai_org_id, settings.openai_project_id
    client._custom_headers = {}
    return client
