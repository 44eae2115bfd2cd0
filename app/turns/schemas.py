"""Requests and answers of turns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from app.core.fields import CharacterId, IdempotencyKey, Time, Uuid
from app.core.money import Amount, DaySpent, Spent, date_of
from app.core.outcome import Intents
from app.core.questions import MAX_QUESTION
from app.core.results import SubsystemSummary, Timing, Usage, Validation
from app.core.view import TurnError
from app.core.wire import ChatResult
from app.core.writes import MAX_ACTION
from app.ports.store import TurnStatus
from app.web.bodies import VISIBLE, References, RequestBody

MAX_GUIDANCE = 1_000  # characters
Guidance = Annotated[
    Annotated[str, Field(max_length=MAX_GUIDANCE)] | None,
    Field(description="What the next generation should be like."),
]


class TurnIn(RequestBody):
    """Body of `POST /turn` and `POST /turn/stream`, and first message of `WS /turn/ws`."""

    character_id: CharacterId
    user_action: Annotated[str, Field(min_length=1, max_length=MAX_ACTION), VISIBLE]
    trace_id: Annotated[str, Field(max_length=255)] | None = None
    dry_run: bool | None = None
    commit: Annotated[
        Literal["auto", "manual"] | None,
        Field(description="manual: it is written once `POST /turns/{turn_id}/commit` says so."),
    ] = None
    references: References = None
    idempotency_key: IdempotencyKey | None = None


class ResumeMessage(RequestBody):
    """Read a turn from where another reader left it. At its end the terminal event comes again."""

    type: Literal["resume"]
    turn_id: Uuid
    after: int | None = Field(
        None,
        json_schema_extra={"minimum": 0},
        description="Sequence number of the last event already seen.",
    )


class CancelMessage(RequestBody):
    """Cancel the turn that this socket reads."""

    type: Literal["cancel"]


class CommitMessage(RequestBody):
    """Commit the turn that this socket reads."""

    type: Literal["commit"]


class RetellMessage(RequestBody):
    """Retell the turn that this socket reads."""

    type: Literal["retell"]
    guidance: Guidance = None


class RetellIn(RequestBody):
    """Body of `POST /turns/{turn_id}/retell`."""

    guidance: Guidance = None


class QuestionIn(RequestBody):
    """Body of `POST /turns/ask`."""

    character_id: CharacterId
    question: Annotated[str, Field(min_length=1, max_length=MAX_QUESTION), VISIBLE]


class PingMessage(RequestBody):
    """A client's own heartbeat; what else is in it is ignored."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["ping"]


class Turn(TypedDict):
    """The answer of `POST /turn`."""

    turn_id: Uuid
    narrative: str
    intents: Intents
    subsystem_summary: SubsystemSummary
    timing: Timing
    usage: Usage


class TurnDescription(TypedDict):
    """A turn as it stands. What it does not have (yet) is null."""

    turn_id: Uuid
    character_id: Annotated[Uuid | None, Field(description="Null: a chat message, content.")]
    created_at: Time
    status: TurnStatus
    phase: str | None
    until: Annotated[
        Time | None,
        Field(description="awaiting_commit: when it is cancelled by itself."),
    ]
    narrative: Annotated[str | None, Field(description="What has been streamed so far.")]
    intents: Intents | None
    subsystem_summary: SubsystemSummary | None
    timing: Timing | None
    usage: Usage | None
    validation: Validation | None
    error: TurnError | None
    chat: ChatResult | None
    content: dict[str, Any] | None


class TurnCancelledAnswer(TypedDict):
    turn_id: Uuid
    status: Literal["cancelled"]


class TurnChosenAnswer(TypedDict):
    turn_id: Uuid
    status: Literal["committed", "retelling"]


class QuestionAnswer(TypedDict):
    answer: str


class TicketAnswer(TypedDict):
    ticket: str
    expires_in: Annotated[int, Field(description="Seconds.")]


class DayUsage(TypedDict):
    date: Annotated[str, Field(json_schema_extra={"format": "date"}, description="UTC.")]
    tokens_used: int
    cost_micros: int


class UsageReport(TypedDict):
    """Usage of one user today (UTC). `…_micros` are millionths of a US dollar; models without a known
    price cost none."""

    user_id: str
    tokens_used: int
    tokens_reserved: Annotated[int, Field(description="Set aside for turns that still run.")]
    tokens_limit: Annotated[int | None, Field(description="Null: there is no limit.")]
    tokens_remaining: int | None
    cost_micros: int
    cost_reserved_micros: Annotated[int, Field(description="Set aside for turns that still run.")]
    cost_limit_micros: Annotated[int | None, Field(description="Null: there is no limit.")]
    cost_remaining_micros: int | None
    days: Annotated[
        list[DayUsage],
        Field(description="On which anything was used, newest first, today included."),
    ]


def usage_report(
    user_id: str, spent: Spent, budget: Amount, past: Sequence[DaySpent]
) -> UsageReport:
    """The usage of a user in the form of `GET /usage`."""
    used, reserved, left = spent.used, spent.reserved, budget.less(spent.used + spent.reserved)
    return UsageReport(
        user_id=user_id,
        tokens_used=used.tokens,
        tokens_reserved=reserved.tokens,
        tokens_limit=budget.tokens or None,
        tokens_remaining=left.tokens if budget.tokens else None,
        cost_micros=used.micros,
        cost_reserved_micros=reserved.micros,
        cost_limit_micros=budget.micros or None,
        cost_remaining_micros=left.micros if budget.micros else None,
        days=[
            DayUsage(date=date_of(day), tokens_used=used.tokens, cost_micros=used.micros)
            for day, used in past
        ],
    )
