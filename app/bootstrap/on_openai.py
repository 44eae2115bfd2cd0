"""Language models and moderation behind OpenAI's APIs. They are imported only where there are any:
importing the SDK takes as long as a third of a start."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from urllib.request import getproxies

import httpx2
from openai import AsyncOpenAI

from app.adapters.moderation.openai import OpenAIModeration
from app.adapters.openai.model import OpenAIModel
from app.adapters.openai.probing import ProbedOpenAIModel
from app.adapters.openai.reading import TokenTimeouts
from app.core.breaker import CircuitBreaker
from app.http1 import transport_for
from app.ports.model import LanguageModel, ProbedModel
from app.settings import ModelSettings


def models(
    settings: ModelSettings, tls: ssl.SSLContext, names: Sequence[str]
) -> list[LanguageModel]:
    """Those of a server, by their names."""
    timeouts, api = _timeouts(settings), settings.resolved_llm_api
    client = _client(settings, tls, silence=max(timeouts))
    return [OpenAIModel(client, name, api, timeouts=timeouts) for name in names]


def probed_models(
    settings: ModelSettings, tls: ssl.SSLContext, names: Sequence[str]
) -> list[ProbedModel]:
    """The same, and each shows how it is asked."""
    timeouts, api = _timeouts(settings), settings.resolved_llm_api
    client = _client(settings, tls, silence=max(timeouts))
    return [ProbedOpenAIModel(client, name, api, timeouts=timeouts) for name in names]


def as_probed(model: LanguageModel) -> ProbedModel | None:
    """None where it does not show how it is asked."""
    return model if isinstance(model, ProbedOpenAIModel) else None


def moderation(
    settings: ModelSettings, tls: ssl.SSLContext, breaker: CircuitBreaker, now: Callable[[], float]
) -> OpenAIModeration:
    """The moderation of the model's server."""
    return OpenAIModeration(
        _client(settings, tls),
        settings.moderation_model,
        fail_open=settings.moderation_fail_open,
        breaker=breaker,
        now=now,
    )


def _timeouts(settings: ModelSettings) -> TokenTimeouts:
    return TokenTimeouts(settings.openai_timeout, settings.llm_idle_timeout)


def _client(
    settings: ModelSettings, tls: ssl.SSLContext, silence: float | None = None
) -> AsyncOpenAI:
    """`silence`: seconds without a byte, where these are not the ones to an answer."""
    key, limit = settings.openai_api_key, settings.max_concurrent_llm_calls
    seconds = settings.openai_timeout
    timeout = httpx2.Timeout(silence or seconds, connect=min(seconds, 10.0))
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
