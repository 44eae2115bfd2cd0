"""Reading a model server's list of models: their names and contexts, in each server's own fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from app.adapters.openai.parsers import MOST_TOKENS

LEAST_TOKENS: Final = 1_000
"""A smaller context is a mistake, or too small for any turn."""
_NO_CHAT: Final = ("embed", "rerank", "whisper", "tts", "bge-", "clip")
_WINDOWS: Final = (
    "loaded_context_length",  # LM Studio
    "max_model_len",  # vLLM
    "n_ctx",  # llama.cpp
    "context_length",  # Ollama's running models, OpenRouter, Together
    "context_window",  # Groq
    "max_context_length",  # Mistral
    "max_input_tokens",  # LiteLLM
)
NATIVE_PATHS: Final = ("/props", "/api/ps", "/api/v0/models")
"""Of llama.cpp, Ollama and LM Studio, beside `/v1`: their lists of models do not name the context."""


class ServerModel(NamedTuple):
    """A model of a server. `context_tokens`: None where the server does not say it."""

    name: str
    context_tokens: int | None = None


def read_models(listed: Any) -> list[ServerModel]:
    """The models that chat, from the answer to `GET /v1/models`, whatever its server."""
    found: dict[str, ServerModel] = {}
    for row in _rows(listed):
        name = _name(row)
        if name.strip() and not _is_other(name, row):
            found.setdefault(name, ServerModel(name, next(_windows(row), None)))
    return list(found.values())


def context_of(models: list[ServerModel], name: str) -> int | None:
    """The context in tokens of the model with that name, or of the only model; None where it is not
    known."""
    found = named(models, name) or (models[0] if len(models) == 1 else None)
    return None if found is None else found.context_tokens


def named(models: list[ServerModel], name: str) -> ServerModel | None:
    """The model that a server takes for that name; Ollama adds a tag to a name without one."""
    return next((one for one in models if one.name in (name, f"{name}:latest")), None)


def native_context(answer: Any, name: str) -> int | None:
    """The context that the model was loaded with, from an answer to one of `NATIVE_PATHS`."""
    if not isinstance(answer, Mapping):
        return None
    settings = answer.get("default_generation_settings")
    if isinstance(settings, Mapping):
        return next(_windows(settings), None)
    loaded = [_without_maximum(row) for row in _rows(answer)]
    return context_of(read_models({"data": loaded}), name)


def _without_maximum(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row without the largest context that the model could be loaded with, since the loaded one may
    be smaller."""
    return {field: value for field, value in row.items() if field != "max_context_length"}


def _rows(listed: Any) -> list[Mapping[str, Any]]:
    if not isinstance(listed, Mapping):
        return []
    rows = listed.get("data") or listed.get("models")
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


def _name(row: Mapping[str, Any]) -> str:
    name = row.get("id", row.get("name"))
    return name if isinstance(name, str) else ""


def _is_other(name: str, row: Mapping[str, Any]) -> bool:
    """Whether the model does something else than chat."""
    kind = str(row.get("type", "")).lower()
    return kind in ("embedding", "embeddings", "rerank") or any(
        part in name.lower() for part in _NO_CHAT
    )


def _windows(row: Mapping[str, Any]) -> Iterator[int]:
    inner = [row.get(name) for name in ("meta", "model_info", "top_provider")]
    for place in (row, *(one for one in inner if isinstance(one, Mapping))):
        for name in _WINDOWS:
            found = place.get(name)
            if type(found) is int and LEAST_TOKENS <= found <= MOST_TOKENS:
                yield found
