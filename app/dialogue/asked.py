"""A chat message as the request of a turn, and back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import NamedTuple, Self

from app.core.conversation import spoken
from app.core.encoding import dump
from app.ports.conversations import ConversationKey
from app.ports.turn import TurnRequest

PREFIX = "chat:"
MAX_WAITING = 20
"""Messages that may wait for one conversation: viewers do not take turns."""


class Asked(NamedTuple):
    """The fields of a message other than its text. `speaker`: the persona asked for; empty means the
    next in turn."""

    conversation_id: str
    username: str
    emotes: tuple[str, ...] = ()
    speaker: str = ""
    cache: bool = True

    def request(self, message: str, request: TurnRequest) -> TurnRequest:
        """The turn that answers it."""
        name = f"{PREFIX}{self.conversation_id}"
        return replace(
            request,
            character_id=name,
            user_action=message,
            kind="chat",
            about=dump(self._asdict()),
            exclusive=f"{name}:{request.user_id}",
            may_wait=MAX_WAITING,
        )

    @classmethod
    def of(cls, request: TurnRequest) -> Self:
        """The message that a turn answers, read from the turn's request."""
        fields = json.loads(request.about)
        return cls(**{**fields, "emotes": tuple(fields["emotes"])})

    def key(self, user_id: str) -> ConversationKey:
        """The key of the conversation that the message belongs to."""
        return ConversationKey(user_id, self.conversation_id)

    def said(self, message: str) -> str:
        """The message as the model reads it."""
        return spoken(self.username, message, self.emotes)
