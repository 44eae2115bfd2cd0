"""Time as the turn sees it; tests hand in their own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """`now`: epoch seconds. `monotonic`: seconds from an arbitrary start."""

    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
