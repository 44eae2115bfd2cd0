"""Health and readiness of the service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from app import __version__
from app.core.events import stamp
from app.doctor.at_start import Found
from app.errors import DungeonMasterError
from app.feature import Probe, Upstreams, probed
from app.operations.schemas import Checks, Components, Condition, HealthReport, ModelServer
from app.telemetry.report import RecentRequests


@dataclass(frozen=True, slots=True)
class Health:
    """`probe_journey_log`: ask it on every call, instead of believing what the latest turn found.

    `accepting`: whether new turns are admitted. `window` gives request_rate, error_rate and p95_latency;
    `headroom` what the limits that concern all have left, `free_calls` how many model calls may begin.
    """

    service: str
    provider: str
    upstreams: Upstreams
    probe_journey_log: bool
    store_available: Probe
    draining: Callable[[], bool]
    accepting: Callable[[], bool]
    window: Callable[[], RecentRequests]
    headroom: Callable[[], Awaitable[Mapping[str, int]]]
    free_calls: Callable[[], int]
    further: Mapping[str, Probe]
    now: Callable[[], float]

    async def report(self) -> HealthReport:
        """The body of `GET /health`."""
        upstreams, found = self.upstreams, self.upstreams.model_server()
        llm, store = await upstreams.model_available(), await probed(self.store_available)
        journey_log = await self._journey_log_available()
        further = {name: await probed(probe) for name, probe in self.further.items()}
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
        components.update({name: _condition(ok) for name, ok in further.items()})  # type: ignore[typeddict-item]
        return HealthReport(
            status="healthy"
            if llm and store and journey_log and self.accepting() and all(further.values())
            else "degraded",
            timestamp=stamp(self.now()),
            service=self.service,
            version=__version__,
            components=components,
            checks=Checks(
                database=_condition(store), llm_provider=self.provider, llm_model=upstreams.model
            ),
            model=upstreams.model,
            model_context_tokens=upstreams.model_context_tokens
            or found.capabilities.context_tokens,
            model_server=_server(found),
            journey_log="embedded" if upstreams.journey_log_embedded else "remote",
            rate_limits={"concurrent_llm_calls": self.free_calls(), **await self._headroom()},
            metrics=self.window(),
            journey_log_accessible=journey_log,
            llm_available=llm,
            circuits=upstreams.circuits(),
            draining=self.draining(),
        )

    async def _headroom(self) -> Mapping[str, int]:
        """Nothing where the store of the limits is away: `components` says so."""
        try:
            return await self.headroom()
        except DungeonMasterError:
            return {}

    async def ready(self) -> bool:
        """Whether turns can be taken. A circuit that is half open needs them to close."""
        circuits = self.upstreams.circuits()
        models = [state for name, state in circuits.items() if name != "journey_log"]
        if circuits["journey_log"] == "open" or all(state == "open" for state in models):
            return False
        return self.accepting() and await probed(self.store_available)

    async def _journey_log_available(self) -> bool:
        if self.probe_journey_log:
            return await self.upstreams.journey_log_available()
        return not self.upstreams.journey_log_failing()


def _server(found: Found) -> ModelServer:
    known = found.capabilities
    return ModelServer(
        state=found.state,
        form=known.form,
        forms=known.forms,
        streaming=known.streaming,
        usage=known.usage,
        context_tokens=known.context_tokens,
        hint=found.hint,
    )


def _condition(available: bool) -> Condition:
    return "healthy" if available else "unhealthy"
