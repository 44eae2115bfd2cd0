"""The answers of the API as types: what the descriptions show, and what tests hold answers to.

They are never instantiated to serve a request. `omitted()` marks a field that is left out where it
does not apply; every other field is always there.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from app.core.context import CombatView, Narrative, Quest, Status, World
from app.core.outcome import Intents
from app.core.policy import PolicyConfig
from app.core.results import SubsystemSummary, Timing, Usage
from app.ports.store import TurnStatus

Uuid = Annotated[str, Field(json_schema_extra={"format": "uuid"})]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Health = Literal["healthy", "unhealthy"]


def omitted(about: str | None = None) -> Any:
    return Field(None, exclude_if=lambda value: value is None, description=about)


# -- errors ---------------------------------------------------------------------------------------


class ErrorFields(BaseModel):
    type: str
    message: str
    request_id: str
    recoverable: bool = Field(description="Whether the same request may succeed later.")
    retry_after_seconds: float = omitted()


class FieldProblem(BaseModel):
    field: str
    message: str


class Problem(BaseModel):
    """`application/problem+json` (RFC 9457)."""

    type: str = Field(description="`urn:dungeon-master:error:` and the error's name.")
    title: str
    status: int
    detail: str
    instance: str = Field(description="The path that was asked for.")
    error: ErrorFields
    errors: list[FieldProblem] = omitted("validation_error: every field at fault.")
    turn_id: Uuid = omitted("turn_in_progress: the running turn, where it is the caller's own.")
    phase: str = omitted("not_cancellable: how far the turn has come.")
    turn: str = omitted("turn_expired: the address of the turn itself.")
    character_id: Uuid = omitted("The character that was made before its opening failed.")


# -- turns ----------------------------------------------------------------------------------------


class Turn(BaseModel):
    """The answer of `POST /turn`."""

    turn_id: Uuid
    narrative: str
    intents: Intents
    subsystem_summary: SubsystemSummary
    timing: Timing
    usage: Usage


class TurnError(BaseModel):
    type: str
    message: str
    recoverable: bool
    retry_after_seconds: float | None
    phase: str
    committed: list[str] = Field(description="The subsystems already written.")


class TurnDescription(BaseModel):
    """A turn as it stands. What it does not have (yet) is null."""

    turn_id: Uuid
    character_id: Uuid
    created_at: Time
    status: TurnStatus
    phase: str | None
    narrative: str | None = Field(description="What has been told so far.")
    intents: Intents | None
    subsystem_summary: SubsystemSummary | None
    timing: Timing | None
    usage: Usage | None
    validation: Validated | None
    error: TurnError | None


class Validated(BaseModel):
    schema_valid: bool
    intents_normalized: bool


class TurnCancelledAnswer(BaseModel):
    turn_id: Uuid
    status: Literal["cancelled"]


class TicketAnswer(BaseModel):
    ticket: str
    expires_in: int = Field(description="Seconds.")


class UsageReport(BaseModel):
    """Tokens of one user today (UTC)."""

    user_id: str
    tokens_used: int
    tokens_reserved: int = Field(description="Set aside for turns that still run.")
    tokens_limit: int | None = Field(description="Null: there is no limit.")
    tokens_remaining: int | None


# -- characters -----------------------------------------------------------------------------------


class CharacterCreated(BaseModel):
    character_id: Uuid
    narrative: str = Field(description="The opening of the story.")


class CharacterRow(BaseModel):
    character_id: Uuid
    name: str
    race: str
    class_: str = Field(alias="class")
    status: Status
    created_at: Time
    updated_at: Time


class Characters(BaseModel):
    characters: list[CharacterRow]
    count: int


class Whereabouts(BaseModel):
    id: str
    display_name: str
    minor_location: str | None


class QuestWithProgress(Quest):
    progress: list[str] = Field(description="What turns have noted since it was offered.")


class ContextView(BaseModel):
    """The character's surroundings, as its next turn would see them."""

    status: Status
    location: Whereabouts
    equipment: list[str]
    inventory: list[str]
    quest: QuestWithProgress | None
    combat: CombatView
    narrative: Narrative
    world: World


class CharacterSheet(BaseModel):
    character_id: Uuid
    name: str
    race: str
    class_: str = Field(alias="class")
    status: Status
    turns: int = Field(description="Finished turns.")
    context: ContextView


# -- operations -----------------------------------------------------------------------------------


class Components(BaseModel):
    """`openai` and `db` are older names of `llm` and `store`."""

    llm: Health
    journey_log: Health
    store: Health
    event_log: Health
    message_hub: str
    cache: str
    openai: Health
    db: Health


class RecentRequests(BaseModel):
    """Of the last 60 s."""

    request_rate: float = Field(description="Per second.")
    error_rate: float = Field(description="Share of answers with a 5xx status.")
    p95_latency: float = Field(description="Milliseconds.")


class HealthReport(BaseModel):
    status: Literal["healthy", "degraded"]
    service: str
    version: str
    components: Components
    model: str = Field(description="Who tells the stories.")
    journey_log: Literal["embedded", "remote"]
    rate_limits: dict[str, int] = Field(description="What each limit has left.")
    metrics: RecentRequests
    journey_log_accessible: bool
    llm_available: bool
    circuits: dict[str, Literal["closed", "half_open", "open"]] = Field(
        description="State of the circuit breaker in front of each upstream."
    )
    draining: bool = Field(description="Whether the service is shutting down.")


class Readiness(BaseModel):
    status: Literal["ready", "not_ready"]


class Liveness(BaseModel):
    status: Literal["alive"]


class MetricsReport(BaseModel):
    """Durations are in milliseconds."""

    uptime_seconds: float
    requests: dict[str, Any]
    errors: dict[str, Any]
    latencies: dict[str, dict[str, float]]
    schema_conformance: dict[str, float]
    turns: dict[str, Any]
    policy_triggers: dict[str, int]
    subsystem_deltas: dict[str, int]
    journey_log_latencies: dict[str, dict[str, float]]
    streaming: StreamingReport


class StreamingReport(BaseModel):
    total_streams: int
    completed_streams: int
    client_disconnects: int
    parse_failures: int
    tokens_per_stream: dict[str, float]
    stream_duration: dict[str, float]


class AdminTurn(BaseModel):
    """A turn for operators; `redacted` says that the narrative was cut."""

    turn_id: Uuid
    character_id: Uuid
    status: TurnStatus
    timestamp: Time
    user_action: str | None
    context_snapshot: dict[str, Any] | None
    policy_decisions: dict[str, dict[str, bool]] | None
    llm_narrative: str
    llm_intents: Intents | None
    journey_log_writes: SubsystemSummary | None
    errors: list[TurnError]
    latency_ms: float | None
    redacted: bool


class RecentTurns(BaseModel):
    character_id: Uuid
    turns: list[AdminTurn]
    total_count: int
    limit: int


class PolicyInForce(PolicyConfig):
    last_updated: Time


class PolicyReloaded(BaseModel):
    success: bool
    message: str
    error: str | None
    config: PolicyConfig


class ParsedAnswer(BaseModel):
    """What the service makes of a model's answer."""

    is_valid: bool
    narrative: str | None
    has_outcome: bool
    error_type: Literal["json_decode_error", "validation_error"] | None
    error_details: list[str] | None
    intents_summary: dict[str, str] | None
    schema_version: str
