"""OpenAI's moderation endpoint."""

from __future__ import annotations

import openai
import structlog
from openai import AsyncOpenAI

log = structlog.get_logger(__name__)


class OpenAIModeration:
    """`fail_open`: whether a passage may be shown that nobody could judge."""

    longest_phrase = 0

    def __init__(self, client: AsyncOpenAI, model: str, *, fail_open: bool = False) -> None:
        self._client = client
        self._model = model
        self._fail_open = fail_open

    async def allows(self, text: str) -> bool:
        try:
            judged = await self._client.moderations.create(input=text, model=self._model)
        except openai.OpenAIError as error:
            log.warning("moderation_unavailable", kind=type(error).__name__)
            return self._fail_open
        return not any(result.flagged for result in judged.results)

    async def aclose(self) -> None:
        await self._client.close()
