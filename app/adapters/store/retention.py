"""Retention: the age at which a store drops rows. Open turns are never dropped."""

from __future__ import annotations

from dataclasses import dataclass

KEY_SECONDS = 86_400  # how long an idempotency key is bound
WEEK = 7 * 86_400
UNDELIVERED = 30 * 86_400
"""How long an event waits for a hub that takes it; one that was delivered is kept for a week."""


@dataclass(frozen=True, slots=True)
class Retention:
    """Ages in seconds, counted from a turn's end; `max_bytes` is for the whole store.

    Events go first, and recordings; the turn itself a week after its events. Over `max_bytes` the
    oldest turns go before their time.
    """

    events_ttl: float = 86_400
    recordings_ttl: float = 3_600
    recordings_limit: int = 10_000
    max_bytes: int = 4 * 1024**3
