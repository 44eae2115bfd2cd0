"""Turning new turns away before those that run become slow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from app.errors import Overloaded

SAMPLE_SECONDS = 0.1


class LagMeter:
    """How late the event loop runs what is due, in seconds; a moving average over about a second."""

    def __init__(self) -> None:
        self.lag = 0.0

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + SAMPLE_SECONDS
            await asyncio.sleep(SAMPLE_SECONDS)
            late = max(loop.time() - due, 0.0)
            self.lag += (late - self.lag) * 0.2


@dataclass(frozen=True, slots=True)
class Load:
    """The service is full when one of the three is above its bound."""

    lag: Callable[[], float]
    model_waiting: Callable[[], int]
    store_waiting: Callable[[], int]
    max_lag: float = 0.25
    max_model_waiting: int = 200
    max_store_waiting: int = 2_000

    def check(self) -> None:
        """Raises `Overloaded`. Turns that were admitted are never turned away."""
        if (
            self.lag() > self.max_lag
            or self.model_waiting() >= self.max_model_waiting
            or self.store_waiting() >= self.max_store_waiting
        ):
            raise Overloaded
