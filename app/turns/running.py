"""A turn while it runs in this process."""

from __future__ import annotations

import asyncio
from typing import Any

from app.core.context import Context, Standing
from app.core.outcome import Intents
from app.core.policy import PolicyDecision
from app.core.results import Phases, Timing, Usage
from app.errors import DungeonMasterError
from app.ports import CallMeta, TurnRequest
from app.turns.clock import Clock
from app.turns.tape import Tape


class RunningTurn:
    """Mutable state of one turn, owned by the runner's task.

    `head` is set once it is known whether the turn can begin (the context was read, or it ended);
    `over` once its terminal event is visible.
    """

    def __init__(
        self, turn_id: str, request: TurnRequest, standing: Standing, tape: Tape, clock: Clock
    ) -> None:
        self.turn_id = turn_id
        self.request = request
        self.standing = standing
        self.tape = tape
        self.clock = clock
        self.started_at = clock.now()
        self.started = clock.monotonic()
        self.head = asyncio.Event()
        self.over = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.cancelling = False
        self.error: DungeonMasterError | None = None
        # what the turn has come to know, for timing, audit and logs
        self.phases = Phases()
        self.first_token: float | None = None  # monotonic seconds
        self.deltas = 0
        self.context: Context | None = None
        self.decision: PolicyDecision | None = None
        self.intents: Intents | None = None
        self.usage = Usage()

    @property
    def meta(self) -> CallMeta:
        return CallMeta(self.request.request_id, self.request.traceparent)

    @property
    def narrative(self) -> str:
        return self.tape.view.narrative

    def spent(self, phase: str, since: float) -> None:
        """Book the time since `since` (monotonic) under a field of `Phases`."""
        elapsed = round((self.clock.monotonic() - since) * 1000, 3)
        setattr(self.phases, phase, getattr(self.phases, phase) + elapsed)

    def timing(self) -> Timing:
        """Milliseconds so far."""
        first = self.first_token
        return Timing(
            total_duration_ms=round((self.clock.monotonic() - self.started) * 1000, 3),
            time_to_first_token_ms=None
            if first is None
            else round((first - self.started) * 1000, 3),
            total_tokens=self.deltas,
            phases=self.phases.model_copy(),
        )

    def audit(self) -> dict[str, Any]:
        """What `GET /admin/turns/{id}` shows beside the stored turn."""
        return {
            "context_snapshot": None if self.context is None else _snapshot(self.context),
            "policy_decisions": None if self.decision is None else policy_fields(self.decision),
            "llm_intents": None if self.intents is None else self.intents.model_dump(),
        }


def policy_fields(decision: PolicyDecision) -> dict[str, Any]:
    return {
        name: {"eligible": roll.eligible, "passed": roll.passed}
        for name, roll in (("quest", decision.quest), ("poi", decision.poi))
    }


def _snapshot(context: Context) -> dict[str, Any]:
    combat = context.active_combat
    return {
        "status": context.player_state.status,
        "location": context.player_state.location.model_dump(),
        "has_active_quest": context.quest is not None,
        "combat_turn": None if combat is None else combat.turn,
        "recent_turns": len(context.narrative.recent_turns),
        "places": len(context.world.pois_sample),
    }
