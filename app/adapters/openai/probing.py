"""A model that shows how its server is asked, for diagnosis."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, Literal

import httpx2
import openai
from openai import AsyncOpenAI

from app.adapters.openai.listing import NATIVE_PATHS, context_of, native_context, read_models
from app.adapters.openai.model import OpenAIModel
from app.adapters.openai.parsers import read_json
from app.adapters.openai.reading import TokenTimeouts, whole_body
from app.ports.model import ModelFailed, ModelListing

PROMPT: Final = "prompt"


class ProbedOpenAIModel(OpenAIModel):
    """`client` must have `max_retries=0`."""

    def __init__(
        self,
        client: AsyncOpenAI,
        model: str,
        api: Literal["responses", "chat"],
        without: Collection[str] = (),
        timeouts: TokenTimeouts | None = None,
    ) -> None:
        super().__init__(client, model, api, without=without, timeouts=timeouts)
        self._api: Literal["responses", "chat"] = api
        self.forms = (*self._format.groups[0], PROMPT)

    @property
    def form(self) -> str | None:
        taken = self.ladder.last
        return None if taken is None else next((one for one in self.forms if one in taken), PROMPT)

    def pinned(self, form: str) -> ProbedOpenAIModel:
        better = self.forms[: self.forms.index(form)]
        return ProbedOpenAIModel(self._client, self.name, self._api, better, self._timeouts)

    def leave_out(self, form: str) -> None:
        self.ladder.without.add(form)

    async def listing(self) -> ModelListing | None:
        listed = await self._get("/models")
        if listed is None:
            return None
        models = read_models(listed)
        context = context_of(models, self.name) or await self._native_context()
        return ModelListing(tuple(one.name for one in models), context)

    async def _native_context(self) -> int | None:
        root = str(self._client.base_url).rstrip("/").removesuffix("/v1")
        for path in NATIVE_PATHS:
            if found := native_context(await self._get(root + path), self.name):
                return found
        return None

    async def _get(self, address: str) -> Any:
        """None where there is no answer, or none that is an object."""
        try:
            http = await self._client.get(address, cast_to=httpx2.Response)
            return read_json(await whole_body(http))
        except (openai.OpenAIError, httpx2.HTTPError, ModelFailed):
            return None
