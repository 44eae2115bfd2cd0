"""A whole turn service on fakes, in one event loop: in-memory store, scripted model and journey-log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from app.adapters.event_log.memory import MemoryEventLog
from app.adapters.limits.memory import MemoryLimiter
from app.core.access import Caller
from app.core.limits import per_second
from app.core.policy import PolicyConfig, PolicyEngine
from app.errors import NotCancellable
from app.generation.fair_limiter import FairLimiter
from app.generation.request import GenerationLimits
from app.generation.service import GenerationService
from app.ports.clock import Clock
from app.ports.signals import NoSignals
from app.ports.store import Attached, CancelVerdict, TurnRequest
from app.turns.admission import Admission, Prepare
from app.turns.admission_rules import AdmissionRules
from app.turns.choices import TurnChoices
from app.turns.delivery import Deliverer
from app.turns.dependencies import Dependencies
from app.turns.elsewhere import OtherProcesses
from app.turns.executor import TurnExecutor
from app.turns.holding import Holding
from app.turns.kinds import of_characters
from app.turns.observe import unobserved
from app.turns.pipeline import TurnOrchestrator
from app.turns.recovery import TurnRecovery
from app.turns.service import TurnService
from app.turns.state import TurnState
from app.turns.write_fate import DeliveryPolicy

from fakes.model import COMBAT_START, POI_CREATE, QUEST_OFFER, outcome_text
from fakes.store.journal import Journal
from fakes.store.store import MemoryTurnStore
from fakes.upstreams import QUIET, ScriptedJourneyLog, ScriptedModel
from journal import NOON, turn_request

EVENTFUL = outcome_text(quest=QUEST_OFFER, combat=COMBAT_START, poi=POI_CREATE)
SETTLE, DEADLINE = 35.0, 900.0


def rules(**fields: Any) -> AdmissionRules:
    """A thousand turns a second, no budget."""
    return AdmissionRules(**({"character": per_second("character", 1_000)} | fields))


class House:
    """One process. Another one on the same `journal` is what comes after a crash.

    Made inside a running loop, whose time is its clock; every roll of policy passes.
    """

    def __init__(
        self,
        journal: Journal | None = None,
        *,
        store: type[MemoryTurnStore] = MemoryTurnStore,
        text: str = QUIET,
        status: str = "Healthy",
        admission: AdmissionRules | None = None,
        check_load: Callable[[], None] = lambda: None,
        queue_limit: int = 0,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.clock = Clock(now=lambda: NOON + loop.time(), monotonic=loop.time)
        self.journal = journal or Journal()
        self.store = store(self.clock.now, self.journal)
        self.journey_log = ScriptedJourneyLog(status)
        self.model = ScriptedModel(text)
        self.generation = GenerationService(
            [self.model],
            FairLimiter(10, 5.0),
            GenerationLimits(max_retries=0),
            clock=self.clock.monotonic,
        )
        policy = DeliveryPolicy(settle=SETTLE, deadline=DEADLINE)
        self.deliverer = Deliverer(self.journey_log, self.store, unobserved, policy)
        self.orchestrator = self._orchestrator()
        self.executor = TurnExecutor(
            of_characters(self.orchestrator),
            self.store,
            MemoryEventLog(),
            self.clock,
            unobserved,
            NoSignals(),
        )
        self.recovery = TurnRecovery(self.executor, self.deliverer, self.orchestrator)
        self.limiter = MemoryLimiter(self.clock.now)
        self.admission = Admission(
            self.store, self.executor, self.limiter, admission or rules(), check_load, queue_limit
        )
        self.others = OtherProcesses(self.executor, self.store, NoSignals())
        self.turns = TurnService(
            self.store, MemoryEventLog(), self.executor, self.admission, self.others
        )
        self.choices = TurnChoices(
            self.store, self.executor, self.admission, self.turns, NoSignals()
        )

    def _orchestrator(self) -> TurnOrchestrator:
        config = PolicyConfig(
            quest_trigger_prob=1, quest_cooldown_turns=0, poi_trigger_prob=1, poi_cooldown_turns=0
        )
        return TurnOrchestrator(
            Dependencies(
                journey_log=self.journey_log,
                store=self.store,
                generation=self.generation,
                deliverer=self.deliverer,
                policy=PolicyEngine("seed"),
                policy_config=lambda: config,
                observe=unobserved,
                holding=Holding(self.store),
            )
        )

    async def admit(self, prepare: Prepare | None = None, **fields: Any) -> TurnState | Attached:
        """A turn of `turn_request(**fields)`, started or found."""
        found = await self.admission.admit(turn_request(**fields), prepare)
        return found if isinstance(found, Attached) else found.turn

    async def start(self, **fields: Any) -> TurnState:
        """A new turn that runs."""
        turn = await self.admit(**fields)
        assert isinstance(turn, TurnState)
        return turn

    async def play(self, **fields: Any) -> TurnState:
        """A new turn, run to its end."""
        turn = await self.start(**fields)
        await turn.wait_ended()
        return turn

    async def cancel(self, turn: TurnState) -> CancelVerdict:
        """As its user does."""
        caller = Caller(turn.request.user_id, frozenset({"turns"}))
        try:
            await self.turns.cancel(turn.turn_id, caller)
        except NotCancellable:
            return CancelVerdict.TOO_LATE
        return CancelVerdict.CANCELLING

    async def crash(self) -> None:
        """Everything that runs stops where it is."""
        await self.executor.abandon()

    async def status(self, turn: TurnState) -> str:
        """The stored one."""
        stored = await self.store.turn(turn.turn_id)
        assert stored is not None
        return stored.status


def events(turn: TurnState) -> list[dict[str, Any]]:
    """What readers have seen of the turn."""
    return [json.loads(data) for _, _, data in turn.writer.log.entries()]


def kinds(turn: TurnState) -> list[str]:
    """The events' types, tokens left out; metadata by its phase."""
    found = [e for e in events(turn) if e["type"] != "token"]
    return [e["phase"] if e["type"] == "metadata" else e["type"] for e in found]


def receipts(turn: TurnState) -> list[tuple[str, str, bool, str | None]]:
    """What became of each write, as readers have seen it."""
    return [
        (e["subsystem"], e["action"], e["success"], e["error"])
        for e in events(turn)
        if e["type"] == "write"
    ]


def no_prepare(request: TurnRequest) -> None:
    raise AssertionError("the request was refused before")
