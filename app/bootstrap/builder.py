"""The builder: adapters first, then the platform, then feature after feature."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import stamina.instrumentation
from starlette.applications import Starlette
from starlette.types import ASGIApp

from app.adapters.journey_log.client import JourneyLogClient
from app.adapters.journey_log.guarded import GuardedJourneyLog
from app.adapters.moderation.words import WordList
from app.bootstrap.discovery import with_discovered_model
from app.bootstrap.features import FEATURES
from app.bootstrap.gauges import gauges
from app.bootstrap.hub import message_hub
from app.bootstrap.identity import identity
from app.bootstrap.journey_log import embedded_journey_log, journey_log_client, mounted
from app.bootstrap.lifespan import log_start, running
from app.bootstrap.models import (
    breaker,
    further_models,
    generation_limits,
    language_models,
    moderator,
)
from app.bootstrap.prices import price_list
from app.bootstrap.probing import start_probe
from app.bootstrap.sharing import Shared, alone, end_process, on_postgres
from app.bootstrap.store import Store, open_store
from app.bootstrap.tracing import tracing
from app.core.breaker import CircuitState
from app.doctor.at_start import StartProbe
from app.feature import Drain, Feature, FeatureSpec, Observers, Platform, Upstreams
from app.generation.fair_limiter import FairLimiter
from app.generation.guarded import GuardedModel
from app.generation.service import GenerationService
from app.ports.clock import Clock
from app.ports.model import LanguageModel
from app.ports.moderation import Moderator
from app.settings import SharedSettings
from app.standins.journey_log import EmbeddedJourneyLog
from app.telemetry.metrics import Metrics
from app.telemetry.workers import WorkerPlace
from app.web.app import create_app
from app.web.auth import Anonymous, FirstMessage, Tickets, Tokens
from app.web.services import Services
from app.web.transports.readers import Readers
from app.web.transports.sse import SSETransport
from app.web.transports.websocket import WebSocketTransport


@dataclass(frozen=True, slots=True)
class Application:
    """The ASGI app, and what its server calls when a signal stops it."""

    asgi: ASGIApp
    services: Services
    drains: tuple[Drain, ...]
    send_readers_away: Callable[[], None]


def build(settings: SharedSettings, *, worker: WorkerPlace | None = None) -> Application:
    """Open the store and put everything together. Raises `BadSetting`."""
    return Builder(settings, Clock(), worker=worker).build()


class Builder:
    """Builds the service. A subclass replaces an adapter by overriding its method."""

    def __init__(
        self,
        settings: SharedSettings,
        clock: Clock,
        features: Sequence[FeatureSpec] = FEATURES,
        worker: WorkerPlace | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._specs = features
        self._features: list[Feature] = []
        self._metrics = Metrics()
        self._worker = worker
        self._observe = Observers()
        self._tls = tls or ssl.create_default_context()  # one trust store for all clients

    def build(self) -> Application:
        """Raises `BadSetting`."""
        # Its default hook logs the arguments of what is retried: player text.
        stamina.instrumentation.set_on_retry_hooks([])
        found = with_discovered_model(self._settings, self._tls)
        self._settings = self._settings.model_copy(update=found)
        _ = self._store  # the first thing to open: it holds the lock that a second server meets
        self._features += (self._shared.lifecycle, Feature(background=(self._probe.run,)))
        self._observe.add(self._metrics.observe)
        platform = self._platform()
        for gauge in gauges(self._model_slots, self._store, self._readers, self._circuits):
            self._metrics.track(*gauge)
        self._add(tracing(self._settings, self._clock), platform)
        for spec in self._specs:
            self._add(spec.wire(platform), platform)
        operations = [one for feature in self._features for one in feature.operations]
        asgi = create_app(
            self._settings,
            platform.services,
            self._lifespan,
            self._metrics.http_request,
            self._identity,
            (*operations, *mounted(self._settings, self._embedded)),
            [one for feature in self._features for one in feature.headers],
        )
        drains = tuple(drain for feature in self._features for drain in feature.drains)
        return Application(asgi, platform.services, drains, self._readers.send_away)

    def _add(self, feature: Feature, platform: Platform) -> None:
        self._features.append(feature)
        for service in feature.services:
            platform.services.add(service)
        for observer in feature.observers:
            self._observe.add(observer)
        for gauge in feature.gauges:
            self._metrics.track(*gauge)
        platform.health.update(feature.health)

    def _platform(self) -> Platform:
        services, readers = Services(), self._readers
        transports = SSETransport(readers), WebSocketTransport(readers)
        for service in (readers, *transports, self._tickets, FirstMessage(self._identity)):
            services.add(service)
        return Platform(
            settings=self._settings,
            clock=self._clock,
            store=self._store,
            conversations=self._store,
            contents=self._store,
            tables=self._store.tables,
            outbox=self._store.outbox,
            hub=message_hub(self._settings, self._clock, self._tls),
            event_log=self._shared.event_log,
            journey_log=self._journey_log,
            generation=self._generation,
            model_slots=self._model_slots,
            limiter=self._shared.limiter,
            answers=self._shared.answers,
            signals=self._shared.signals,
            metrics=self._metrics,
            worker=self._worker,
            readers=self._readers,
            tickets=self._tickets,
            upstreams=self._upstreams,
            observe=self._observe,
            services=services,
            health={},
            word_moderator=WordList,
            secret=self._store.secret,
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        closers = [self._store.aclose, self._close_embedded, self._journey_log.aclose]
        closers += [] if self._moderator is None else [self._moderator.aclose]
        closers += [model.aclose for model in (*self._models, *self._further)]
        if isinstance(self._identity, Tokens):
            closers.append(self._identity.authenticator.aclose)
        async with running(self._features, self._store, self._clock.now, closers):
            log_start(self._settings, self._upstreams)
            yield

    async def _close_embedded(self) -> None:
        if self._embedded is not None:
            await asyncio.to_thread(self._embedded.close)

    # -- adapters, each made when it is first asked for -------------------------------------------

    def store(self) -> Store:
        """The journal. Raises `BadSetting`."""
        return open_store(self._settings, self._clock.now, end_process)

    def shared(self) -> Shared:
        """Signals, event log, limiter and answer cache, shared by processes on one journal."""
        if not self._settings.on_postgres:
            return alone(self._clock)
        store: Any = self._store
        return on_postgres(self._settings, store, self._clock)

    def journey_log(self) -> JourneyLogClient:
        """journey-log without its circuit breaker."""
        observe = self._metrics.journey_log_call
        return journey_log_client(self._settings, self._embedded, self._tls, observe)

    def models(self) -> list[LanguageModel]:
        """The models without their circuit breakers."""
        return language_models(self._settings, self._tls)

    @cached_property
    def _store(self) -> Store:
        return self.store()

    @cached_property
    def _shared(self) -> Shared:
        return self.shared()

    @cached_property
    def _embedded(self) -> EmbeddedJourneyLog | None:
        return embedded_journey_log(self._settings)

    @cached_property
    def _journey_log(self) -> GuardedJourneyLog:
        guard = breaker(self._settings)
        return GuardedJourneyLog(self.journey_log(), guard, self._clock.monotonic)

    @cached_property
    def _unguarded(self) -> list[LanguageModel]:
        return self.models()

    @cached_property
    def _models(self) -> list[GuardedModel]:
        return self._guarded(self._unguarded)

    @cached_property
    def _probe(self) -> StartProbe:
        return start_probe(self._settings, self._unguarded[0], self._generation)

    @cached_property
    def _further(self) -> list[GuardedModel]:
        return self._guarded(further_models(self._settings, self._tls))

    def _guarded(self, models: Sequence[LanguageModel]) -> list[GuardedModel]:
        now = self._clock.monotonic
        return [GuardedModel(model, breaker(self._settings), now) for model in models]

    @cached_property
    def _moderator(self) -> Moderator | None:
        return moderator(self._settings, self._tls, self._clock.monotonic)

    @cached_property
    def _identity(self) -> Anonymous | Tokens:
        return identity(self._settings, self._tickets, self._tls)

    # -- shared services --------------------------------------------------------------------------

    @cached_property
    def _model_slots(self) -> FairLimiter:
        settings = self._settings
        return FairLimiter(settings.max_concurrent_llm_calls, settings.llm_slot_wait_seconds)

    @cached_property
    def _generation(self) -> GenerationService:
        return GenerationService(
            self._models,
            self._model_slots,
            generation_limits(self._settings),
            moderator=self._moderator,
            observe=self._observe,
            record_gap=self._metrics.record_gap,
            clock=self._clock.monotonic,
            context_tokens=self._settings.llm_context_tokens,
            further=self._further,
            prices=price_list(self._settings),
        )

    @cached_property
    def _readers(self) -> Readers:
        settings = self._settings
        return Readers(settings.max_streams, settings.max_streams_per_client, self._observe)

    @cached_property
    def _tickets(self) -> Tickets:
        return Tickets(self._store.secret("ticket_key"), self._clock.now)

    @cached_property
    def _upstreams(self) -> Upstreams:
        settings, embedded = self._settings, self._embedded is not None
        return Upstreams(
            model="offline storyteller" if settings.offline else self._models[0].name,
            model_context_tokens=settings.llm_context_tokens,
            model_server=lambda: self._probe.found,
            model_available=self._any_model_available,
            journey_log=settings.journey_log_base_url or "embedded",
            journey_log_available=self._journey_log.available,
            journey_log_failing=lambda: self._journey_log.failing,
            journey_log_embedded=embedded,
            circuits=self._circuits,
        )

    async def _any_model_available(self) -> bool:
        return any([await model.available() for model in self._models])

    def _circuits(self) -> dict[str, CircuitState]:
        first, *others = self._models
        fallbacks = {f"llm_fallback_{n}": model.circuit for n, model in enumerate(others, start=1)}
        return {"llm": first.circuit, **fallbacks, "journey_log": self._journey_log.circuit}
