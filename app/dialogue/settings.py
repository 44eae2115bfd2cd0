"""Settings of conversations."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from app.core.conversation import Conversation, Persona, Remembered, remembered
from app.settings import SettingsGroup

DEFAULT_SYSTEM_PROMPT = (
    "You are the co-host of a live show and talk with its host and its viewers. You are warm, quick and "
    "curious, you tease kindly, and you keep answers to a few sentences unless somebody asks for more. "
    "Each message begins with the name of whoever wrote it; answer that person, without putting your own "
    "name in front. Answer in the language of the message."
)


class DialogueSettings(SettingsGroup):
    """`chat_context_messages` counts questions and answers; 0 switches the cache off."""

    chat_system_prompt: Annotated[str, Field(min_length=1, max_length=20_000)] = (
        DEFAULT_SYSTEM_PROMPT
    )
    chat_context_messages: Annotated[int, Field(ge=2, le=200)] = 10
    chat_context_tokens: Annotated[int, Field(ge=100, le=1_000_000)] = 4_000
    chat_max_tokens: Annotated[int, Field(ge=16, le=200_000)] = 1_000
    chat_temperature: Annotated[float, Field(ge=0, le=2)] = 0.7
    chat_top_p: Annotated[float, Field(ge=0.01, le=1)] = 0.95
    chat_cache_ttl_seconds: Annotated[int, Field(ge=0, le=604_800)] = 3_600
    chat_summary: Literal["model", "extract"] = "model"
    chat_retention_days: Annotated[int, Field(ge=1, le=3_650)] = 90

    def remembered(self, conversation: Conversation, persona: Persona | None = None) -> Remembered:
        """The part of the conversation that the persona (None: the co-host) knows, within both
        bounds."""
        return remembered(
            conversation, persona, self.chat_context_messages, self.chat_context_tokens
        )
