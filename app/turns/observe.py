"""The facts about a turn that telemetry observes.

The pipeline hands each fact to one `Observer` and knows nothing of logs or metrics. An observer
must not raise and must not wait. Nothing is observed per token: `TokensStreamed` comes at most once
per `TOKENS_PER_REPORT`, and the gaps between reads go to a plain function of the generation service.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from app.core.events import Terminal
from app.core.policy import PolicyDecision
from app.eventlog.observe import ReaderClosed, ReaderOpened
from app.generation.observe import ModelCalled
from app.ports.outbox import EventAdded
from app.ports.tables import TableChanged
from app.turns.state import TurnState

TOKENS_PER_REPORT = 200


@dataclass(frozen=True, slots=True)
class TurnAdmitted:
    turn: TurnState


@dataclass(frozen=True, slots=True)
class TurnPromoted:
    """It has waited for its exclusive key, and has it now."""

    turn: TurnState


@dataclass(frozen=True, slots=True)
class PolicyDecided:
    turn: TurnState
    decision: PolicyDecision


@dataclass(frozen=True, slots=True)
class AnswerReached:
    """A phase of a chat message or a piece of content, which has no policy and no writes."""

    turn: TurnState
    phase: Literal["generation", "validation"]


@dataclass(frozen=True, slots=True)
class TokensStreamed:
    turn: TurnState


@dataclass(frozen=True, slots=True)
class OutcomeParsed:
    turn: TurnState
    valid: bool


@dataclass(frozen=True, slots=True)
class IntentsRepaired:
    """A whole narrative came without valid intents. `done`: a further call has supplied them."""

    turn: TurnState
    model: str
    done: bool


@dataclass(frozen=True, slots=True)
class WritesStarted:
    turn: TurnState


@dataclass(frozen=True, slots=True)
class WriteSettled:
    """`outcome`: done, refused, skipped, not_sent or unknown."""

    turn: TurnState
    subsystem: str
    action: str
    outcome: str


@dataclass(frozen=True, slots=True)
class WritesFinished:
    turn: TurnState


@dataclass(frozen=True, slots=True)
class TurnEnded:
    turn: TurnState
    event: Terminal


Observation = (
    TurnAdmitted
    | TurnPromoted
    | PolicyDecided
    | ModelCalled
    | AnswerReached
    | TokensStreamed
    | OutcomeParsed
    | IntentsRepaired
    | WritesStarted
    | WriteSettled
    | WritesFinished
    | TurnEnded
    | ReaderOpened
    | ReaderClosed
    | EventAdded
    | TableChanged
)
Observer = Callable[[Observation], None]


def unobserved(_: Observation) -> None:
    pass
