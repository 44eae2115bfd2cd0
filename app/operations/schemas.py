"""Requests and answers of operators' endpoints."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from app.core.breaker import CircuitState
from app.core.fields import Time, Uuid
from app.core.outcome import Intents, OutcomeFault
from app.core.policy import PolicyConfig
from app.core.results import SubsystemSummary
from app.core.view import TurnError
from app.core.wire import Rolls
from app.doctor.at_start import State
from app.doctor.capabilities import Form
from app.ports.store import TurnStatus
from app.telemetry.report import RecentRequests
from app.web.bodies import RequestBody

Condition = Literal["healthy", "unhealthy"]


class PolicyReload(RequestBody):
    """Body of `POST /admin/policy/reload`: new values, or none to read the file again."""

    config: dict[str, Any] | None = None
    actor: str | None = None


class ParseLLM(RequestBody):
    """Body of `POST /debug/parse_llm`."""

    llm_response: str
    trace_id: str | None = None


class Components(TypedDict):
    """`openai` and `db` are older names of `llm` and `store`."""

    llm: Condition
    journey_log: Condition
    store: Condition
    event_log: Condition
    message_hub: str
    cache: str
    openai: Condition
    db: Condition


class Checks(TypedDict):
    database: Condition
    llm_provider: Annotated[
        str, Field(description="`openai`, any server with its API, or `offline`.")
    ]
    llm_model: str


class ModelServer(TypedDict):
    """Findings about the model server at the start (LLM_PROBE)."""

    state: State
    form: Annotated[
        str | None,
        Field(
            description="In which turns are asked for: `prompt` has the schema in the prompt alone."
        ),
    ]
    forms: Annotated[
        dict[str, Form],
        Field(
            description="followed: the answer was in that form; taken: the answer did not show it; "
            "ignored: taken, and answered in prose; untried: a better one works."
        ),
    ]
    streaming: Annotated[bool | None, Field(description="null: not known, or LLM_STREAMING=false.")]
    usage: Annotated[bool | None, Field(description="Whether the server counts tokens.")]
    context_tokens: int | None
    hint: Annotated[str | None, Field(description="What to set, where the server refuses.")]


class HealthReport(TypedDict):
    status: Literal["healthy", "degraded"]
    timestamp: Time
    service: str
    version: str
    components: Components
    checks: Annotated[Checks, Field(description="The same for clients of an older table service.")]
    model: Annotated[str, Field(description="The model that generates the stories.")]
    model_context_tokens: Annotated[
        int | None,
        Field(
            description="The model's context, as its server or LLM_CONTEXT_TOKENS says; null: unknown."
        ),
    ]
    model_server: ModelServer
    journey_log: Literal["embedded", "remote"]
    rate_limits: Annotated[
        dict[str, int],
        Field(
            description="What the limits that concern all have left: `concurrent_llm_calls`, and, where "
            "they are on, `global` (turns a minute) and `model` (those of OPENAI_MODEL)."
        ),
    ]
    metrics: RecentRequests
    journey_log_accessible: bool
    llm_available: bool
    circuits: Annotated[
        dict[str, CircuitState],
        Field(description="State of the circuit breaker in front of each upstream."),
    ]
    draining: Annotated[bool, Field(description="Whether the service is shutting down.")]


class Readiness(TypedDict):
    status: Literal["ready", "not_ready"]
    timestamp: Time


class Liveness(TypedDict):
    status: Literal["alive"]
    timestamp: Time


class AdminTurn(TypedDict):
    """A turn for operators; `redacted` says that the narrative was cut."""

    turn_id: Uuid
    character_id: Uuid
    status: TurnStatus
    timestamp: Time
    user_action: str | None
    context_snapshot: dict[str, Any] | None
    policy_decisions: Rolls | None
    llm_narrative: str
    llm_intents: Intents | None
    journey_log_writes: SubsystemSummary | None
    errors: list[TurnError]
    latency_ms: float | None
    redacted: bool


class RecentTurns(TypedDict):
    character_id: Uuid
    turns: list[AdminTurn]
    total_count: int
    limit: int


class PolicyInForce(PolicyConfig):
    last_updated: Time


class PolicyReloaded(TypedDict):
    success: bool
    message: str
    error: str | None
    config: PolicyConfig


class ParsedAnswer(TypedDict):
    """A model's answer as the service parses it."""

    is_valid: bool
    narrative: str | None
    has_outcome: bool
    error_type: OutcomeFault | None
    error_details: list[str] | None
    intents_summary: dict[str, str] | None
    schema_version: str
