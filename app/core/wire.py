"""The JSON of each event of a turn, as types: `app.core.events` encodes them, OpenAPI shows them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypeAlias

from pydantic import Field
from typing_extensions import TypeAliasType, TypedDict

from app.core.fields import Time, Uuid
from app.core.metadata import Bounded as Bounded
from app.core.metadata import DeedView as DeedView
from app.core.metadata import MetadataFields as MetadataFields
from app.core.metadata import Phase as Phase
from app.core.metadata import Rolled as Rolled
from app.core.metadata import Rolls as Rolls
from app.core.outcome import Intents
from app.core.results import Subsystem, SubsystemSummary, Timing, Usage, Validation
from app.errors import Upstream


class MetadataEvent(MetadataFields):
    """The phase of the turn."""

    type: Literal["metadata"]
    timestamp: Time
    phase: Phase
    tokens_streamed: Annotated[int, Field(description="Token events so far.")]


TextField = Annotated[
    str, Field(description="`narrative` or `player_response`; of content, the name of its text.")
]


class TokenEvent(TypedDict):
    """A piece of the narrative, decoded; at a table, also of the answer to the player behind it."""

    type: Literal["token"]
    timestamp: Time
    content: str
    index: Annotated[
        int, Field(ge=0, description="Number of the field's first delta in it, from 0.")
    ]
    field: TextField


class FieldEvent(Bounded):
    """A part of content beside its text, as soon as it is whole; each at most once."""

    type: Literal["field"]
    timestamp: Time
    field: str
    value: Any


class DraftEvent(TypedDict):
    """A piece of a narration that has to be approved, for whoever approves it. What is approved comes
    as `token` behind `metadata` with the phase `retelling`."""

    type: Literal["draft"]
    timestamp: Time
    content: str
    index: Annotated[int, Field(ge=0, description="As in `token`.")]
    field: TextField


class PreviewEvent(Bounded):
    """The intents as the model finished them, not yet validated; at most once."""

    type: Literal["preview"]
    timestamp: Time
    intents: Intents
    validated: Literal[False]


class OptionsEvent(Bounded):
    """Options for the players of a table; behind all tokens."""

    type: Literal["player_options"]
    timestamp: Time
    player_options: list[str]


class SceneElementsView(TypedDict):
    npcs_present: list[str]
    objects_of_interest: list[str]
    current_location: str | None


class SceneView(TypedDict):
    environmental_conditions: str | None
    immediate_threats: str | None
    story_progression: str | None
    scene_elements: SceneElementsView


class SceneEvent(Bounded):
    """The scene of a table after the turn; behind the options."""

    type: Literal["scene"]
    timestamp: Time
    scene: SceneView
    dm_notes: Annotated[
        str | None, Field(description="For the human dungeon master; null for everybody else.")
    ]


class WriteEvent(Bounded):
    """The receipt of one write to journey-log; they come in the order of the writes."""

    type: Literal["write"]
    timestamp: Time
    subsystem: Subsystem
    action: str
    success: bool
    error: str | None


class ChatResult(TypedDict):
    """The result of an answered chat message, beside its text."""

    conversation_id: str
    speaker: Annotated[str, Field(description="Who has answered; empty: the co-host.")]
    timestamp: Time
    context_summary: Annotated[str, Field(description="What has left the context, in short.")]
    current_topics: list[str]
    cached: Annotated[bool, Field(description="The answer was known; no model was asked.")]


class CompleteEvent(Bounded):
    """Terminal: the turn is over and final."""

    type: Literal["complete"]
    timestamp: Time
    turn_id: Uuid
    intents: Intents
    subsystem_summary: SubsystemSummary
    timing: Timing
    usage: Usage
    validation: Validation
    chat: NotRequired[Annotated[ChatResult, Field(description="Of a chat message only.")]]
    content: NotRequired[
        Annotated[dict[str, Any], Field(description="The answer, without its text.")]
    ]


class UpstreamRefusal(TypedDict):
    """The refusal of an upstream."""

    status: Annotated[int | None, Field(description="Its HTTP status; null inside a 200.")]
    code: str | None
    hint: Annotated[str | None, Field(description="What is wrong, and which setting mends it.")]


def refusal_fields(upstream: Upstream) -> UpstreamRefusal:
    """The JSON of a refusal."""
    return UpstreamRefusal(status=upstream.status, code=upstream.code, hint=upstream.hint)


class ErrorEvent(Bounded):
    """Terminal: the turn failed. The fields are those of a problem's `error`."""

    type: Literal["error"]
    timestamp: Time
    error_type: str
    message: str
    recoverable: bool
    phase: str
    committed: Annotated[list[str], Field(description="The subsystems already written.")]
    partial_narrative: NotRequired[
        Annotated[str, Field(description="What was streamed before it failed.")]
    ]
    retry_after_seconds: NotRequired[float]
    request_id: NotRequired[str]
    upstream: NotRequired[UpstreamRefusal]


class CancelledEvent(Bounded):
    """Terminal: the turn was cancelled; nothing was written."""

    type: Literal["cancelled"]
    timestamp: Time
    phase: str
    partial_narrative: str


GapEvent = TypedDict(
    "GapEvent", {"type": Literal["gap"], "timestamp": Time, "from": int, "to": int}
)
GapEvent.__doc__ = (
    "Without an id: these events are no longer kept. The stream closes; ask for the turn."
)


class PingEvent(TypedDict):
    """Without an id, every 10 s of silence."""

    type: Literal["ping"]
    timestamp: Time


class PongEvent(TypedDict):
    """The answer to a `PingMessage`, over a WebSocket only."""

    type: Literal["pong"]
    timestamp: Time


AnyTurnEvent: TypeAlias = (
    MetadataEvent
    | TokenEvent
    | DraftEvent
    | PreviewEvent
    | FieldEvent
    | OptionsEvent
    | SceneEvent
    | WriteEvent
    | CompleteEvent
    | ErrorEvent
    | CancelledEvent
    | GapEvent
    | PingEvent
    | PongEvent
)
TurnEvent = TypeAliasType("TurnEvent", Annotated[AnyTurnEvent, Field(discriminator="type")])
