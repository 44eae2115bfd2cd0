"""A model that shows how its server is asked, for diagnosis."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, Literal

import httpx2
import openai
from openai import AsyncOpenAI

from app.adapters.openai.model import OpenAIModel
from app.adapters.openai.parsers import MOST_TOKENS, read_json
from app.adapters.openai.reading import whole_body
from app.ports.model import ModelFailed

PROMPT: Final = "prompt"
_WINDOWS: Final = (
    "loaded_context_length",  # LM Studio
    "max_model_len",  # vLLM
    "n_ctx",  # llama.cpp
    "context_length",  # OpenRouter, Together
    "context_window",  # Groq
    "max_context_length",  # Mistral
    "max_input_tokens",  # LiteLLM
)


class ProbedOpenAIModel(OpenAIModel):
    """`client` must have `max_retries=0`."""

    def __init__(
        self,
        client: AsyncOpenAI,
        model: str,
        api: Literal["responses", "chat"],
        without: Collection[str] = (),
    ) -> None:
        super().__init__(client, model, api, without=without)
        self._api: Literal["responses", "chat"] = api
        self.forms = (*self._format.groups[0], PROMPT)

    @property
    def form(self) -> str | None:
        taken = self.ladder.last
        return None if taken is None else next((one for one in self.forms if one in taken), PROMPT)

    def pinned(self, form: str) -> ProbedOpenAIModel:
        better = self.forms[: self.forms.index(form)]
        return ProbedOpenAIModel(self._client, self.name, self._api, without=better)

    async def window(self) -> int | None:
        try:
            http = await self._client.get("/models", cast_to=httpx2.Response)
            listed = read_json(await whole_body(http))
        except (openai.OpenAIError, httpx2.HTTPError, ModelFailed):
            return None
        return next(_windows(_entry(listed, self.name)), None)


def _entry(listed: Mapping[str, Any], name: str) -> Any:
    """The model's own, or the only one."""
    rows = [row for row in _rows(listed) if isinstance(row, Mapping)]
    named = [row for row in rows if name in (row.get("id"), row.get("name"))]
    return named[0] if named else rows[0] if len(rows) == 1 else {}


def _rows(listed: Mapping[str, Any]) -> list[Any]:
    rows = listed.get("data") or listed.get("models")
    return rows if isinstance(rows, list) else []


def _windows(entry: Mapping[str, Any]) -> Iterator[int]:
    inner = [entry.get(name) for name in ("meta", "model_info", "top_provider")]
    for place in (entry, *(one for one in inner if isinstance(one, Mapping))):
        for name in _WINDOWS:
            found = place.get(name)
            if type(found) is int and 0 < found <= MOST_TOKENS:
                yield found
