"""The events of a turn as types, for the descriptions; `app.core.events` is what encodes them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from app.core.events import Phase
from app.core.outcome import Intents
from app.core.results import SubsystemSummary, Timing, Usage
from app.web.openapi.shapes import Time, Uuid, Validated, omitted


class _Event(BaseModel):
    timestamp: Time


class Rolled(BaseModel):
    eligible: bool
    passed: bool


class MetadataEvent(_Event):
    """How far the turn has come."""

    type: Literal["metadata"]
    phase: Phase
    tokens_streamed: int = Field(description="Token events so far.")
    turn_id: Uuid = omitted("start")
    character_id: Uuid = omitted("start")
    quest: Rolled = omitted("policy")
    poi: Rolled = omitted("policy")
    position: int = omitted("queued: place in the queue, from 1")
    subsystem: str = omitted("settling: the write whose fate is being read back")
    until: Time = omitted("settling")


class TokenEvent(_Event):
    """A piece of the narrative, decoded."""

    type: Literal["token"]
    content: str
    index: int = Field(ge=0, description="Number of the first narrative delta in it, from 0.")
    field: Literal["narrative"]


class PreviewEvent(_Event):
    """The intents as the model finished them, not yet validated; at most once."""

    type: Literal["preview"]
    intents: Intents
    validated: Literal[False]


class WriteEvent(_Event):
    """The receipt of one write to journey-log; they come in the order of the writes."""

    type: Literal["write"]
    subsystem: Literal["quest", "combat", "poi", "narrative"]
    action: str
    success: bool
    error: str | None


class CompleteEvent(_Event):
    """Terminal: the turn is over and final."""

    type: Literal["complete"]
    turn_id: Uuid
    intents: Intents
    subsystem_summary: SubsystemSummary
    timing: Timing
    usage: Usage
    validation: Validated


class ErrorEvent(_Event):
    """Terminal: the turn failed. The fields are those of a problem's `error`."""

    type: Literal["error"]
    error_type: str
    message: str
    recoverable: bool
    phase: str
    committed: list[str] = Field(description="The subsystems already written.")
    partial_narrative: str = omitted("What was told before it failed.")
    retry_after_seconds: float = omitted()
    request_id: str = omitted()


class CancelledEvent(_Event):
    """Terminal: the turn was cancelled; nothing was written."""

    type: Literal["cancelled"]
    phase: str
    partial_narrative: str


class GapEvent(_Event):
    """Without an id: these events are no longer kept. The stream closes; ask for the turn."""

    type: Literal["gap"]
    first: int = Field(alias="from")
    last: int = Field(alias="to")


class PingEvent(_Event):
    """Without an id, every 15 s of silence."""

    type: Literal["ping"]


TurnEvent = Annotated[
    MetadataEvent
    | TokenEvent
    | PreviewEvent
    | WriteEvent
    | CompleteEvent
    | ErrorEvent
    | CancelledEvent
    | GapEvent
    | PingEvent,
    Field(discriminator="type"),
]


# -- what a client says on the WebSocket ----------------------------------------------------------


class ResumeMessage(BaseModel):
    """Read a turn from where another reader left it."""

    type: Literal["resume"]
    turn_id: Uuid
    after: int = Field(0, ge=0, description="Sequence number of the last event already seen.")


class CancelMessage(BaseModel):
    """Cancel the turn that this socket is telling."""

    type: Literal["cancel"]
