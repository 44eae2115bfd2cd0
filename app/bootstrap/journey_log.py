"""journey-log: a remote one, or the embedded one beside the store."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Final

import httpx

from app.adapters.journey_log.client import JourneyLogClient
from app.bootstrap.store import refusing_the_start
from app.http1 import transport_for
from app.retrying import Backoff
from app.settings import SharedSettings
from app.standins.journey_log import EmbeddedJourneyLog
from app.web.routing import Operation, Tag

MAX_WRITES_AT_ONCE: Final = 1_000


def embedded_journey_log(settings: SharedSettings) -> EmbeddedJourneyLog | None:
    """Open the embedded one, unless a remote one is set. Raises `BadSetting`."""
    if settings.journey_log_base_url is not None:
        return None
    embedded = EmbeddedJourneyLog(settings.store_path.with_name("journey-log.db"))
    with refusing_the_start():
        embedded.open()
    return embedded


def journey_log_client(
    settings: SharedSettings,
    transport: httpx.AsyncBaseTransport,
    observe: Callable[[str, str, float], None],
) -> JourneyLogClient:
    """The client over `transport`; `observe` takes operation, status and seconds of each call."""
    timeout = settings.journey_log_timeout
    return JourneyLogClient(
        transport,
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
        observe=observe,
    )


def journey_log_transport(
    embedded: EmbeddedJourneyLog | None, tls: ssl.SSLContext
) -> httpx.AsyncBaseTransport:
    """To the embedded app, or over the network."""
    if embedded is not None:
        return httpx.ASGITransport(embedded.app, raise_app_exceptions=False)
    transport: httpx.AsyncBaseTransport = transport_for(httpx, limit=MAX_WRITES_AT_ONCE, tls=tls)
    return transport


def mounted(settings: SharedSettings, embedded: EmbeddedJourneyLog | None) -> tuple[Operation, ...]:
    """The embedded one under /journey-log. Without authentication only this machine may see it."""
    if embedded is None or settings.auth_mode != "off" or not settings.on_loopback:
        return ()
    mount = Operation(
        method="MOUNT",
        path="/journey-log/{path}",
        endpoint=embedded.app,
        scope="turns",
        tag=Tag("journey-log", "The embedded journey-log."),
        name="journeyLog",
        summary="The embedded journey-log",
        described=False,
    )
    return (mount,)
