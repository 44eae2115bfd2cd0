"""Load shedding: new turns are refused before running ones become slow."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass

from app.errors import Overloaded

SAMPLE_SECONDS = 0.1
MEMORY_SECONDS = 1.0


class LagMeter:
    """The lag of the event loop in seconds: a moving average over about a second.

    Each sample weighs as much as the time it took: a loop that is very late is seen at once.
    """

    def __init__(self) -> None:
        self.lag = 0.0

    async def run(self) -> None:
        """Sample for as long as the service runs."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + SAMPLE_SECONDS
            await asyncio.sleep(SAMPLE_SECONDS)
            late = max(loop.time() - due, 0.0)
            weight = 1 - math.exp(-(SAMPLE_SECONDS + late) / MEMORY_SECONDS)
            self.lag += (late - self.lag) * weight


@dataclass(frozen=True, slots=True)
class LoadShedder:
    """The service is full when one of the three is above its bound.

    A turn passes through the loop some ten times before its first token: each time it is `lag` late.
    """

    lag: Callable[[], float]
    model_waiting: Callable[[], int]
    store_waiting: Callable[[], int]
    max_lag: float = 0.5
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
