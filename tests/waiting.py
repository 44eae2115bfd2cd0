"""Waiting inside an event loop, without a clock."""

from __future__ import annotations

import asyncio


async def parked() -> None:
    """Everybody else has come as far as they can."""
    for _ in range(10):
        await asyncio.sleep(0)
