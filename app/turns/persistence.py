"""Accepted is accepted: what the journal must hold is tried until the journal can hold it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from app.errors import StoreUnavailable

log = structlog.get_logger(__name__)

T = TypeVar("T")

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds


async def retry_until_stored(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat a transaction of the store while the store cannot be used.

    Safe because a transaction that failed has left nothing behind. Ends with the process at the
    latest; recovery then goes on from what the journal has.
    """
    pause = FIRST_PAUSE
    while True:
        try:
            return await call()
        except StoreUnavailable:
            log.warning("waiting_for_store", pause_seconds=pause)
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)
