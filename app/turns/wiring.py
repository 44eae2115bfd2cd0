"""Turns as a feature."""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.core.limits import Rule, per_minute, per_second
from app.core.policy import PolicyConfig, PolicyEngine
from app.core.tracing import TurnTraces
from app.errors import ConfigValidationFailed
from app.feature import Feature, FeatureSpec, Gauge, Platform
from app.settings import BadSetting
from app.telemetry.lifecycle import StreamLifecycleLogger, TurnLogger
from app.turns.admission import Admission
from app.turns.admission_rules import AdmissionRules
from app.turns.api import OPERATIONS
from app.turns.choices import Choosers, TurnChoices
from app.turns.delivery import Deliverer
from app.turns.dependencies import Dependencies
from app.turns.elsewhere import OtherProcesses
from app.turns.executor import TurnExecutor
from app.turns.holding import Holding
from app.turns.kinds import of_characters
from app.turns.load_shedding import LagMeter, LoadShedder
from app.turns.narration import raw_characters
from app.turns.pipeline import TurnOrchestrator
from app.turns.policy_source import PolicySource
from app.turns.questions import Questions, TurnQuestions
from app.turns.recovery import TurnRecovery
from app.turns.references import ContentReferences
from app.turns.service import TurnService
from app.turns.settings import TurnSettings
from app.turns.story import Stories
from app.turns.write_fate import DeliveryPolicy

LIMITS_WINDOW = 60  # seconds: the longest rate window, which outlives a restart


def wire(platform: Platform, policy: DeliveryPolicy | None = None) -> Feature:
    """`policy`: how writes are settled; by default as the settings say."""
    settings = platform.settings_of(TurnSettings)
    rolls, stories = _policy_source(platform, settings), Stories()
    deliverer = Deliverer(
        platform.journey_log, platform.store, platform.observe, policy or _delivery(platform)
    )
    orchestrator = _orchestrator(platform, settings, deliverer, rolls, stories)
    executor = TurnExecutor(
        of_characters(orchestrator),
        platform.store,
        platform.event_log,
        platform.clock,
        platform.observe,
        platform.signals,
    )
    others = OtherProcesses(executor, platform.store, platform.signals)
    recovery = TurnRecovery(executor, deliverer, orchestrator)
    platform.signals.receive(recovery.signalled)
    lag = LagMeter()
    admission = _admission(platform, settings, executor, lag)
    turns = TurnService(platform.store, platform.event_log, executor, admission, others)
    choices = TurnChoices(platform.store, executor, admission, turns, platform.signals)
    questions = _questions(platform, admission)
    logger = TurnLogger(settings.turn_log_sampling_rate)
    return Feature(
        operations=OPERATIONS,
        services=(turns, choices, Choosers(turns, choices), questions, rolls, executor, stories),
        observers=(StreamLifecycleLogger().observe, logger.observe),
        gauges=_gauges(executor, lag),
        on_start=(recovery.recover,),
        background=(lag.run,),
        housekeeping=(rolls.apoll, recovery.recover, others.reconcile),
        on_stop=(executor.abandon,),
        drains=(_TurnDrain(turns, executor),),
    )


def _questions(platform: Platform, admission: Admission) -> TurnQuestions:
    return TurnQuestions(
        Questions(platform.generation),
        platform.journey_log,
        platform.store,
        platform.limiter,
        admission.rules,
        platform.clock.now,
    )


def _gauges(executor: TurnExecutor, lag: LagMeter) -> tuple[Gauge, ...]:
    late = "How late the event loop runs what is due, as an average over about a second."
    return (
        Gauge("turns_running", "Turns that run in this process.", lambda: len(executor.running)),
        Gauge("event_loop_lag_seconds", late, lambda: lag.lag),
    )


@dataclass(frozen=True, slots=True)
class _TurnDrain:
    turns: TurnService
    executor: TurnExecutor

    @property
    def running(self) -> int:
        return len(self.executor.running)

    def refuse_new(self) -> None:
        self.turns.draining = True

    async def finish(self, seconds: float) -> int:
        left = await self.executor.drain(seconds)
        self.turns.waits.end()
        return left


def _orchestrator(
    platform: Platform,
    settings: TurnSettings,
    deliverer: Deliverer,
    rolls: PolicySource,
    stories: Stories,
) -> TurnOrchestrator:
    seed = platform.settings.rng_seed or platform.secret("policy_seed")
    bounded = bool(settings.budget)
    limits = replace(
        platform.generation.limits,
        raw_characters=raw_characters(settings.max_narrative_bytes),
        max_output_tokens=platform.settings.llm_max_output_tokens if bounded else None,
    )
    return TurnOrchestrator(
        Dependencies(
            journey_log=platform.journey_log,
            store=platform.store,
            generation=platform.generation,
            deliverer=deliverer,
            policy=PolicyEngine(seed),
            policy_config=rolls.current,
            observe=platform.observe,
            holding=Holding(platform.store, settings.commit_timeout_seconds),
            limits=limits,
            narrative_bytes=settings.max_narrative_bytes,
            sparks_enabled=settings.poi_memory_spark_enabled,
            stories=stories,
            references=ContentReferences(platform.contents, platform.settings.llm_context_tokens),
        )
    )


def _delivery(platform: Platform) -> DeliveryPolicy:
    settings = platform.settings
    return DeliveryPolicy(settings.settle_seconds, settings.write_deadline_seconds)


def _policy_source(platform: Platform, settings: TurnSettings) -> PolicySource:
    """Raises `BadSetting` for a file that cannot be used."""
    rolls = PolicySource(_policy_config(settings), settings.policy_config_file, platform.clock.now)
    try:
        rolls.load()
    except ConfigValidationFailed as error:
        message = error.message.removeprefix("POLICY_CONFIG_FILE ")
        raise BadSetting(f"POLICY_CONFIG_FILE: {message}") from None
    return rolls


def _policy_config(settings: TurnSettings) -> PolicyConfig:
    return PolicyConfig(**{name: getattr(settings, name) for name in PolicyConfig.model_fields})


def _admission(
    platform: Platform, settings: TurnSettings, executor: TurnExecutor, lag: LagMeter
) -> Admission:
    """Limits outlive a restart: what was admitted within the longest window counts."""
    rules = _rules(platform, settings)
    for request, at in platform.store.recent_starts(platform.clock.now() - LIMITS_WINDOW):
        platform.limiter.recall((charge, at) for charge in rules.charges(request))
    load = LoadShedder(
        lag=lambda: lag.lag,
        model_waiting=lambda: platform.model_slots.waiting,
        store_waiting=lambda: platform.store.waiting,
        max_lag=settings.max_loop_lag_seconds,
        max_model_waiting=platform.settings.max_concurrent_llm_calls,
    )
    queue = settings.turn_queue_limit if settings.turn_conflict == "queue" else 0
    return Admission(
        platform.store,
        executor,
        platform.limiter,
        rules,
        load.check,
        queue,
        platform.clock.now,
        platform.services.get(TurnTraces),
    )


def _rules(platform: Platform, settings: TurnSettings) -> AdmissionRules:
    """User ids are verified only with AUTH_MODE=jwt; a character's rate always counts."""
    shared = platform.settings
    known = shared.auth_mode != "off"

    def rule(name: str, limit: int, about: str) -> Rule | None:
        return per_minute(name, limit, about) if known and limit else None

    rate = settings.max_turns_per_character_per_second
    return AdmissionRules(
        character=per_second("character", rate, "turns of one character"),
        new_character=per_second("new_character", rate, "new characters of one user"),
        user=rule("user", settings.limit_user_per_minute, "turns of one user"),
        address=rule("address", settings.limit_address_per_minute, "turns from one address"),
        everybody=rule("global", settings.limit_global_per_minute, "turns of all users together"),
        models={} if shared.offline or not known else _per_model(settings),
        default_model=shared.model_name,
        content=_per_operation(settings),
        budget=settings.budget,
        most=platform.generation.prices.most,
        recent_turns=shared.journey_log_recent_n,
        max_output_tokens=shared.llm_max_output_tokens,
    )


def _per_model(settings: TurnSettings) -> dict[str, Rule]:
    limits = settings.limit_models_per_minute
    return {
        name: per_minute("model", limit, "requests to this model")
        for name, limit in limits.items()
        if limit
    }


def _per_operation(settings: TurnSettings) -> dict[str, Rule]:
    """The limits of content by operation, each for one user; they hold in every authentication mode."""
    limits = {
        "text": settings.limit_text_per_minute,
        "theme": settings.limit_theme_per_minute,
        "validation": settings.limit_validation_per_minute,
    }
    return {
        name: per_minute(name, limit, f"requests of this kind ({name})")
        for name, limit in limits.items()
        if limit
    }


FEATURE = FeatureSpec("turns", wire, TurnSettings)
