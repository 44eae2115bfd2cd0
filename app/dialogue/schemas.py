"""Requests and answers of conversations."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field, StringConstraints
from typing_extensions import TypedDict

from app.core.fields import IdempotencyKey, Time, Uuid
from app.core.results import Usage
from app.core.writes import MAX_ACTION
from app.web.bodies import VISIBLE, RequestBody

CONVERSATION_ID = r"^[A-Za-z0-9._-]{1,100}$"
DEFAULT_CONVERSATION = "default"
MAX_EMOTES = 50

Username = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64), VISIBLE
]
Emote = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]


class ChatIn(RequestBody):
    """Body of `POST /chat`."""

    username: Username
    message: Annotated[str, Field(min_length=1, max_length=MAX_ACTION), VISIBLE]
    emotes: Annotated[list[Emote], Field(max_length=MAX_EMOTES)] | None = None
    conversation_id: Annotated[str, Field(pattern=CONVERSATION_ID)] | None = Field(
        None, description="Which of the caller's conversations; `default` where it is absent."
    )
    idempotency_key: IdempotencyKey | None = None


class ChatReply(TypedDict):
    """The answer of `POST /chat`."""

    response: str
    error: None
    timestamp: Time
    context_summary: Annotated[str, Field(description="What has left the context, in short.")]
    current_topics: list[str]
    conversation_id: str
    message_id: Annotated[Uuid, Field(description="The turn: `GET /turns/{turn_id}/events`.")]
    speaker: Annotated[str, Field(description="Who has answered; empty: the co-host.")]
    cached: bool
    usage: Usage


class MessageMetadata(TypedDict):
    username: str
    timestamp: Time
    emotes: list[str]


class ContextMessage(TypedDict):
    role: Literal["user", "assistant"]
    content: Annotated[str, Field(description="Of a user: `name: text [emotes: a, b]`.")]
    metadata: NotRequired[Annotated[MessageMetadata, Field(description="Of a user only.")]]


class ContextMetadata(TypedDict):
    context_summary: str
    current_topics: list[str]
    last_update: Time | None


class ChatContext(TypedDict):
    """The answer of `GET /context`."""

    context: Annotated[list[ContextMessage], Field(description="Oldest first.")]
    metadata: ContextMetadata
    system_prompt: str
    conversation_id: str


class ContextCleared(TypedDict):
    """The answer of `DELETE /context`."""

    status: Literal["success"]
    message: str
    timestamp: Time
