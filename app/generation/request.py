"""One request type for everything that a model is asked."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from app.core.messages import Prompt
from app.core.results import Usage
from app.ports.call import CallMeta
from app.ports.model import SERVERS_OWN, Sampling
from app.ports.moderation import Moderator
from app.retrying import Backoff


class Purpose(StrEnum):
    """The purpose of a model call; a bounded label for metrics."""

    TURN = "turn"
    OPENING = "opening"
    REPAIR = "repair"
    SUMMARY = "summary"
    CONTENT = "content"
    CHAT = "chat"


@dataclass(frozen=True, slots=True)
class GenerationLimits(Backoff):
    """`seconds`: of the whole generation, retries included. `raw_characters`: how much a model may
    write, reasoning included. `hold_characters`: how much text is held back where it is moderated.
    `max_output_tokens`: None leaves the bound to the server; `bound_name`: the setting it comes from.
    """

    streaming: bool = True
    seconds: float = 600.0
    raw_characters: int = 700_000
    hold_characters: int = 200
    max_output_tokens: int | None = None
    bound_name: str = "LLM_MAX_OUTPUT_TOKENS"


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """`user_id`: who is served in turn and pays. `limits`: None takes those of the service. `model`: a
    name of `GenerationService.model_names`; None: the first one. `moderator`: judges this answer,
    beside the service's own."""

    prompt: Prompt
    purpose: Purpose
    user_id: str
    meta: CallMeta
    limits: GenerationLimits | None = None
    sampling: Sampling = SERVERS_OWN
    model: str | None = None
    moderator: Moderator | None = None


@dataclass(frozen=True, slots=True)
class Generation:
    """A whole answer. Its consumer gets the cost of all calls for it, failed ones included."""

    text: str
    usage: Usage
