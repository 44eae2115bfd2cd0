"""The rolling summary: what has left the exchanges, told by a model now and then, beside the chat."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from app.core.conversation import MAX_DIGEST, Conversation, summarised
from app.core.prose import SpoiledNarrative
from app.core.text import has_visible
from app.errors import DungeonMasterError
from app.generation.service import GenerationService
from app.generation.summary import fold
from app.ports.conversations import ConversationKey, Conversations

log = structlog.get_logger(__name__)

MAX_WAITING: Final = 1_000
ENOUGH: Final = MAX_DIGEST // 2
"""Characters of lines that are worth a call."""


class Summariser:
    """One conversation at a time. Where no model can, the lines stay until there are too many."""

    def __init__(self, conversations: Conversations, generation: GenerationService) -> None:
        self._conversations = conversations
        self._generation = generation
        self._waiting: dict[ConversationKey, None] = {}
        self._news = asyncio.Event()

    def consider(self, key: ConversationKey, conversation: Conversation) -> None:
        """Summarise it soon, where there is enough."""
        if sum(map(len, conversation.digest)) >= ENOUGH and len(self._waiting) < MAX_WAITING:
            self._waiting[key] = None
            self._news.set()

    async def run(self) -> None:
        """Summarise for as long as the service runs."""
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                key = next(iter(self._waiting))
                del self._waiting[key]
                await self._one(key)

    async def _one(self, key: ConversationKey) -> None:
        try:
            await self.summarise(key)
        except (DungeonMasterError, SpoiledNarrative) as error:
            log.warning("summary_failed", error_type=type(error).__name__)

    async def summarise(self, key: ConversationKey) -> None:
        """Fold the lines that there are now into the summary. Raises as `generate` does."""
        known = await self._conversations.conversation(key)
        if not known.digest:
            return
        text = await fold(self._generation, key.user_id, known.summary, known.digest)
        if has_visible(text):
            await self._conversations.change_conversation(
                key, lambda now: _folded(now, known, text)
            )


def _folded(now: Conversation, known: Conversation, text: str) -> Conversation | None:
    """None where the conversation was cleared meanwhile."""
    return summarised(now, text, known.digest) if now.epoch == known.epoch else None
