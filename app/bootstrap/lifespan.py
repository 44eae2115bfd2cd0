"""Start and end of the service: the order of its steps and its background work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, Final

import structlog

from app.errors import StoreUnavailable
from app.feature import Feature, Upstreams, Work
from app.ports.store import TurnStore
from app.settings import SharedSettings
from app.tasks import cancelled

log = structlog.get_logger(__name__)

HOUSEKEEPING_SECONDS: Final = 2.0
EXPIRE_EVERY: Final = 30  # rounds of housekeeping


@asynccontextmanager
async def running(
    features: Sequence[Feature], store: TurnStore, now: Callable[[], float], closers: Sequence[Work]
) -> AsyncIterator[None]:
    """Start the features and stop them, the last one first; `closers` are called last."""
    async with AsyncExitStack() as stack:
        for close in (*closers, *(stop for feature in features for stop in feature.on_stop)):
            stack.push_async_callback(close)
        for feature in features:
            for start in feature.on_start:
                await start()
        background = [work for feature in features for work in feature.background]
        background.append(partial(_keep_house, features, store, now))
        for work in background:
            stack.push_async_callback(_stopped, asyncio.ensure_future(work()))
        yield


async def _keep_house(
    features: Sequence[Feature], store: TurnStore, now: Callable[[], float]
) -> None:
    """Now and then: the features' housekeeping, and dropping what is past its time."""
    work = [one for feature in features for one in feature.housekeeping]
    round_number = 0
    while True:
        await asyncio.sleep(HOUSEKEEPING_SECONDS)
        for one in work:
            await _tried(one)
        if round_number % EXPIRE_EVERY == 0:
            await _tried(lambda: store.expire(now()))
        round_number += 1


async def _tried(work: Work) -> None:
    """Run `work` once. A failure is logged and does not end the loop, which runs it again in its next
    round; an unavailable store was logged already."""
    try:
        await work()
    except StoreUnavailable:
        pass
    except Exception as error:
        log.exception("housekeeping_failed", error_type=type(error).__name__)


async def _stopped(task: asyncio.Future[Any]) -> None:
    """Raises what the task does."""
    await cancelled([task])
    if not task.cancelled():
        task.result()


def log_start(settings: SharedSettings, upstreams: Upstreams) -> None:
    """Say what was started with which upstreams."""
    offline = "offline storyteller (set OPENAI_API_KEY or OPENAI_BASE_URL for a model)"
    log.info(
        "service_started",
        model=offline if settings.offline else settings.model_name,
        journey_log=upstreams.journey_log,
        store=settings.store_name,
    )
    if settings.settle_seconds <= settings.journey_log_timeout:
        log.warning(
            "settle_time_too_short",
            reason="JOURNEY_LOG_SETTLE_SECONDS should be longer than JOURNEY_LOG_TIMEOUT:"
            " a write may land after it was given up",
        )
