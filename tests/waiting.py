"""Waiting inside an event loop, without a clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


async def parked() -> None:
    """Everybody else has come as far as they can."""
    for _ in range(10):
        await asyncio.sleep(0)


def eventually(so: Callable[[], object], seconds: float = 300.0) -> None:
    """Look until it is so; for changes by another process, which sends no signal."""
    until = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < until, f"not so after {seconds} s"
        time.sleep(0.01)
