"""The only place where adapters are chosen; the lifespan opens and closes them."""

from __future__ import annotations

import asyncio
import sqlite3
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final
from urllib.request import getproxies

import httpx
import httpx2
import stamina.instrumentation
import structlog
from openai import AsyncOpenAI
from starlette.applications import Starlette
from starlette.types import ASGIApp

from app.adapters.auth.jwt import JWKS, JWTAuthenticator, KeySource, SharedSecret
from app.adapters.event_log.memory import MemoryEventLog
from app.adapters.journey_log.client import JourneyLogClient
from app.adapters.journey_log.guarded import GuardedJourneyLog
from app.adapters.limits.memory import MemoryLimiter
from app.adapters.moderation.openai import OpenAIModeration
from app.adapters.moderation.words import WordList
from app.adapters.openai import OpenAIModel
from app.adapters.store.retention import Retention
from app.adapters.store.sqlite.engine import StoreInUse
from app.adapters.store.sqlite.inspection import StoreInspector
from app.adapters.store.sqlite.store import SqliteTurnStore
from app.characters import api as characters
from app.characters.service import CharacterService
from app.core.breaker import BreakerRule, CircuitBreaker, CircuitState
from app.core.limits import Rule, per_minute, per_second
from app.core.policy import PolicyConfig, PolicyEngine
from app.errors import StoreUnavailable
from app.generation.fair_limiter import FairLimiter
from app.generation.guarded import GuardedModel
from app.generation.request import GenerationLimits
from app.generation.service import GenerationService
from app.http1 import transport_for
from app.operations import api as operators
from app.operations.admin import AdminService
from app.operations.health import Health
from app.operations.policy_source import PolicySource
from app.ports.clock import Clock
from app.ports.inspection import JournalInspector
from app.ports.model import LanguageModel
from app.ports.moderation import Moderator
from app.retrying import Backoff
from app.settings import BadSetting, Settings
from app.standins.journey_log import EmbeddedJourneyLog
from app.standins.storyteller import Storyteller
from app.telemetry.lifecycle import StreamLifecycleLogger, TurnLogger
from app.telemetry.metrics import Metrics
from app.turns import api as turns
from app.turns.admission import Admission, AdmissionRules
from app.turns.delivery import Deliverer
from app.turns.executor import TurnExecutor
from app.turns.load_shedding import LagMeter, LoadShedder
from app.turns.narration import raw_characters
from app.turns.observe import Observer, all_of
from app.turns.pipeline import Dependencies, TurnOrchestrator
from app.turns.recovery import TurnRecovery
from app.turns.service import TurnService
from app.turns.write_fate import DeliveryPolicy
from app.web.app import create_app
from app.web.auth import Anonymous, Tickets, Tokens
from app.web.routing import Operation, Tag
from app.web.services import Services
from app.web.transports.readers import Readers
from app.web.transports.sse import SSETransport
from app.web.transports.websocket import WebSocketTransport

__all__ = [
    "Application",
    "Builder",
    "build",
    "inspector",
    "offline_event_log",
]

log = structlog.get_logger(__name__)

_OPEN: Final[dict[CircuitState, float]] = {"closed": 0.0, "half_open": 0.5, "open": 1.0}
MAX_WRITES_AT_ONCE: Final = 1_000  # calls of journey-log
HOUSEKEEPING_SECONDS = 2.0
EXPIRE_EVERY = 30  # rounds of housekeeping


@dataclass(frozen=True, slots=True)
class Application:
    """The ASGI app, and what its server calls when it is told to stop."""

    asgi: ASGIApp
    turns: TurnService
    runner: TurnExecutor
    send_readers_away: Callable[[], None]


def build(settings: Settings, clock: Clock | None = None) -> Application:
    """Open the store and put everything together. Raises `BadSetting`."""
    return Builder(settings, clock or Clock()).build()


def inspector(settings: Settings) -> JournalInspector:
    """The journal for the command line. Raises `BadSetting`."""
    try:
        return StoreInspector(settings.store_path, Clock().now)
    except FileNotFoundError:
        raise BadSetting(f"STORE_URL: there is no database at {settings.store_path}") from None
    except RuntimeError as error:
        raise BadSetting(f"STORE_URL: {error}") from None


def offline_event_log() -> MemoryEventLog:
    return MemoryEventLog()


class Builder:
    """Puts the application together. To have an adapter built otherwise, override its method."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._metrics = Metrics()
        self._ssl = ssl.create_default_context()  # one trust store for both clients
        self._embedded: EmbeddedJourneyLog | None = None
        self._event_log = MemoryEventLog()
        self._lag = LagMeter()

    def build(self) -> Application:
        # Its default hook logs the arguments of what is retried: player text.
        stamina.instrumentation.set_on_retry_hooks([])
        self._policy.poll()
        _ = self._store  # the first thing to open: it holds the lock that a second server meets
        self._track()
        asgi = create_app(
            self._settings,
            self._services(),
            self._lifespan,
            self._metrics.http_request,
            self._identity,
            self._operations(),
        )
        return Application(asgi, self._turns, self._runner, self._readers.send_away)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for close in self._closers():
                stack.push_async_callback(close)
            await self._recovery.recover()
            for work in (self._keep_house(), self._lag.run()):
                stack.push_async_callback(_stopped, asyncio.create_task(work))
            self._say_what_started()
            yield

    def _closers(self) -> list[Callable[[], Awaitable[None]]]:
        """In the order in which they must not be closed: the last one is closed first."""
        closers: list[Callable[[], Awaitable[None]]] = [self._store.aclose]
        if self._embedded is not None:
            closers.append(_in_thread(self._embedded.close))
        closers.append(self._journey_log.aclose)
        if self._moderator is not None:
            closers.append(self._moderator.aclose)
        closers += [model.aclose for model in self._models]
        if isinstance(self._identity, Tokens):
            closers.append(self._identity.authenticator.aclose)
        return [*closers, self._runner.abandon]

    async def _keep_house(self) -> None:
        """Now and then: look at the policy file, take over orphans, drop what is past its time."""
        round_number = 0
        while True:
            await asyncio.sleep(HOUSEKEEPING_SECONDS)
            self._policy.poll()
            with suppress(StoreUnavailable):  # it was logged; the next round tries again
                await self._recovery.recover()
                if round_number % EXPIRE_EVERY == 0:
                    await self._store.expire(self._clock.now())
            round_number += 1

    # -- the parts, each made when it is first asked for ------------------------------------------

    @cached_property
    def _observe(self) -> Observer:
        return all_of(
            [
                self._metrics.observe,
                StreamLifecycleLogger().observe,
                TurnLogger(self._settings.turn_log_sampling_rate).observe,
            ]
        )

    @cached_property
    def _store(self) -> SqliteTurnStore:
        return self.store()

    @cached_property
    def _journey_log(self) -> GuardedJourneyLog:
        return GuardedJourneyLog(self.journey_log(), self._breaker(), self._clock.monotonic)

    @cached_property
    def _models(self) -> list[GuardedModel]:
        return [
            GuardedModel(model, self._breaker(), self._clock.monotonic) for model in self.models()
        ]

    @cached_property
    def _slots(self) -> FairLimiter:
        settings = self._settings
        return FairLimiter(settings.max_concurrent_llm_calls, settings.llm_slot_wait_seconds)

    @cached_property
    def _deliverer(self) -> Deliverer:
        return Deliverer(self._journey_log, self._store, self._observe, self.patience())

    @cached_property
    def _policy(self) -> PolicySource:
        file = self._settings.policy_config_file
        return PolicySource(self._policy_config(), file, self._clock.now)

    @cached_property
    def _generation(self) -> GenerationService:
        return GenerationService(
            self._models,
            self._slots,
            self._limits(),
            moderator=self._moderator,
            observe=self._observe,
            record_gap=self._metrics.record_gap,
            clock=self._clock.monotonic,
        )

    @cached_property
    def _orchestrator(self) -> TurnOrchestrator:
        return TurnOrchestrator(
            Dependencies(
                journey_log=self._journey_log,
                store=self._store,
                generation=self._generation,
                deliverer=self._deliverer,
                policy=PolicyEngine(self._seed()),
                policy_config=self._policy.current,
                observe=self._observe,
                narrative_bytes=self._settings.max_narrative_bytes,
                sparks_enabled=self._settings.poi_memory_spark_enabled,
            )
        )

    @cached_property
    def _runner(self) -> TurnExecutor:
        return TurnExecutor(
            self._orchestrator,
            self._store,
            self._event_log,
            self._clock,
            self._observe,
        )

    @cached_property
    def _recovery(self) -> TurnRecovery:
        return TurnRecovery(self._store, self._runner, self._deliverer)

    @cached_property
    def _turns(self) -> TurnService:
        return TurnService(self._store, self._event_log, self._runner, self._admission())

    @cached_property
    def _readers(self) -> Readers:
        settings = self._settings
        return Readers(settings.max_streams, settings.max_streams_per_client, self._observe)

    @cached_property
    def _tickets(self) -> Tickets:
        return Tickets(self._store.secret("ticket_key"), self._clock.now)

    def _services(self) -> Services:
        health = self._health()
        return Services(
            settings=self._settings,
            turns=self._turns,
            tickets=self._tickets,
            characters=CharacterService(self._journey_log, self._store, self._turns),
            admin=AdminService(self._store),
            policy=self._policy,
            readers=self._readers,
            sse=SSETransport(self._readers),
            websocket=WebSocketTransport(self._readers),
            health=health.report,
            ready=health.ready,
            metrics=self._metrics.render,
            legacy_metrics=self._metrics.legacy,
        )

    # -- adapters ---------------------------------------------------------------------------------

    def store(self) -> SqliteTurnStore:
        settings = self._settings
        store = SqliteTurnStore(
            settings.store_path,
            self._clock.now,
            Retention(
                events_ttl=settings.turn_events_ttl_seconds,
                recordings_ttl=settings.turn_storage_ttl_seconds,
                recordings_limit=settings.turn_storage_max_size,
                max_bytes=settings.store_max_bytes,
            ),
        )
        with _refusing_the_start():
            store.open()
        return store

    def _seed(self) -> str:
        return self._settings.rng_seed or self._store.secret("policy_seed")

    def journey_log(self) -> JourneyLogClient:
        settings = self._settings
        timeout = settings.journey_log_timeout
        return JourneyLogClient(
            self._to_journey_log(),
            settings.journey_log_base_url or "http://journey-log",
            timeouts=httpx.Timeout(timeout, connect=min(timeout, 5.0)),
            recent_n=settings.journey_log_recent_n,
            spark_count=settings.poi_memory_spark_count,
            reads=Backoff(
                settings.journey_log_max_retries,
                settings.journey_log_retry_delay_base,
                settings.journey_log_retry_delay_max,
            ),
            timeout=timeout,
            observe=self._metrics.journey_log_call,
        )

    def _to_journey_log(self) -> httpx.AsyncBaseTransport:
        settings = self._settings
        if settings.journey_log_base_url is None:
            path = settings.store_path.with_name("journey-log.db")
            self._embedded = EmbeddedJourneyLog(path)
            with _refusing_the_start():
                self._embedded.open()
            return httpx.ASGITransport(self._embedded.app, raise_app_exceptions=False)
        return transport_for(httpx, limit=MAX_WRITES_AT_ONCE, tls=self._ssl)  # type: ignore[no-any-return]

    def models(self) -> list[LanguageModel]:
        """Who tells, and who takes over in order when they cannot."""
        settings = self._settings
        storyteller = Storyteller(settings.storyteller_tokens_per_second, settings.rng_seed)
        if settings.offline:
            return [storyteller]
        client = self._openai_client()
        names = [settings.openai_model, settings.openai_fallback_model]
        models: list[LanguageModel] = [
            OpenAIModel(client, name, settings.resolved_llm_api)
            for name in names
            if name is not None
        ]
        return [*models, storyteller] if settings.offline_fallback else models

    @cached_property
    def _moderator(self) -> Moderator | None:
        """Raises `BadSetting` when the list cannot be read."""
        settings = self._settings
        if settings.moderation == "openai":
            return OpenAIModeration(
                self._openai_client(),
                settings.moderation_model,
                fail_open=settings.moderation_fail_open,
                breaker=self._breaker(),
                now=self._clock.monotonic,
            )
        if settings.moderation == "off" or settings.moderation_words_file is None:
            return None
        try:
            return WordList.from_file(settings.moderation_words_file)
        except (OSError, UnicodeDecodeError) as error:
            raise BadSetting(f"MODERATION_WORDS_FILE: cannot be read ({error})") from None

    def _breaker(self) -> CircuitBreaker:
        settings = self._settings
        return CircuitBreaker(
            BreakerRule(settings.breaker_failures, settings.breaker_window_seconds)
        )

    def _openai_client(self) -> AsyncOpenAI:
        settings = self._settings
        key, limit = settings.openai_api_key, settings.max_concurrent_llm_calls
        timeout = httpx2.Timeout(
            settings.openai_timeout, connect=min(settings.openai_timeout, 10.0)
        )
        return AsyncOpenAI(
            api_key=key.get_secret_value() if key else "none",
            base_url=settings.openai_base_url or "https://api.openai.com/v1",
            max_retries=0,
            timeout=timeout,  # the SDK takes a client's own 5 s for "not set" and waits 600 s
            http_client=httpx2.AsyncClient(
                timeout=timeout,
                # A proxy from the environment is for the library's own transport.
                transport=None
                if getproxies()
                else transport_for(httpx2, limit=limit, tls=self._ssl),
                limits=httpx2.Limits(max_connections=limit, max_keepalive_connections=limit),
                verify=self._ssl,
                follow_redirects=False,
            ),
        )

    @cached_property
    def _identity(self) -> Anonymous | Tokens:
        settings = self._settings
        if settings.auth_mode == "off":
            return Anonymous()
        return Tokens(self._authenticator(), self._tickets)

    def _authenticator(self) -> JWTAuthenticator:
        settings = self._settings
        keys: KeySource
        if settings.jwt_secret is not None:
            keys = SharedSecret(settings.jwt_secret.get_secret_value())
        else:
            client = httpx.AsyncClient(timeout=5, verify=self._ssl, follow_redirects=False)
            keys = JWKS(settings.jwt_jwks_url or "", client)
        return JWTAuthenticator(
            keys, settings.jwt_issuer, settings.jwt_audience, settings.jwt_leeway_seconds
        )

    def _operations(self) -> tuple[Operation, ...]:
        settings = self._settings
        return (
            *turns.OPERATIONS,
            *characters.OPERATIONS,
            *operators.operations(
                metrics=settings.enable_metrics,
                admin=settings.admin_endpoints_enabled,
                debug=settings.enable_debug_endpoints,
            ),
            *self._mounted_journey_log(),
        )

    def _mounted_journey_log(self) -> tuple[Operation, ...]:
        """Without authentication it may be seen from this machine only."""
        settings = self._settings
        if self._embedded is None or settings.auth_mode != "off" or not settings.on_loopback:
            return ()
        mounted = Operation(
            method="MOUNT",
            path="/journey-log/{path}",
            endpoint=self._embedded.app,
            scope="turns",
            tag=Tag("journey-log", "The embedded journey-log."),
            name="journeyLog",
            summary="The embedded journey-log",
            described=False,
        )
        return (mounted,)

    # -- values -----------------------------------------------------------------------------------

    def patience(self) -> DeliveryPolicy:
        return DeliveryPolicy(self._settings.settle_seconds, self._settings.write_deadline_seconds)

    def _limits(self) -> GenerationLimits:
        settings = self._settings
        bounded = bool(settings.tokens_per_user_per_day)
        return GenerationLimits(
            streaming=settings.llm_streaming,
            max_retries=settings.llm_max_retries,
            delay_base=settings.llm_retry_delay_base,
            delay_max=settings.llm_retry_delay_max,
            seconds=settings.llm_phase_seconds,
            raw_characters=raw_characters(settings.max_narrative_bytes),
            max_output_tokens=settings.llm_max_output_tokens if bounded else None,
            hold_characters=settings.moderation_hold_characters,
        )

    def _admission(self) -> Admission:
        """Limits that outlive a restart: what was admitted within the longest window counts."""
        settings, limiter, rules = self._settings, MemoryLimiter(self._clock.now), self._rules()
        for request, at in self._store.recent_starts(self._clock.now() - 60):
            limiter.recall((charge, at) for charge in rules.charges(request))
        queue = settings.turn_queue_limit if settings.turn_conflict == "queue" else 0
        check = self._load().check
        return Admission(self._store, self._runner, limiter, rules, check, queue)

    def _load(self) -> LoadShedder:
        return LoadShedder(
            lag=lambda: self._lag.lag,
            model_waiting=lambda: self._slots.waiting,
            store_waiting=lambda: self._store.waiting,
            max_lag=self._settings.max_loop_lag_seconds,
            max_model_waiting=self._settings.max_concurrent_llm_calls,
        )

    def _rules(self) -> AdmissionRules:
        """User ids are verified only with AUTH_MODE=jwt; a character's rate always counts."""
        settings = self._settings
        known = settings.auth_mode != "off"

        def rule(name: str, limit: int) -> Rule | None:
            return per_minute(name, limit) if known and limit else None

        model = settings.limit_models_per_minute.get(settings.openai_model, 0)
        return AdmissionRules(
            character=per_second("character", settings.max_turns_per_character_per_second),
            user=rule("user", settings.limit_user_per_minute),
            address=rule("address", settings.limit_address_per_minute),
            everybody=rule("global", settings.limit_global_per_minute),
            model=None if settings.offline else rule("model", model),
            budget=settings.tokens_per_user_per_day,
            recent_turns=settings.journey_log_recent_n,
            max_output_tokens=settings.llm_max_output_tokens,
        )

    def _policy_config(self) -> PolicyConfig:
        names = PolicyConfig.model_fields
        return PolicyConfig(**{name: getattr(self._settings, name) for name in names})

    def _track(self) -> None:
        track = self._metrics.track
        track("model_slots_waiting", lambda: self._slots.waiting)
        track("model_slots_busy", lambda: self._slots.busy)
        track("turns_running", lambda: len(self._runner.running))
        track("store_jobs_waiting", lambda: self._store.waiting)
        track("streams_active", lambda: self._readers.open)
        track("llm_circuit_open", lambda: _OPEN[self._models[0].circuit])
        track("journey_log_circuit_open", lambda: _OPEN[self._journey_log.circuit])

    def _health(self) -> Health:
        settings, model, journey_log = self._settings, self._models[0], self._journey_log
        limit, embedded = settings.max_concurrent_llm_calls, self._embedded is not None
        return Health(
            service=settings.service_name,
            teller="offline storyteller" if settings.offline else model.name,
            llm_available=self._somebody_can_tell,
            journey_log_available=journey_log.available,
            probe_journey_log=settings.health_check_journey_log or embedded,
            journey_log="embedded" if embedded else "remote",
            store_available=self._store.available,
            draining=lambda: self._turns.draining,
            window=self._metrics.window,
            headroom=lambda: {"concurrent_llm_calls": limit - self._slots.busy},
            circuits=self._circuits,
        )

    async def _somebody_can_tell(self) -> bool:
        return any([await model.available() for model in self._models])

    def _circuits(self) -> dict[str, CircuitState]:
        first, *others = self._models
        fallbacks = {f"llm_fallback_{n}": model.circuit for n, model in enumerate(others, start=1)}
        return {"llm": first.circuit, **fallbacks, "journey_log": self._journey_log.circuit}

    def _say_what_started(self) -> None:
        settings = self._settings
        told: dict[str, Any] = {
            "model": "offline storyteller (set OPENAI_API_KEY or OPENAI_BASE_URL for a model)"
            if settings.offline
            else settings.openai_model,
            "journey_log": settings.journey_log_base_url or "embedded",
            "store": settings.store_url,
        }
        log.info("service_started", **told)
        if settings.settle_seconds <= settings.journey_log_timeout:
            log.warning(
                "settle_time_too_short",
                reason="JOURNEY_LOG_SETTLE_SECONDS should be longer than JOURNEY_LOG_TIMEOUT:"
                " a write may land after it was given up",
            )


@contextmanager
def _refusing_the_start() -> Iterator[None]:
    """Raises `BadSetting` for a database that cannot be used."""
    try:
        yield
    except (StoreInUse, OSError, sqlite3.Error, RuntimeError) as error:
        raise BadSetting(f"STORE_URL: {error}") from error


def _in_thread(close: Callable[[], None]) -> Callable[[], Awaitable[None]]:
    async def closed() -> None:
        await asyncio.to_thread(close)

    return closed


async def _stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
