"""The dependencies of the pipeline of character turns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from app.core.policy import PolicyConfig, PolicyEngine
from app.generation.request import GenerationLimits
from app.generation.service import GenerationService
from app.ports.journey_log import JourneyLog
from app.ports.store import TurnStore
from app.turns.delivery import Deliverer
from app.turns.holding import Holding
from app.turns.observe import Observer
from app.turns.references import References, no_references
from app.turns.story import Stories


@dataclass(frozen=True, slots=True)
class Dependencies:
    """`policy_config` gives the values in force; they may change between two turns."""

    journey_log: JourneyLog
    store: TurnStore
    generation: GenerationService
    deliverer: Deliverer
    policy: PolicyEngine
    policy_config: Callable[[], PolicyConfig]
    observe: Observer
    holding: Holding
    limits: GenerationLimits | None = None
    narrative_bytes: int = 50_000
    sparks_enabled: bool = False
    stories: Stories = field(default_factory=Stories)
    references: References = no_references
