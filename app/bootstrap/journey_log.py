"""journey-log: a remote one, or the embedded one beside the store."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx

from app.adapters.journey_log.client import JourneyLogClient
from app.adapters.journey_log.exchanges import DirectExchange, Exchange, HttpxExchange
from app.bootstrap.store import refusing_the_start
from app.retrying import Backoff
from app.settings import BadSetting, SharedSettings, StoreSettings
from app.standins.journey_log import EmbeddedJourneyLog
from app.web.routing import Operation, Tag

MAX_WRITES_AT_ONCE: Final = 1_000


def embedded_path(settings: StoreSettings) -> Path:
    """The file of the embedded one."""
    return settings.store_path.with_name("journey-log.db")


def embedded_journey_log(settings: SharedSettings) -> EmbeddedJourneyLog | None:
    """Open the embedded one, unless a remote one is set. Raises `BadSetting`."""
    if settings.journey_log_base_url is not None:
        return None
    if settings.on_postgres:
        raise BadSetting(
            "JOURNEY_LOG_BASE_URL: is required with a PostgreSQL STORE_URL; the embedded journey-log"
            " belongs to one process"
        )
    embedded = EmbeddedJourneyLog(embedded_path(settings))
    with refusing_the_start():
        embedded.open()
    return embedded


def journey_log_client(
    settings: SharedSettings,
    embedded: EmbeddedJourneyLog | None,
    tls: ssl.SSLContext,
    observe: Callable[[str, str, float], None],
) -> JourneyLogClient:
    """The client of the embedded app, or over the network; `observe` takes operation, status and
    seconds of each call."""
    return JourneyLogClient(
        _exchange(settings, embedded, tls),
        recent_n=settings.journey_log_recent_n,
        spark_count=settings.poi_memory_spark_count,
        reads=Backoff(
            settings.journey_log_max_retries,
            settings.journey_log_retry_delay_base,
            settings.journey_log_retry_delay_max,
        ),
        timeout=settings.journey_log_timeout,
        observe=observe,
    )


def _exchange(
    settings: SharedSettings, embedded: EmbeddedJourneyLog | None, tls: ssl.SSLContext
) -> Exchange:
    if embedded is not None:
        transport = httpx.ASGITransport(embedded.app, raise_app_exceptions=False)
        return HttpxExchange(transport, "http://journey-log")
    assert settings.journey_log_base_url is not None
    timeout = settings.journey_log_timeout
    timeouts = httpx.Timeout(timeout, connect=min(timeout, 5.0))
    return DirectExchange(
        settings.journey_log_base_url, timeouts, limit=MAX_WRITES_AT_ONCE, tls=tls
    )


def mounted(settings: SharedSettings, embedded: EmbeddedJourneyLog | None) -> tuple[Operation, ...]:
    """The embedded one under /journey-log. Without authentication only this machine may see it."""
    if embedded is None or settings.auth_mode != "off" or not settings.on_loopback:
        return ()
    mount = Operation(
        method="MOUNT",
        path="/journey-log/{path}",
        endpoint=embedded.app,
        scope=None,  # it checks X-User-Id itself, in its own words
        tag=Tag("journey-log", "The embedded journey-log."),
        name="journeyLog",
        summary="The embedded journey-log",
        described=False,
    )
    return (mount,)
