"""Conversations as transports see them: the kept context, and forgetting it."""

from __future__ import annotations

from app.core.conversation import Conversation, Exchange, cleared, recap
from app.core.events import stamp
from app.core.topics import current_topics
from app.dialogue.schemas import (
    ChatContext,
    ContextCleared,
    ContextMessage,
    ContextMetadata,
    MessageMetadata,
)
from app.ports.clock import Clock
from app.ports.conversations import ConversationKey, Conversations

DAY = 86_400.0


class DialogueService:
    """`retention`: days after which a conversation that nobody continues is removed."""

    def __init__(
        self, conversations: Conversations, clock: Clock, system_prompt: str, retention: int
    ) -> None:
        self._conversations = conversations
        self._clock = clock
        self._system_prompt = system_prompt
        self._retention = retention

    async def context(self, key: ConversationKey) -> ChatContext:
        """What is kept of the conversation."""
        kept = await self._conversations.conversation(key)
        return ChatContext(
            context=[message for one in kept.exchanges for message in _messages(one)],
            metadata=_metadata(kept),
            system_prompt=self._system_prompt,
            conversation_id=key.conversation_id,
        )

    async def clear(self, key: ConversationKey) -> ContextCleared:
        """Forget what was said; an answer that is under way is not kept, either."""
        now = self._clock.now()
        await self._conversations.change_conversation(key, lambda one: cleared(one, now))
        return ContextCleared(status="success", message="Context cleared.", timestamp=stamp(now))

    async def expire(self) -> None:
        """Remove conversations that nobody has continued for long."""
        await self._conversations.expire_conversations(self._clock.now() - self._retention * DAY)


def _messages(exchange: Exchange) -> tuple[ContextMessage, ContextMessage]:
    asked = MessageMetadata(
        username=exchange.username,
        timestamp=stamp(exchange.asked_at),
        emotes=list(exchange.emotes),
    )
    return (
        ContextMessage(role="user", content=exchange.said, metadata=asked),
        ContextMessage(role="assistant", content=exchange.answer),
    )


def _metadata(kept: Conversation) -> ContextMetadata:
    return ContextMetadata(
        context_summary=recap(kept),
        current_topics=current_topics(kept.exchanges),
        last_update=stamp(kept.updated_at) if kept.updated_at else None,
    )
