"""The feature for operators: health, metrics, admin."""

from __future__ import annotations

from app.feature import Feature, FeatureSpec, Platform
from app.operations.admin import AdminService
from app.operations.api import operations
from app.operations.health import Health
from app.operations.settings import OperationsSettings
from app.telemetry.workers import WorkerMetrics
from app.turns.service import TurnService


def wire(platform: Platform) -> Feature:
    """Needs the turns feature."""
    settings, shared = platform.settings_of(OperationsSettings), platform.settings
    turns, upstreams = platform.services.get(TurnService), platform.upstreams
    health = Health(
        service=shared.service_name,
        provider="offline" if shared.offline else "openai",
        upstreams=upstreams,
        probe_journey_log=settings.health_check_journey_log or upstreams.journey_log_embedded,
        store_available=platform.store.available,
        draining=lambda: turns.draining,
        accepting=lambda: turns.accepting,
        window=platform.metrics.window,
        headroom=turns.headroom_of_all,
        free_calls=lambda: shared.max_concurrent_llm_calls - platform.model_slots.busy,
        further=platform.health,
        now=platform.clock.now,
    )
    metrics = WorkerMetrics(platform.metrics.render, platform.worker)
    return Feature(
        operations=operations(
            metrics=settings.enable_metrics,
            admin=settings.admin_endpoints_enabled,
            debug=settings.enable_debug_endpoints,
        ),
        services=(health, AdminService(platform.store), platform.metrics, metrics),
        background=(metrics.serve,),
    )


FEATURE = FeatureSpec("operations", wire, OperationsSettings)
