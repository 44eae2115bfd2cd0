"""Tasks that stand for no request: one that runs while there is work, and the end of any."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from contextvars import Context
from typing import Any, Final

CANCEL_SECONDS: Final = 1.0  # for which work that is cancelled may tidy up


async def cancelled(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel them until all have ended, however they do. A library may pass over a cancellation, as
    `asyncio.wait_for` does before Python 3.12; what it was called by would go on."""
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=CANCEL_SECONDS)


class Errand:
    """Work of which one task runs at a time, in no context of a request: it is for whoever asked meanwhile,
    too. The work must look for more before it ends."""

    def __init__(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._name = name
        self._work = work
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """There is something to do."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work(), name=self._name, context=Context())

    async def finish(self) -> None:
        """Wait for the end of what was begun."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def cancel(self) -> None:
        """End what was begun."""
        if self._task is not None:
            await cancelled([self._task])
