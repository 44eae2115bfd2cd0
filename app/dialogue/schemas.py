"""Requests and answers of conversations."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import AfterValidator, Field, StringConstraints, field_validator
from typing_extensions import TypedDict

from app.core.fields import IdempotencyKey, Time, Uuid
from app.core.results import Usage
from app.core.writes import MAX_ACTION
from app.web.bodies import VISIBLE, RequestBody

CONVERSATION_ID = r"^[A-Za-z0-9._-]{1,200}$"
DEFAULT_CONVERSATION = "default"
MAX_EMOTES = 50
MAX_PERSONAS = 8

Username = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64), VISIBLE
]


def _on_one_line(text: str) -> str:
    """A name with a line break in it could begin a line as somebody else."""
    return " ".join(text.split())


Author = Annotated[Username, AfterValidator(_on_one_line)]
Emote = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=64),
    AfterValidator(_on_one_line),
]


def _plain(name: str) -> str:
    if not name.isprintable() or set(name) & set(":*`<>[]{}"):
        raise ValueError("must hold no line break and none of : * ` < > [ ] { }")
    return name


PersonaName = Annotated[Username, AfterValidator(_plain)]


class ChatIn(RequestBody):
    """Body of `POST /chat`."""

    username: Author
    message: Annotated[str, Field(min_length=1, max_length=MAX_ACTION), VISIBLE]
    emotes: Annotated[list[Emote], Field(max_length=MAX_EMOTES)] | None = None
    conversation_id: Annotated[str, Field(pattern=CONVERSATION_ID)] | None = Field(
        None, description="Which of the caller's conversations; `default` where it is absent."
    )
    speaker: PersonaName | None = Field(
        None,
        description="The persona that is to answer. Without it: the one that the message names first, "
        "else the next in turn; the co-host where there are no personas.",
    )
    cache: bool | None = Field(
        None, description="false: the model is asked, even where the answer is known already."
    )
    idempotency_key: IdempotencyKey | None = None


class PersonaIn(RequestBody):
    """A speaker beside the caller."""

    name: PersonaName
    system_prompt: Annotated[str, Field(min_length=1, max_length=20_000), VISIBLE]
    model: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None, description="One of `OPENAI_FURTHER_MODELS`; without it, the service's own."
    )
    session_id: Annotated[int, Field(ge=1, le=10**15)] | None = Field(
        None,
        description="A table of the caller's, in whose story the persona is a person: it knows the turns "
        "in which its name was heard or it was present, and nothing else of the story.",
    )


class PersonasIn(RequestBody):
    """Body of `PUT /context/personas`."""

    personas: Annotated[list[PersonaIn], Field(max_length=MAX_PERSONAS)]

    @field_validator("personas")
    @classmethod
    def _names_of_their_own(cls, value: list[PersonaIn]) -> list[PersonaIn]:
        names = [one.name.casefold() for one in value]
        if len(set(names)) < len(names):
            raise ValueError("must have names of their own")
        return value


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


class PersonaView(TypedDict):
    name: str
    system_prompt: str
    model: str | None
    session_id: NotRequired[Annotated[int, Field(description="Of a person of a table's story.")]]


class Personas(TypedDict):
    """The answer of `PUT /context/personas`."""

    personas: list[PersonaView]


class ChatContext(TypedDict):
    """The answer of `GET /context`."""

    context: Annotated[list[ContextMessage], Field(description="Oldest first.")]
    metadata: ContextMetadata
    system_prompt: Annotated[str, Field(description="Of the co-host.")]
    conversation_id: str
    personas: list[PersonaView]


class ContextCleared(TypedDict):
    """The answer of `DELETE /context`."""

    status: Literal["success"]
    message: str
    timestamp: Time
