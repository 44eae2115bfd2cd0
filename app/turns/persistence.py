"""Transactions of the journal that a turn cannot do without: repeated until they are stored."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar, assert_never

import structlog

from app.errors import StoreUnavailable
from app.ports.store import Verdict
from app.turns.state import TurnState

log = structlog.get_logger(__name__)

T = TypeVar("T")

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # seconds


class CancelledFirst(Exception):
    """A cancel won the race against the turn's next step; the turn must end as cancelled."""


class LostTurn(Exception):
    """Another owner has the turn now; nothing more may be done for it here."""


async def commit(transaction: Callable[[], Awaitable[Verdict]]) -> None:
    """Returns once the journal holds it. Raises `CancelledFirst` or `LostTurn`."""
    match verdict := await retry_until_stored(transaction):
        case Verdict.STORED:
            return
        case Verdict.CANCELLED:
            raise CancelledFirst
        case Verdict.LOST:
            raise LostTurn
        case _:
            assert_never(verdict)


async def commit_intent(turn: TurnState, transaction: Callable[[], Awaitable[Verdict]]) -> None:
    """`commit` of a transaction that records that a write is about to be sent."""

    async def attempt() -> Verdict:
        turn.intended = turn.clock.monotonic()
        return await transaction()

    await commit(attempt)


async def retry_until_stored(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat a transaction of the store while the store cannot be used.

    A transaction that failed has stored nothing, so it can be repeated. If the process ends
    meanwhile, recovery goes on from what the journal holds.
    """
    pause = FIRST_PAUSE
    while True:
        try:
            return await call()
        except StoreUnavailable:
            log.warning("waiting_for_store", pause_seconds=pause)
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)
