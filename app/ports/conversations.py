"""Conversations as they are kept. An exchange is added by the turn that ends with it, see `Ending`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from app.core.conversation import Conversation, Exchange, added


class ConversationKey(NamedTuple):
    """The key of a conversation; ids are unique per user only."""

    user_id: str
    conversation_id: str


Change = Callable[[Conversation], Conversation | None]
"""A pure function; None leaves the conversation as it is."""


@dataclass(frozen=True, slots=True)
class NewExchange:
    """`epoch`: of the conversation that was answered; the exchange is dropped where it was cleared
    since then. `keep`: how many exchanges stay whole."""

    key: ConversationKey
    epoch: int
    exchange: Exchange
    keep: int

    def apply(self, conversation: Conversation) -> Conversation | None:
        """The `Change` that adds it."""
        if conversation.epoch != self.epoch:
            return None
        return added(conversation, self.exchange, self.keep)


class Conversations(Protocol):
    """Every method is one transaction. Raises `StoreUnavailable`."""

    async def conversation(self, key: ConversationKey) -> Conversation:
        """An empty one where there is none."""
        ...

    async def change_conversation(self, key: ConversationKey, make: Change) -> Conversation:
        """Change the conversation by `make`, atomically."""
        ...

    async def expire_conversations(self, before: float) -> int:
        """Remove those that were changed last before then; how many."""
        ...
