"""Events for other services, as they are described: CloudEvents 1.0 in structured mode."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypeAlias

from pydantic import Field
from typing_extensions import TypeAliasType, TypedDict

from app.core.fields import Time, Uuid
from app.core.results import SubsystemSummary, Usage
from app.ports.turn import TurnKind


class Event(TypedDict):
    specversion: Literal["1.0"]
    id: Annotated[str, Field(description="The same each time the event is delivered.")]
    source: Annotated[str, Field(description="`/dungeon-master/` and the installation.")]
    subject: Annotated[str, Field(description="Events of one subject are in order.")]
    time: Time
    datacontenttype: Literal["application/json"]
    userid: Annotated[str, Field(description="Whose it is.")]


class TurnEnd(TypedDict):
    """A turn that has ended; who may read it asks for it by its id."""

    turn_id: Uuid
    kind: TurnKind
    user_id: str
    character_id: str | None
    dry_run: bool
    session_id: NotRequired[Annotated[str, Field(description="Of a table's turn.")]]
    conversation_id: NotRequired[Annotated[str, Field(description="Of a chat message.")]]


class TurnCompletion(TurnEnd):
    """A turn that was completed."""

    subsystem_summary: SubsystemSummary
    usage: Usage


class TurnFault(TypedDict):
    """The failure of a turn."""

    type: str
    recoverable: bool
    phase: str


class TurnFailure(TurnEnd):
    """A turn that failed."""

    error: TurnFault


class TurnCompletedEvent(Event):
    """A turn was completed."""

    type: Literal["turn.completed"]
    data: TurnCompletion


class TurnFailedEvent(Event):
    """A turn has failed."""

    type: Literal["turn.failed"]
    data: TurnFailure


class TurnCancelledEvent(Event):
    """A turn was cancelled."""

    type: Literal["turn.cancelled"]
    data: TurnEnd


class SessionName(TypedDict):
    """A session."""

    session_id: int
    name: str


class SessionState(SessionName):
    """A session as it is now."""

    is_active: bool
    paused: bool


class SessionMember(TypedDict):
    """The member that joined or left. `removed`: by somebody else."""

    session_id: int
    user_id: str
    role: Literal["player", "dm"]
    character_id: str | None
    removed: NotRequired[bool]


class SessionCreatedEvent(Event):
    """A session was created."""

    type: Literal["session.created"]
    data: SessionName


class SessionChangedEvent(Event):
    """A session has another name or other rules, or was paused or resumed."""

    type: Literal["session.changed"]
    data: SessionState


class SessionDeletedEvent(Event):
    """A session was deleted."""

    type: Literal["session.deleted"]
    data: SessionName


class SessionJoinedEvent(Event):
    """Somebody has taken a seat."""

    type: Literal["session.joined"]
    data: SessionMember


class SessionLeftEvent(Event):
    """Somebody has left, or was removed."""

    type: Literal["session.left"]
    data: SessionMember


class ContentMetadata(TypedDict):
    """How the content was generated."""

    model_used: str
    token_usage: dict[str, Any]


class ContentMade(TypedDict):
    """Something that was made; who may read it asks for it by its id."""

    content_id: str
    content_type: str
    user_id: str
    metadata: ContentMetadata
    parent_content_id: NotRequired[str]


class ThemeFound(ContentMade):
    """The theme of a text."""

    theme_category: str
    confidence: float


class Judged(ContentMade):
    """The result of a validation by rules."""

    overall_score: float
    passed: bool


class ContentGeneratedEvent(Event):
    """A text was written."""

    type: Literal["content.generated"]
    data: ContentMade


class StoryGeneratedEvent(Event):
    """A part of a story was written."""

    type: Literal["story.generated"]
    data: ContentMade


class ThemeAnalyzedEvent(Event):
    """A theme was analysed."""

    type: Literal["theme.analyzed"]
    data: ThemeFound


class ValidationCompletedEvent(Event):
    """A text was validated."""

    type: Literal["validation.completed"]
    data: Judged


AnyHubEvent: TypeAlias = (
    TurnCompletedEvent
    | TurnFailedEvent
    | TurnCancelledEvent
    | SessionCreatedEvent
    | SessionChangedEvent
    | SessionDeletedEvent
    | SessionJoinedEvent
    | SessionLeftEvent
    | ContentGeneratedEvent
    | StoryGeneratedEvent
    | ThemeAnalyzedEvent
    | ValidationCompletedEvent
)
HubEvent = TypeAliasType("HubEvent", Annotated[AnyHubEvent, Field(discriminator="type")])
