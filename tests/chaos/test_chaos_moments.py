"""Moments that only bad luck finds, made by holding a transaction of the store."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from app.core.stages import Stage
from app.ports.clock import Clock
from app.turns.executor import TurnExecutor
from app.turns.write_fate import DeliveryPolicy

from fakes.journey_log import FakeJourneyLog, hangs, late
from fakes.model import FakeModel, Script
from fakes.server import opened
from serving import SOON, TIMEOUT, Served, aside

Serve = Callable[..., Served]
STEADY = {"quest_trigger_prob": 0, "poi_trigger_prob": 0}


class Holding:
    """The store, but for one method that does not begin before the gate is open."""

    def __init__(self, real: Any, method: str) -> None:
        self._real = real
        self._method = method
        self.reached = threading.Event()
        self.gate = threading.Event()

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._real, name)

        async def held(*args: Any) -> Any:
            self.reached.set()
            await opened(self.gate)
            return await call(*args)

        return held if name == self._method else call


def test_a_cancel_that_comes_while_a_failure_is_recorded_wins(
    serve: Serve, model: FakeModel, character: str
) -> None:
    service = serve(llm_max_retries=0)
    runner: Any = service.application.services.get(TurnExecutor)
    runner._endings._store = store = Holding(runner._store, "finish")
    model.then(Script(reset_after=8, token_chars=20))
    with service.live(character) as live:
        live.until("token")
        assert store.reached.wait(TIMEOUT)
        cancelled = aside(service.cancel, live.turn_id)
        service.wait_for(lambda: runner.running[live.turn_id].stage is Stage.CANCELLING)
        store.gate.set()
        assert live.rest().last["type"] == "cancelled"
    assert cancelled.result(TIMEOUT).status == 202
    assert service.turn(character).last["type"] == "complete"


def looked_for(journey_log: FakeJourneyLog) -> bool:
    """Whether the narrative was read back."""
    return any(r.method == "GET" and "/narrative" in r.path for r in journey_log.requests)


def test_settling_counts_from_the_send_however_long_the_store_took_before(
    serve: Serve, model: FakeModel, journey_log: FakeJourneyLog, character: str
) -> None:
    ahead, committed = [0.0], threading.Event()
    clock = Clock(now=lambda: time.time() + ahead[0], monotonic=lambda: time.monotonic() + ahead[0])
    service = serve(clock=clock, timeout=SOON, **STEADY)
    runner: Any = service.application.services.get(TurnExecutor)
    uses = runner._pipelines["turn"].use
    uses.deliverer.policy = DeliveryPolicy(settle=10_000, deadline=100_000, poll=0.02)
    store = Holding(uses.store, "validate")
    object.__setattr__(uses, "store", store)
    journey_log.fail("narrative", late(committed), hangs(commit=True))
    with service.live(character) as live:
        assert store.reached.wait(TIMEOUT)
        ahead[0] += 20_000  # longer than it takes to settle
        store.gate.set()
        journey_log.wait_for(lambda: looked_for(journey_log), TIMEOUT)
        committed.set()
        assert live.rest().last["subsystem_summary"]["narrative_persisted"] is True
    assert journey_log.kinds(character) == ["narrative"]
