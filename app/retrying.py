"""Trying again with exponential backoff, by stamina; for calls that mostly succeed at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import stamina

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Backoff:
    """Retries after the first attempt; delays in seconds, doubled each time up to `delay_max`."""

    max_retries: int = 3
    delay_base: float = 1.0
    delay_max: float = 30.0


async def retrying(
    call: Callable[[], Awaitable[T]],
    backoff: Backoff,
    worth_it: Callable[[Exception], bool | float],
) -> T:
    """The result of `call`, which is repeated while `worth_it` says so; the last error is raised. A
    number from `worth_it` is the delay in seconds instead of the backoff's."""
    try:
        return await call()
    except Exception as error:
        if worth_it(error) is False:
            raise
        failure: Exception | None = error
    # stamina's machinery costs a tenth of a millisecond a call, so it is not there for the first.
    attempts = stamina.retry_context(
        on=worth_it,
        attempts=backoff.max_retries + 1,
        timeout=None,
        wait_initial=backoff.delay_base,
        wait_max=backoff.delay_max,
        wait_jitter=0,
    )
    async for attempt in attempts:
        with attempt:
            if failure is not None:
                first, failure = failure, None
                raise first
            return await call()
    raise AssertionError("unreachable")
