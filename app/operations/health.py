"""What the service says of its own condition."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from app import __version__
from app.core.breaker import CircuitState
from app.errors import DungeonMasterError
from app.operations.schemas import Components, Condition, HealthReport
from app.telemetry.report import RecentRequests


@dataclass(frozen=True, slots=True)
class Health:
    """`probe_journey_log`: ask it on every call, instead of assuming that it is there.

    `window` gives request_rate, error_rate and p95_latency; `headroom` what limits have left.
    """

    service: str
    teller: str
    llm_available: Callable[[], Awaitable[bool]]
    journey_log_available: Callable[[], Awaitable[bool]]
    probe_journey_log: bool
    journey_log: Literal["embedded", "remote"]
    store_available: Callable[[], Awaitable[bool]]
    draining: Callable[[], bool]
    window: Callable[[], RecentRequests]
    headroom: Callable[[], Mapping[str, int]]
    circuits: Callable[[], Mapping[str, CircuitState]]

    async def report(self) -> HealthReport:
        """The body of `GET /health`."""
        llm = await self.llm_available()
        store = await self._store()
        journey_log = await self.journey_log_available() if self.probe_journey_log else True
        components = Components(
            llm=_condition(llm),
            journey_log=_condition(journey_log),
            store=_condition(store),
            event_log="healthy",
            message_hub="not_configured",
            cache="not_configured",
            openai=_condition(llm),
            db=_condition(store),
        )
        return HealthReport(
            status="healthy" if llm and store and journey_log else "degraded",
            service=self.service,
            version=__version__,
            components=components,
            model=self.teller,
            journey_log=self.journey_log,
            rate_limits=dict(self.headroom()),
            metrics=self.window(),
            journey_log_accessible=journey_log,
            llm_available=llm,
            circuits=dict(self.circuits()),
            draining=self.draining(),
        )

    async def ready(self) -> bool:
        return not self.draining() and await self._store()

    async def _store(self) -> bool:
        try:
            return await self.store_available()
        except DungeonMasterError:
            return False


def _condition(available: bool) -> Condition:
    return "healthy" if available else "unhealthy"
