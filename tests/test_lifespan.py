"""The end of the service: background work ends, whatever becomes of its cancellation."""

from __future__ import annotations

import asyncio

from app.bootstrap.lifespan import running
from app.errors import StoreUnavailable
from app.feature import Feature

from fakes.store.store import MemoryTurnStore
from journal import NOON
from loops import in_virtual_time


class Library:
    """Takes a cancellation for a lost connection, once."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.lost = 0

    async def call(self) -> None:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if self.lost:
                raise
            self.lost += 1
            raise StoreUnavailable from None

    async def forever(self) -> None:
        while True:
            try:
                await self.call()
            except StoreUnavailable:
                continue


@in_virtual_time
async def test_service_ends_where_a_cancellation_is_taken_for_a_lost_connection() -> None:
    kept, looped = Library(), Library()
    features = [Feature(background=(looped.forever,), housekeeping=(kept.call,))]
    async with asyncio.timeout(60):
        async with running(features, MemoryTurnStore(lambda: NOON), lambda: NOON, ()):
            for library in (kept, looped):
                await library.asked.wait()
    assert (kept.lost, looped.lost) == (1, 1)
