"""Which model a server has, where no setting names one: asked once, before the service starts."""

from __future__ import annotations

import ssl
from typing import Any, Final

import httpx
import structlog

from app.adapters.openai.hints import how_to_get
from app.adapters.openai.listing import read_models
from app.settings import DEFAULT_MODEL, BadSetting, ModelSettings

log = structlog.get_logger(__name__)

SECONDS: Final = 5.0
MAX_LISTED: Final = 20


def with_discovered_model(settings: ModelSettings, tls: ssl.SSLContext) -> dict[str, Any]:
    """The settings that the server's list of models supplies: its only model, and that one's context.

    Empty where a model is named or the list cannot be read: then the usual name is sent, which servers of
    one model ignore. Raises `BadSetting` where there are several.
    """
    if settings.offline or settings.openai_base_url is None or settings.openai_model is not None:
        return {}
    listed = _asked(settings, tls)
    found = read_models(listed)
    if not found:
        getting = "" if listed is None else how_to_get(settings.openai_base_url, "MODEL")
        hint = f"name it in OPENAI_MODEL{getting}; now {DEFAULT_MODEL}"
        log.warning("model_not_discovered", hint=hint)
        return {}
    if len(found) > 1:
        names = ", ".join(one.name for one in found[:MAX_LISTED])
        raise BadSetting(f"OPENAI_MODEL: must name one of the server's models: {names}")
    log.info("model_discovered", model=found[0].name, context_tokens=found[0].context_tokens)
    known = settings.llm_context_tokens or found[0].context_tokens
    return {"openai_model": found[0].name, "llm_context_tokens": known}


def _asked(settings: ModelSettings, tls: ssl.SSLContext) -> Any:
    """The server's list as it is, None where there is none."""
    key = settings.openai_api_key
    headers = {} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"}
    address = f"{settings.openai_base_url}/models"
    try:
        with httpx.Client(verify=tls, timeout=SECONDS) as client:
            return client.get(address, headers=headers).raise_for_status().json()
    except (httpx.HTTPError, ValueError):
        return None
