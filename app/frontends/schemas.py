"""Requests of AG-UI and AI SDK clients, as far as they count; other members are taken and ignored."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field


class RunBody(BaseModel):
    """`RunAgentInput` of AG-UI."""

    model_config = ConfigDict(extra="allow")

    messages: Annotated[
        list[dict[str, Any]],
        Field(
            description="The last one is the action; an assistant's whose id is a turn is rejoined."
        ),
    ]
    threadId: str | None = None
    runId: str | None = None
    protocolVersion: str | None = None
    forwardedProps: Annotated[
        dict[str, Any] | None,
        Field(description="`dry_run` is ours; with `toolChoice` a run is never a turn."),
    ] = None


class ChatBody(BaseModel):
    """The body that `DefaultChatTransport` of the AI SDK sends."""

    model_config = ConfigDict(extra="allow")

    id: Annotated[str, Field(description="The chat.")]
    messages: Annotated[
        list[dict[str, Any]],
        Field(description="The text parts of the last one, a user's, are the action."),
    ]
    trigger: str | None = None
    messageId: str | None = None
