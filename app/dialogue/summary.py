"""The rolling summary: a model sums up the exchanges that have left the window, beside the chat."""

from __future__ import annotations

from typing import Final

from app.core.conversation import MAX_DIGEST, Conversation, summarised
from app.core.text import has_visible
from app.generation.service import GenerationService
from app.generation.summary import SummaryQueue, fold
from app.ports.conversations import ConversationKey, Conversations

ENOUGH: Final = MAX_DIGEST // 2
"""Characters of lines that are worth a call."""


class Summariser:
    """One conversation at a time. Where no model can, the lines stay until there are too many."""

    def __init__(self, conversations: Conversations, generation: GenerationService) -> None:
        self._conversations = conversations
        self._generation = generation
        self._queue = SummaryQueue(self.summarise, "summary_failed")

    def consider(self, key: ConversationKey, conversation: Conversation) -> None:
        """Summarise it soon, where there is enough."""
        if sum(map(len, conversation.digest)) >= ENOUGH:
            self._queue.add(key)

    async def run(self) -> None:
        """Summarise for as long as the service runs."""
        await self._queue.run()

    async def summarise(self, key: ConversationKey) -> None:
        """Fold the lines that there are now into the summary. Raises as `generate` does."""
        known = await self._conversations.conversation(key)
        if not known.digest:
            return
        text = await fold(self._generation, key.user_id, known.summary, known.digest)
        if has_visible(text):
            await self._conversations.change_conversation(
                key, lambda now: summarised(now, known, text)
            )
