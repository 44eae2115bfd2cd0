"""Requests and answers of `/v1`, as far as they count."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict


class CompletionBody(BaseModel):
    """Body of `POST /v1/chat/completions`. Other members are taken and ignored: tools, sampling,
    limits of length, and the texts of system, developer and tool messages."""

    model_config = ConfigDict(extra="allow")

    model: Annotated[
        str,
        Field(
            description="`dungeon-master/{character_id}`, `dungeon-master/new`, or "
            "`dungeon-master-tasks` for what front ends ask by themselves."
        ),
    ]
    messages: Annotated[
        list[dict[str, Any]], Field(description="The action is the last user message alone.")
    ]
    stream: bool | None = None
    stream_options: dict[str, bool | None] | None = None
    metadata: Annotated[
        dict[str, Any] | None,
        Field(description='`{"dm_turn": "true"}` plays a turn without streaming it.'),
    ] = None
    dm_events: Annotated[
        bool | None, Field(description="Also shows the events that are no text, as `dm.event`.")
    ] = None


class CompletionMessage(TypedDict):
    role: Literal["assistant"]
    content: str


class CompletionChoice(TypedDict):
    index: int
    message: CompletionMessage
    finish_reason: Literal["stop"]


class CompletionUsage(TypedDict):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(TypedDict):
    """A `chat.completion`; that of a turn has `dm` beside it: what `complete` says."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: CompletionUsage


class Model(TypedDict):
    id: str
    name: Annotated[str, Field(description="The character's.")]
    object: Literal["model"]
    created: int
    owned_by: str


class Models(TypedDict):
    object: Literal["list"]
    data: list[Model]
