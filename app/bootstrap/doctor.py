"""The adapters that `dungeon-master doctor` examines, built without the service."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from app.adapters.store.postgres.connecting import Database
from app.adapters.store.postgres.preparing import check_database
from app.adapters.store.sqlite.check import check
from app.bootstrap.discovery import with_discovered_model
from app.bootstrap.journey_log import journey_log_client
from app.bootstrap.models import probed_models
from app.bootstrap.store import refusing_the_start
from app.doctor.examination import Patient
from app.doctor.model import ModelRules
from app.settings import SharedSettings
from app.turns.settings import TurnSettings


@asynccontextmanager
async def patient(settings: SharedSettings) -> AsyncIterator[Patient]:
    """Its connections are closed at the end."""
    tls = ssl.create_default_context()
    settings = settings.model_copy(update=with_discovered_model(settings, tls))
    models = probed_models(settings, tls)
    async with AsyncExitStack() as stack:
        for model in models:
            stack.push_async_callback(model.aclose)
        journey_log = None
        if settings.journey_log_base_url is not None:
            journey_log = journey_log_client(settings, None, tls, _unobserved)
            stack.push_async_callback(journey_log.aclose)
        yield Patient(
            models=models,
            model_address=settings.model_address,
            rules=ModelRules(
                streaming=settings.llm_streaming,
                bound=_bound(settings),
                slots=settings.max_concurrent_llm_calls,
                context_tokens=settings.llm_context_tokens,
            ),
            storyteller=settings.offline or settings.offline_fallback,
            journey_log=journey_log,
            journey_log_address=settings.journey_log_base_url or "(embedded)",
            check_store=lambda: _check_store(settings),
        )


def _bound(settings: SharedSettings) -> int | None:
    """The bound on the output tokens of a turn; None without a budget, since only budgets need one."""
    bounded = isinstance(settings, TurnSettings) and settings.budget
    return settings.llm_max_output_tokens if bounded else None


def _check_store(settings: SharedSettings) -> str:
    """Raises `BadSetting`."""
    with refusing_the_start():
        if settings.on_postgres:
            return check_database(Database(settings.store_url))
        return check(settings.store_path)


def _unobserved(operation: str, status: str, seconds: float) -> None:
    pass
