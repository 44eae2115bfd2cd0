"""Which model a server has, where no setting names one: asked once, before the service starts."""

from __future__ import annotations

import ssl
from typing import Any, Final, NamedTuple

import httpx
import structlog

from app.settings import DEFAULT_MODEL, BadSetting, ModelSettings

log = structlog.get_logger(__name__)

SECONDS: Final = 5.0
MAX_LISTED: Final = 20
_NO_CHAT: Final = ("embed", "rerank", "whisper", "tts", "bge-", "clip")
_WINDOWS: Final = (
    "loaded_context_length",  # LM Studio
    "max_model_len",  # vLLM
    "n_ctx",  # llama.cpp, in `meta`
    "context_window",
    "context_length",
    "max_context_length",
)


class ServerModel(NamedTuple):
    """A model of a server. `context_tokens`: None where the server does not say it."""

    name: str
    context_tokens: int | None = None


def with_discovered_model(settings: ModelSettings, tls: ssl.SSLContext) -> dict[str, Any]:
    """The settings that the server's list of models supplies: its only model, and that one's context.

    Empty where a model is named or the list cannot be read: then the usual name is sent, which servers of
    one model ignore. Raises `BadSetting` where there are several.
    """
    if settings.offline or settings.openai_base_url is None or settings.openai_model is not None:
        return {}
    found = read_models(_asked(settings, tls))
    if not found:
        log.warning("model_not_discovered", hint=f"name it in OPENAI_MODEL; now {DEFAULT_MODEL}")
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


def read_models(listed: Any) -> list[ServerModel]:
    """The models that chat, from the answer to `GET /v1/models`, whatever its server."""
    rows = listed.get("data", listed.get("models", ())) if isinstance(listed, dict) else ()
    found: dict[str, ServerModel] = {}
    for row in rows if isinstance(rows, list) else ():
        name = row.get("id", row.get("name")) if isinstance(row, dict) else None
        if isinstance(name, str) and name.strip() and not _is_other(name, row):
            found.setdefault(name, ServerModel(name, _window(row)))
    return list(found.values())


def _is_other(name: str, row: dict[str, Any]) -> bool:
    """Whether the model does something else than chat."""
    kind = str(row.get("type", "")).lower()
    return kind in ("embedding", "embeddings", "rerank") or any(
        part in name.lower() for part in _NO_CHAT
    )


def _window(row: dict[str, Any]) -> int | None:
    meta = row.get("meta")
    fields = {**(meta if isinstance(meta, dict) else {}), **row}
    values = [fields.get(name) for name in _WINDOWS]
    return next((one for one in values if type(one) is int and 1_000 <= one <= 100_000_000), None)
