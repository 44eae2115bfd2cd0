"""Numbers of the shared services, read when metrics are scraped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from app.bootstrap.store import Store
from app.core.breaker import CircuitState
from app.feature import Gauge
from app.generation.fair_limiter import FairLimiter
from app.web.transports.readers import Readers

_CIRCUIT: Final[dict[CircuitState, float]] = {"closed": 0.0, "half_open": 0.5, "open": 1.0}
_STATES: Final = "0: closed, 0.5: half open, 1: open."


def gauges(
    slots: FairLimiter,
    store: Store,
    readers: Readers,
    circuits: Callable[[], Mapping[str, CircuitState]],
) -> tuple[Gauge, ...]:
    """`circuits`: the state of the circuit breaker in front of each upstream."""

    def circuit(name: str) -> float:
        return _CIRCUIT[circuits()[name]]

    return (
        Gauge("model_slots_waiting", "Generations that wait for a slot.", lambda: slots.waiting),
        Gauge("model_slots_busy", "Generations under way.", lambda: slots.busy),
        Gauge("streams_active", "Open streams.", lambda: readers.open),
        Gauge("store_jobs_waiting", "Transactions that wait.", lambda: store.waiting),
        Gauge("llm_circuit_open", _STATES, lambda: circuit("llm")),
        Gauge("journey_log_circuit_open", _STATES, lambda: circuit("journey_log")),
    )
