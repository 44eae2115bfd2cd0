"""Conversations as transports see them: the kept context, and forgetting it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from app.core.access import Caller
from app.core.conversation import (
    Exchange,
    Persona,
    cleared,
    with_personas,
)
from app.core.events import stamp
from app.core.topics import current_topics
from app.dialogue.npcs import Npcs
from app.dialogue.schemas import (
    ChatContext,
    ContextCleared,
    ContextMessage,
    ContextMetadata,
    MessageMetadata,
    PersonaIn,
    PersonaView,
)
from app.dialogue.settings import DialogueSettings
from app.errors import ValidationError
from app.ports.clock import Clock
from app.ports.conversations import ConversationKey, Conversations

DAY, HOUR = 86_400.0, 3_600.0


@dataclass(eq=False)
class DialogueService:
    """`models`: those that personas may have."""

    _conversations: Conversations
    _clock: Clock
    _settings: DialogueSettings
    _models: Sequence[str]
    _npcs: Npcs
    _looked: float = field(default=0.0, init=False)

    async def context(self, key: ConversationKey) -> ChatContext:
        """The context that the co-host remembers of the conversation."""
        kept = await self._conversations.conversation(key)
        known = self._settings.remembered(kept)
        return ChatContext(
            context=[message for one in known.exchanges for message in _messages(one)],
            metadata=ContextMetadata(
                context_summary=known.recap,
                current_topics=current_topics(kept.exchanges),
                last_update=stamp(kept.updated_at) if kept.updated_at else None,
            ),
            system_prompt=self._settings.chat_system_prompt,
            conversation_id=key.conversation_id,
            personas=[_shown(one) for one in kept.personas],
        )

    async def set_personas(
        self, key: ConversationKey, personas: Sequence[PersonaIn], caller: Caller
    ) -> list[PersonaView]:
        """Set the personas of the conversation and return them. Raises `ValidationError` for a model
        that is not offered, and for a table that the caller may not read."""
        now, joining = self._clock.now(), [Persona(**one.model_dump()) for one in personas]
        for number, one in enumerate(joining):
            if one.model is not None and one.model not in self._models:
                known = ", ".join(self._models)
                raise ValidationError(f"personas.{number}.model: must be one of {known}")
            if one.session_id is not None and not await self._npcs.may_ask(caller, one.session_id):
                raise ValidationError(f"personas.{number}.session_id: is no session of yours")
        kept = await self._conversations.change_conversation(
            key, lambda known: with_personas(known, joining, now)
        )
        return [_shown(one) for one in kept.personas]

    async def clear(self, key: ConversationKey) -> ContextCleared:
        """Forget what was said; an answer that is under way is not kept, either."""
        now = self._clock.now()
        await self._conversations.change_conversation(key, lambda one: cleared(one, now))
        return ContextCleared(status="success", message="Context cleared.", timestamp=stamp(now))

    async def expire(self) -> None:
        """Remove conversations that nobody has continued for long; looks once an hour."""
        now = self._clock.now()
        if now - self._looked >= HOUR:
            await self._conversations.expire_conversations(
                now - self._settings.chat_retention_days * DAY
            )
            self._looked = now


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


def _shown(persona: Persona) -> PersonaView:
    shown = PersonaView(name=persona.name, system_prompt=persona.system_prompt, model=persona.model)
    if persona.session_id is not None:
        shown["session_id"] = persona.session_id
    return shown
